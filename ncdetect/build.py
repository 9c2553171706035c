"""The whole chain, resumable: pre-train on each corpus, sample each, merge, train the small model, ship it.

    resnet18b on each corpus -> banks (checkpoints/corpora) -> Algorithm 1 at each keep-rate of the grid
    -> new training databases -> tiny-resnet on each -> the best by dev loss -> checkpoints/tiny

The best point of the grid is tried with augmentation, too. For comparison the same model is trained on all
clips and on a random draw of the same size, both without.
"""

import csv
import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ncdetect import cards, database, pipeline, sampling
from ncdetect.bank import EXAMPLES, EmbeddingBank
from ncdetect.checkpoint import BANK_FILE, CARD_FILE, CHECKPOINTS, CONFIG_FILE, TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.database import Chosen
from ncdetect.layouts import open_corpus
from ncdetect.loading import Waves
from ncdetect.models import Detector
from ncdetect.pipeline import Data, Figures
from ncdetect.training import Epoch, Fit, Progress, Recipe

log = logging.getLogger(__name__)

CORPORA = ("vocoded", "neural", "engines", "cloned")
KEEP_RATES = ((1.0, 0.5), (1.0, 0.25), (0.5, 0.5))
"""The grid of keep-rates (reals, fakes); the fakes' are below 1, as the paper's are."""
PRETRAINED, SHIPPED = "resnet18b", "tiny-resnet"
WILD = "wild"
"""The corpus that is for evaluation only."""


@dataclass(frozen=True)
class Plan:
    """What to build, from what, and where."""

    data: Path
    """Folder of a corpus with train, dev and eval splits."""
    work: Path
    """Runs, databases and pre-trained weights; may be removed afterwards."""
    out: Path = CHECKPOINTS
    """Where `tiny` and `corpora` are written."""
    corpora: tuple[str, ...] = CORPORA
    keep_rates: tuple[tuple[float, float], ...] = KEEP_RATES
    recipe: Recipe = Recipe()
    batches: Data = Data()
    examples: Path | None = None
    """CSV of the example clips, which go into the shipped bank."""
    results: Path | None = None
    """Folder for `build.csv` and `build.md`: every figure that was measured."""


@dataclass(frozen=True)
class Run:
    """One training of the small model."""

    name: str
    database: tuple[Chosen, ...]
    data: Data

    def augmented(self) -> "Run":
        """The same database, trained on with augmentation."""
        return Run(f"{self.name}-augmented", self.database, dataclasses.replace(self.data, augment=True))


Say = Callable[[str], None]


def build(plan: Plan, progress: Progress = pipeline.no_progress, say: Say = log.info) -> TrainedDetector:
    """Run the chain, or what of it is not yet done, and return the shipped detector.

    Raises:
        ValueError: If the data lacks a corpus or a split.
    """
    manifest = open_corpus(plan.data)
    train = manifest.select(corpus=plan.corpora, split="train")
    dev = manifest.select(corpus=plan.corpora, split="dev")
    waves = {"train": Waves(train), "dev": Waves(dev)}

    banks = []
    for corpus in plan.corpora:
        say(f"pre-training {PRETRAINED} on {corpus}")
        banks.append(_pretrain(plan, manifest, corpus, progress, say))

    grid = [
        Run(
            f"real-{real:g}-fake-{fake:g}",
            _sampled(banks, train, sampling.Threshold(rate=real), sampling.Threshold(rate=fake)),
            plan.batches,
        )
        for real, fake in plan.keep_rates
    ]
    losses: dict[Run, float] = {}

    def train_small(run: Run) -> None:
        say(f"training {SHIPPED} on {run.name}: {len(run.database)} of {len(train)} clips")
        losses[run] = _train_small(plan, run, waves, progress, say)[1].best.dev_loss

    for run in grid:
        train_small(run)
    plain = min(losses, key=losses.__getitem__)
    train_small(plain.augmented())
    best = min(losses, key=losses.__getitem__)
    say(f"chosen on dev: {best.name}")
    tried = {run.name: loss for run, loss in losses.items()}
    rivals = (
        Run("all", tuple(Chosen(clip, None, "all") for clip in train), plan.batches),
        Run("random", tuple(database.random_like(train, plain.database, plan.recipe.seed)), plan.batches),
    )
    for run in rivals:
        train_small(run)
    runs = (best, *((plain,) if plain is not best else ()), *rivals)
    return _ship(plan, manifest, runs, tried, waves, say)


def _sampled(
    banks: Iterable[EmbeddingBank], train: Manifest, real: sampling.Threshold, fake: sampling.Threshold
) -> tuple[Chosen, ...]:
    """The new training database of one point of the grid, with all that the corpora know of its clips."""
    merged = database.merge(database.sample_bank(bank, real, fake) for bank in banks)
    clips = {clip.path: clip for clip in train}
    return tuple(dataclasses.replace(entry, clip=clips[entry.clip.path]) for entry in merged)


def _pretrain(plan: Plan, manifest: Manifest, corpus: str, progress: Progress, say: Say) -> EmbeddingBank:
    """Train, or load, one corpus's own model; leaves its bank in `checkpoints/corpora`."""
    folder, shipped = plan.work / "pretrained" / corpus, plan.out / "corpora" / corpus
    if not pipeline.checkpoint_exists(folder):
        train = Waves(manifest.select(corpus=corpus, split="train"))
        dev = Waves(manifest.select(corpus=corpus, split="dev"))
        detector, fit = pipeline.train_detector(
            PRETRAINED, train, dev, plan.work / "runs" / f"pretrained-{corpus}", plan.recipe, plan.batches,
            progress, _teller(say),
        )  # fmt: skip
        facts = pipeline.training_facts(train.manifest, "all", fit, plan.recipe, plan.batches)
        pipeline.finish(PRETRAINED, detector, train, dev, facts).save(folder)
    trained = TrainedDetector.from_pretrained(folder)
    shipped.mkdir(parents=True, exist_ok=True)
    trained.bank.save(shipped / BANK_FILE)
    config = dataclasses.asdict(trained.config) | {"model_sha256": trained.sha256}
    (shipped / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    return trained.bank


def _train_small(
    plan: Plan, run: Run, waves: dict[str, Waves], progress: Progress, say: Say
) -> tuple[Detector, Fit]:
    """Train the small model on a database; at once where that is already done."""
    manifest = database.write(
        run.database, waves["train"].manifest.root, plan.work / "databases" / f"{run.name}.csv"
    )
    return pipeline.train_detector(
        SHIPPED,
        waves["train"].subset(manifest),
        waves["dev"],
        plan.work / "runs" / f"tiny-{run.name}",
        plan.recipe,
        run.data,
        progress,
        _teller(say),
    )


def _ship(
    plan: Plan,
    manifest: Manifest,
    runs: Sequence[Run],
    tried: dict[str, float],
    waves: dict[str, Waves],
    say: Say,
) -> TrainedDetector:
    """Measure every model on eval and wild; the first run becomes the shipped checkpoint."""
    say("measuring on eval and wild")
    held_out = [Waves(manifest.select(corpus=plan.corpora, split="eval"))]
    if any(clip.corpus == WILD for clip in manifest):
        held_out.append(Waves(manifest.select(corpus=WILD)))
    figures: dict[str, list[Figures]] = {}

    def measure(name: str, folder: Path) -> TrainedDetector:
        trained = TrainedDetector.from_pretrained(folder)
        figures[name] = [entry for part in held_out for entry in pipeline.evaluate(trained, part)]
        say(f"{name}: " + ", ".join(f"{entry.clips} {entry.eer.value:.1%}" for entry in figures[name]))
        return trained

    for corpus in plan.corpora:
        measure(f"{PRETRAINED} on {corpus}", plan.work / "pretrained" / corpus)
    best = runs[0]
    for run in runs:
        folder = plan.work / "small" / run.name
        if not pipeline.checkpoint_exists(folder):
            _finish_small(plan, run, tried if run is best else {}, waves, held_out[0]).save(folder)
        measure(f"{SHIPPED} on {run.name}", folder)
    if plan.results:
        _write_figures(plan.results, figures)

    shipped = TrainedDetector.from_pretrained(plan.work / "small" / best.name)
    counts = {run.name: database.count(entry.clip for entry in run.database) for run in runs}
    counts |= {
        name: database.count(Manifest.read(plan.work / "databases" / f"{name}.csv").clips) for name in tried
    }
    shipped.card = cards.tiny_card(shipped, [run.name for run in runs], figures, counts, tried, manifest)
    shipped.save(plan.out / "tiny")
    for corpus in plan.corpora:
        folder = plan.out / "corpora" / corpus
        bank = EmbeddingBank.load(folder / BANK_FILE)
        card = cards.corpus_card(corpus, len(bank), figures[f"{PRETRAINED} on {corpus}"])
        (folder / CARD_FILE).write_text(card, "utf-8")
    return shipped


def _finish_small(
    plan: Plan, run: Run, tried: dict[str, float], waves: dict[str, Waves], evaluated: Waves
) -> TrainedDetector:
    """A trained run with means, calibration and bank; with maps and examples if it was chosen from a grid."""
    detector, fit = _train_small(plan, run, waves, pipeline.no_progress, log.info)
    kept = {entry.clip.path for entry in run.database}
    everything = waves["train"].manifest
    parts = {
        inside: waves["train"].subset(
            Manifest(everything.root, tuple(clip for clip in everything if (clip.path in kept) == inside))
        )
        for inside in (True, False)
    }
    facts = pipeline.training_facts(parts[True].manifest, run.name, fit, plan.recipe, run.data)
    trained = pipeline.finish(
        SHIPPED,
        detector,
        parts[True],
        waves["dev"],
        facts | {"grid": {name: round(loss, 4) for name, loss in tried.items()}},
        shown=parts[False] if len(parts[False].manifest) else None,
        examples=example_waves(plan.examples) if plan.examples and tried else None,
        maps=bool(tried),
    )
    agreement = pipeline.agreement(trained, pipeline.embed_manifest(trained.detector, evaluated))
    trained.config = dataclasses.replace(
        trained.config, training=trained.config.training | {"agreement": agreement}
    )
    return trained


def example_waves(file: Path) -> Waves:
    """The clips of `assets/examples`, from their CSV."""
    manifest = Manifest.read(file)
    clips = tuple(dataclasses.replace(clip, corpus=EXAMPLES, split="") for clip in manifest)
    return Waves(Manifest(manifest.root, clips))


def _write_figures(folder: Path, figures: dict[str, list[Figures]]) -> None:
    rows = [{"model": name} | entry.row() for name, entries in figures.items() for entry in entries]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    command = "Made by `python -m ncdetect build --data DATA`: EER in % with its 95 % interval."
    (folder / "build.md").write_text(f"{command}\n\n{cards.figures_table(figures)}\n", "utf-8")


def _teller(say: Say) -> Callable[[Epoch], None]:
    return lambda epoch: say("  " + pipeline.describe(epoch))
