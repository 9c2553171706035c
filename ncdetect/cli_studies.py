"""Commands that study detectors, or build those that ship: they take minutes to hours and write tables."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ncdetect.checkpoint import DEFAULT
from ncdetect.cli_options import Checkpoint, Corpora, Data, Jobs, Precision, Work, progress_bar, runs_bar

studies = typer.Typer()


@studies.command(name="robustness")
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


@studies.command(name="record")
def record_command(data: Data, checkpoint: Checkpoint = DEFAULT) -> None:
    """Judge all test clips, and keep what was said of them beside the checkpoint: its track record."""
    from ncdetect import record

    file = record.write(checkpoint, data, progress_bar)
    typer.echo(str(file))
    found = record.TrackRecord.load(file.parent)
    for part in record.PARTS:
        if rates := found.rates(part=part):
            typer.echo(f"{part}, of 100 clips of a class: {rates.said}")


@studies.command(name="joined")
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


@studies.command(name="compare")
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


@studies.command(name="detector")
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


@studies.command(name="build")
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


@studies.command()
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


@studies.command(name="dropin")
def dropin_command(
    data: Annotated[Path, typer.Option(help="Folder that is a corpus, or holds one in each of its folders.")],
    weights: Annotated[Path, typer.Option(help="Folder of Whisper tiny.en's published weights.")],
    checkpoint: Annotated[
        str, typer.Option(help="The tiny-resnet that is widened: name in checkpoints/, or a folder.")
    ] = "tiny-resnet",
    work: Work = Path("build/dropin"),
    results: Annotated[Path, typer.Option(help="Folder for dropin.csv, .md and the picture.")] = Path(
        "assets/results"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each arm.")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, of one thread each.")] = 1,
    full: Annotated[
        bool, typer.Option("--full", help="Three times as many epochs, all seeds for single layers too.")
    ] = False,
    precision: Precision = "auto",
) -> None:
    """Dropin and plasticity against fine-tuning and training from scratch, on two detectors. Resumable."""
    from ncdetect import dropin_build
    from ncdetect.dropin_bases import Place

    place = Place(data, weights, work, checkpoint, seeds, jobs, full, precision)
    for file in dropin_build.run(place, results, progress=progress_bar, say=typer.echo):
        typer.echo(str(file))


@studies.command(name="epochs")
def epochs_command(
    data: Data,
    checkpoint: Annotated[
        str, typer.Option(help="A checkpoint that `detector` made: name or folder, as elsewhere.")
    ] = DEFAULT,
    work: Annotated[Path, typer.Option(help="Of `detector`: holds the encoders' statistics.")] = Path(
        "build/detector"
    ),
    out: Annotated[Path, typer.Option(help="The file for the page's animation.")] = Path(
        "assets/inside/epochs.parquet"
    ),
) -> None:
    """Train what the shipped detector learned again, and record how its clips gather: a minute."""
    from ncdetect import detector_study, epochs_training
    from ncdetect.checkpoint import CONFIG_FILE, DetectorConfig, locate
    from ncdetect.epochs import Story

    facts = DetectorConfig.read(locate(checkpoint) / CONFIG_FILE).training
    change = next((one for one in detector_study.SERIES if one.name == facts.get("rule")), None)
    if change is None:
        raise ValueError(f"{checkpoint} was not made by `detector`: rule {facts.get('rule')!r}")
    clips, moments, fit = epochs_training.watched(data, work, change, facts["recipe"]["seed"])
    Story.of(clips, moments, fit.best_epoch + 1).save(out)
    apart = abs(fit.best.dev_loss - facts["dev_loss"])
    typer.echo(f"{out}: best epoch {fit.best_epoch + 1}, dev loss {apart:.4f} from that of {checkpoint}")


@studies.command(name="explanations")
def explanations_command(
    data: Annotated[Path, typer.Option(help="Folder that is a corpus, or holds one in each of its folders.")],
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Name or folder; the shipped one if not given; may be given several times."),
    ] = None,
    clips: Annotated[int, typer.Option(min=2, help="Eval clips, half of each class.")] = 60,
    results: Annotated[Path, typer.Option(help="Folder for explanations.csv and .md.")] = Path(
        "assets/results"
    ),
) -> None:
    """Test explanations by deletion: does covering what they name change the score more than chance?"""
    from ncdetect import explanations
    from ncdetect.checkpoint import TrainedDetector
    from ncdetect.experiments import open_data

    names = checkpoint or [DEFAULT]
    tests = explanations.sample(open_data(data), clips)
    found = [
        entry
        for name in names
        for entry in explanations.study(
            name, TrainedDetector.from_pretrained(name).eval().detector, tests, progress_bar
        )
    ]
    command = "python -m ncdetect explanations --data DATA"
    command += "".join(f" --checkpoint {name}" for name in names) + f" --clips {clips}"
    for file in explanations.write(found, results, command):
        typer.echo(str(file))


@studies.command(name="systems")
def systems_command(
    data: Annotated[Path, typer.Option(help="Folder that is a corpus, or holds one in each of its folders.")],
    weights: Annotated[
        Path | None, typer.Option(help="Folder of the published weights of Whisper tiny.en and AASIST-L.")
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(help="Only this row of the study; may be given several times.")
    ] = None,
    work: Work = Path("build/systems"),
    results: Annotated[Path, typer.Option(help="Folder for other-systems.csv, .md and a picture.")] = Path(
        "assets/results"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each row.")] = 1,
    jobs: Jobs = 1,
    full: Annotated[bool, typer.Option("--full", help="The published schedules: for a GPU.")] = False,
    precision: Precision = "auto",
) -> None:
    """Train the other systems on the same clips, and answer what their papers claim. Resumable."""
    from ncdetect import other_systems, other_systems_picture, other_systems_table, other_systems_words
    from ncdetect.other_systems_rows import ROWS

    known = [row.name for row in ROWS]
    for name in system or ():
        if name not in known:
            raise ValueError(f"unknown system {name!r}; allowed: {', '.join(known)}")
    rows = [row.published() if full else row for row in ROWS if not system or row.name in system]
    place = other_systems.Place(data, work, weights, precision, seeds, jobs)
    found = other_systems.series(place, rows, typer.echo)
    command = "python -m ncdetect systems --data DATA" + (" --weights WEIGHTS" if weights else "")
    command += "".join(f" --system {name}" for name in system or ()) + (" --full" if full else "")
    command += f" --seeds {seeds}" if seeds > 1 else ""
    lines = other_systems_table.lines(place, rows, found)
    for file in other_systems_words.write(lines, results, command):
        typer.echo(str(file))
    drawn = [row for row in rows if row.name in other_systems_picture.DRAWN]
    if drawn:
        panels = other_systems_picture.panels(place, drawn)
        typer.echo(str(other_systems_picture.write(panels, results / other_systems_picture.FILE)))
