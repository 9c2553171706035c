"""How detectors on pretrained encoders are trained: what the encoders make of each clip is computed once.

    clips -> five copies (clean, coded, by telephone, noisy, several damages at once) -> pooled statistics
    -> a probe: projection and head on the statistics, the encoders as they are
    -> tuned, from there on: the encoders' upper layers too, on what their lower parts make of the copies

A copy has one damage to one clip in one way, so that the same figures come out again.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ncdetect import pipeline, resynthesis, training
from ncdetect.augment import WaveAugment
from ncdetect.corpora import Clip, Manifest
from ncdetect.encoders import pretrained
from ncdetect.features import FeatureBatches, Features, FeatureWindows, computed
from ncdetect.loading import Balance, Batch, TrainBatches, Waves
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
    mixup: float = 0.0
    """Parameter of the beta distribution of shares; 0 mixes nothing."""
    embedding_dim: int = 128
    batch_size: int = 128
    epoch_clips: int = 12_800
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=6, patience=6, learning_rate=1e-3, schedule="cosine", weight_decay=0.02,
            optimiser="adamw", average=0.98, precision="32-true",
        )
    )  # fmt: skip


@dataclass(frozen=True)
class Tuning:
    """How the encoders' upper layers are trained, after a probe (probe first: Kumar et al. 2022)."""

    copies: tuple[str, ...] = (CLEAN, "mixed")
    """Of COPIES; the clean one has `clean` of the draws, the others the rest in equal shares."""
    clean: float = 0.5
    frames: int = 96
    """Of each clip, at a place drawn for the batch; 50 are a second."""
    loss: str = "smoothed-bce"
    batch_size: int = 32
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=3, patience=3, learning_rate=1e-4, pretrained_rate=0.3, schedule="cosine",
            weight_decay=0.01, optimiser="adamw", average=0.99, precision="bf16-mixed",
        )
    )  # fmt: skip


def encoders(model: str, weights: Path) -> Detector:
    """A detector with pretrained encoders and a fresh projection and head, in eval mode."""
    detector = build_model(model)
    pretrained.load(detector, weights)
    return detector


def pooled(detector: Detector) -> nn.Module:
    """The part of a detector that makes pooled statistics of waveforms."""
    return nn.Sequential(detector.frontend, detector.backbone[0]).eval()


def statistics(
    reader: nn.Module,
    waves: Waves,
    folder: Path,
    copies: Sequence[str] = tuple(COPIES),
    precision: str = "auto",
    progress: Progress = pipeline.no_progress,
) -> dict[str, Features]:
    """What a part of a detector makes of each clip in each copy, kept in a folder.

    Args:
        reader: Waveforms to features: the front end, or with it the pooling (`pooled`).
        waves: The clips; of a longer one a window is taken.
        folder: Holds a file for each copy.
        copies: Keys of COPIES.
        precision: Of the encoders: `auto`, `32-true` or `bf16-mixed`.
        progress: Wraps the batches of a copy.
    """
    found = {}
    for number, copy in enumerate(COPIES):
        if copy not in copies:
            continue
        batches = TrainBatches(waves, 16, seed=number, balance="none", augment=COPIES[copy], in_order=True)
        found[copy] = computed(reader.eval(), progress(batches(0), copy), folder / f"{copy}.npy", precision)
    return found


def made(
    reader: nn.Module,
    waves: Waves,
    folder: Path,
    copies: Sequence[str],
    precision: str = "auto",
    progress: Progress = pipeline.no_progress,
) -> dict[str, Features]:
    """The same of fakes made from recordings, each by the next of `resynthesis.RESYNTHESES`.

    Args:
        reader: As in `statistics`.
        waves: The recordings.
        folder: Holds a file `made-COPY` for each copy.
        copies: Keys of COPIES.
        precision: As in `statistics`.
        progress: Wraps the batches.
    """
    found = {}
    batches: list[Batch] = []
    for copy in copies:
        file = folder / f"made-{copy}.npy"
        if not batches and not file.exists():
            plain = TrainBatches(waves, 16, balance="none", augment=resynthesis.in_turn, in_order=True)
            batches = list(progress(plain(0), "made fakes"))
        generator, damage = torch.Generator().manual_seed(len(COPIES)), COPIES[copy]
        damaged = (
            batch._replace(wave=damage(batch.wave, generator)) if damage else batch for batch in batches
        )
        found[copy] = computed(reader.eval(), damaged, file, precision)
    return found


def probe(
    pooled: Mapping[str, Features],
    manifest: Manifest,
    train: Sequence[int],
    dev: Sequence[int],
    setting: Probe,
    folder: Path,
    epoch_done: Callable[[Epoch], None] = lambda _: None,
    targets: Mapping[str, np.ndarray] | None = None,
    watch: Callable[[Detector, FeatureBatches], Progress] | None = None,
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
        targets: By copy, what is learned of each of the manifest's clips, 0 (real) to 1 (fake), (N,); None
            is its label.
        watch: Is told what is trained, and on what; its answer is handed the batches of each epoch.

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
    if targets is not None:
        parts = [
            dataclasses.replace(part, labels=targets[copy][train])
            for copy, part in zip(setting.copies, parts, strict=True)
        ]
    batches = FeatureBatches(
        parts, _part(manifest, train), setting.batch_size, setting.recipe.seed, setting.balance,
        setting.epoch_clips, _shares(setting), setting.mixup,
    )  # fmt: skip
    progress = watch(top, batches) if watch else training.unwatched
    fit = _fit(top, batches, pooled[CLEAN], manifest, train, dev, setting, folder, epoch_done, progress)
    return top.eval(), fit


def taught(
    pooled: Mapping[str, Features],
    manifest: Manifest,
    train: Sequence[int],
    dev: Sequence[int],
    setting: Probe,
    folder: Path,
    parts: int = 3,
    share: float = 0.5,
) -> dict[str, np.ndarray]:
    """Targets for another probe: labels mixed with what a teacher says (Hinton et al. 2015).

    The teacher's word on a clip comes from a probe that was trained without the clip's generator or speaker,
    so that it says how a clip sounds and not what it remembers.

    Args:
        pooled: What the teacher hears, by copy, of the manifest's clips.
        manifest: The clips.
        train: Rows to speak of.
        dev: Rows that choose the teachers' epochs.
        setting: How the teachers are trained.
        folder: Of their runs.
        parts: Number of teachers, each with another part of the generators and speakers left out.
        share: Of the teacher in a target; the label has the rest.

    Returns:
        By copy, (N,): targets at the train rows, labels elsewhere.
    """
    train = np.asarray(train)
    fold = np.array([group_number(manifest.clips[row]) % parts for row in train])
    targets = {copy: manifest.labels.astype(np.float32) for copy in setting.copies}
    for part in range(parts):
        apart = train[fold == part]
        teacher, _ = probe(pooled, manifest, train[fold != part], dev, setting, folder / f"teacher{part}")
        for copy in setting.copies:
            said = 1 / (1 + np.exp(-judged(teacher, pooled[copy], apart).scores))
            targets[copy][apart] = (1 - share) * targets[copy][apart] + share * said
    return targets


def group_number(clip: Clip) -> int:
    """A number of a clip's generator or speaker, the same everywhere."""
    return int.from_bytes(hashlib.sha256(pipeline.group_of(clip).encode()).digest()[:4], "big")


def tuned(
    top: Detector,
    model: str,
    weights: Path,
    features: Mapping[str, Features],
    manifest: Manifest,
    train: Sequence[int],
    dev: Sequence[int],
    setting: Tuning,
    folder: Path,
    epoch_done: Callable[[Epoch], None] = lambda _: None,
) -> tuple[Detector, Fit]:
    """Train the encoders' upper layers, with projection and head, from a probe on.

    Args:
        top: The probe: reads statistics.
        model: A key of MODELS: a listener.
        weights: Folder of the encoders' published weights.
        features: By copy, of the manifest's clips: what the front end makes of them.
        manifest: The clips.
        train: Rows to learn from.
        dev: Rows that choose the epoch, as they are (clean).
        setting: How.
        folder: Of the run.
        epoch_done: Is told of each epoch.

    Returns:
        A detector that reads the front end's features, and how its training went.
    """
    train, dev = np.asarray(train), np.asarray(dev)
    torch.manual_seed(setting.recipe.seed)
    whole = encoders(model, weights)
    upper = Detector(nn.Identity(), whole.backbone, whole.embedding_dim)
    upper.backbone[1], upper.head = top.backbone, top.head
    # Batches of so few clips would make a poor batch normalisation.
    upper.backbone[1].fold_norm()
    upper.pretrained = ("backbone.0.",)
    batches = FeatureBatches(
        [features[copy].subset(train) for copy in setting.copies], _part(manifest, train),
        setting.batch_size, setting.recipe.seed, "class", None, _shares(setting), frames=setting.frames,
    )  # fmt: skip
    with sdpa_kernel(SDPBackend.MATH):  # on a processor the faster one in training
        fit = _fit(upper, batches, features[CLEAN], manifest, train, dev, setting, folder, epoch_done)
    return upper.eval(), fit


def _shares(setting: Probe | Tuning) -> list[float] | None:
    """How often each copy is drawn."""
    if len(setting.copies) == 1:
        return None
    damaged = (1 - setting.clean) / (len(setting.copies) - 1)
    return [setting.clean if copy == CLEAN else damaged for copy in setting.copies]


def _fit(
    detector: Detector,
    batches: FeatureBatches,
    clean: Features,
    manifest: Manifest,
    train: np.ndarray,
    dev: np.ndarray,
    setting: Probe | Tuning,
    folder: Path,
    epoch_done: Callable[[Epoch], None],
    progress: Progress = training.unwatched,
) -> Fit:
    drawn = np.random.default_rng(setting.recipe.seed).permutation(len(train))[:WATCHED_CLIPS]
    watched = train[np.sort(drawn)]
    return training.fit(
        detector, batches, FeatureWindows(clean.subset(dev)), FeatureWindows(clean.subset(watched)),
        setting.recipe, folder, loss=LOSSES[setting.loss],
        sources=pipeline.sources_of(_part(manifest, watched), _part(manifest, dev)), epoch_done=epoch_done,
        progress=progress,
    )  # fmt: skip


def _part(manifest: Manifest, rows: Sequence[int]) -> Manifest:
    return Manifest(manifest.root, tuple(manifest.clips[row] for row in rows))


def judged(top: Detector, features: Features, rows: Sequence[int]) -> Embedded:
    """Embeddings and scores of some clips from their statistics, or from what the front end made of them."""
    return training.embed(top.eval(), FeatureWindows(features.subset(rows)))


def assembled(model: str, weights: Path, top: Detector) -> Detector:
    """The whole detector: the pretrained encoders and a probe, or a front end and what was tuned above it."""
    detector = encoders(model, weights)
    upper = isinstance(top.backbone, nn.Sequential)
    if upper:
        detector.backbone[0].load_state_dict(top.backbone[0].state_dict())
    detector.backbone[1].take(top.backbone[1] if upper else top.backbone)
    detector.head.load_state_dict(top.head.state_dict())
    return detector.eval()
