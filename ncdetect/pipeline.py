"""From manifests to a checkpoint and its figures: train, embed, calibrate, make the bank, evaluate."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ncdetect import abstention, collapse, metrics, sampling, training
from ncdetect.adversarial import AdversarialBatches
from ncdetect.augment import SpecAugment, WaveAugment
from ncdetect.bank import EmbeddingBank
from ncdetect.checkpoint import CONFIG_FILE, DetectorConfig, TrainedDetector, as_stored, weights_sha256
from ncdetect.corpora import Clip, Manifest
from ncdetect.dropin import widening_of
from ncdetect.labels import Label
from ncdetect.loading import Balance, TrainBatches, Waves, WindowBatches
from ncdetect.losses import LOSSES
from ncdetect.models import Detector, build_model
from ncdetect.training import Embedded, Epoch, Fit, Progress, Recipe

log = logging.getLogger(__name__)

WATCHED_CLIPS = 256
"""Train clips on which collapse is measured at each epoch."""
NOVELTY_QUANTILE = 0.99
FALSE_ALARM = 0.08
"""Of the reals that get a verdict, at most this share may be called fake: it sets the undecided band."""
MISS = 0.2
"""Of the fakes that get a verdict, at most this share may be called real."""
DEV, HELD_OUT = "dev", "corpora, generators and speakers that were not trained on"
"""What calibration and thresholds were fitted on, in `training["calibrated_on"]`."""


@dataclass(frozen=True)
class Data:
    """How batches are drawn."""

    batch_size: int = 32
    balance: Balance = "class"
    epoch_clips: int | None = 1024
    """Clips drawn in an epoch, each once before any comes again; None is all of them, once. The paper's
    epochs are of 25,000 clips; with a few hundred, patience in epochs would run out before the model has
    learned."""
    augment: bool = False
    """Waveform augmentation and SpecAugment on the train clips."""
    adversarial: float = 0.0
    """Share of the train clips that are perturbed against the detector at each step (see `adversarial`)."""
    adversarial_steps: int = 1
    """1 is FGSM, more are PGD."""


def no_progress(batches: Iterable, _: str) -> Iterable:
    """The progress bar of those who want none."""
    return batches


def embed_manifest(detector: Detector, waves: Waves) -> Embedded:
    """Embeddings and scores of all clips of a manifest in float32, windows as at inference."""
    detector.eval()
    return training.embed(detector, WindowBatches(waves))


def train_detector(
    model: str,
    train: Waves,
    dev: Waves,
    folder: Path,
    recipe: Recipe,
    data: Data,
    progress: Progress = no_progress,
    epoch_done: Callable[[Epoch], None] = lambda _: None,
    start: Detector | None = None,
) -> tuple[Detector, training.Fit]:
    """Train an architecture on some clips, early-stopped on others; goes on where a killed run stopped.

    Args:
        model: A key of MODELS.
        train: Train clips of both classes.
        dev: Dev clips of both classes.
        folder: Where the run keeps its state, best weights and log.
        recipe: How to train.
        data: How to draw batches.
        progress: Wraps an epoch's batches.
        epoch_done: Is told of each epoch.
        start: A trained detector of this architecture whose weights are the first ones; it is not changed.

    Raises:
        ValueError: If a class is missing in train or dev, or the start is of another architecture.
    """
    for name, waves in (("train", train), ("dev", dev)):
        counts = np.bincount(waves.manifest.labels, minlength=2)
        if not counts.all():
            raise ValueError(f"{name} has {counts[0]} real and {counts[1]} fake clips: both are needed")
    torch.manual_seed(recipe.seed)
    detector = build_model(model)
    if start is not None:
        try:
            detector.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise ValueError(f"the detector to start from is no {model}") from error
    detector.feature_augment = SpecAugment() if data.augment else None
    watched = np.random.default_rng(recipe.seed).permutation(len(train.manifest))[:WATCHED_CLIPS]
    augment = WaveAugment() if data.augment else None
    batches = TrainBatches(train, data.batch_size, recipe.seed, data.balance, augment, data.epoch_clips)
    loss = LOSSES[detector.loss]
    if data.adversarial:
        batches = AdversarialBatches(
            batches, detector, data.adversarial, steps=data.adversarial_steps, loss=loss, seed=recipe.seed
        )
    result = training.fit(
        detector, batches, WindowBatches(dev), WindowBatches(train, np.sort(watched)), recipe, folder, loss,
        sources=sources_of(train.manifest, dev.manifest), progress=progress, epoch_done=epoch_done,
    )  # fmt: skip
    return detector, result


def sources_of(*manifests: Manifest) -> tuple[np.ndarray, ...] | None:
    """Of each clip 0 for a real, else the number of its generator from 1; None where none is named."""
    names = sorted({clip.generator for m in manifests for clip in m if clip.label == Label.FAKE})
    if names == [""]:
        return None
    number = {name: index for index, name in enumerate(names, 1)}
    return tuple(
        np.array([0 if clip.label == Label.REAL else number[clip.generator] for clip in m]) for m in manifests
    )


def finish(
    model: str,
    detector: Detector,
    train: Waves,
    dev: Waves,
    training_facts: dict[str, Any],
    shown: Waves | None = None,
    examples: Waves | None = None,
    maps: bool = True,
    records: Mapping[str, np.ndarray] | None = None,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    embed: Callable[[Detector, Waves], Embedded] = embed_manifest,
) -> TrainedDetector:
    """Make a trained architecture a detector that can be shipped: means, calibration, novelty, bank.

    Calibration and the undecided band are fitted on `held_out`, or on dev where there is none: there the
    band keeps to FALSE_ALARM and MISS.

    Args:
        model: The architecture's name.
        detector: Trained, on the CPU.
        train: The clips that it was trained on: their samples of interest give the class means.
        dev: Scales novelty; calibrates where nothing is held out.
        training_facts: For config.json.
        shown: Further train clips for the map and the neighbours, such as those that sampling left out.
        examples: The clips of `assets/`, for the map and the neighbours only.
        maps: Whether to fit t-SNE and UMAP.
        records: What training recorded of each train clip, by name of RECORDS.
        held_out: Scores and labels, each (N,), of clips from corpora that the scoring model was not trained
            on: from trainings that each leave one corpus out. Their errors are nearer to those that visitors
            will meet than dev's are.
        embed: Embeds clips; another one may know a part of the way.
    """
    as_stored(detector)
    parts = [(waves, embed(detector, waves)) for waves in (train, shown, dev, examples) if waves]
    seen, watched = parts[0][1], next(embedded for waves, embedded in parts if waves is dev)
    interest = sampling.samples_of_interest(seen.scores, seen.labels)
    means = collapse.class_means(seen.embeddings[interest], seen.labels[interest])
    scores, labels = (watched.scores, watched.labels) if held_out is None else held_out
    calibration = metrics.fit_calibration(scores, labels)
    thresholds = abstention.choose(calibration.llr(scores), labels, FALSE_ALARM, MISS)
    if thresholds == abstention.WIDEST:
        log.warning("%s: the undecided band is as wide as it may be", model)

    clips: list[Clip] = [clip for waves, _ in parts for clip in waves.manifest.clips]
    selected = np.concatenate([np.full(len(waves.manifest), waves is train) for waves, _ in parts])
    bank = EmbeddingBank.build(
        clips,
        np.concatenate([embedded.embeddings for _, embedded in parts]),
        np.concatenate([embedded.scores for _, embedded in parts]),
        means, model, weights_sha256(detector), selected, maps, records,
    )  # fmt: skip
    config = DetectorConfig(
        model=model,
        calibration_scale=calibration.scale,
        calibration_offset=calibration.offset,
        real_below=thresholds.real_below,
        fake_above=thresholds.fake_above,
        widening=widening_of(detector),
        novelty_distance=_novelty_distance(bank, watched.embeddings, DetectorConfig.novelty_neighbours),
        training=training_facts | {"calibrated_on": DEV if held_out is None else HELD_OUT},
    )
    trained = TrainedDetector(config)
    trained.detector.load_state_dict(detector.state_dict())
    trained.bank = bank
    trained.sha256 = bank.model_sha256
    return trained.eval()


def _novelty_distance(bank: EmbeddingBank, dev: np.ndarray, neighbours: int) -> float:
    """The distance to the n-th nearest train clip that 1 % of the dev clips exceed."""
    among = (bank.clips["split"] == "train").to_numpy()
    if among.sum() < neighbours:
        return float("inf")
    distances = [bank.nearest(embedding, neighbours, among)[1][-1] for embedding in dev]
    return float(np.quantile(distances, NOVELTY_QUANTILE))


def training_facts(train: Manifest, rule: str, fit: Fit, recipe: Recipe, data: Data) -> dict[str, Any]:
    """How a detector came to be, for config.json, card and page."""
    reals, fakes = np.bincount(train.labels, minlength=2).tolist()
    return {
        "corpora": sorted({clip.corpus for clip in train}),
        "rule": rule,
        "reals": reals,
        "fakes": fakes,
        "best_epoch": fit.best_epoch + 1,
        "epochs": len(fit.history),
        "dev_loss": round(fit.best.dev_loss, 4),
        "dev_eer": round(fit.best.dev_eer, 4),
        "recipe": dataclasses.asdict(recipe) | {"precision": fit.precision} | dataclasses.asdict(data),
        "history": [
            {name: _short(value) for name, value in dataclasses.asdict(epoch).items()}
            for epoch in fit.history
        ],
    }


def _short(value: float | None) -> float | None:
    """Four digits are enough for a plot."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def describe(epoch: Epoch) -> str:
    """One line on an epoch, for people."""
    return (
        f"epoch {epoch.epoch + 1}: train loss {epoch.train_loss:.3f}, dev loss {epoch.dev_loss:.3f}, "
        f"dev EER {epoch.dev_eer:.1%}, NC1 {epoch.nc1_train:.2f}, NC4 {epoch.nc4_train:.1%}, "
        f"{epoch.seconds:.0f} s"
    )


def checkpoint_exists(folder: Path) -> bool:
    """Whether a finished checkpoint lies there."""
    return (folder / CONFIG_FILE).is_file()


@dataclass(frozen=True)
class Figures:
    """How a detector does on some clips. 95 % intervals, drawn by generator (fakes) and speaker (reals)."""

    clips: str
    reals: int
    fakes: int
    eer: metrics.Interval
    eer_det: float
    ap_fake: float
    ap_real: float
    cllr: float
    balanced_accuracy: float

    @classmethod
    def of(
        cls, name: str, scores: np.ndarray, clips: Iterable[Clip], calibration: metrics.Calibration
    ) -> "Figures":
        """Measure scores of clips."""
        clips = list(clips)
        labels = np.array([clip.label for clip in clips])
        precision = metrics.average_precision(scores, labels)
        llrs = calibration.llr(scores)
        return cls(
            clips=name,
            reals=int((labels == Label.REAL).sum()),
            fakes=int((labels == Label.FAKE).sum()),
            eer=metrics.eer_interval(scores, labels, [group_of(clip) for clip in clips]),
            eer_det=metrics.eer_det(scores, labels),
            ap_fake=precision.fake,
            ap_real=precision.real,
            cllr=metrics.cllr(llrs, labels),
            balanced_accuracy=metrics.balanced_accuracy(llrs, labels),
        )

    def row(self) -> dict[str, str | int | float]:
        """One line of a table, rates as fractions."""
        flat = dataclasses.asdict(self)
        interval = flat.pop("eer")
        flat |= {"eer": interval[0], "eer_low": interval[1], "eer_high": interval[2]}
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in flat.items()}


def group_of(clip: Clip) -> str:
    """What is drawn together in the bootstrap: a generator's fakes, a speaker's reals."""
    return (clip.generator if clip.label == Label.FAKE else clip.speaker) or clip.path


def evaluate(trained: TrainedDetector, waves: Waves, embedded: Embedded | None = None) -> list[Figures]:
    """Figures over all clips and by corpus (where a corpus has both classes).

    The pooled row is called `all`; `wild` is evaluation by itself and never pooled with the others.
    """
    embedded = embedded or embed_manifest(trained.detector, waves)
    clips = waves.manifest.clips
    names = sorted({clip.corpus for clip in clips})
    groups = {name: [i for i, clip in enumerate(clips) if clip.corpus == name] for name in names}
    pooled = [i for i, clip in enumerate(clips) if clip.corpus != "wild"]
    if len(names) > 1 and pooled:
        groups = {"all": pooled} | groups
    return [
        Figures.of(name, embedded.scores[rows], [clips[i] for i in rows], trained.config.calibration)
        for name, rows in groups.items()
        if len({clips[i].label for i in rows}) == 2
    ]


def agreement(trained: TrainedDetector, embedded: Embedded) -> dict[str, float | int]:
    """How often nearest class mean and classifier agree on clips, and how often they are right then."""
    nearest = collapse.nearest_class_mean(embedded.embeddings, trained.bank.means)
    called = trained.config.calibration.llr(embedded.scores) > 0
    agree = nearest == called
    right = called == (embedded.labels == Label.FAKE)
    return {
        "clips": len(agree),
        "agree": round(float(agree.mean()), 4),
        "right_when_agreeing": round(float(right[agree].mean()), 4) if agree.any() else 0.0,
        "right_when_disagreeing": round(float(right[~agree].mean()), 4) if (~agree).any() else 0.0,
    }
