"""The series of measured changes behind `listener` and `tiny`: `assets/results/detector.csv`.

Every change is judged on clips that its training has not seen anything like: with one corpus left out
(trained on the other three, judged on its train and dev clips), with a quarter of the generators and speakers
left out, and on dev; each as the clips are and with several damages at once. Eval and wild have no part in
it.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ncdetect import listening, metrics, rules, training
from ncdetect.corpora import Manifest
from ncdetect.encoders import spectral
from ncdetect.experiments import open_data, training_corpora
from ncdetect.features import Features
from ncdetect.files import replacing
from ncdetect.labels import Label
from ncdetect.listening import CLEAN, COPIES, Probe, Tuning
from ncdetect.models import Detector
from ncdetect.rules import Budget
from ncdetect.sampling import Threshold
from ncdetect.training import Fit

Setting = TypeVar("Setting", Probe, Tuning)

log = logging.getLogger(__name__)

DAMAGED = "mixed"
GENERATORS, DEV = "generators", "dev"
HELD_OUT_GROUPS = 4
"""One in so many generators and speakers is left out in the fold `generators`."""
LIGHT, BASE, SPECTRAL = "light-listener", "whisper-base", "spectral"
"""Folders of statistics: of tiny.en and DistillMOS together, of Whisper base, and of classic front ends."""
PARTS = {
    "whisper": ((LIGHT, 0, 2304),),
    "distillmos": ((LIGHT, 2304, 7152),),
    "small": ((LIGHT, 2304, 5952),),
    "both": ((LIGHT, 0, 7152),),
    "base": ((BASE, 0, 4096), (LIGHT, 2304, 7152)),
    "spectra": ((SPECTRAL, 0, spectral.columns("phase")[1]),),
    "base-spectra": ((BASE, 0, 4096), (LIGHT, 2304, 7152), (SPECTRAL, 0, spectral.columns("phase")[1])),
    **{name: ((SPECTRAL, *spectral.columns(name)),) for name in spectral.SIZES},
}
"""What is heard: folders of the pooled statistics, and columns there."""
MODELS = {"both": "light-listener", "base": "listener", "small": "small-listener"}
"""By part that may ship: the architecture."""
FIRST_ROW = {"both": 0, "small": 384}
"""By part that may be fine-tuned: its first row of the front end's features."""


@dataclass(frozen=True)
class Change:
    """One row of the series."""

    name: str
    what: str
    why: str
    part: str = "both"
    probe: Probe = Probe()
    tuning: Tuning | None = None
    """After the probe."""
    teacher: str = ""
    """Half of each target is what probes on this part say (a key of PARTS); empty learns from labels."""
    made: bool = False
    """Whether fakes made from the train reals are added."""
    without: str = ""
    """A corpus that is not trained on."""
    rule: str = ""
    """Half of the train clips of each corpus and class are kept by this rule, in the embedding of the probe
    that was trained on all of them; empty keeps all."""

    @property
    def may_ship(self) -> bool:
        """Whether it is a detector of the usual width, trained on whole corpora."""
        return self.part in MODELS and not self.rule and self.probe.embedding_dim == Probe.embedding_dim


def _with(**changes: object) -> Probe:
    return dataclasses.replace(Probe(), **changes)


CLEAN_ONLY = _with(copies=(CLEAN,))
SERIES = (
    Change("whisper", "Whisper tiny.en, three layers", "start: a frozen encoder", "whisper", CLEAN_ONLY),
    Change("distillmos", "DistillMOS, seven layers", "the other encoder", "distillmos", CLEAN_ONLY),
    Change("small", "DistillMOS, four layers", "what fits under 4 MB", "small", CLEAN_ONLY),
    Change("both", "Whisper and DistillMOS", "they hear different things", probe=CLEAN_ONLY),
    Change("coded", "both, and a coded copy of each clip", "MP3, AAC, Opus and others hide and add traces",
           probe=_with(copies=(CLEAN, "coded"))),
    Change("phone", "both, and a copy by telephone", "telephone speech in the corpora is nearly all real",
           probe=_with(copies=(CLEAN, "phone"))),
    Change("noisy", "both, and a noisy, reverberant copy", "clean is not the same as synthetic",
           probe=_with(copies=(CLEAN, "noisy"))),
    Change("damaged", "both, and a copy with several damages", "all of it at once",
           probe=_with(copies=(CLEAN, "mixed"))),
    Change("all-copies", "both, all four damaged copies", "each of them"),
    Change("mostly-damaged", "all copies, a fifth of the draws clean", "more damage",
           probe=_with(clean=0.2)),
    Change("no-vocoded", "all copies, without `vocoded`", "re-synthesised speech is hardest to tell",
           without="vocoded"),
    Change("no-neural", "all copies, without `neural`", "which corpora count", without="neural"),
    Change("no-engines", "all copies, without `engines`", "which corpora count", without="engines"),
    Change("no-cloned", "all copies, without `cloned`", "which corpora count", without="cloned"),
    Change("corpora-equal", "all copies, each corpus equally often", "`cloned` is half of the clips",
           probe=_with(balance="corpus")),
    Change("bce", "all copies, labels not smoothed", "the loss", probe=_with(loss="bce")),
    Change("focal", "all copies, focal loss", "the loss", probe=_with(loss="focal")),
    Change("contrastive", "all copies, supervised contrast added", "the loss",
           probe=_with(loss="contrastive")),
    Change("no-average", "all copies, weights not averaged", "does averaging help",
           probe=_with(recipe=dataclasses.replace(Probe().recipe, average=0.0))),
    Change("wide", "all copies, a 512-d embedding", "more room above the encoders",
           probe=_with(embedding_dim=512)),
    Change("mixup", "clean and damaged copies, mixed in pairs", "few clips",
           probe=_with(copies=(CLEAN, "mixed"), mixup=0.4)),
    Change("generators-equal", "clean and damaged copies, each generator equally often",
           "some of 460 generators have 60 clips, most have 2",
           probe=_with(copies=(CLEAN, "mixed"), balance="generator")),
    Change("made-fakes", "clean and damaged copies, a fake made from each train real (Griffin-Lim, WORLD)",
           "more fakes of voices that are there as reals", probe=_with(copies=(CLEAN, "mixed")), made=True),
    Change("dropout", "all copies, dropout 0.6", "few clips, many statistics", probe=_with(dropout=0.6)),
    Change("random-half", "all copies of half of the clips, drawn blindly", "what half costs", rule="random"),
    Change("algorithm-1-half", "all copies of the half nearest to its class mean", "does NC sampling help",
           rule="algorithm-1"),
    Change("algorithm-2-half", "all copies of half of the clips by Algorithm 2", "does NC sampling help",
           rule="algorithm-2"),
    Change("small-all-copies", "DistillMOS, four layers, all copies", "the tiny model", "small"),
    Change("small-dropout", "the same, dropout 0.6", "the tiny model", "small", _with(dropout=0.6)),
    Change("tuned", "clean and damaged copies, then the encoders' upper layers fine-tuned",
           "the encoders were made for something else",
           probe=_with(copies=(CLEAN, "mixed")), tuning=Tuning()),
    Change("base", "Whisper base, four layers, and DistillMOS", "a larger encoder", "base", CLEAN_ONLY),
    Change("base-damaged", "Whisper base and DistillMOS, and a copy with several damages",
           "what was best with the smaller one", "base", _with(copies=(CLEAN, "mixed"))),
    Change("base-taught", "the same, half of each target from probes that do not know the voice",
           "self-distillation: labels say less than doubts", "base",
           _with(copies=(CLEAN, "mixed")), teacher="base"),
    Change("small-damaged", "DistillMOS, four layers, clean and damaged copies", "the tiny model", "small",
           _with(copies=(CLEAN, "mixed"))),
    Change("small-taught", "the same, half of each target from probes on Whisper base and DistillMOS",
           "the large listener distilled into the tiny one", "small", _with(copies=(CLEAN, "mixed")),
           teacher="base"),
    *(Change(name, f"no encoder: mean and deviation of {what}, clean and damaged copies", "front ends", name,
             _with(copies=(CLEAN, "mixed")))
      for name, what in (("log-mel", "80 mel bands"), ("linear", "257 linear bands"),
                         ("constant-q", "168 constant-Q bands"), ("lfcc", "20 LFCC with deltas"),
                         ("phase", "257 group delays"), ("spectra", "all five"))),
    Change("base-spectra", "Whisper base, DistillMOS and these five front ends",
           "do they hear what encoders miss", "base-spectra", _with(copies=(CLEAN, "mixed"))),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the study finds and keeps things."""

    data: Path
    work: Path
    """Holds `statistics/`, `features/` and a folder for each run."""
    weights: Path
    """Of the encoders, as published."""
    seeds: int = 1
    jobs: int = 1


@cache
def clips(data: Path) -> Manifest:
    """Train and dev clips of the corpora that may be trained on."""
    manifest = open_data(data)
    return manifest.select(corpus=training_corpora(manifest), split=["train", "dev"])


@cache
def _read(file: Path) -> Features:
    return Features.read(file)


def statistics(work: Path, copy: str, part: str) -> Features:
    """Those of all clips in a copy, of a part of the encoders (a key of PARTS)."""
    read = [(_read(work / "statistics" / name / f"{copy}.npy"), a, b) for name, a, b in PARTS[part]]
    beside = np.concatenate([one.values[:, start:end] for one, start, end in read], axis=1)
    return dataclasses.replace(read[0][0], values=beside)


def features(work: Path, copy: str, part: str) -> Features:
    """What the front end makes of all clips in a copy, of a part that may be tuned (a key of FIRST_ROW)."""
    whole = _read(work / "features" / f"{copy}.npy")
    return dataclasses.replace(whole, values=whole.values[:, FIRST_ROW[part] :])


def copies(part: str) -> tuple[str, ...]:
    """The copies that changes of the series hear of a part, in the order of COPIES."""
    heard = {CLEAN, DAMAGED}
    for change in SERIES:
        if change.part == part:
            heard |= {*change.probe.copies}
    return tuple(copy for copy in COPIES if copy in heard)


def folds(manifest: Manifest) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rows to train on and rows to judge, by name of what is left out.

    Args:
        manifest: Train and dev clips of the corpora that may be trained on.
    """
    corpus = np.array([clip.corpus for clip in manifest])
    split = np.array([clip.split for clip in manifest])
    train = split == "train"
    apart = np.array([listening.group_number(clip) % HELD_OUT_GROUPS == 0 for clip in manifest])
    made = {name: (train & (corpus != name), corpus == name) for name in sorted(set(corpus))}
    made |= {GENERATORS: (train & ~apart, apart), DEV: (train, ~train)}
    return {name: (np.flatnonzero(a), np.flatnonzero(b)) for name, (a, b) in made.items()}


def run(place: Place, change: Change, fold: str, seed: int) -> dict[str, object]:
    """Train on a fold and judge what was left out, or read how that went.

    Returns:
        `clean` and `damaged`: EER on the clips left out; `scores` and `scores_damaged` of these clips;
        `seconds`.
    """
    folder = place.work / "runs" / f"{change.name}-{fold}-seed{seed}"
    file = folder / "result.json"
    described = json.dumps(dataclasses.asdict(change), sort_keys=True)
    if file.exists():
        found = json.loads(file.read_text("utf-8"))
        if found["change"] == described:
            return found
    started = time.perf_counter()
    manifest = clips(place.data)
    train, judged = folds(manifest)[fold]
    train = np.array([row for row in train if manifest.clips[row].corpus != change.without])
    top, _, seen = fitted(place, change, train, judged, seed, folder / "fit")
    scores = {
        name: listening.judged(top, seen[copy], judged).scores
        for name, copy in (("clean", CLEAN), ("damaged", DAMAGED))
    }
    labels = manifest.labels[judged]
    found = {
        "change": described,
        "clean": metrics.eer_roc(scores["clean"], labels),
        "damaged": metrics.eer_roc(scores["damaged"], labels),
        "seconds": time.perf_counter() - started,
        "scores": [round(float(score), 4) for score in scores["clean"]],
        "scores_damaged": [round(float(score), 4) for score in scores["damaged"]],
    }
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(found), "utf-8")
    return found


def fitted(
    place: Place, change: Change, train: np.ndarray, dev: np.ndarray, seed: int, folder: Path
) -> tuple[Detector, Fit, dict[str, Features]]:
    """A detector whose upper part is trained on some rows, how that went, and what it reads, by copy."""
    manifest = clips(place.data)
    pooled = {
        copy: statistics(place.work, copy, change.part) for copy in {*change.probe.copies, CLEAN, DAMAGED}
    }
    setting = _seeded(change.probe, seed)
    if change.rule:
        whole, _ = listening.probe(pooled, manifest, train, dev, setting, folder / "all")
        train = _half(whole, pooled[CLEAN], manifest, train, change.rule, seed)
    known = manifest
    if change.made:
        known, pooled, train = _with_made(place.work, change.part, manifest, pooled, train)
    targets = None
    if change.teacher:
        heard = {copy: statistics(place.work, copy, change.teacher) for copy in {*change.probe.copies, CLEAN}}
        targets = listening.taught(heard, manifest, train, dev, setting, folder)
    top, fit = listening.probe(pooled, known, train, dev, setting, folder, targets=targets)
    if change.tuning is None:
        return top, fit, pooled
    seen = {copy: features(place.work, copy, change.part) for copy in {*change.tuning.copies, CLEAN, DAMAGED}}
    setting = _seeded(change.tuning, seed)
    upper, fit = listening.tuned(
        top, MODELS[change.part], place.weights, seen, manifest, train, dev, setting, folder / "tuned"
    )
    training.remove_state(folder / "tuned")
    return upper, fit, seen


def originals(manifest: Manifest) -> np.ndarray:
    """Rows of the recordings that fakes are made from: the train reals."""
    return np.array(
        [row for row, clip in enumerate(manifest) if (clip.split, clip.label) == ("train", Label.REAL)]
    )


def _with_made(
    work: Path, part: str, manifest: Manifest, pooled: Mapping[str, Features], train: np.ndarray
) -> tuple[Manifest, dict[str, Features], np.ndarray]:
    """Manifest, statistics and train rows with a fake more for every real that is trained on."""
    reals = originals(manifest)
    fakes = tuple(
        dataclasses.replace(manifest.clips[row], path=f"{manifest.clips[row].path}.made", label=Label.FAKE)
        for row in reals
    )
    both = {}
    for copy, own in pooled.items():
        added = statistics(work, f"made-{copy}", part).values
        labels = np.concatenate([own.labels, np.full(len(reals), int(Label.FAKE))])
        both[copy] = Features(np.concatenate([own.values, added]), labels, np.arange(len(labels)))
    more = len(manifest) + np.flatnonzero(np.isin(reals, train))
    return Manifest(manifest.root, manifest.clips + fakes), both, np.concatenate([train, more])


def _seeded(setting: Setting, seed: int) -> Setting:
    return dataclasses.replace(setting, recipe=dataclasses.replace(setting.recipe, seed=seed))


def _half(
    top: Detector, pooled: Features, manifest: Manifest, train: np.ndarray, rule: str, seed: int
) -> np.ndarray:
    """Rows that a rule keeps of each corpus, half of each class."""
    seen = listening.judged(top, pooled, train)
    own_clips = [manifest.clips[row] for row in train]
    corpus = np.array([clip.corpus for clip in own_clips])
    kept = []
    for name in sorted(set(corpus)):
        own = np.flatnonzero(corpus == name)
        pool = rules.Pool(
            seen.embeddings[own], seen.scores[own], seen.labels[own],
            [own_clips[row].path for row in own], [own_clips[row].generator for row in own],
        )  # fmt: skip
        picked = rules.choose(pool, rule, Budget(Threshold(rate=0.5), Threshold(rate=0.5)), seed)
        kept += [train[own[row]] for label in Label for row in picked[label].rows]
    return np.sort(np.array(kept))


def series(
    place: Place, changes: Sequence[Change] = SERIES, say: Callable[[str], None] = log.info
) -> dict[str, dict[str, list[dict[str, object]]]]:
    """Run every change on every fold with every seed; what is done is read.

    Returns:
        By change and fold, the runs in the order of their seeds.
    """
    tasks = [
        (place, change, fold, seed)
        for change in changes
        for fold in folds(clips(place.data))
        for seed in range(place.seeds)
    ]
    found: dict[str, dict[str, list[dict[str, object]]]] = {}
    with ProcessPoolExecutor(place.jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for (_, change, fold, _), result in zip(tasks, pool.map(run, *zip(*tasks, strict=True)), strict=True):
            found.setdefault(change.name, {}).setdefault(fold, []).append(result)
            if fold == DEV:
                row = summary(found[change.name])
                say(
                    ", ".join(f"{key} {value:.1%}" for key, value in row.items() if "eer" in key)
                    + f": {change.name}"
                )
    return found


def summary(by_fold: Mapping[str, Sequence[Mapping[str, object]]]) -> dict[str, float]:
    """Equal error rates of a change, means over its seeds, and the mean over the folds that decides."""
    row: dict[str, float] = {}
    for kind in ("clean", "damaged"):
        means = {fold: float(np.mean([run[kind] for run in runs])) for fold, runs in by_fold.items()}
        end = "" if kind == "clean" else "_damaged"
        if kind == "clean":
            row |= {f"eer_{fold}": value for fold, value in means.items()}
        corpora = [value for fold, value in means.items() if fold not in (GENERATORS, DEV)]
        row[f"eer_corpora{end}"] = float(np.mean(corpora))
        row[f"eer_known{end}"] = (means[GENERATORS] + means[DEV]) / 2
    row["eer_validation"] = float(
        np.mean([row[f"eer_{name}{end}"] for name in ("corpora", "known") for end in ("", "_damaged")])
    )
    row["seconds"] = float(np.mean([run["seconds"] for runs in by_fold.values() for run in runs]))
    return row
