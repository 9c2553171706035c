"""The command line: `python -m ncdetect COMMAND`. Only it prints and exits."""

import json
import logging
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from ncdetect.audio import AudioError
from ncdetect.checkpoint import DEFAULT, CheckpointError, locate
from ncdetect.cli_cluster import cluster
from ncdetect.cli_options import Checkpoint, Corpora, Data, progress_bar
from ncdetect.cli_studies import studies
from ncdetect.files import replacing
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


def main() -> None:
    """Run the command line; errors that a user can act on are one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Fabric sets its own root to INFO when it is imported; this child of it is the one that talks.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    keep_freed_memory()
    try:
        app()
    except (AudioError, CheckpointError, FileNotFoundError, ImportError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(CannotBeJudged) from None


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Any audio or video file with sound.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole verdict as JSON.")] = False,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="Also write a page to print: a name.pdf or name.html.")
    ] = None,
    checkpoint: Checkpoint = DEFAULT,
) -> None:
    """Judge one clip. Exit status 0 whatever the verdict, 2 if the file cannot be judged."""
    from ncdetect import report
    from ncdetect.predictor import Predictor

    form = report.ending(report_file) if report_file else ""
    predictor = Predictor.from_pretrained(checkpoint)
    verdict = predictor.check(file)
    if report_file:
        from ncdetect.record import TrackRecord

        record = TrackRecord.load(locate(checkpoint))
        made = report.report_on(predictor, verdict, file, datetime.now(UTC), record)
        with replacing(report_file) as temporary:
            temporary.write_bytes(report.written(made, form))
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
    from ncdetect.training import Optimiser, Recipe, Schedule, is_helper, is_launched, remove_state

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
        if is_launched():
            raise ValueError("folds are trained by one process: leave torchrun out")
        known = Waves(manifest.select(split=["train", "dev"]))
        found = crossvalidation.run(model, known, folds, out, recipe, draws, progress_bar, start, typer.echo)
        for line in crossvalidation.lines(found):
            typer.echo(line)
        return
    if not is_helper():
        typer.echo(
            f"{model} on {len(parts['train'].manifest)} train and {len(parts['dev'].manifest)} dev clips"
        )
    detector, fit = pipeline.train_detector(
        model, parts["train"], parts["dev"], out / "run", recipe, draws, progress_bar,
        lambda epoch: typer.echo(pipeline.describe(epoch)), start,
    )  # fmt: skip
    if is_helper():  # torchrun started it beside a first process, which goes on alone
        return
    facts = pipeline.training_facts(parts["train"].manifest, "all", fit, recipe, draws)
    pipeline.finish(model, detector, parts["train"], parts["dev"], facts, maps=maps).save(out / "checkpoint")
    remove_state(out / "run")
    typer.echo(f"best epoch {fit.best_epoch + 1}, dev EER {fit.best.dev_eer:.1%}: {out / 'checkpoint'}")


@app.command(name="adopt")
def adopt_command(
    model: Annotated[
        str,
        typer.Argument(
            help="An audio classifier of transformers: a folder, or user/name on the Hugging Face Hub; "
            "#fake=LABEL behind it says what is fake where its labels do not."
        ),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; it must not be there yet.")],
    corpus: Corpora = None,
    maps: Annotated[bool, typer.Option(help="Fit the t-SNE and UMAP maps of the bank.")] = True,
) -> None:
    """Take over a published detector as it is: a checkpoint with bank, means and calibration around it."""
    from ncdetect import adopt
    from ncdetect.layouts import open_corpus
    from ncdetect.loading import Waves

    if out.exists():
        raise ValueError(f"{out} is there already: give a new folder")
    manifest = open_corpus(data).select(corpus=corpus or None)
    train, dev = (Waves(manifest.select(split=split)) for split in ("train", "dev"))
    trained = adopt.adopt(model, train, dev, maps, progress_bar)
    trained.save(out)
    facts = trained.config.training
    for label, word in facts["labels"].items():
        typer.echo(f"{label} means {word}")
    typer.echo(f"dev EER {facts['dev_eer']:.1%}: {out}")


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


@app.command(name="publish")
def publish_command(
    repo: Annotated[str, typer.Option(help="USER/NAME on the Hugging Face Hub, of model and Space.")],
    checkpoint: Checkpoint = DEFAULT,
    model: Annotated[bool, typer.Option(help="Publish the checkpoint with its card.")] = True,
    space: Annotated[bool, typer.Option(help="Publish the page.")] = True,
    private: Annotated[bool, typer.Option("--private", help="What is new is seen by you only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files, send nothing.")] = False,
) -> None:
    """Publish a model, and the page as a Space; what was interrupted goes on when it is run again."""
    from ncdetect import publish

    if not (model or space):
        raise ValueError("there is nothing to publish with both --no-model and --no-space")
    uploads = [publish.plan_model(repo, checkpoint)] if model else []
    uploads += [publish.plan_space(repo)] if space else []
    if dry_run:
        for line in (line for upload in uploads for line in publish.listing(upload)):
            typer.echo(line)
        typer.echo("Nothing was sent.")
        raise typer.Exit(CannotBeJudged if any(upload.refused for upload in uploads) else 0)
    for url in publish.publish(uploads, private):
        typer.echo(url)


@app.command(name="export")
def export_command(
    name: Annotated[str, typer.Argument(help="Checkpoint: a name in checkpoints/, a folder, or user/name.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the file; else the checkpoint's own.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Whole numbers in place of float32: faster.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Of int8: folder of a corpus, whose dev clips set the ranges of activations."),
    ] = None,
) -> None:
    """Write a checkpoint as an ONNX graph, wave to embedding and score, if it gives PyTorch's verdicts."""
    from ncdetect import onnx
    from ncdetect.layouts import open_corpus

    if data is not None and not int8:
        raise ValueError("--data is of --int8: float32 needs no calibration")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    calibration = []
    if data is not None:
        dev = open_corpus(data).select(split="dev")
        calibration = [dev.file(clip) for clip in dev]
        if not calibration:
            raise ValueError(f"there are no dev clips in {data}")
    file, parity = onnx.export(name, out, "int8" if int8 else "32-true", calibration)
    typer.echo(
        f"{len(parity.changed)} of {parity.clips} verdicts differ from PyTorch's, scores by at most "
        f"{parity.score_error:.1e}: {file}"
    )


@app.command(name="serve")
def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="To listen on.")] = 8000,
    page: Annotated[bool, typer.Option(help="Serve the page beside the API.")] = True,
    checkpoint: Checkpoint = DEFAULT,
    threads: Annotated[int, typer.Option(min=1, envvar="NCDETECT_THREADS", help="Clips judged at once.")] = 2,
    waiting: Annotated[
        int, typer.Option(min=0, envvar="NCDETECT_WAITING", help="Clips that may wait beside them.")
    ] = 16,
    rate: Annotated[
        float,
        typer.Option(
            min=0, envvar="NCDETECT_RATE", help="Requests a minute of one address; 0: any. This machine: any."
        ),
    ] = 60.0,
) -> None:
    """Serve the API (POST /v1/check) and the page; NCDETECT_TOKENS holds tokens, if the API needs any."""
    from ncdetect.api_limits import Limits
    from ncdetect.api_server import serve

    locate(checkpoint)
    serve(host, port, checkpoint, page, Limits(per_minute=rate), threads, waiting)


app.add_typer(studies)
app.add_typer(cluster, name="cluster")
