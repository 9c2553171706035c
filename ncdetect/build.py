"""The whole chain, resumable: pre-train on each corpus, sample each, merge, train the small model, ship it.

    resnet18b on each corpus -> banks (checkpoints/corpora) -> Algorithm 1 at each keep-rate of the grid
    -> new training databases -> tiny-resnet on each -> the best by dev loss -> checkpoints/tiny

For comparison the same model is trained on all clips and on a random draw of the chosen size.
"""

import csv
import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncdetect import cards, pipeline, sampling
from ncdetect.bank import EXAMPLES, EmbeddingBank
from ncdetect.checkpoint import BANK_FILE, CARD_FILE, CHECKPOINTS, CONFIG_FILE, TrainedDetector
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
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
RULE = "algorithm-1"
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


@dataclass(frozen=True)
class Chosen:
    """A clip of the new training database and why it is there."""

    clip: Clip
    distance: float | None
    """To its class mean in its corpus's own model."""
    rule: str


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
            tuple(
                sampled_database(banks, sampling.Threshold(rate=real), sampling.Threshold(rate=fake), train)
            ),
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
    train_small(min(losses, key=losses.__getitem__).augmented())
    best = min(losses, key=losses.__getitem__)
    say(f"chosen on dev: {best.name}")
    tried = {run.name: loss for run, loss in losses.items()}
    rivals = (
        Run("all", tuple(Chosen(clip, None, "all") for clip in train), plan.batches),
        Run("random", tuple(random_database(train, best.database, plan.recipe.seed)), plan.batches),
    )
    rivals = tuple(run.augmented() if best.data.augment else run for run in rivals)
    for run in rivals:
        train_small(run)
    return _ship(plan, manifest, (best, *rivals), tried, waves, say)


def sampled_database(
    banks: Iterable[EmbeddingBank],
    real: sampling.Threshold,
    fake: sampling.Threshold,
    known: Manifest | None = None,
) -> list[Chosen]:
    """Sample the train clips of each corpus by Algorithm 1 in its own model's embedding, and merge.

    Of a recording that stands there several times, the clip nearest to its class mean is kept.

    Args:
        banks: Each of one corpus in its own pre-trained model.
        real: How much of each corpus's real samples of interest to keep.
        fake: Likewise of the fakes.
        known: Where to look clips up by path; None takes what the bank knows of them.

    Raises:
        ValueError: If a bank has a clip that `known` lacks.
    """
    clips = {clip.path: clip for clip in known} if known is not None else None
    chosen: list[Chosen] = []
    for bank in banks:
        rows = np.flatnonzero(bank.clips["split"] == "train")
        selections = sampling.sample_corpus(
            bank.embeddings[rows],
            bank.clips["score"].to_numpy()[rows],
            bank.labels[rows],
            bank.clips["path"].to_numpy()[rows],
            real,
            fake,
        )
        for label, threshold in ((Label.REAL, real), (Label.FAKE, fake)):
            for row, distance in zip(selections[label].rows, selections[label].distances, strict=True):
                clip = bank.clip(int(rows[row]))
                if clips is not None and clip.path not in clips:
                    raise ValueError(f"the bank has {clip.path!r}, which the corpus lacks")
                clip = clips[clip.path] if clips is not None else clip
                chosen.append(Chosen(clip, float(distance), f"{RULE} {threshold}"))
    chosen.sort(key=lambda entry: (entry.distance, entry.clip.path))
    once: dict[str, Chosen] = {}
    for entry in chosen:
        once.setdefault(_recording(entry.clip), entry)
    return sorted(once.values(), key=lambda entry: entry.clip.path)


def _recording(clip: Clip) -> str:
    """What must not stand in a database twice: a real's recording, else the file."""
    return clip.recording if clip.label == Label.REAL and clip.recording else clip.path


def count(clips: Iterable[Clip]) -> Counter[str]:
    """Clips by class (`real`, `fake`) and by corpus and class (`neural real`)."""
    counts: Counter[str] = Counter()
    for clip in clips:
        counts[clip.label.word] += 1
        counts[f"{clip.corpus} {clip.label.word}"] += 1
    return counts


def random_database(train: Manifest, like: Sequence[Chosen], seed: int) -> list[Chosen]:
    """A random draw with as many clips of each corpus and class as another database has."""
    drawn = []
    for corpus in sorted({clip.corpus for clip in train}):
        for label in Label:
            clips = train.select(corpus=corpus, label=label).clips
            count = sum(e.clip.corpus == corpus and e.clip.label == label for e in like)
            rows = sampling.random_rows([clip.path for clip in clips], count, seed)
            drawn += [Chosen(clips[row], None, f"random seed {seed}") for row in rows]
    return sorted(drawn, key=lambda entry: entry.clip.path)


def write_database(database: Sequence[Chosen], root: Path, file: Path) -> Manifest:
    """Write a database as a manifest that says of each clip why it was chosen."""
    manifest = Manifest(root, tuple(entry.clip for entry in database))
    file.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(
        file, extra={"distance": [e.distance for e in database], "rule": [e.rule for e in database]}
    )
    return manifest


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
    manifest = write_database(
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
    _write_figures(plan.work / "results.csv", figures)

    shipped = TrainedDetector.from_pretrained(plan.work / "small" / best.name)
    counts = {run.name: count(entry.clip for entry in run.database) for run in runs}
    counts |= {name: count(Manifest.read(plan.work / "databases" / f"{name}.csv").clips) for name in tried}
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


def _write_figures(file: Path, figures: dict[str, list[Figures]]) -> None:
    rows = [{"model": name} | entry.row() for name, entries in figures.items() for entry in entries]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _teller(say: Say) -> Callable[[Epoch], None]:
    return lambda epoch: say("  " + pipeline.describe(epoch))
