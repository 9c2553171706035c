"""From experiment 4 to what ships, resumable.

    resnet18b on each corpus -> banks (checkpoints/corpora) -> experiment 4: every rule at every budget
    -> the rule and budget with the least dev loss -> trained at length, plain and augmented
    -> the better of the two on dev: checkpoints/tiny-resnet

Where neither Algorithm 1 nor Algorithm 2 won, the better of them on dev is trained in the same way and ships
beside it as checkpoints/tiny-nc.
"""

import csv
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncdetect import cards, database, experiments, files, findings, findings_words, pipeline, tables
from ncdetect.bank import EXAMPLES, EmbeddingBank
from ncdetect.checkpoint import BANK_FILE, CARD_FILE, CHECKPOINTS, CONFIG_FILE, TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.database import Chosen
from ncdetect.experiments import ALL, SMALL, Result, Run, Study
from ncdetect.loading import Waves
from ncdetect.pipeline import Data, Figures
from ncdetect.rules import RULES
from ncdetect.training import Fit, Progress, Recipe

log = logging.getLogger(__name__)

NC_RULES = ("algorithm-1", "algorithm-2")
LONGER = 4
"""What ships draws so many times the clips of a run of the experiment."""
EVALUATIONS = 24
PRACTICE_EPOCHS = 12
"""The free clips are few and easy: their pre-trained models need no more."""
COMMAND = "python -m ncdetect experiment 4 --data DATA"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to build, from what, and where."""

    study: Study
    """The corpora; its work folder keeps runs, databases and pre-trained weights."""
    results: Path
    """Folder for `experiment-4` and `build`, as CSV and Markdown."""
    out: Path = CHECKPOINTS
    """Where `tiny-resnet`, `tiny-nc` and `corpora` are written."""
    rules: tuple[str, ...] = (ALL, *RULES)
    """Those of experiment 4 that may win."""
    budgets: tuple[float, ...] = experiments.SHARES
    practice: Path | None = None
    """Folder of the free clips that the Sampling lab trains on; its corpora get banks, too."""
    examples: Path | None = None
    """CSV of the example clips, which go into the shipped bank."""


@dataclass(frozen=True)
class Candidate:
    """A training that may ship: a run of the experiment at greater length."""

    name: str
    run: Run
    data: Data
    recipe: Recipe


@dataclass(frozen=True)
class Trained:
    """A finished candidate."""

    candidate: Candidate
    database: tuple[Chosen, ...]
    fit: Fit
    checkpoint: TrainedDetector


def build(
    plan: Plan,
    progress: Progress = pipeline.no_progress,
    say: Say = log.info,
    finished: Callable[[int, int], None] = lambda done, of: None,
) -> TrainedDetector:
    """Run the chain, or what of it is not yet done, and return the shipped detector.

    Raises:
        ValueError: If the data lacks a corpus or a split.
    """
    study = plan.study
    runs = [
        run
        for run in experiments.plan(study, 4, plan.budgets)
        if run.rule in plan.rules or run.rule in ("random", ALL)
    ]
    results = experiments.run(study, runs, progress, say, finished)
    table, _ = tables.write(study, 4, runs, results, plan.results, COMMAND)
    sentences = findings.sentences(4, findings_words.read_csv(table))
    corpora = experiments.training_corpora(experiments.open_data(study.data))
    for corpus in corpora:
        experiments.pretrain(study, corpus, progress, say)
        _publish_bank(plan, study, corpus)
    if plan.practice:
        _practice(plan, plan.practice, progress, say)

    losses = dev_losses([run for run in runs if run.rule in plan.rules], results)
    best = min(losses, key=losses.__getitem__)
    say(f"best on dev: {named(best)} ({losses[best]:.3f})")
    plain, augmented = (
        _train(plan, _candidate(plan, best, augment), progress, say) for augment in (False, True)
    )
    shipped = min(plain, augmented, key=lambda trained: trained.fit.best.dev_loss)
    say(f"chosen on dev: {shipped.candidate.name}")
    built = [shipped, plain if shipped is augmented else augmented]
    nc_losses = {key: loss for key, loss in losses.items() if key[0] in NC_RULES}
    beside = None
    if best not in nc_losses and nc_losses:
        nearest = min(nc_losses, key=nc_losses.__getitem__)
        beside = _train(plan, _candidate(plan, nearest, shipped.candidate.data.augment), progress, say)
        built.append(beside)
    return _ship(plan, built, beside, losses, corpora, sentences, say)


def dev_losses(runs: Sequence[Run], results: Mapping[str, Result]) -> dict[tuple[str, float], float]:
    """Dev loss of each rule and budget, the mean over its seeds: what decides which ships."""
    losses: dict[tuple[str, float], list[float]] = {}
    for run in runs:
        key = (str(run.columns["rule"]), float(run.columns["budget"]))
        losses.setdefault(key, []).append(results[run.name].facts["dev_loss"])
    return {key: float(np.mean(values)) for key, values in losses.items()}


def named(key: tuple[str, float]) -> str:
    """`all`, or rule and budget: `random-0.5`."""
    rule, budget = key
    return rule if rule == ALL else f"{rule}-{budget:g}"


def _candidate(plan: Plan, key: tuple[str, float], augment: bool) -> Candidate:
    run = next(
        run
        for run in experiments.plan(plan.study, 4, plan.budgets)
        if (run.columns["rule"], run.columns["budget"], run.seed) == (*key, 0)
    )
    draws = LONGER * run.recipe.epochs * run.data.epoch_clips
    return Candidate(
        named(key) + ("-augmented" if augment else ""),
        run,
        dataclasses.replace(run.data, epoch_clips=-(-draws // EVALUATIONS), augment=augment),
        dataclasses.replace(run.recipe, epochs=EVALUATIONS, patience=EVALUATIONS),
    )


def _train(plan: Plan, candidate: Candidate, progress: Progress, say: Say) -> Trained:
    """Train a candidate and make a checkpoint of it; at once where that is done."""
    study, folder = plan.study, plan.study.work / "shipped" / candidate.name
    manifest, waves = experiments.open_data(study.data), experiments.decoded(study.data)
    chosen = tuple(experiments.choose(study, candidate.run))
    own = database.write(chosen, manifest.root, folder / experiments.DATABASE_FILE)
    train, dev = (
        waves.subset(own),
        waves.subset(manifest.select(corpus=candidate.run.corpora, split="dev")),
    )
    say(f"training {SMALL} on {candidate.name}: {len(chosen)} clips")
    detector, fit = pipeline.train_detector(
        SMALL, train, dev, folder / "fit", candidate.recipe, candidate.data, progress,
        lambda epoch: say("  " + pipeline.describe(epoch)),
    )  # fmt: skip
    checkpoint = folder / "checkpoint"
    if not pipeline.checkpoint_exists(checkpoint):
        kept = {clip.path for clip in own}
        everything = manifest.select(corpus=candidate.run.corpora, split="train")
        others = Manifest(manifest.root, tuple(clip for clip in everything if clip.path not in kept))
        facts = pipeline.training_facts(own, candidate.name, fit, candidate.recipe, candidate.data)
        trained = pipeline.finish(
            SMALL, detector, train, dev, facts,
            shown=waves.subset(others) if len(others) else None,
            examples=example_waves(plan.examples) if plan.examples else None,
        )  # fmt: skip
        held_out = waves.subset(manifest.select(corpus=candidate.run.corpora, split="eval"))
        agreement = pipeline.agreement(trained, pipeline.embed_manifest(trained.detector, held_out))
        trained.config = dataclasses.replace(
            trained.config, training=trained.config.training | {"agreement": agreement}
        )
        trained.save(checkpoint)
    return Trained(candidate, chosen, fit, TrainedDetector.from_pretrained(checkpoint))


def _publish_bank(plan: Plan, study: Study, corpus: str) -> EmbeddingBank:
    """Copy a pre-trained model's bank, and what is known of the model, to `checkpoints/corpora`."""
    trained = TrainedDetector.from_pretrained(experiments.pretrained_checkpoint(study, corpus))
    folder = plan.out / "corpora" / corpus
    folder.mkdir(parents=True, exist_ok=True)
    trained.bank.save(folder / BANK_FILE)
    config = dataclasses.asdict(trained.config) | {"model_sha256": trained.sha256}
    files.write_text(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True) + "\n")
    return trained.bank


def _practice(plan: Plan, data: Path, progress: Progress, say: Say) -> None:
    """Banks, with cards, of the corpora that the Sampling lab trains on."""
    short = dataclasses.replace(plan.study.paper, epochs=min(PRACTICE_EPOCHS, plan.study.paper.epochs))
    study = dataclasses.replace(plan.study, data=data, work=plan.study.work / "practice", paper=short)
    for corpus in experiments.training_corpora(experiments.open_data(data)):
        experiments.pretrain(study, corpus, progress, say)
        bank = _publish_bank(plan, study, corpus)
        figures = _figures(experiments.pretrained_checkpoint(study, corpus), study)
        _write_corpus_card(plan, corpus, bank, figures)


def _figures(checkpoint: Path, study: Study) -> list[Figures]:
    """On eval of the training corpora, then on what is for evaluation only."""
    trained = TrainedDetector.from_pretrained(checkpoint)
    manifest, waves = experiments.open_data(study.data), experiments.decoded(study.data)
    known = experiments.training_corpora(manifest)
    rest = sorted({clip.corpus for clip in manifest} - set(known))
    parts = [manifest.select(corpus=known, split="eval")]
    parts += [manifest.select(corpus=corpus, split="eval") for corpus in rest]
    return [entry for part in parts if len(part) for entry in pipeline.evaluate(trained, waves.subset(part))]


def _ship(
    plan: Plan,
    built: Sequence[Trained],
    beside: Trained | None,
    losses: Mapping[tuple[str, float], float],
    corpora: Sequence[str],
    sentences: Sequence[str],
    say: Say,
) -> TrainedDetector:
    """Measure every model on eval and wild; the first of the built becomes the shipped checkpoint."""
    say("measuring on eval and wild")
    study = plan.study
    figures = {
        f"{study.pretrained} on {corpus}": _figures(experiments.pretrained_checkpoint(study, corpus), study)
        for corpus in corpora
    }
    for corpus in corpora:
        bank = EmbeddingBank.load(plan.out / "corpora" / corpus / BANK_FILE)
        _write_corpus_card(plan, corpus, bank, figures[f"{study.pretrained} on {corpus}"])
    for trained in built:
        name = trained.candidate.name
        figures[f"{SMALL} on {name}"] = _figures(study.work / "shipped" / name / "checkpoint", study)
    for name, row in figures.items():
        say(f"{name}: " + ", ".join(f"{entry.clips} {entry.eer.value:.1%}" for entry in row))
    _write_figures(plan.results, figures)

    manifest = experiments.open_data(study.data)
    tried = {named(key): loss for key, loss in losses.items()}
    counts = {t.candidate.name: database.count(entry.clip for entry in t.database) for t in built}
    for trained, name in ((built[0], "tiny-resnet"), (beside, "tiny-nc")):
        if trained is None:
            continue
        trained.checkpoint.card = cards.tiny_card(
            trained.checkpoint,
            name,
            trained.candidate.name,
            figures,
            counts,
            tried,
            study.seeds,
            sentences,
            manifest,
        )
        trained.checkpoint.save(plan.out / name)
    return built[0].checkpoint


def _write_corpus_card(plan: Plan, corpus: str, bank: EmbeddingBank, row: Sequence[Figures]) -> None:
    card = cards.corpus_card(corpus, bank.model, len(bank), row)
    files.write_text(plan.out / "corpora" / corpus / CARD_FILE, card)


def example_waves(file: Path) -> Waves:
    """The clips of `assets/examples`, from their CSV."""
    manifest = Manifest.read(file)
    clips = tuple(dataclasses.replace(clip, corpus=EXAMPLES, split="") for clip in manifest)
    return Waves(Manifest(manifest.root, clips))


def _write_figures(folder: Path, figures: Mapping[str, Sequence[Figures]]) -> None:
    rows = [{"model": name} | entry.row() for name, entries in figures.items() for entry in entries]
    with (
        files.replacing(folder / "build.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    command = "Made by `python -m ncdetect build --data DATA`: EER in % with its 95 % interval."
    files.write_text(folder / "build.md", f"{command}\n\n{cards.figures_table(figures)}\n")
