"""Experiments 1 to 4 (DESIGN, section 2): what each trains, resumable, on one process or several.

Every training is a `Run` with a folder of its own; it is done when its `scores.parquet` is there. A killed
experiment, called again, skips the finished runs and takes up the broken one where it was.
"""

import dataclasses
import json
import logging
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ncdetect import database, dynamics, pipeline, rules
from ncdetect.bank import EmbeddingBank
from ncdetect.checkpoint import BANK_FILE
from ncdetect.corpora import Manifest
from ncdetect.database import Chosen
from ncdetect.files import replacing
from ncdetect.labels import Label
from ncdetect.layouts import LayoutError, open_corpus
from ncdetect.loading import Waves
from ncdetect.pipeline import Data
from ncdetect.rules import Budget
from ncdetect.runtime import keep_freed_memory
from ncdetect.sampling import Threshold
from ncdetect.training import Progress, Recipe, remove_state

log = logging.getLogger(__name__)

PRETRAINED, SMALL = "resnet18b", "tiny-resnet"
ALL = "all"
"""The rule that keeps every clip, and the name of the pooled test set."""
SCORES_FILE, DATABASE_FILE = "scores.parquet", "database.csv"
KEEP_RATES = (1.0, 0.5, 0.25)
"""Experiment 2: of the reals and of the fakes."""
PAPERS_COUNTS, SMALL_COUNTS = (1000, 3000, 5000), (30, 60, 110)
"""Experiment 3: clips of each class and corpus, on corpora of the paper's size and on smaller ones."""
SHARES = (0.1, 0.25, 0.5)
"""Experiment 4: of the train clips of each class and corpus."""
EVALUATIONS, LEAST_DRAWS, PASSES = 4, 10_240, 4
"""A run of fixed length is this many epochs, and draws at least so many clips (half of that on one corpus by
itself) or everything so many times."""
BATCH_SIZE, LEARNING_RATE = 16, 2e-3
"""Of the runs of fixed length; the rate is the peak of the cosine schedule. On dev, all clips
came to 0.473 in this way (three seeds), by the paper's recipe with four times the draws to 0.457 (one)."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """On what the experiments run, and where."""

    data: Path
    """A folder that is one corpus, or holds one in each of its folders."""
    work: Path
    """Runs; may be removed afterwards."""
    seeds: int = 3
    jobs: int = 1
    """Processes that train side by side; each takes its share of the cores."""
    precision: str = "auto"
    draws: int | None = None
    """Clips drawn by each run of fixed length; None: see LEAST_DRAWS and PASSES."""
    paper: Recipe = field(default_factory=Recipe)
    """Of experiment 1: the paper's, with early stopping."""
    pretrained: str = PRETRAINED
    models: tuple[str, ...] = (PRETRAINED, "convnext")
    """Architectures of experiment 1."""


@dataclass(frozen=True)
class Run:
    """One training, and what tells it apart in the table."""

    name: str
    columns: Mapping[str, str | int | float]
    model: str
    corpora: tuple[str, ...]
    rule: str
    budget: Budget | None
    """None where the rule is `all`."""
    seed: int
    recipe: Recipe
    data: Data
    keep: bool = False
    """Whether a checkpoint with its bank is made of it: the pre-trained models."""


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    facts: dict[str, Any]
    """train_reals, train_fakes, best_epoch, epochs, dev_loss, dev_eer, seconds (of training)."""
    paths: list[str]
    """Clips that were scored: eval of every corpus, (N,)."""
    scores: np.ndarray
    """Logits, (N,)."""


@cache
def open_data(folder: Path) -> Manifest:
    """The clips of a folder that is one corpus, or of all corpora in its folders.

    Raises:
        LayoutError: If there is none.
    """
    try:
        return open_corpus(folder)
    except LayoutError as error:
        found = []
        for inner in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
            try:
                found.append(open_corpus(inner))
            except LayoutError:
                log.info("%s holds no corpus", inner)
        if not found:
            raise error
        return Manifest.union(*found)


def training_corpora(manifest: Manifest) -> tuple[str, ...]:
    """Corpora with train and dev clips of both classes; the others are for evaluation."""
    found: dict[str, set[tuple[str, Label]]] = {}
    for clip in manifest:
        found.setdefault(clip.corpus, set()).add((clip.split, clip.label))
    wanted = {(split, label) for split in ("train", "dev") for label in Label}
    return tuple(sorted(corpus for corpus, parts in found.items() if wanted <= parts))


def plan(study: Study, number: int, budgets: Sequence[float] = ()) -> list[Run]:
    """The runs of an experiment.

    Args:
        study: On what.
        number: 1 to 4.
        budgets: Of experiment 3, clips of each class and corpus; of experiment 4, shares; none: the defaults.

    Raises:
        ValueError: If the number or a budget is not allowed, or no corpus can be trained on.
    """
    manifest = open_data(study.data)
    corpora = training_corpora(manifest)
    if not corpora:
        raise ValueError(f"{study.data} has no corpus with train and dev clips of both classes")
    if budgets and number in (1, 2):
        raise ValueError(f"experiment {number} takes no budgets: it runs on whole corpora or on a grid")
    match number:
        case 1:
            return [
                _paper_run(study, model, corpus, seed)
                for model in study.models
                for corpus in corpora
                for seed in range(study.seeds)
            ]
        case 2:
            return [
                _fixed_run(
                    study,
                    f"2-{corpus}-real-{real:g}-fake-{fake:g}",
                    {"trained_on": corpus, "real_rate": real, "fake_rate": fake},
                    (corpus,),
                    "algorithm-1",
                    Budget(Threshold(rate=real), Threshold(rate=fake)),
                    seed,
                )
                for corpus in corpora
                for real in KEEP_RATES
                for fake in KEEP_RATES
                for seed in range(study.seeds)
            ]
        case 3:
            counts = [int(count) for count in budgets] or _counts(manifest, corpora)
            return [
                _fixed_run(
                    study, f"3-random-{count}", {"count": count}, corpora, "random",
                    Budget(Threshold(count=count), Threshold(count=count)), seed,
                )
                for count in counts
                for seed in range(study.seeds)
            ]  # fmt: skip
        case 4:
            runs = [
                _fixed_run(study, "4-all", {"rule": ALL, "budget": 1.0}, corpora, ALL, None, seed)
                for seed in range(study.seeds)
            ]
            # Random before the others: differences from it can be told as soon as they are done.
            names = ["random", *(name for name in rules.RULES if name != "random")]
            return runs + [
                _fixed_run(
                    study, f"4-{name}-{share:g}", {"rule": name, "budget": share}, corpora, name,
                    Budget(Threshold(rate=share), Threshold(rate=share)), seed,
                )
                for share in (budgets or SHARES)
                for name in names
                for seed in range(study.seeds)
            ]  # fmt: skip
    raise ValueError(f"there is no experiment {number}; allowed: 1, 2, 3, 4")


def _counts(manifest: Manifest, corpora: Sequence[str]) -> tuple[int, ...]:
    smallest = min(
        len(manifest.select(corpus=corpus, split="train", label=label))
        for corpus in corpora
        for label in Label
    )
    return PAPERS_COUNTS if smallest >= max(PAPERS_COUNTS) else SMALL_COUNTS


def _paper_run(study: Study, model: str, corpus: str, seed: int) -> Run:
    return Run(
        f"1-{model}-{corpus}-seed{seed}",
        {"model": model, "trained_on": corpus, "seed": seed},
        model,
        (corpus,),
        ALL,
        None,
        seed,
        dataclasses.replace(study.paper, seed=seed, precision=study.precision),
        Data(),
        keep=model == study.pretrained and seed == 0,
    )


def _fixed_run(
    study: Study,
    name: str,
    columns: Mapping[str, str | int | float],
    corpora: tuple[str, ...],
    rule: str,
    budget: Budget | None,
    seed: int,
) -> Run:
    """A run with the same number of optimiser steps as every other of its experiment."""
    clips = len(open_data(study.data).select(corpus=corpora, split="train"))
    least = LEAST_DRAWS if len(corpora) > 1 else LEAST_DRAWS // 2
    draws = study.draws or max(least, PASSES * clips)
    return Run(
        f"{name}-seed{seed}" + (f"-draws{study.draws}" if study.draws else ""),
        {**columns, "seed": seed},
        SMALL,
        corpora,
        rule,
        budget,
        seed,
        Recipe(
            epochs=EVALUATIONS,
            patience=EVALUATIONS,
            learning_rate=LEARNING_RATE,
            schedule="cosine",
            seed=seed,
            precision=study.precision,
        ),
        Data(BATCH_SIZE, epoch_clips=math.ceil(draws / EVALUATIONS)),
    )


def run(
    study: Study,
    runs: Sequence[Run],
    progress: Progress = pipeline.no_progress,
    say: Say = log.info,
    finished: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Result]:
    """Train what is not yet trained, and read the results of all.

    Args:
        study: On what.
        runs: From `plan`.
        progress: Wraps an epoch's batches, where one process trains.
        say: Is told of runs that begin.
        finished: Is told how many runs are done.

    Raises:
        RuntimeError: If a process failed; the text names its log.
    """
    needs_banks = any(entry.rule not in (ALL, "random") for entry in runs)
    pretraining = (
        [_paper_run(study, study.pretrained, corpus, 0) for corpus in training_corpora(open_data(study.data))]
        if needs_banks
        else []
    )
    for stage in (pretraining, runs):
        if study.jobs == 1:
            for index, entry in enumerate(stage):
                perform(study, entry, progress, say)
                finished(index + 1, len(stage))
        else:
            _in_processes(study, stage, finished)
    return {entry.name: read_result(study, entry) for entry in runs}


def _in_processes(study: Study, runs: Sequence[Run], finished: Callable[[int, int], None]) -> None:
    waiting = [entry for entry in runs if not _done(study, entry)]
    context = multiprocessing.get_context("spawn")
    study.work.mkdir(parents=True, exist_ok=True)
    processes = {}
    for index in range(min(study.jobs, len(waiting))):
        file = study.work / f"process-{index}.log"
        processes[file] = context.Process(
            target=_work, args=(study, waiting[index :: study.jobs], file), daemon=True
        )
        processes[file].start()
    while True:
        running = [process for process in processes.values() if process.is_alive()]
        finished(sum(_done(study, entry) for entry in runs), len(runs))
        failed = [str(file) for file, process in processes.items() if process.exitcode]
        if failed:
            for process in running:
                process.terminate()
            raise RuntimeError(f"a training process failed; see {', '.join(failed)}")
        if not running:
            return
        time.sleep(1)


def _work(study: Study, runs: Sequence[Run], file: Path) -> None:
    """One process: its runs one after the other, with its share of the cores."""
    logging.basicConfig(filename=file, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    keep_freed_memory()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // study.jobs))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for entry in runs:
            perform(study, entry)
    except Exception:
        log.exception("failed")
        raise


def _end_with_parent() -> None:
    """End this process when its parent is killed, so that the next call finds nobody at its runs."""
    multiprocessing.parent_process().join()
    os._exit(1)


def perform(study: Study, run: Run, progress: Progress = pipeline.no_progress, say: Say = log.info) -> None:
    """Choose the clips, train, score every eval clip; at once where that is done."""
    if _done(study, run):
        return
    folder = study.work / "runs" / run.name
    folder.mkdir(parents=True, exist_ok=True)
    everything = open_data(study.data)
    chosen = choose(study, run)
    waves = decoded(study.data)
    train = waves.subset(database.write(chosen, everything.root, folder / DATABASE_FILE))
    dev = waves.subset(everything.select(corpus=run.corpora, split="dev"))
    say(f"{run.name}: {len(chosen)} clips")

    def epoch_done(epoch: pipeline.Epoch) -> None:
        log.info("%s: %s", run.name, pipeline.describe(epoch))

    detector, fit = pipeline.train_detector(
        run.model, train, dev, folder / "fit", run.recipe, run.data, progress, epoch_done
    )
    if run.keep:
        records = {
            name: measure(fit.draws.rows, fit.draws.scores, train.manifest.labels, len(train.manifest))
            for name, measure in (("el2n", dynamics.el2n_scores), ("forgetting", dynamics.forgetting_events))
        }
        facts = pipeline.training_facts(train.manifest, run.rule, fit, run.recipe, run.data)
        pipeline.finish(run.model, detector, train, dev, facts, records=records).save(folder / "checkpoint")
    tests = waves.subset(everything.select(split="eval"))
    scores = pipeline.embed_manifest(detector, tests).scores
    counts = np.bincount(train.manifest.labels, minlength=2).tolist()
    _write_result(
        folder / SCORES_FILE,
        Result(
            {
                "train_reals": counts[0],
                "train_fakes": counts[1],
                "best_epoch": fit.best_epoch + 1,
                "epochs": len(fit.history),
                "dev_loss": round(fit.best.dev_loss, 4),
                "dev_eer": round(fit.best.dev_eer, 4),
                "seconds": round(sum(epoch.seconds for epoch in fit.history), 1),
            },
            [clip.path for clip in tests.manifest],
            scores,
        ),
    )
    remove_state(folder / "fit")


@cache
def decoded(data: Path) -> Waves:
    """Decoded clips, kept for all runs of a process."""
    return Waves(open_data(data))


@cache
def pretrained_bank(study: Study, corpus: str) -> EmbeddingBank:
    """A corpus in the embedding of its own pre-trained model.

    Raises:
        FileNotFoundError: If that model was not trained yet.
    """
    return EmbeddingBank.load(pretrained_checkpoint(study, corpus) / BANK_FILE)


def pretrained_checkpoint(study: Study, corpus: str) -> Path:
    """Folder of the checkpoint that `pretrain` makes."""
    return study.work / "runs" / _paper_run(study, study.pretrained, corpus, 0).name / "checkpoint"


def pretrain(
    study: Study, corpus: str, progress: Progress = pipeline.no_progress, say: Say = log.info
) -> None:
    """Train a corpus's own model, the one of experiment 1 with seed 0; at once where that is done."""
    perform(study, _paper_run(study, study.pretrained, corpus, 0), progress, say)


def choose(study: Study, run: Run) -> list[Chosen]:
    """The training database of a run; a rate is a share of the train clips of each class and corpus.

    A corpus by itself is trained on as it was distributed; where several are merged, a recording counts once.
    """
    everything = open_data(study.data)
    train = everything.select(corpus=run.corpora, split="train")
    if run.rule == ALL:
        whole = [Chosen(clip, None, ALL) for clip in train]
        return whole if len(run.corpora) == 1 else database.merge([whole])
    parts = []
    for corpus in run.corpora:
        own = train.select(corpus=corpus)
        if run.rule == "random":
            parts.append(database.draw(own, _as_counts(run, own), run.seed))  # needs no bank
        else:
            budget = run.budget if "real_rate" in run.columns else _as_counts(run, own)
            parts.append(database.sample_bank(pretrained_bank(study, corpus), budget, run.rule, run.seed))
    clips = {clip.path: clip for clip in train}
    # A bank knows less of a clip than the manifest does.
    return [dataclasses.replace(entry, clip=clips[entry.clip.path]) for entry in database.merge(parts)]


def _as_counts(run: Run, own: Manifest) -> Budget:
    """The same number for every rule, also for those that may choose only among samples of interest."""
    sizes = [run.budget.of(label).size(np.zeros(len(own.select(label=label)))) for label in Label]
    return Budget.counts(*sizes)


def _done(study: Study, run: Run) -> bool:
    return (study.work / "runs" / run.name / SCORES_FILE).is_file()


def _write_result(file: Path, result: Result) -> None:
    table = pa.table({"path": result.paths, "score": result.scores})
    with replacing(file) as temporary:
        pq.write_table(table.replace_schema_metadata({"facts": json.dumps(result.facts)}), temporary)


def read_result(study: Study, run: Run) -> Result:
    """Read what a finished run left.

    Raises:
        FileNotFoundError: If it is not finished.
    """
    table = pq.read_table(study.work / "runs" / run.name / SCORES_FILE)
    facts = json.loads(table.schema.metadata[b"facts"])
    return Result(facts, table.column("path").to_pylist(), table.column("score").to_numpy())
