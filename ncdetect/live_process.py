"""One training that a page watches, as a process: `python -m ncdetect.live_process FOLDER`.

It trains what the folder's task says and writes its events to standard output, a line of JSON each. Its
standard input is its lifeline: when that closes, because the parent is gone, it removes the folder and ends.
"""

import dataclasses
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

import numpy as np

from ncdetect import metrics, pipeline
from ncdetect.live import Task
from ncdetect.loading import Waves
from ncdetect.runtime import keep_freed_memory
from ncdetect.training import Recipe

log = logging.getLogger(__name__)

MODEL = "tiny-resnet"
NICENESS = 5
"""The page's own work goes first."""
_STEP_EVERY_S = 0.25
_MEASURING = 0.3
"""Share of an epoch's time that goes into measuring at its end, for the estimate of the time left."""


def compare(task: Task, scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """EERs of the trained models on the test clips, and the difference of the first two, with intervals.

    Args:
        task: What was trained.
        scores: Logits of the test clips, (N,), by training.

    Returns:
        `reals` and `fakes` (clips), `speakers` and `generators` (what is resampled), `eer` by training and
        `difference` (first less second; None for a single training), these as (value, low, high) with 95 %
        intervals.
    """
    labels = task.test.labels
    groups = [pipeline.group_of(clip) for clip in task.test]
    counts = metrics.resample(labels, groups)  # the same draws for all: the difference is paired
    values = [metrics.eer_roc(found, labels) for found in scores.values()]
    resampled = [metrics.eer_resampled(found, labels, counts) for found in scores.values()]
    difference = None
    if len(values) > 1:
        difference = metrics.interval(values[0] - values[1], resampled[0] - resampled[1])
    return {
        "reals": int((labels == 0).sum()),
        "fakes": int((labels == 1).sum()),
        "speakers": len({group for group, label in zip(groups, labels, strict=True) if label == 0}),
        "generators": len({group for group, label in zip(groups, labels, strict=True) if label == 1}),
        "eer": dict(zip(scores, map(metrics.interval, values, resampled), strict=True)),
        "difference": difference,
    }


class _Steps:
    """An epoch's batches, counted."""

    def __init__(self, batches: Iterable, tell: Callable[[float], None]):
        self.batches, self.tell = batches, tell

    def __iter__(self) -> Iterator:
        of = len(self.batches) if isinstance(self.batches, Sized) else 1
        for done, batch in enumerate(self.batches):
            self.tell(done / max(of, 1))
            yield batch


def perform(task: Task, folder: Path, tell: Callable[..., None]) -> dict[str, Any]:
    """Train and compare.

    Args:
        task: What to train.
        folder: For the trainings' states.
        tell: Is told of events: their name and their fields.
    """
    recipe = Recipe(
        epochs=task.epochs, patience=task.epochs, learning_rate=task.learning_rate,
        schedule="cosine", precision=task.precision,
    )  # fmt: skip
    data = pipeline.Data(epoch_clips=task.epoch_clips)
    test = Waves(task.test)
    dev, scores = test.subset(task.dev), {}
    told = 0.0
    for index, (name, manifest) in enumerate(task.runs.items()):
        done = index * task.epochs

        def stepped(epochs: float, name: str = name, done: int = done, always: bool = False) -> None:
            nonlocal told
            if always or time.monotonic() - told > _STEP_EVERY_S:
                told = time.monotonic()
                tell("step", run=name, share=0.97 * (done + epochs) / (task.epochs * len(task.runs)))

        def progress(batches: Iterable, caption: str, stepped: Callable = stepped) -> Iterable:
            before = int(caption.split()[-1]) - 1
            return _Steps(batches, lambda share: stepped(before + (1 - _MEASURING) * share))

        def epoch_done(epoch: pipeline.Epoch, name: str = name, stepped: Callable = stepped) -> None:
            tell("epoch", run=name, epoch=dataclasses.asdict(epoch))
            stepped(epoch.epoch + 1, always=True)

        stepped(0, always=True)
        detector, fit = pipeline.train_detector(
            MODEL, test.subset(manifest), dev, folder / f"fit-{index}", recipe, data, progress, epoch_done
        )
        # What `auto` chose for the first holds for all: they must be alike.
        recipe = dataclasses.replace(recipe, precision=fit.precision)
        scores[name] = pipeline.embed_manifest(detector, test).scores
    return compare(task, scores)


def _follow(lifeline: int, folder: Path) -> None:
    """End this process, and its folder, when nobody holds the other end of its lifeline any more."""
    # Not through sys.stdin: a thread that reads from it makes the interpreter abort when it ends.
    os.read(lifeline, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main(folder: Path) -> int:
    """The process: train what the folder says and write the events to standard output."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with events
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and thereby the lifeline
    threading.Thread(target=_follow, args=(sys.stdin.fileno(), folder), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)

    def tell(event: str, **fields: object) -> None:
        events.write(json.dumps({"event": event, **fields}) + "\n")

    keep_freed_memory()
    try:
        tell("result", result=perform(Task.read(folder), folder, tell))
    except (ValueError, OSError, ArithmeticError) as error:
        logging.basicConfig()
        log.exception("failed")
        tell("error", message=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
