"""The two trained detectors on which dropin and plasticity are studied.

`tiny-resnet` is that checkpoint, on waveforms; in the sweep a stage of its residual blocks is one layer.
`whisper` is a probe on Whisper tiny.en's encoder, whose layers are widened, as the paper does with those of
wav2vec 2.0; what its convolutions make of the clips is computed once.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ncdetect import detector_study, listening, pipeline, tables, training
from ncdetect.augment import WaveAugment
from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.dropin import layers_of
from ncdetect.dropin_study import Batches, Study
from ncdetect.encoders import WhisperEncoder, pretrained
from ncdetect.encoders.pooling import mean_and_deviation, same_peak
from ncdetect.experiments import ALL, decoded, open_data, training_corpora
from ncdetect.features import FeatureBatches, Features, FeatureWindows, computed
from ncdetect.listening import CLEAN, Probe
from ncdetect.loading import TrainBatches, Waves, WindowBatches
from ncdetect.models import Detector, build_model
from ncdetect.models.listener import Projection
from ncdetect.pipeline import Data
from ncdetect.tables import TestSet
from ncdetect.training import Progress, Recipe

TINY, WHISPER = "tiny-resnet", "whisper"
STAGES = (2, 2, 3, 2)
"""Residual blocks of each stage of `tiny-resnet`."""
COPIES = (CLEAN, "mixed")
"""Of `listening.COPIES`: each clip as it is, and with several damages at once, equally often."""
FRAMES = 64
"""To which the train clips are cut for Whisper's layers; 50 are a second."""
WIDTH, LAYERS, HEADS = 384, 4, 6
"""Of Whisper tiny.en."""
WATCHED_CLIPS = 64
"""Train clips on which `fit` measures collapse, of which nothing is told here."""
STANDARDISED_CLIPS = 256
"""Train clips, at most, on whose statistics the network from scratch is standardised."""
FULL = 3
"""Times as many epochs in the full study."""


@dataclass(frozen=True)
class Place:
    """Where the study finds and keeps things, and how long it trains."""

    data: Path
    weights: Path
    """Of Whisper's encoder, as published."""
    work: Path
    """Holds features and a folder for each run; may be removed afterwards."""
    checkpoint: str = TINY
    """Name or folder: the `tiny-resnet` that is studied."""
    seeds: int = 2
    """Of every arm; of the sweep one, in the full study as many."""
    jobs: int = 1
    """Processes of one thread each."""
    full: bool = False
    """FULL times as many epochs, and the sweep with every seed."""
    precision: str = "auto"
    """As in `Recipe`."""


def of_waves(train: Waves, dev: Waves, data: Data, seed: int) -> Batches:
    """Batches of decoded clips."""
    augment = WaveAugment() if data.augment else None
    drawn = TrainBatches(train, data.batch_size, seed, data.balance, augment, data.epoch_clips)
    return Batches(drawn, WindowBatches(dev), WindowBatches(train, _watched(len(train.manifest), seed)))


def of_features(
    copies: Sequence[Features], manifest: Manifest, dev: Features, frames: int | None, data: Data, seed: int
) -> Batches:
    """Batches of what a front end made of clips, for a base whose own front end is `nn.Identity`.

    Args:
        copies: As they are and damaged, equally often: of each one window of every clip, in the manifest's
            order.
        manifest: The train clips.
        dev: Windows of the dev clips.
        frames: To which train clips are cut; None leaves them whole.
        data: How to draw; its `augment` has no part.
        seed: Of every draw.
    """
    drawn = FeatureBatches(
        copies, manifest, data.batch_size, seed, data.balance, data.epoch_clips, frames=frames
    )
    watched = FeatureWindows(copies[0].subset(_watched(len(manifest), seed)))
    return Batches(drawn, FeatureWindows(dev), watched)


def _watched(clips: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(clips)[:WATCHED_CLIPS])


class Convolutions(nn.Module):
    """The frozen part of Whisper's encoder: (B, T) -> (B, F, L), each clip at the same peak."""

    def __init__(self, encoder: WhisperEncoder):
        """Take an encoder without layers."""
        super().__init__()
        self.encoder = encoder

    def forward(self, wave: Tensor) -> Tensor:
        """Features of waveforms at 16 kHz."""
        return self.encoder(same_peak(wave))[-1].transpose(1, 2)


class Hearing(nn.Module):
    """Whisper's layers and the statistics of every hidden state: (B, F, L) -> (B, `size`)."""

    def __init__(self, layers: nn.ModuleList):
        """Take the layers of an encoder."""
        super().__init__()
        self.layers = layers
        self.size = 2 * WIDTH * (len(layers) + 1)

    def forward(self, features: Tensor) -> Tensor:
        """Mean and deviation over time of what comes in and of each layer."""
        states = [features.transpose(1, 2)]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return mean_and_deviation(states)


def tiny_study(place: Place) -> Study:
    """Of the checkpoint `tiny-resnet`: log-mel, trained as the checkpoint was, on all train clips.

    Raises:
        ValueError: If the checkpoint is of another architecture.
    """
    trained = TrainedDetector.from_pretrained(place.checkpoint)
    if trained.config.model != TINY:
        raise ValueError(f"{place.checkpoint} is a {trained.config.model}; allowed: a {TINY}")
    manifest = detector_study.clips(place.data)
    waves = decoded(place.data)
    tests, sets = _tests(place.data)
    names, ends = layers_of(trained.detector), np.cumsum(STAGES).tolist()
    data = Data(batch_size=16, epoch_clips=1707)
    recipe = Recipe(epochs=4, patience=4, learning_rate=1e-3, schedule="cosine")
    return _scheduled(
        place,
        Study(
            name=TINY,
            base=trained.detector,
            fresh=partial(build_model, TINY),
            batches=partial(
                of_waves, *(waves.subset(manifest.select(split=split)) for split in ("train", "dev"))
            ),
            judge=lambda detector: pipeline.embed_manifest(detector, waves.subset(tests)).scores,
            sets=sets,
            work=place.work / TINY,
            data=data,
            recipe=recipe,
            # As the base was, which had 24 epochs, and as many more as the others have.
            from_scratch=dataclasses.replace(recipe, epochs=28, patience=6, learning_rate=2e-3),
            sweep={
                f"stage-{number}": tuple(names[end - size : end])
                for number, (size, end) in enumerate(zip(STAGES, ends, strict=True), 1)
            },
        ),
    )


def whisper_study(place: Place) -> Study:
    """Of a probe on Whisper's encoder, whose features and base `prepare` has made.

    Raises:
        FileNotFoundError: If Whisper's weights are not there.
    """
    manifest = detector_study.clips(place.data)
    train, dev = detector_study.folds(manifest)[detector_study.DEV]
    features = {copy: Features.read(_features(place) / f"{copy}.npy") for copy in COPIES}
    tests = Features.read(_features(place) / "eval.npy")
    known = Manifest(manifest.root, tuple(manifest.clips[row] for row in train))
    recipe = Recipe(epochs=3, patience=3, learning_rate=3e-4, pretrained_rate=0.1, schedule="cosine")
    base = whisper_base(place)
    return _scheduled(
        place,
        Study(
            name=WHISPER,
            base=base,
            fresh=partial(_fresh, features[CLEAN].subset(train[:: -(-len(train) // STANDARDISED_CLIPS)])),
            batches=partial(
                of_features,
                [features[copy].subset(train) for copy in COPIES],
                known,
                features[CLEAN].subset(dev),
                FRAMES,
            ),
            judge=lambda detector: training.embed(detector, FeatureWindows(tests)).scores,
            sets=_tests(place.data)[1],
            work=place.work / WHISPER,
            data=Data(batch_size=32, epoch_clips=768),
            recipe=recipe,
            from_scratch=dataclasses.replace(
                recipe, epochs=8, patience=3, learning_rate=1e-3, pretrained_rate=1.0
            ),
            sweep={f"layer-{number}": (name,) for number, name in enumerate(layers_of(base), 1)},
        ),
    )


STUDIES: dict[str, Callable[[Place], Study]] = {TINY: tiny_study, WHISPER: whisper_study}


def _scheduled(place: Place, study: Study) -> Study:
    """With the seeds, and as many epochs, as are asked for."""
    factor = FULL if place.full else 1

    def longer(recipe: Recipe) -> Recipe:
        return dataclasses.replace(
            recipe,
            epochs=factor * recipe.epochs,
            patience=factor * recipe.patience,
            precision=place.precision,
        )

    return dataclasses.replace(
        study,
        recipe=longer(study.recipe),
        from_scratch=longer(study.from_scratch),
        seeds=place.seeds,
        sweep_seeds=place.seeds if place.full else 1,
    )


def _tests(data: Path) -> tuple[Manifest, list[TestSet]]:
    """The eval clips; of them the pooled ones of the training corpora, and those of each other corpus."""
    manifest = open_data(data)
    tests, corpora = manifest.select(split="eval"), training_corpora(manifest)
    home = {ALL} if len(corpora) > 1 else {*corpora}
    sets = tables.test_sets(tests, corpora)
    return tests, [test for test in sets if test.name in home or test.name not in corpora]


def _features(place: Place) -> Path:
    return place.work / "features"


def prepare(place: Place, progress: Progress = pipeline.no_progress) -> None:
    """Compute what Whisper's convolutions make of all clips, and train the base; at once where that is done.

    Raises:
        FileNotFoundError: If Whisper's weights are not there.
    """
    front = Convolutions(pretrained.whisper_tiny(place.weights, 0)).eval()
    waves = decoded(place.data)
    manifest = detector_study.clips(place.data)
    listening.statistics(front, waves.subset(manifest), _features(place), COPIES, progress=progress)
    tests, _ = _tests(place.data)
    computed(front, WindowBatches(waves.subset(tests)), _features(place) / "eval.npy")
    whisper_base(place)


def whisper_base(place: Place) -> Detector:
    """The base on Whisper: projection and head trained on the statistics of its layers."""
    manifest = detector_study.clips(place.data)
    train, dev = detector_study.folds(manifest)[detector_study.DEV]
    hearing = Hearing(pretrained.whisper_tiny(place.weights, LAYERS).layers).eval()
    pooled = {}
    for copy in COPIES:
        features = Features.read(_features(place) / f"{copy}.npy")
        file = place.work / "statistics" / f"{copy}.npy"
        pooled[copy] = computed(hearing, FeatureWindows(features), file, place.precision)
    setting = Probe(copies=COPIES)
    top, _ = listening.probe(pooled, manifest, train, dev, setting, place.work / "base")
    top.backbone.fold_norm()  # the batches of the study are too small for it
    base = _on_features(hearing, top.backbone, setting.loss)
    base.head.load_state_dict(top.head.state_dict())
    base.pretrained = ("backbone.0.",)
    return base.eval()


def _fresh(some: Features) -> Detector:
    """The architecture of the base with random weights; it standardises the statistics of some clips."""
    hearing = Hearing(WhisperEncoder(WIDTH, LAYERS, HEADS).layers)
    projection = Projection(hearing.size, Probe.embedding_dim, Probe.dropout)
    with torch.no_grad():
        projection.standardise_on(hearing(some.batch(np.arange(len(some.rows))).wave))
    return _on_features(hearing, projection, Probe.loss)


def _on_features(hearing: Hearing, projection: Projection, loss: str) -> Detector:
    detector = Detector(nn.Identity(), nn.Sequential(hearing, projection), Probe.embedding_dim)
    detector.loss = loss
    return detector
