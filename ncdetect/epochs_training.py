"""A training done again, and looked at between its steps: the moments that `epochs` keeps.

statistics of every train and dev clip -> the training behind a checkpoint, with its seed
-> at each of MOMENTS the embeddings of all clips, as `training.fit` would judge them
"""

import copy
import dataclasses
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ncdetect import detector_study, listening, training
from ncdetect.corpora import Manifest
from ncdetect.detector_study import DEV, Change
from ncdetect.epochs import Moment
from ncdetect.features import FeatureBatches, FeatureWindows
from ncdetect.listening import CLEAN
from ncdetect.loading import Batch
from ncdetect.models import Detector
from ncdetect.training import Fit

MOMENTS = (0, 0.02, 0.04, 0.07, 0.12, 0.18, 0.25, 0.37, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6)
"""In epochs; close together at first, where most happens."""


class Watcher:
    """Looks at a detector while it is trained: `training.fit` takes it for its progress bar.

    What it sees are averaged weights with norms estimated anew, as `fit` itself judges them. It works on
    copies: the training goes as it would unwatched.
    """

    def __init__(
        self, detector: Detector, batches: FeatureBatches, windows: FeatureWindows, average: float
    ) -> None:
        """Take what is trained.

        Args:
            detector: With its first weights.
            batches: What it is trained on; of each epoch some are for estimating the norms.
            windows: The clips to embed at each moment.
            average: Decay of the averaged weights, see `Recipe.average`.
        """
        self.detector, self.batches, self.windows = detector, batches, windows
        self.average = training.Average(detector, average)
        self.moments: list[Moment] = []
        self.epoch = 0

    def __call__(self, drawn: Collection[Batch], _: str) -> Iterator[Batch]:
        """The batches of an epoch; when the next is asked for, the step was made."""
        steps = {round((moment - self.epoch) * len(drawn)): moment for moment in MOMENTS}
        if self.epoch == 0:
            self._look(0.0)
        for step, batch in enumerate(drawn, 1):
            yield batch
            self.average.update()
            if step in steps:
                self._look(steps[step])
        self.epoch += 1

    def _look(self, epoch: float) -> None:
        with self.average.applied():
            detector = copy.deepcopy(self.detector)
        training.recalibrate_norms(detector, islice(self.batches(self.epoch), training.NORM_BATCHES))
        head = detector.head.weight.detach().numpy().reshape(-1).copy()
        self.moments.append(Moment(float(epoch), training.embed(detector.eval(), self.windows), head))


def watched(data: Path, work: Path, change: Change, seed: int) -> tuple[Manifest, list[Moment], Fit]:
    """Train the part above the encoders as `detector_study` does, and look at it.

    Args:
        data: Folder of the corpora.
        work: Of `detector`: holds `statistics/`.
        change: Of the series: one of the labels alone, without targets, tuning or rule.
        seed: Of the training.

    Returns:
        Train and dev clips in this order, the moments, and how the training went.

    Raises:
        FileNotFoundError: If the statistics were not computed.
        ValueError: If the change is more than a probe on all clips.
    """
    if change.tuning or change.teacher or change.made or change.rule or change.without:
        raise ValueError(f"{change.name} is more than a probe on all clips: it cannot be watched")
    manifest, setting = detector_study.clips(data), change.probe
    train, dev = detector_study.folds(manifest)[DEV]
    try:
        pooled = {name: detector_study.statistics(work, name, change.part) for name in setting.copies}
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename} is missing: `python -m ncdetect detector` makes it"
        ) from None
    recipe = dataclasses.replace(setting.recipe, seed=seed)
    rows, watchers = np.concatenate([train, dev]), []

    def watch(top: Detector, batches: FeatureBatches) -> Watcher:
        watchers.append(Watcher(top, batches, FeatureWindows(pooled[CLEAN].subset(rows)), recipe.average))
        return watchers[0]

    with TemporaryDirectory() as folder:
        setting = dataclasses.replace(setting, recipe=recipe)
        _, fit = listening.probe(pooled, manifest, train, dev, setting, Path(folder), watch=watch)
    clips = Manifest(manifest.root, tuple(manifest.clips[row] for row in rows))
    return clips, watchers[0].moments, fit
