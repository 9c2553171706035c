"""The page's one Predictor: loaded at first use, so that the page stands before torch is imported."""

import functools
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ncdetect.decoding_process import Decoders
    from ncdetect.predictor import Band, Predictor
    from ncdetect.record import TrackRecord
    from ncdetect.service import Service

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
NAME = "listener"
_guard = threading.Lock()


def predictor() -> "Predictor":
    """The shipped model; the first call loads it, others wait for it."""
    with _guard:
        return _load(NAME)


@functools.cache
def _load(name: str) -> "Predictor":
    from ncdetect.predictor import Predictor

    return Predictor.from_pretrained(name, decode=decoders().load)


@functools.cache
def decoders() -> "Decoders":
    """The processes in which visitors' clips are decoded: what a hostile file does ends there."""
    from ncdetect.decoding_process import Decoders

    return Decoders()


line: dict[str, int] = {}
"""Options of `service`, to be set before its first use: threads that judge, clips that may wait."""


@functools.cache
def service() -> "Service":
    """The line in which all clips stand that this process judges with the page's model."""
    from ncdetect.service import Judging, Service

    return Service(lambda: Judging(predictor()), **line)


@functools.cache
def bands() -> "dict[str, Band]":
    """By class, where the known clips of it lie from their mean."""
    from ncdetect.labels import Label

    return {label.word: predictor().band(label) for label in Label}


def record() -> "TrackRecord | None":
    """What the page's model said of test clips, where that is known."""
    with _guard:
        return _record(CHECKPOINTS / NAME)


@functools.cache
def _record(folder: Path) -> "TrackRecord | None":
    from ncdetect.record import TrackRecord

    return TrackRecord.load(folder)


def facts(name: str = NAME) -> dict[str, Any]:
    """The `training` entry of config.json, without loading the model; empty if there is none."""
    try:
        found = json.loads((CHECKPOINTS / name / "config.json").read_text("utf-8")).get("training")
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
