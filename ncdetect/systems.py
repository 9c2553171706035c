"""Systems that are compared: what each says of the same clips, and what it takes to run it.

A system is a checkpoint, or a file of scores that something else has given to the same clips. What a
checkpoint says of the clips of a corpus is kept in such a file as well, so that a killed run goes on.
"""

import csv
import hashlib
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ncdetect import audio, tables
from ncdetect.checkpoint import BANK_FILE, CHECKPOINTS, CONFIG_FILE, WEIGHTS_FILE, locate
from ncdetect.corpora import Manifest
from ncdetect.files import replacing
from ncdetect.loading import Waves
from ncdetect.metrics import Calibration
from ncdetect.models import Detector, aasist_weights, build_model
from ncdetect.pipeline import no_progress
from ncdetect.predictor import Predictor
from ncdetect.scoring import score_manifest
from ncdetect.training import Progress

SPEED_BATCH, SPEED_BATCHES = 8, 5


@dataclass(frozen=True, eq=False)
class System:
    """What something says of the eval clips, and what it takes to run it."""

    name: str
    scores: NDArray[np.float64]
    """Logits or the like, higher = more fake, (N,); NaN where a clip has none."""
    words: NDArray[np.str_] | None = None
    """Verdicts, (N,); None where it gives scores only."""
    calibration: Calibration | None = None
    """From scores to log-likelihood ratios; None where nobody has calibrated it."""
    parameters: int | None = None
    megabytes: float | None = None
    """Of the stored weights, in 10^6 bytes."""
    clips_per_second: float | None = None
    """Clips of 3 s that one thread embeds in a second."""
    sha256: str = ""
    """Of the weights."""


def shipped() -> list[str]:
    """Names of the checkpoints that lie in `checkpoints/`; banks without weights are none."""
    found = {file.parent.name for file in CHECKPOINTS.glob(f"*/{WEIGHTS_FILE}")}
    return sorted(found & {file.parent.name for file in CHECKPOINTS.glob(f"*/{CONFIG_FILE}")})


def of_checkpoint(name: str, tests: Manifest, work: Path, progress: Progress = no_progress) -> System:
    """What a checkpoint says of clips; what `work` knows already is not computed again.

    Args:
        name: In `checkpoints/`, a folder, or a repository of the Hub; it must have a bank.
        tests: The clips.
        work: Keeps a folder for each state of a checkpoint's files.
        progress: Wraps the clips of each corpus.

    Raises:
        ValueError: If a clip cannot be judged.
    """
    place, predictor = locate(name), Predictor.from_pretrained(name)
    folder = work / f"{predictor.name}-{_fingerprint(place)}"
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Mapping[str, str]] = {}
    for corpus in sorted({clip.corpus for clip in tests}):
        rows |= _judged(predictor, tests.select(corpus=corpus), folder, progress)
    return replace(
        _from_rows(predictor.name, rows, tests),
        calibration=predictor.config.calibration,
        parameters=sum(weights.numel() for weights in predictor.trained.detector.parameters()),
        megabytes=(place / WEIGHTS_FILE).stat().st_size / 1e6,
        clips_per_second=_known_speed(predictor.trained.detector, folder / "speed.json"),
        sha256=predictor.trained.sha256,
    )


@torch.inference_mode()
def official(
    name: str, weights: Path, tests: Manifest, work: Path, progress: Progress = no_progress
) -> System:
    """AASIST with its authors' weights, judging as they do: by one cut of 4 s from each clip's start.

    Args:
        name: `aasist` or `aasist-l`.
        weights: Folder that holds `aasist.pth` or `aasist-l.pth`.
        tests: The clips.
        work: Keeps what it says of the clips of each corpus.
        progress: Wraps the clips of each corpus.

    Raises:
        FileNotFoundError: If the weights are not there.
        ValueError: If they are others, or a clip cannot be decoded.
    """
    file, detector = weights / f"{name}.pth", build_model(name)
    aasist_weights.load(detector, file)
    folder = work / f"{name}-official-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Mapping[str, str]] = {}
    for corpus in sorted({clip.corpus for clip in tests}):
        clips = tests.select(corpus=corpus)
        done = folder / _clips_file(clips)
        if not done.is_file():
            waves = Waves(clips)
            said = [
                {"path": clip.path, "score": float(detector(torch.from_numpy(waves[row])[None]).score)}
                for row, clip in enumerate(progress(clips.clips, f"{name} on {corpus}"))
            ]
            tables.write_csv(said, done)
        rows |= _read(done)
    return replace(
        _from_rows(f"{name}, official weights", rows, tests),
        parameters=sum(values.numel() for values in detector.parameters()),
        megabytes=file.stat().st_size / 1e6,
        clips_per_second=_known_speed(detector, folder / "speed.json"),
    )


def of_file(name: str, file: Path, tests: Manifest) -> System:
    """A system of which only the scores are known.

    Args:
        name: What it is called.
        file: CSV with the columns `path` and `score`, and perhaps `verdict`, such as `score` writes.
        tests: The clips; those without a score are left out of what is measured.

    Raises:
        ValueError: If the file lacks a column, names a clip twice, or holds a score that is no number.
    """
    return _from_rows(name, _read(file), tests)


def _judged(
    predictor: Predictor, clips: Manifest, folder: Path, progress: Progress
) -> dict[str, dict[str, str]]:
    """The verdicts on some clips, from the file that holds them or made now."""
    file = folder / _clips_file(clips)
    if not file.is_file():
        listed = file.with_suffix(".clips.csv")
        clips.write(listed)
        caption = f"{predictor.name} on {clips.clips[0].corpus}"
        _, failed = score_manifest(
            predictor, listed, clips.root, file, lambda rows, _: progress(rows, caption)
        )
        listed.unlink()
        if failed:
            wrong = next(row for row in _read(file).values() if row["error"])
            file.unlink()
            raise ValueError(f"{failed} clips cannot be judged; {wrong['path']}: {wrong['error']}")
    return _read(file)


def _clips_file(clips: Manifest) -> str:
    return hashlib.sha256("\n".join(clip.path for clip in clips).encode()).hexdigest()[:16] + ".csv"


def _read(file: Path) -> dict[str, dict[str, str]]:
    """The rows of a file of scores, by path."""
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        lacking = {"path", "score"} - set(reader.fieldnames or ())
        if lacking:
            raise ValueError(f"{file} has no column {' and no '.join(sorted(lacking))}")
        rows = list(reader)
    found = {row["path"]: row for row in rows}
    if len(found) < len(rows):
        raise ValueError(f"{file} names {len(rows) - len(found)} clips twice")
    return found


def _from_rows(name: str, rows: Mapping[str, Mapping[str, str]], tests: Manifest) -> System:
    own = [rows.get(clip.path, {}) for clip in tests]
    scores = np.array([_number(row.get("score", "")) for row in own])
    words = np.array([row.get("verdict") or "" for row in own])
    return System(name, scores, words if words[np.isfinite(scores)].all() else None)


def _number(text: str) -> float:
    value = float(text or "nan")
    if np.isinf(value):
        raise ValueError(f"a score is {text}; scores must be finite")
    return value


def _fingerprint(folder: Path) -> str:
    """Hash of all that a verdict depends on."""
    files = (folder / name for name in (CONFIG_FILE, WEIGHTS_FILE, BANK_FILE))
    hashes = [hashlib.sha256(file.read_bytes()).digest() for file in files]
    return hashlib.sha256(b"".join(hashes)).hexdigest()[:16]


def _known_speed(detector: Detector, file: Path) -> float:
    if not file.is_file():
        with replacing(file) as temporary:
            temporary.write_text(json.dumps({"clips_per_second": clips_per_second(detector)}), "utf-8")
    return json.loads(file.read_text("utf-8"))["clips_per_second"]


@torch.inference_mode()
def clips_per_second(detector: Detector) -> float:
    """How many clips of 3 s one thread embeds in a second: the median of SPEED_BATCHES batches.

    Args:
        detector: In eval mode, on the CPU.
    """
    wave = torch.randn(
        SPEED_BATCH, audio.WINDOW_SAMPLES, generator=torch.Generator().manual_seed(0)
    )  # (B, T)
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(SPEED_BATCHES + 1):
            started = time.perf_counter()
            detector.embed(0.1 * wave)
            seconds.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return SPEED_BATCH / statistics.median(seconds[1:])  # the first one warms up
