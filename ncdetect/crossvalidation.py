"""K-fold cross-validation: no training hears the generators and speakers that it is judged on."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold

from ncdetect import metrics, pipeline
from ncdetect.corpora import Manifest
from ncdetect.files import replacing
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.models import Detector
from ncdetect.pipeline import Data
from ncdetect.training import Progress, Recipe, remove_state

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Fold:
    """What a training came to on the clips that were left out of it."""

    fold: int
    clips: int
    eer: float
    accuracy: float
    """At a logit of 0."""
    f1: float
    """Of the fakes, at a logit of 0."""


def split(manifest: Manifest, folds: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to train on and rows to judge, of each fold.

    A generator's fakes, and a speaker's reals, are in one fold; classes are spread as evenly as that allows.

    Args:
        manifest: The clips.
        folds: At least 2.
        seed: Of the shuffling.

    Raises:
        ValueError: If there are fewer than 2 folds, or fewer groups of a class than folds.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, got {folds}")
    groups = np.array([f"{clip.label}/{pipeline.group_of(clip)}" for clip in manifest])
    for label in Label:
        found = len(set(groups[manifest.labels == label]))
        if found < folds:
            raise ValueError(f"{found} groups of {label.word} clips are too few for {folds} folds")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(groups, manifest.labels, groups))


def run(
    model: str,
    waves: Waves,
    folds: int,
    folder: Path,
    recipe: Recipe,
    data: Data,
    progress: Progress = pipeline.no_progress,
    start: Detector | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Fold]:
    """Train and judge each fold, or read how it went.

    The clips of a fold choose the epoch of its training as well: the figures are of a validation, not of a
    test.

    Args:
        model: A key of MODELS.
        waves: The clips, train and dev alike.
        folds: How many.
        folder: Of the runs; a killed one goes on.
        recipe: How to train.
        data: How to draw batches.
        progress: Wraps the batches of an epoch.
        start: As in `pipeline.train_detector`.
        say: Is told of each fold.
    """
    found = []
    for number, parts in enumerate(split(waves.manifest, folds, recipe.seed)):
        own = folder / f"fold-{number}"
        file = own / RESULT_FILE
        if not file.exists():
            train, judged = (
                waves.subset(Manifest(waves.manifest.root, tuple(waves.manifest.clips[row] for row in rows)))
                for rows in parts
            )
            detector, _ = pipeline.train_detector(
                model, train, judged, own, recipe, data, progress, start=start
            )
            seen = pipeline.embed_manifest(detector, judged)
            fake = seen.labels == Label.FAKE
            fold = Fold(
                number, len(fake), metrics.eer_roc(seen.scores, seen.labels),
                float(((seen.scores > 0) == fake).mean()), float(f1_score(fake, seen.scores > 0)),
            )  # fmt: skip
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(dataclasses.asdict(fold)), "utf-8")
            remove_state(own)
        found.append(Fold(**json.loads(file.read_text("utf-8"))))
        say(_line(found[-1]))
    return found


def lines(found: Sequence[Fold]) -> list[str]:
    """Mean and deviation over the folds."""
    parts = []
    for name, word in (("eer", "EER"), ("accuracy", "accuracy"), ("f1", "F1")):
        values = [getattr(fold, name) for fold in found]
        parts.append(f"{word} {100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f} %")
    return [f"{len(found)} folds: " + ", ".join(parts)]


def _line(fold: Fold) -> str:
    return (
        f"fold {fold.fold + 1}: {fold.clips} clips, EER {fold.eer:.1%}, accuracy {fold.accuracy:.1%}, "
        f"F1 {fold.f1:.1%}"
    )
