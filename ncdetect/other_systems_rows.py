"""Which systems `other_systems` trains, how, and with which claims of the source documents in view.

Each row has a short schedule for one CPU core and the published one for a GPU. Draws and cuts of the short
ones were chosen by the speed of training, measured on one core with bfloat16 and windows of 3 s: 10 clips a
second for LFCC, 1.6 for MFCC, 20 for Whisper frozen and 10 unfrozen, 2.4 for AASIST-L, 68 for mel-attention,
185 for tiny-resnet.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncdetect import audio
from ncdetect.adversarial import EPSILON
from ncdetect.augment import DAMAGES, WaveAugment
from ncdetect.corpora import Manifest
from ncdetect.models.mesonet import STAGES
from ncdetect.pipeline import Data
from ncdetect.training import Recipe

POSTER, WHISPER, AASIST, ATTENTION, ADVERSARIAL = SECTIONS = (
    "poster", "whisper", "aasist", "attention", "adversarial",
)  # fmt: skip
CLEAN, ATTACKS = (
    "clean",
    {
        f"{name} at {strength:g}": (strength * EPSILON, steps)
        for strength in (0.2, 1)
        for name, steps in (("FGSM", 1), ("PGD", 10))
    },
)
"""Attacks on dev clips by name, which has the strength as a share of the training's: strength and steps."""
CODED = 8 / 9
"""Of ASVspoof 2021 DF's nine conditions eight are codecs."""


@dataclass(frozen=True)
class Stage:
    """One training; the next stage goes on with its weights."""

    recipe: Recipe
    data: Data
    coded: float = 0.0
    """Share of the train clips that go through a codec, where `data.augment` is off."""
    seconds: float = 3.0
    """Of a train clip that are heard, at a random place."""
    share: float = 1.0
    """Of the train clips of each corpus and class, drawn at random, that there are."""
    dev_share: float = 1.0
    """Likewise of the dev clips that choose the epoch."""

    @property
    def words(self) -> str:
        """The schedule in words."""
        recipe, data = self.recipe, self.data
        clips = f"{data.epoch_clips} clips" if data.epoch_clips else "all clips"
        said = [f"{recipe.epochs} epochs of {clips}", f"batches of {data.batch_size}"]
        said.append(f"{recipe.optimiser} {recipe.learning_rate:g}")
        if recipe.schedule == "step":
            said.append(f"halved every {recipe.halve_every}")
        elif recipe.schedule == "cosine":
            said.append("cosine")
        if recipe.weight_decay:
            said.append(f"decay {recipe.weight_decay:g}")
        if recipe.pretrained_rate != 1:
            rate = recipe.pretrained_rate
            said.append(f"encoder at {rate:g} of that" if rate else "encoder frozen")
        if self.seconds != Stage.seconds:
            said.append(f"cuts of {self.seconds:g} s")
        if self.coded:
            said.append(f"{self.coded:.0%} coded")
        if data.augment:
            said.append("augmented")
        if data.adversarial:
            said.append(f"{data.adversarial:.0%} perturbed")
        if self.share != 1:
            said.append(f"on {self.share:.0%} of the clips")
        if self.dev_share != 1:
            said.append(f"epoch chosen on {self.dev_share:.0%} of dev")
        return ", ".join(said)


@dataclass(frozen=True)
class Row:
    """One system, trained in one way."""

    name: str
    section: str
    """One of SECTIONS."""
    model: str
    """A key of MODELS."""
    what: str
    """In the table."""
    stages: tuple[Stage, ...]
    full: tuple[Stage, ...]
    """As published."""
    corpora: tuple[str, ...] = ()
    """Those that are trained on; empty is all."""
    weights: str = ""
    """`whisper`, or the file of AASIST's weights that training starts from."""
    folds: int = 0
    """Cross-validated instead of judged on eval."""
    attacked: bool = False
    """Whether it is also judged under attack."""

    @property
    def schedule(self) -> str:
        """In words."""
        return "; then ".join(stage.words for stage in self.stages)

    def published(self) -> "Row":
        """The row with its published schedule."""
        return dataclasses.replace(self, stages=self.full)


@dataclass(frozen=True)
class Damage:
    """What happens to a train batch: all of `WaveAugment`, or codecs alone; then the cut of the stage."""

    stage: Stage

    def __call__(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T) -> (B, T'), T' the seconds of the stage, cut at one place of the whole batch."""
        samples = round(self.stage.seconds * audio.SAMPLE_RATE)
        if samples < wave.shape[1]:
            start = int(torch.randint(wave.shape[1] - samples + 1, (), generator=generator))
            wave = wave[:, start : start + samples]
        if self.stage.data.augment:
            return WaveAugment()(wave, generator)
        if self.stage.coded:
            return WaveAugment(**dict.fromkeys(DAMAGES, 0.0) | {"codec": self.stage.coded})(wave, generator)
        return wave


def part(manifest: Manifest, share: float, seed: int) -> Manifest:
    """A random share of each corpus and class, at least one clip of each, in the manifest's order."""
    if share == 1:
        return manifest
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, int], list[int]] = {}
    for row, clip in enumerate(manifest):
        groups.setdefault((clip.corpus, clip.label), []).append(row)
    kept = [rng.permutation(rows)[: max(1, round(share * len(rows)))] for rows in groups.values()]
    return Manifest(manifest.root, tuple(manifest.clips[row] for row in np.sort(np.concatenate(kept))))


# -- the poster's ResNets: 5 epochs, of which the first is a fifth, as 20 are of 100

_RESNET = Recipe(epochs=5, patience=5, learning_rate=3e-4, schedule="step", halve_every=1, weight_decay=5e-4)
_RESNET_FULL = dataclasses.replace(_RESNET, epochs=100, patience=100, halve_every=10)
_CEPSTRA = {
    "lfcc": Stage(_RESNET, Data(16, epoch_clips=960), seconds=1.5),
    "mfcc": Stage(_RESNET, Data(8, epoch_clips=160), seconds=1.0, dev_share=0.25),
}
_LOSSES = {"": "OC-Softmax", "-softmax": "softmax", "-am": "AM-Softmax"}


def _poster(features: str, loss: str, corpus: str) -> Row:
    """One of table 3: on a corpus as it is (its 2019 LA), or on all, coded and balanced (its 2021 DF)."""
    stage, full = _CEPSTRA[features], Stage(_RESNET_FULL, Data(64, epoch_clips=None))
    if corpus:
        few = dataclasses.replace(stage.data, balance="none", epoch_clips=stage.data.epoch_clips // 2)
        stage = dataclasses.replace(stage, data=few, dev_share=1.0)
        full = dataclasses.replace(full, data=dataclasses.replace(full.data, balance="none"))
    else:
        stage, full = (dataclasses.replace(each, coded=CODED) for each in (stage, full))
    return Row(
        f"{features}{loss}-{corpus or 'all'}", POSTER, f"{features}-resnet18{loss}",
        f"{features.upper()} ResNet-18, {_LOSSES[loss]}", (stage,), (full,), (corpus,) if corpus else (),
    )  # fmt: skip


# -- Whisper and MesoNet


def _mesonet(loss: str) -> Row:
    full = tuple(
        Stage(Recipe(**fields), Data(8, epoch_clips=None), coded=CODED)  # type: ignore[arg-type]
        for fields in STAGES
    )
    stages = tuple(
        dataclasses.replace(
            stage, recipe=dataclasses.replace(stage.recipe, epochs=epochs, patience=epochs),
            data=Data(8, epoch_clips=draws),
        )
        for stage, epochs, draws in zip(full, (5, 2), (640, 240), strict=True)
    )  # fmt: skip
    return Row(
        f"whisper{loss and '-oc'}", WHISPER, f"whisper-mesonet{loss and '-oc'}",
        f"MFCC and Whisper, MesoNet, {'OC-Softmax' if loss else 'softmax'}", stages, full, weights=WHISPER,
    )  # fmt: skip


# -- AASIST-L: published are Adam 1e-4 and batches of 24; so few steps take a higher rate

_AASIST = Recipe(epochs=3, patience=3, learning_rate=5e-4, schedule="cosine", weight_decay=1e-4)
_AASIST_FULL = Recipe(epochs=100, patience=100, learning_rate=1e-4, schedule="cosine", weight_decay=1e-4)
_GRAPH = Stage(_AASIST, Data(8, epoch_clips=160), dev_share=0.25)
_GRAPH_FULL = Stage(_AASIST_FULL, Data(24, epoch_clips=None))
_PART, _REST = (
    dataclasses.replace(
        _GRAPH, recipe=dataclasses.replace(_AASIST, epochs=epochs, patience=epochs), share=share
    )
    for epochs, share in ((1, 0.25), (2, 1.0))
)


def _aasist(
    name: str, what: str, stages: tuple[Stage, ...], full: tuple[Stage, ...], weights: str = ""
) -> Row:
    return Row(name, AASIST, "aasist-l", what, stages, full, weights=weights)


# -- the notes' attention on log-mel, and training on perturbed clips

_NOTES = Stage(
    Recipe(epochs=6, patience=6, schedule="cosine", weight_decay=0.01, optimiser="adamw"),
    Data(32, epoch_clips=480, augment=True),
)
_NOTES_FULL = Stage(
    dataclasses.replace(_NOTES.recipe, epochs=100, patience=100), Data(32, epoch_clips=None, augment=True)
)
_SMALL = Stage(
    Recipe(epochs=10, patience=10, learning_rate=2e-3, schedule="cosine"), Data(16, epoch_clips=1024)
)
_SMALL_FULL = Stage(Recipe(), Data(32, epoch_clips=1024))


def _robust(share: float) -> Row:
    stage, full = (
        dataclasses.replace(each, data=dataclasses.replace(each.data, adversarial=share))
        for each in (_SMALL, _SMALL_FULL)
    )
    return Row(
        "adversarial" if share else "not-adversarial", ADVERSARIAL, "tiny-resnet",
        f"tiny-resnet, {f'{share:.0%} of the clips perturbed (FGSM)' if share else 'as usual'}",
        (stage,), (full,), attacked=True,
    )  # fmt: skip


ROWS: tuple[Row, ...] = (
    *(_poster("lfcc", loss, "") for loss in ("", "-softmax", "-am")),
    *(_poster("mfcc", loss, "") for loss in ("", "-softmax")),
    *(_poster("lfcc", loss, "neural") for loss in ("", "-softmax", "-am")),
    *(_mesonet(loss) for loss in ("", "oc")),
    _aasist("aasist-scratch", "AASIST-L from scratch", (_GRAPH,), (_GRAPH_FULL,)),
    _aasist("aasist-tuned", "AASIST-L, official weights fine-tuned", (_GRAPH,), (_GRAPH_FULL,),
            "aasist-l.pth"),
    _aasist("aasist-part", "AASIST-L, a quarter of the clips first", (_PART, _REST),
            (dataclasses.replace(_GRAPH_FULL, share=0.25), _GRAPH_FULL)),
    Row("attention", ATTENTION, "mel-attention", "CNN and attention on log-mel", (_NOTES,), (_NOTES_FULL,)),
    Row("attention-folds", ATTENTION, "mel-attention", "the same, five-fold", (_NOTES,), (_NOTES_FULL,),
        folds=5),
    _robust(0.0),
    _robust(0.5),
    *(_poster("mfcc", loss, "neural") for loss in ("", "-softmax")),
)  # fmt: skip
"""The most telling first."""
