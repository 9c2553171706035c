"""The command line: `python -m ncdetect COMMAND`. Only this module prints and exits."""

import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, get_args

import typer

from ncdetect.audio import AudioError
from ncdetect.checkpoint import DEFAULT, CheckpointError
from ncdetect.runtime import keep_freed_memory

# Rooms that take seconds to import (training, sklearn, umap) are imported by the commands that need them.

app = typer.Typer(
    name="ncdetect",
    help="Is this voice real or synthetic? Judge clips, and train the models that judge them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

CannotBeJudged = 2
Checkpoint = Annotated[
    str, typer.Option(help="Name in checkpoints/, a folder, or user/name on the Hugging Face Hub.")
]
Data = Annotated[
    Path, typer.Option(help="Folder of a corpus: manifest.csv, a corpus as distributed, or real/ and fake/.")
]
Corpora = Annotated[list[str] | None, typer.Option(help="Only this corpus; may be given several times.")]
Work = Annotated[Path, typer.Option(help="Folder for the runs; what was killed goes on there.")]
Jobs = Annotated[
    int,
    typer.Option(min=1, help="Trainings side by side, each with its share of the cores."),
]
Precision = Annotated[str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.")]


def main() -> None:
    """Run the command line; errors that a user can act on are one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Fabric sets its own root to INFO when it is imported; this child of it is the one that talks.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    keep_freed_memory()
    try:
        app()
    except (AudioError, CheckpointError, FileNotFoundError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(CannotBeJudged) from None


def progress_bar(items: Iterable, caption: str) -> Iterable:
    """A tqdm bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, caption, leave=False, disable=None)


@contextmanager
def runs_bar(caption: str) -> Iterator[Callable[[int, int], None]]:
    """A tqdm bar on standard error for trainings; what it gives is told how many of how many are done."""
    from tqdm import tqdm

    with tqdm(desc=caption, unit="run", disable=None) as bar:

        def finished(done: int, of: int) -> None:
            bar.total, bar.n = of, done
            bar.refresh()

        yield finished


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Any audio or video file with sound.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole verdict as JSON.")] = False,
    checkpoint: Checkpoint = DEFAULT,
) -> None:
    """Judge one clip. Exit status 0 whatever the verdict, 2 if the file cannot be judged."""
    from ncdetect.predictor import Predictor

    verdict = Predictor.from_pretrained(checkpoint).check(file)
    if as_json:
        typer.echo(json.dumps(verdict.to_dict(), ensure_ascii=False))
        return
    words = {"real": "Likely real", "fake": "Likely fake", "undecided": "Undecided"}
    # Never 0 % or 100 %: no model is that sure.
    percent = min(99, max(1, round(100 * verdict.probability)))
    typer.echo(f"{words[verdict.verdict]}: {percent} % fake, if real and fake were equally likely")
    typer.echo(verdict.reason)
    typer.echo(
        f"Distance to the average real voice {verdict.distance_real:.2f}, "
        f"to the average fake voice {verdict.distance_fake:.2f}"
    )
    for warning in verdict.warnings:
        typer.echo(f"Note: {warning.sentence}")


@app.command()
def score(
    manifest: Annotated[Path, typer.Option(help="CSV with a column `path`.")],
    root: Annotated[Path, typer.Option(help="Folder that the paths start from.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    checkpoint: Checkpoint = DEFAULT,
) -> None:
    """Score all clips of a CSV file; the other columns pass through, unreadable files get an `error`."""
    from ncdetect.predictor import Predictor
    from ncdetect.scoring import score_manifest

    scored, failed = score_manifest(Predictor.from_pretrained(checkpoint), manifest, root, out, progress_bar)
    typer.echo(f"{scored} clips scored, {failed} with an error: {out}")


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; a killed run goes on from there.")],
    model: Annotated[
        str, typer.Option(help="An architecture: tiny-resnet, resnet18b, convnext, lfcc-resnet18, aasist ...")
    ] = "tiny-resnet",
    corpus: Corpora = None,
    epochs: Annotated[int, typer.Option(help="Most epochs.")] = 100,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without a lower dev loss.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-3,
    schedule: Annotated[str, typer.Option(help="constant, cosine or step (halved every 10).")] = "constant",
    optimiser: Annotated[str, typer.Option(help="adam or adamw.")] = "adam",
    weight_decay: Annotated[float, typer.Option(help="L2 penalty of Adam, decay of AdamW.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Clips in a step.")] = 32,
    epoch_clips: Annotated[int, typer.Option(help="Clips drawn in an epoch; 0: each clip once.")] = 1024,
    balance: Annotated[
        str, typer.Option(help="none, class (within each corpus), corpus or generator.")
    ] = "class",
    augment: Annotated[bool, typer.Option(help="Noise, rooms, band limits, coding, SpecAugment.")] = False,
    adversarial: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clips that are perturbed against the detector.")
    ] = 0.0,
    adversarial_steps: Annotated[int, typer.Option(min=1, help="1 is FGSM, more are PGD.")] = 1,
    init: Annotated[
        str | None, typer.Option(help="Checkpoint whose weights are the first ones (same architecture).")
    ] = None,
    folds: Annotated[
        int,
        typer.Option(min=0, help="Cross-validate on train and dev clips: so many trainings, no checkpoint."),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of weights, batches and dropout.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.")] = "auto",
    maps: Annotated[bool, typer.Option(help="Fit the t-SNE and UMAP maps of the bank.")] = True,
) -> None:
    """Train a detector on the train split, early-stopped on dev, and save it with its bank.

    Defaults are the paper's recipe: binary cross-entropy, Adam 1e-3, at most 100 epochs, early stop after 10.
    """
    from ncdetect import crossvalidation, pipeline
    from ncdetect.checkpoint import TrainedDetector
    from ncdetect.layouts import open_corpus
    from ncdetect.loading import Balance, Waves
    from ncdetect.training import Optimiser, Recipe, Schedule, remove_state

    for name, value, allowed in (
        ("balance", balance, get_args(Balance)),
        ("schedule", schedule, get_args(Schedule)),
        ("optimiser", optimiser, get_args(Optimiser)),
    ):
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
    manifest = open_corpus(data).select(corpus=corpus or None)
    parts = {split: Waves(manifest.select(split=split)) for split in ("train", "dev")}
    recipe = Recipe(
        epochs, patience, learning_rate, schedule, weight_decay=weight_decay, optimiser=optimiser, seed=seed,
        precision=precision,
    )  # fmt: skip
    draws = pipeline.Data(batch_size, balance, epoch_clips or None, augment, adversarial, adversarial_steps)
    start = TrainedDetector.from_pretrained(init).detector if init else None
    if folds:
        known = Waves(manifest.select(split=["train", "dev"]))
        found = crossvalidation.run(model, known, folds, out, recipe, draws, progress_bar, start, typer.echo)
        for line in crossvalidation.lines(found):
            typer.echo(line)
        return
    typer.echo(f"{model} on {len(parts['train'].manifest)} train and {len(parts['dev'].manifest)} dev clips")
    detector, fit = pipeline.train_detector(
        model, parts["train"], parts["dev"], out / "run", recipe, draws, progress_bar,
        lambda epoch: typer.echo(pipeline.describe(epoch)), start,
    )  # fmt: skip
    facts = pipeline.training_facts(parts["train"].manifest, "all", fit, recipe, draws)
    pipeline.finish(model, detector, parts["train"], parts["dev"], facts, maps=maps).save(out / "checkpoint")
    remove_state(out / "run")
    typer.echo(f"best epoch {fit.best_epoch + 1}, dev EER {fit.best.dev_eer:.1%}: {out / 'checkpoint'}")


@app.command()
def evaluate(
    data: Data,
    checkpoint: Checkpoint = DEFAULT,
    corpus: Corpora = None,
    split: Annotated[str, typer.Option(help="train, dev or eval.")] = "eval",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Measure a detector: EER with its 95 % interval and other figures, pooled and by corpus."""
    from ncdetect import pipeline
    from ncdetect.checkpoint import TrainedDetector
    from ncdetect.layouts import open_corpus
    from ncdetect.loading import Waves

    waves = Waves(open_corpus(data).select(corpus=corpus or None, split=split))
    figures = pipeline.evaluate(TrainedDetector.from_pretrained(checkpoint), waves)
    if not figures:
        raise ValueError("no corpus there has both real and fake clips")
    for entry in figures:
        if as_json:
            typer.echo(json.dumps(entry.row()))
        else:
            typer.echo(
                f"{entry.clips:12} {entry.reals:5} real {entry.fakes:5} fake   EER {entry.eer.value:6.1%} "
                f"[{entry.eer.low:.1%}, {entry.eer.high:.1%}]   Cllr {entry.cllr:.2f}"
            )


@app.command(name="robustness")
def robustness_command(
    data: Data,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or folder, as elsewhere; the shipped one if not given; may be given several times."
        ),
    ] = None,
    corpus: Corpora = None,
    results: Annotated[Path, typer.Option(help="Folder for robustness.csv and .md.")] = Path(
        "assets/results"
    ),
) -> None:
    """Judge the eval clips again after MP3, telephone, noise and the like: does the verdict survive?"""
    from ncdetect import robustness
    from ncdetect.layouts import open_corpus
    from ncdetect.loading import Waves
    from ncdetect.predictor import Predictor

    names = checkpoint or [DEFAULT]
    waves = Waves(robustness.eval_clips(open_corpus(data).select(corpus=corpus or None)))
    predictors = [Predictor.from_pretrained(name) for name in names]
    found = [entry for one in predictors for entry in robustness.measure(one, waves, progress_bar)]
    command = "python -m ncdetect robustness --data DATA"
    command += "".join(f" --checkpoint {name}" for name in names)
    command += "".join(f" --corpus {name}" for name in corpus or ())
    for file in robustness.write(found, results, command):
        typer.echo(str(file))


@app.command(name="joined")
def joined_command(
    data: Data,
    checkpoint: Checkpoint = DEFAULT,
    results: Annotated[Path, typer.Option(help="Folder for joined.csv and joined.md.")] = Path(
        "assets/results"
    ),
) -> None:
    """Measure a detector on long clips made of short ones: the mean over windows, and the timeline's use."""
    from ncdetect import timeline, timeline_words
    from ncdetect.layouts import open_corpus
    from ncdetect.predictor import Predictor

    rows = timeline.study(Predictor.from_pretrained(checkpoint), open_corpus(data), progress_bar)
    command = f"python -m ncdetect joined --data DATA --checkpoint {checkpoint}"
    for file in timeline_words.write(rows, results, command):
        typer.echo(str(file))


@app.command(name="compare")
def compare_command(
    data: Annotated[Path, typer.Option(help="Folder that is a corpus, or holds one in each of its folders.")],
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or folder, as elsewhere; all of checkpoints/ if not given; may be given several times."
        ),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FILE: a further system and its CSV with columns path and score, as `score` writes."
        ),
    ] = None,
    official: Annotated[
        Path | None, typer.Option(help="Folder of AASIST's official weights, aasist.pth and aasist-l.pth.")
    ] = None,
    asv_scores: Annotated[
        list[str] | None,
        typer.Option(help="CORPUS=FILE: ASVspoof 2019's scores of a speaker verification, for min t-DCF."),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Folder for what each checkpoint says; a killed run goes on there.")
    ] = Path("build/compare"),
    results: Annotated[Path, typer.Option(help="Folder for compare.csv and compare.md.")] = Path(
        "assets/results"
    ),
) -> None:
    """Measure all detectors on the same eval clips: error rates with intervals, costs, size, speed."""
    from ncdetect import compare, compare_words, systems
    from ncdetect.experiments import open_data

    names = systems.shipped() if checkpoint is None else checkpoint
    files = [compare.named_file(text) for text in scores or ()]
    asv = {corpus: compare.read_asv(file) for corpus, file in map(compare.named_file, asv_scores or ())}
    tests, parts = compare.eval_clips(open_data(data))
    found = [systems.of_checkpoint(name, tests, work, progress_bar) for name in names]
    if official:
        found += [
            systems.official(name, official, tests, work, progress_bar) for name in ("aasist", "aasist-l")
        ]
    found += [systems.of_file(name, file, tests) for name, file in files]
    command = "python -m ncdetect compare --data DATA"
    command += "".join(f" --checkpoint {name}" for name in checkpoint or ())
    command += " --official WEIGHTS" if official else ""
    command += "".join(f" --scores {name}={file.name}" for name, file in files)
    command += "".join(f" --asv-scores {corpus}=FILE" for corpus in asv)
    for file in compare_words.write(compare.rows(found, parts, asv), results, command):
        typer.echo(str(file))


@app.command()
def embed(
    data: Data,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    checkpoint: Checkpoint = DEFAULT,
    corpus: Corpora = None,
    split: Annotated[str | None, typer.Option(help="train, dev or eval; all if not given.")] = None,
    maps: Annotated[bool, typer.Option(help="Fit t-SNE and UMAP as well.")] = False,
) -> None:
    """Write the embedding bank of a corpus: clips, embeddings, scores, and the checkpoint's class means."""
    from ncdetect import pipeline
    from ncdetect.bank import EmbeddingBank
    from ncdetect.checkpoint import TrainedDetector
    from ncdetect.layouts import open_corpus
    from ncdetect.loading import Waves

    trained = TrainedDetector.from_pretrained(checkpoint)
    if trained.bank is None:
        raise CheckpointError(f"checkpoint {checkpoint!r} has no bank, so no class means")
    waves = Waves(open_corpus(data).select(corpus=corpus or None, split=split))
    embedded = pipeline.embed_manifest(trained.detector, waves)
    EmbeddingBank.build(
        waves.manifest.clips, embedded.embeddings, embedded.scores, trained.bank.means, trained.config.model,
        trained.sha256, maps=maps,
    ).save(out)  # fmt: skip
    typer.echo(f"{len(waves.manifest)} clips: {out}")


@app.command()
def sample(
    bank: Annotated[list[Path], typer.Option(help="Bank of a corpus in its own model; give one for each.")],
    out: Annotated[Path, typer.Option(help="Manifest (CSV) of the new training database.")],
    real_rate: Annotated[float | None, typer.Option(help="Share of the reals to keep.")] = None,
    fake_rate: Annotated[float | None, typer.Option(help="Share of the fakes to keep.")] = None,
    real_count: Annotated[int | None, typer.Option(help="Number of reals to keep.")] = None,
    fake_count: Annotated[int | None, typer.Option(help="Number of fakes to keep.")] = None,
    real_distance: Annotated[
        float | None, typer.Option(help="Greatest distance of a real to its mean.")
    ] = None,
    fake_distance: Annotated[
        float | None, typer.Option(help="Greatest distance of a fake to its mean.")
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="algorithm-1, algorithm-2, farthest, moderate, random, stratified, k-center, herding, el2n "
            "or forgetting."
        ),
    ] = "algorithm-1",
    seed: Annotated[int, typer.Option(help="For rules that draw or cluster.")] = 0,
) -> None:
    """Choose clips of corpora by a rule, merge and drop duplicates; algorithm-1: those nearest to their mean.

    For each class give one of rate, count and distance; it holds for each bank.
    """
    from ncdetect import database, rules
    from ncdetect.bank import EmbeddingBank
    from ncdetect.sampling import Threshold

    budget = rules.Budget(
        Threshold(distance=real_distance, rate=real_rate, count=real_count),
        Threshold(distance=fake_distance, rate=fake_rate, count=fake_count),
    )
    rules.named(rule)  # before a bank is read
    parts = []
    for file in bank:
        loaded = EmbeddingBank.load(file)
        pool = rules.Pool.of(loaded)
        picked = rules.choose(pool, rule, budget, seed)
        parts.append(database.entries(loaded, pool, picked, budget, rule, seed))
        for kept in picked.values():
            if kept.detail is not None:
                typer.echo(f"{file}: {database.describe(kept.detail)}")
    chosen = database.merge(parts)
    database.write(chosen, Path("."), out)
    counts = database.count(entry.clip for entry in chosen)
    for name in sorted(counts.keys() - {"real", "fake"}):
        typer.echo(f"{name}: {counts[name]}")
    typer.echo(f"{counts['real']} real and {counts['fake']} fake clips: {out}")


@app.command(name="detector")
def detector_command(
    data: Data,
    weights: Annotated[Path, typer.Option(help="Folder of the encoders' published weights.")],
    work: Work = Path("build/detector"),
    out: Annotated[Path, typer.Option(help="Where `listener` and `tiny` are written.")] = Path("checkpoints"),
    examples: Annotated[Path, typer.Option(help="CSV of the example clips for the bank.")] = Path(
        "assets/examples/examples.csv"
    ),
    results: Annotated[Path, typer.Option(help="Folder for detector.csv and .md.")] = Path("assets/results"),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each change in the series.")] = 1,
    jobs: Jobs = 1,
    precision: Precision = "auto",
) -> None:
    """Build the detectors that ship: a series of measured changes, the best of it, its figures. Resumable."""
    from ncdetect import detector_build
    from ncdetect.detector_study import Place

    detector_build.run(
        Place(data, work, weights, seeds, jobs), out, results,
        examples if examples.is_file() else None, precision, progress_bar, typer.echo,
    )  # fmt: skip


@app.command(name="build")
def build_command(
    data: Data,
    work: Work = Path("build/experiments"),
    out: Annotated[Path, typer.Option(help="For `tiny-resnet`, `tiny-nc` and `corpora`.")] = Path(
        "checkpoints"
    ),
    examples: Annotated[Path, typer.Option(help="CSV of the example clips for the bank.")] = Path(
        "assets/examples/examples.csv"
    ),
    practice: Annotated[Path, typer.Option(help="Folder of the Sampling lab's free clips.")] = Path(
        "assets/practice"
    ),
    results: Annotated[Path, typer.Option(help="Folder for the tables of all figures.")] = Path(
        "assets/results"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each rule and budget.")] = 3,
    jobs: Jobs = 1,
    precision: Precision = "auto",
) -> None:
    """Build what ships: experiment 4, the winner on dev trained at length, its figures. Resumable."""
    from ncdetect import build
    from ncdetect.experiments import Study

    plan = build.Plan(
        study=Study(data, work, seeds, jobs, precision),
        results=results,
        out=out,
        examples=examples if examples.is_file() else None,
        practice=practice if practice.is_dir() else None,
    )
    with runs_bar("experiment 4") as finished:
        build.build(plan, progress_bar, typer.echo, finished)


@app.command()
def experiment(
    number: Annotated[
        int,
        typer.Argument(
            min=1,
            max=4,
            help="1: each corpus by itself. 2: keep-rates of NC sampling. 3: random clips. "
            "4: rules of selection at equal budgets and equal steps.",
        ),
    ],
    data: Annotated[Path, typer.Option(help="Folder that is a corpus, or holds one in each of its folders.")],
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each kind.")] = 3,
    budget: Annotated[
        list[float] | None,
        typer.Option(help="3: clips of each class and corpus; 4: shares. May be given several times."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="1: only this architecture; may be given several times.")
    ] = None,
    work: Work = Path("build/experiments"),
    out: Annotated[Path, typer.Option(help="Folder for experiment-N.csv and .md.")] = Path("assets/results"),
    jobs: Jobs = 1,
    draws: Annotated[
        int | None, typer.Option(help="2-4: clips that each training draws; all draw the same number.")
    ] = None,
    precision: Precision = "auto",
) -> None:
    """Run one of the experiments and write its table. Killed and called again, it goes on."""
    from ncdetect import experiments, tables

    study = experiments.Study(data, work, seeds, jobs, precision, draws)
    if model:
        study = dataclasses.replace(study, models=tuple(model))
    runs = experiments.plan(study, number, budget or ())
    with runs_bar(f"experiment {number}") as finished:
        results = experiments.run(study, runs, progress_bar, finished=finished)
    command = f"python -m ncdetect experiment {number} --data DATA --seeds {seeds}"
    command += "".join(f" --budget {value:g}" for value in budget or ())
    command += "".join(f" --model {name}" for name in model or ())
    command += f" --draws {draws}" if draws else ""
    for file in tables.write(study, number, runs, results, out, command):
        typer.echo(str(file))
