"""The systems of the project's source documents, all trained on the same data and judged on the same clips.

    poster       LFCC and MFCC ResNet-18, softmax against OC-Softmax (the OC-Softmax poster, table 3)
    whisper      Whisper's encoder and MFCC before MesoNet, both losses (its last row)
    aasist       AASIST-L from scratch, fine-tuned, and taught a part of the clips first (the AASIST notes)
    attention    the notes' own reading of AASIST, cross-validated
    adversarial  the notes' last wish: training on perturbed clips, and what it is worth

The corpus `neural` stands for ASVspoof 2019 LA, all corpora under codecs for ASVspoof 2021 DF, and `wild` for
In-the-Wild. The schedules are short, made for minutes of one CPU core; `full` gives the published ones.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ncdetect import crossvalidation, training
from ncdetect.adversarial import AdversarialBatches, perturbed
from ncdetect.augment import SpecAugment
from ncdetect.corpora import Manifest
from ncdetect.experiments import decoded, open_data, training_corpora
from ncdetect.files import replacing
from ncdetect.loading import TrainBatches, Waves, WindowBatches
from ncdetect.losses import LOSSES
from ncdetect.models import Detector, aasist_weights, build_model, mesonet
from ncdetect.other_systems_rows import ATTACKS, CLEAN, ROWS, WHISPER, Damage, Row, Stage, part
from ncdetect.runtime import keep_freed_memory
from ncdetect.training import Embedded, Fit, remove_state

log = logging.getLogger(__name__)

RESULT_FILE, EMBEDDINGS_FILE, CHOSEN_FILE = "result.json", "embeddings.npz", "chosen.safetensors"
WATCHED_CLIPS = 16
"""Train clips on which `training.fit` measures collapse, which this study does not read."""
JUDGED_AT_ONCE = 16
ATTACKED_CLIPS = 200
"""Of dev."""


@dataclass(frozen=True)
class Place:
    """Where the study finds and keeps things."""

    data: Path
    """A folder that is one corpus, or holds one in each of its folders."""
    work: Path
    """A folder for each run."""
    weights: Path | None = None
    """Of Whisper tiny.en's encoder and of AASIST-L, as published."""
    precision: str = "auto"
    seeds: int = 1
    jobs: int = 1
    """Processes that train side by side, one thread each; 1 is this process."""


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    parameters: int
    schedule: str
    """In words."""
    precision: str
    epochs: int
    draws: int
    """Clips trained on, a clip as often as it was drawn."""
    seconds: float
    """Of training, with what chooses the epoch."""
    dev_eers: tuple[float, ...]
    """Of the epochs of the last stage, on the dev clips that choose among them."""
    scores: dict[str, float]
    """Logits of the dev and eval clips, by path; none where the clips were cross-validated."""
    folds: tuple[dict[str, float], ...] = ()
    """`crossvalidation.Fold`s."""
    attacks: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    """By CLEAN and key of ATTACKS the logits of some dev clips, by path."""


def folder_of(place: Place, row: Row, seed: int) -> Path:
    """Where a run keeps what it made; a row that was edited has another one, its words apart."""
    described = dataclasses.asdict(row) | {"what": "", "full": (), "precision": place.precision}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    return place.work / f"{row.name}-seed{seed}-{digest}"


def run(place: Place, row: Row, seed: int = 0) -> Result:
    """Train a row and judge dev and eval clips, or read how that went; a killed run goes on where it was."""
    folder = folder_of(place, row, seed)
    file = folder / RESULT_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        result = (_cross_validated if row.folds else _trained)(place, row, seed, folder)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(result)), "utf-8")
        for stage in folder.iterdir():
            if stage.is_dir():
                remove_state(stage)
    found = json.loads(file.read_text("utf-8"))
    return Result(**found | {name: tuple(found[name]) for name in ("dev_eers", "folds")})


def series(
    place: Place, rows: Sequence[Row] = ROWS, say: Callable[[str], None] = log.info
) -> dict[str, list[Result]]:
    """Run rows with every seed; what is done is read.

    Returns:
        By name of the row, the results in the order of their seeds.

    Raises:
        FileNotFoundError: If a row starts from published weights and their folder is not there.
        ValueError: If a row is of a corpus that cannot be trained on.
    """
    for row in rows:
        clips(place, row)
        if row.weights and not (place.weights and place.weights.is_dir()):
            raise FileNotFoundError(f"{row.name} starts from published weights: {place.weights} is no folder")
    tasks = [(place, row, seed) for row in rows for seed in range(place.seeds)]
    found: dict[str, list[Result]] = {}

    def take(row: Row, result: Result) -> None:
        found.setdefault(row.name, []).append(result)
        say(f"{row.name}: {result.draws} clips drawn, {result.seconds:.0f} s")

    if place.jobs == 1:
        for task in tasks:
            take(task[1], run(*task))
        return found
    with ProcessPoolExecutor(place.jobs, get_context("spawn"), _alone) as pool:
        for task, result in zip(tasks, pool.map(run, *zip(*tasks, strict=True)), strict=True):
            take(task[1], result)
    return found


def _alone() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)


# -- training


def clips(place: Place, row: Row) -> dict[str, Manifest]:
    """Train and dev clips of a row's corpora, by split.

    Raises:
        ValueError: If one of the corpora has no train and dev clips of both classes.
    """
    manifest = open_data(place.data)
    allowed = training_corpora(manifest)
    if missing := set(row.corpora) - set(allowed):
        raise ValueError(f"{row.name} needs {', '.join(sorted(missing))}; there is {', '.join(allowed)}")
    wanted = row.corpora or allowed
    return {split: manifest.select(corpus=wanted, split=split) for split in ("train", "dev")}


def judged_clips(place: Place) -> Manifest:
    """Dev clips of the corpora that can be trained on, and all eval clips."""
    manifest = open_data(place.data)
    dev = manifest.select(corpus=training_corpora(manifest), split="dev")
    return Manifest(manifest.root, dev.clips + manifest.select(split="eval").clips)


def _trained(place: Place, row: Row, seed: int, folder: Path) -> Result:
    detector, fits = _start(place, row, seed), []
    for number, stage in enumerate(row.stages):
        fits.append(_fit(place, row, stage, detector, seed, folder / f"stage-{number}"))
    precision = fits[-1].precision
    waves = decoded(place.data).subset(judged_clips(place))
    seen = judged(detector, waves, precision)
    np.savez_compressed(
        folder / EMBEDDINGS_FILE,
        embeddings=seen.embeddings.astype(np.float16),
        axis=detector.head.weight.detach().numpy()[0],
    )
    return Result(
        parameters=_size(detector),
        schedule=row.schedule,
        precision=precision,
        epochs=sum(len(fit.history) for fit in fits),
        draws=sum(len(fit.draws.rows) for fit in fits),
        seconds=round(sum(epoch.seconds for fit in fits for epoch in fit.history), 1),
        dev_eers=tuple(round(epoch.dev_eer, 4) for epoch in fits[-1].history),
        scores=_by_path(waves.manifest, seen),
        attacks=_attacked(place, row, detector) if row.attacked else {},
    )


def _start(place: Place, row: Row, seed: int) -> Detector:
    torch.manual_seed(seed)
    detector = build_model(row.model)
    if row.weights == WHISPER:
        mesonet.load_encoder(detector, place.weights)
    elif row.weights:
        aasist_weights.load(detector, place.weights / row.weights)
    return detector


def _fit(place: Place, row: Row, stage: Stage, detector: Detector, seed: int, folder: Path) -> Fit:
    """Train in place; the weights are those of the epoch with the lowest dev EER, as the poster chose."""
    own, waves = clips(place, row), decoded(place.data)
    train = waves.subset(part(own["train"], stage.share, seed))
    dev = waves.subset(part(own["dev"], stage.dev_share, seed))
    detector.feature_augment = SpecAugment() if stage.data.augment else None
    loss, data = LOSSES[detector.loss], stage.data
    batches: Callable[[int], Any] = TrainBatches(
        train, data.batch_size, seed, data.balance, Damage(stage), data.epoch_clips
    )
    if data.adversarial:
        batches = AdversarialBatches(
            batches, detector, data.adversarial, steps=data.adversarial_steps, loss=loss, seed=seed
        )
    recipe = dataclasses.replace(stage.recipe, seed=seed, precision=place.precision)
    watched = np.sort(np.random.default_rng(seed).permutation(len(train.manifest))[:WATCHED_CLIPS])
    _keep_lowest_eer(folder)  # of an epoch after which the run was killed
    fit = training.fit(
        detector, batches, WindowBatches(dev, batch_size=JUDGED_AT_ONCE), WindowBatches(train, watched),
        recipe, folder, loss, epoch_done=lambda _: _keep_lowest_eer(folder),
    )  # fmt: skip
    detector.load_state_dict(load_file(folder / CHOSEN_FILE))
    return fit


def _keep_lowest_eer(folder: Path) -> None:
    """Keep the weights of the last epoch if its dev EER is the lowest so far.

    `training.fit` keeps those of the lowest dev loss, which suits calibrated scores: the logits of one-class
    losses are drawn 7 away from 0, so that each error costs more the longer it is trained.
    """
    file = folder / training.STATE_FILE
    if not file.exists():
        return
    with safe_open(file, "pt") as state:
        history = [epoch["dev_eer"] for epoch in json.loads(state.metadata()["state"])["history"]]
        if history.index(min(history)) == len(history) - 1:
            names = [name for name in state.keys() if name.startswith("model/")]  # noqa: SIM118
            with replacing(folder / CHOSEN_FILE) as temporary:
                save_file({name.removeprefix("model/"): state.get_tensor(name) for name in names}, temporary)


def _size(detector: Detector) -> int:
    return sum(parameter.numel() for parameter in detector.parameters())


# -- judging


def judged(detector: Detector, waves: Waves, precision: str) -> Embedded:
    """Embeddings and scores of clips in the precision of the training; windows as at inference."""
    detector.to(memory_format=torch.channels_last).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        return training.embed(detector, WindowBatches(waves, batch_size=JUDGED_AT_ONCE))


def _attacked(place: Place, row: Row, detector: Detector) -> dict[str, dict[str, float]]:
    """What it says of dev clips that are perturbed against it."""
    dev = clips(place, row)["dev"]
    waves = decoded(place.data).subset(part(dev, min(1.0, ATTACKED_CLIPS / len(dev)), seed=0))
    loss = LOSSES[detector.loss]
    found = {}
    for name, (epsilon, steps) in {CLEAN: (0.0, 1), **ATTACKS}.items():
        generator = torch.Generator().manual_seed(0)
        batches = [
            batch._replace(wave=perturbed(detector, batch.wave, batch.label, loss, epsilon, steps, generator))
            for batch in WindowBatches(waves, batch_size=JUDGED_AT_ONCE)
        ]
        found[name] = _by_path(waves.manifest, training.embed(detector.eval(), batches))
    return found


def _by_path(manifest: Manifest, seen: Embedded) -> dict[str, float]:
    return {clip.path: round(float(score), 4) for clip, score in zip(manifest, seen.scores, strict=True)}


def _cross_validated(place: Place, row: Row, seed: int, folder: Path) -> Result:
    (stage,), own = row.stages, clips(place, row)
    waves = decoded(place.data).subset(Manifest(own["train"].root, own["train"].clips + own["dev"].clips))
    recipe = dataclasses.replace(stage.recipe, seed=seed, precision=place.precision)
    found = crossvalidation.run(row.model, waves, row.folds, folder, recipe, stage.data)
    epochs = [
        json.loads(line)
        for file in sorted(folder.glob(f"fold-*/{training.LOG_FILE}"))
        for line in file.read_text("utf-8").splitlines()
    ]
    return Result(
        parameters=_size(build_model(row.model)),
        schedule=row.schedule,
        precision=place.precision,
        epochs=len(epochs),
        draws=len(epochs) * (stage.data.epoch_clips or len(waves.manifest)),
        seconds=round(sum(epoch["seconds"] for epoch in epochs), 1),
        dev_eers=(),
        scores={},
        folds=tuple(map(dataclasses.asdict, found)),
    )
