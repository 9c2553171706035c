"""Adopt a published detector: a checkpoint with bank, class means and calibration around it, untrained.

The model stays as its authors left it. What the library adds is measured on clips: class means on the train
clips, calibration, thresholds and novelty on the dev clips, and a bank of both.
"""

import dataclasses
from pathlib import Path

import numpy as np

from ncdetect import metrics, pipeline, training
from ncdetect.checkpoint import TrainedDetector
from ncdetect.labels import Label
from ncdetect.loading import Waves, WindowBatches
from ncdetect.models import Detector, HubDetector
from ncdetect.models.hub import FAKE_LABELS, PREFIX, hub_model
from ncdetect.sampling import samples_of_interest
from ncdetect.training import Embedded, Progress

CLIPS_AT_ONCE = 32
"""Between two steps of the progress bar."""
RULE = "adopted"
"""In the place of the rule that chose the train clips."""


def adopt(
    model: str, train: Waves, dev: Waves, maps: bool = True, progress: Progress = pipeline.no_progress
) -> TrainedDetector:
    """Make a published classifier a detector that the rest of the library takes like its own.

    Args:
        model: `hub:SOURCE`, with or without `hub:` (see `models.hub`).
        train: Clips for the bank; those that the model gets right give the class means.
        dev: Clips for calibration, thresholds and novelty.
        maps: Whether to fit t-SNE and UMAP.
        progress: Wraps the clips of each split, some at a time.

    Returns:
        The detector, its name without the folders above SOURCE.

    Raises:
        ValueError: If a class is missing in train or dev, or the model gets no train clip of it right.
        ImportError, FileNotFoundError: As of `hub_model`, whose ValueErrors come besides.
    """
    for split, waves in (("train", train), ("dev", dev)):
        reals, fakes = np.bincount(waves.manifest.labels, minlength=2)
        if not (reals and fakes):
            raise ValueError(f"{split} has {reals} real and {fakes} fake clips: both are needed")
    name = PREFIX + model.removeprefix(PREFIX)
    detector = hub_model(name)
    found: dict[str, Embedded] = {}

    def embed(detector: Detector, waves: Waves) -> Embedded:
        split = "train" if waves is train else "dev"
        found[split] = _embedded(detector, waves, split, progress)
        if split == "train":
            _check_right(found[split])
        return found[split]

    trained = pipeline.finish(name, detector, train, dev, {}, maps=maps, embed=embed)
    facts = {
        "rule": RULE,
        "labels": _meanings(detector),
        "corpora": sorted({clip.corpus for clip in train.manifest}),
        "dev_eer": round(metrics.eer_roc(found["dev"].scores, found["dev"].labels), 4),
    }
    short, facts = _without_folders(name), trained.config.training | facts
    trained.config = dataclasses.replace(trained.config, model=short, training=facts)
    trained.bank = dataclasses.replace(trained.bank, model=short)
    trained.card = _card(trained, train, dev)
    return trained


def _embedded(detector: Detector, waves: Waves, split: str, progress: Progress) -> Embedded:
    detector.eval()
    rows = np.arange(len(waves.manifest))
    chunks = np.array_split(rows, -(-len(rows) // CLIPS_AT_ONCE))
    parts = [
        training.embed(detector, WindowBatches(waves, chunk)) for chunk in progress(chunks, f"{split} clips")
    ]
    columns = zip(*(dataclasses.astuple(part) for part in parts), strict=True)
    return Embedded(*map(np.concatenate, columns))


def _check_right(embedded: Embedded) -> None:
    right = embedded.labels[samples_of_interest(embedded.scores, embedded.labels)]
    for label, count in zip(Label, np.bincount(right, minlength=2), strict=True):
        if not count:
            raise ValueError(
                f"the model gets none of the {(embedded.labels == label).sum()} {label.word} train clips "
                "right, so there is no mean of that class: are its labels read the right way round?"
            )


def _meanings(detector: HubDetector) -> dict[str, str]:
    """The word for each label of the model."""
    names = detector.backbone.model.config.id2label
    return {names[index]: word for index, word in enumerate(detector.published["labels"])}


def _without_folders(name: str) -> str:
    """The name without the folders above a folder: those are of this machine alone."""
    source, mark, labels = name.removeprefix(PREFIX).partition(FAKE_LABELS)
    folder = Path(source)
    return f"{PREFIX}{folder.resolve().name if folder.is_dir() else source}{mark}{labels}"


def _card(trained: TrainedDetector, train: Waves, dev: Waves) -> str:
    facts, config = trained.config.training, trained.config
    labels = ", ".join(f"`{name}` means {word}" for name, word in facts["labels"].items())
    return f"""---
library_name: ncdetect
pipeline_tag: audio-classification
tags: [audio, deepfake-detection]
---
# {config.model}

A published audio classifier with its own weights, taken over by `python -m ncdetect adopt`. Nothing in it was
trained here; its licence is that of its authors. {labels}.

Class means and neighbours are of {len(train.manifest)} train and {len(dev.manifest)} dev clips
(corpora {", ".join(facts["corpora"])}). Calibrated on the dev clips, where its EER is {facts["dev_eer"]:.1%}:
whether it was trained on some of these corpora, only its authors know.
Log-likelihood ratio = {config.calibration_scale:.3f} x score {config.calibration_offset:+.3f}.
Undecided between {config.real_below:.2f} and {config.fake_above:.2f}.
"""
