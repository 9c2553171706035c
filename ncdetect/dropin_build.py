"""Dropin and plasticity, from the clips to `assets/results/dropin.*`. Resumable."""

import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

from ncdetect import dropin_figure, dropin_study, dropin_words, pipeline
from ncdetect.dropin_bases import STUDIES, TINY, Place, prepare
from ncdetect.dropin_study import Arm, Study
from ncdetect.labels import Label
from ncdetect.runtime import keep_freed_memory
from ncdetect.training import Progress

log = logging.getLogger(__name__)

EXAMPLE = Path("assets/examples/headline-fake-piper-joe-busy.flac")
"""The clip of the picture, a fake."""


@cache
def study(place: Place, name: str) -> Study:
    """One of STUDIES; `prepare` comes first."""
    return STUDIES[name](place)


def _perform(place: Place, name: str, arm: Arm, seed: int) -> str:
    result = dropin_study.run(study(place, name), arm, seed)
    return f"{name}, {arm.label}, seed {seed}: dev EER {result.dev_eer:.1%}, {result.seconds:.0f} s"


def _start() -> None:
    """Of a process."""
    keep_freed_memory()
    torch.set_num_threads(1)
    # Fabric tells of the precision of every training.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.ERROR)


def run(
    place: Place,
    results: Path = Path("assets/results"),
    example: Path = EXAMPLE,
    progress: Progress = pipeline.no_progress,
    say: Callable[[str], None] = log.info,
) -> list[Path]:
    """Run all arms and the sweep on both bases, or what of it is not yet done; write table and picture.

    Raises:
        FileNotFoundError: If the example or Whisper's weights are not there.
        ValueError: If the data lacks a corpus or a split, or the checkpoint is of another architecture.
    """
    if not example.is_file():
        raise FileNotFoundError(f"there is no example {example}")
    tiny = study(place, TINY)  # a wrong checkpoint is told before anything is computed
    prepare(place, progress)
    studies = [study(place, name) for name in STUDIES]
    waiting = [(place, entry.name, arm, seed) for entry in studies for arm, seed in dropin_study.tasks(entry)]
    with ProcessPoolExecutor(place.jobs, get_context("spawn"), _start) as pool:
        for line in pool.map(_perform, *zip(*waiting, strict=True)):
            say(line)
    found = [row for entry in studies for row in dropin_words.rows(entry, dropin_study.series(entry))]
    command = f"python -m ncdetect dropin --data DATA --weights WEIGHTS --seeds {place.seeds}"
    command += f" --checkpoint {place.checkpoint}" if place.checkpoint != TINY else ""
    command += " --full" if place.full else ""
    shown = {TINY: tiny.base, "after dropin": dropin_study.dropped_in(tiny, 0)}
    seen = dropin_figure.write(shown, example, Label.FAKE, results)
    files = dropin_words.write(found, results, command, seen)
    return [*files, results / dropin_figure.FILE]
