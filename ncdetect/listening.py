"""How detectors on pretrained encoders are trained: what the encoders make of each clip is computed once.

    clips -> five copies (clean, coded, by telephone, noisy, several damages at once) -> pooled statistics
    -> a probe: projection and head on the statistics, the encoders as they are

A copy has one damage to one clip in one way, so that the same figures come out again.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ncdetect import pipeline, training
from ncdetect.augment import WaveAugment
from ncdetect.corpora import Manifest
from ncdetect.encoders import pretrained
from ncdetect.features import FeatureBatches, Features, FeatureWindows, computed
from ncdetect.loading import Balance, TrainBatches, Waves
from ncdetect.losses import LOSSES
from ncdetect.models import Detector, build_model
from ncdetect.models.listener import Projection
from ncdetect.training import Embedded, Epoch, Fit, Progress, Recipe

CLEAN = "clean"
NONE = dict.fromkeys((entry.name for entry in dataclasses.fields(WaveAugment)), 0.0)
COPIES: dict[str, WaveAugment | None] = {
    CLEAN: None,
    "coded": WaveAugment(**NONE | {"codec": 1.0}),
    "phone": WaveAugment(**NONE | {"phone": 1.0, "tilt": 0.3}),
    "noisy": WaveAugment(**NONE | {"noise": 0.7, "room": 0.4, "speed": 0.2, "tilt": 0.2}),
    "mixed": WaveAugment(),
}
WATCHED_CLIPS = 256


@dataclass(frozen=True)
class Probe:
    """How the part above the encoders is trained."""

    copies: tuple[str, ...] = tuple(COPIES)
    """Of COPIES; the clean one has `clean` of the draws, the others the rest in equal shares."""
    clean: float = 0.5
    balance: Balance = "class"
    loss: str = "smoothed-bce"
    """A key of LOSSES."""
    dropout: float = 0.3
    embedding_dim: int = 128
    batch_size: int = 128
    epoch_clips: int = 12_800
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=6, patience=6, learning_rate=1e-3, schedule="cosine", weight_decay=0.02,
            optimiser="adamw", average=0.98, precision="32-true",
        )
    )  # fmt: skip


def encoders(model: str, weights: Path) -> Detector:
    """A detector with pretrained encoders and a fresh projection and head, in eval mode."""
    detector = build_model(model)
    pretrained.load(detector, weights)
    return detector


def statistics(
    detector: Detector,
    waves: Waves,
    folder: Path,
    copies: Sequence[str] = tuple(COPIES),
    precision: str = "auto",
    progress: Progress = pipeline.no_progress,
) -> dict[str, Features]:
    """Pooled statistics of each clip in each copy, kept in a folder.

    Args:
        detector: With pretrained encoders.
        waves: The clips; of a longer one a window is taken.
        folder: Holds a file for each copy.
        copies: Keys of COPIES.
        precision: Of the encoders: `auto`, `32-true` or `bf16-mixed`.
        progress: Wraps the batches of a copy.
    """
    pooled = nn.Sequential(detector.frontend, detector.backbone[0]).eval()
    found = {}
    for number, copy in enumerate(COPIES):
        if copy not in copies:
            continue
        batches = TrainBatches(waves, 16, seed=number, balance="none", augment=COPIES[copy], in_order=True)
        found[copy] = computed(pooled, progress(batches(0), copy), folder / f"{copy}.npy", precision)
    return found


def probe(
    pooled: Mapping[str, Features],
    manifest: Manifest,
    train: Sequence[int],
    dev: Sequence[int],
    setting: Probe,
    folder: Path,
    epoch_done: Callable[[Epoch], None] = lambda _: None,
) -> tuple[Detector, Fit]:
    """Train projection and head on pooled statistics.

    Args:
        pooled: By copy, of the manifest's clips.
        manifest: The clips.
        train: Rows to learn from.
        dev: Rows that choose the epoch, as they are (clean).
        setting: How.
        folder: Of the run.
        epoch_done: Is told of each epoch.

    Returns:
        A detector that reads statistics, and how its training went.
    """
    train, dev = np.asarray(train), np.asarray(dev)
    torch.manual_seed(setting.recipe.seed)
    projection = Projection(pooled[CLEAN].values.shape[1], setting.embedding_dim, setting.dropout)
    top = Detector(nn.Identity(), projection, setting.embedding_dim)
    parts = [pooled[copy].subset(train) for copy in setting.copies]
    everything = np.arange(len(train))
    projection.standardise_on(torch.cat([part.batch(everything).wave for part in parts]))
    shares = None
    if len(parts) > 1:
        damaged = (1 - setting.clean) / (len(parts) - 1)
        shares = [setting.clean if copy == CLEAN else damaged for copy in setting.copies]
    batches = FeatureBatches(
        parts, _part(manifest, train), setting.batch_size, setting.recipe.seed, setting.balance,
        setting.epoch_clips, shares,
    )  # fmt: skip
    drawn = np.random.default_rng(setting.recipe.seed).permutation(everything)[:WATCHED_CLIPS]
    watched = train[np.sort(drawn)]
    clean = pooled[CLEAN]
    fit = training.fit(
        top, batches, FeatureWindows(clean.subset(dev)), FeatureWindows(clean.subset(watched)),
        setting.recipe, folder, loss=LOSSES[setting.loss],
        sources=pipeline.sources_of(_part(manifest, watched), _part(manifest, dev)), epoch_done=epoch_done,
    )  # fmt: skip
    return top.eval(), fit


def _part(manifest: Manifest, rows: Sequence[int]) -> Manifest:
    return Manifest(manifest.root, tuple(manifest.clips[row] for row in rows))


def judged(top: Detector, pooled: Features, rows: Sequence[int]) -> Embedded:
    """Embeddings and scores of some clips from their statistics."""
    return training.embed(top.eval(), FeatureWindows(pooled.subset(rows)))


def assembled(model: str, weights: Path, top: Detector) -> Detector:
    """The whole detector: the pretrained encoders, and a trained projection and head."""
    detector = encoders(model, weights)
    detector.backbone[1], detector.head = top.backbone, top.head
    return detector.eval()
