"""The page's one Predictor: loaded at first use, so that the page stands before torch is imported."""

import functools
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncdetect.ui.verdict import Band

if TYPE_CHECKING:
    from ncdetect.predictor import Predictor

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

    return Predictor.from_pretrained(name)


@functools.cache
def bands(name: str = NAME) -> dict[str, Band]:
    """By class, where the known clips of it lie from their mean."""
    from ncdetect.labels import Label

    bank = predictor().bank
    distances, labels, known = bank.mean_distances(), bank.labels, bank.known()
    made = {}
    for label in Label:
        own = distances[known & (labels == label), label]
        low, high = np.quantile(own, (0.05, 0.95)) if len(own) else (0.0, 0.0)
        made[label.word] = Band(float(low), float(high), len(own))
    return made


def facts(name: str = NAME) -> dict[str, Any]:
    """The `training` entry of config.json, without loading the model; empty if there is none."""
    try:
        found = json.loads((CHECKPOINTS / name / "config.json").read_text("utf-8")).get("training")
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
