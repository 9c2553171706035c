"""Widen a detector, freeze what it was, prune it again."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ncdetect.dropin import attention, recurrent
from ncdetect.dropin.parts import FrozenNorm, MoreChannels, MoreInputs, MoreOutputs, Widened, neurons
from ncdetect.encoders.whisper import EncoderLayer as WhisperLayer
from ncdetect.models import Detector
from ncdetect.models.base import glorot_uniform_
from ncdetect.models.gru import GRUNet
from ncdetect.models.resnet import ResidualBlock
from ncdetect.models.wav2vec2 import Wav2Vec2FrontEnd

Steps = dict[str, Callable[[float], None]]
"""By name of a layer, what adds a share of its neurons to it."""


@dataclass(frozen=True)
class Widening:
    """How a detector was widened: with `build_model` and `widen` it makes the same architecture again."""

    share: float
    """New neurons of a layer, as a share of its old ones."""
    layers: tuple[str, ...]
    """Names of `layers_of`, from input to output."""


def widening_of(detector: Detector) -> Widening | None:
    """How a detector was widened; None where it was not, or is pruned."""
    return getattr(detector, "widening", None)


def _residual(block: ResidualBlock) -> Steps:
    def widen_block(share: float) -> None:
        count = neurons(share, block.conv1.out_channels)
        block.conv1, block.norm1 = MoreOutputs(block.conv1, count), MoreChannels(block.norm1, count)
        block.conv2 = MoreInputs(block.conv2, count)

    return {"": widen_block}


WIDENED: dict[type[nn.Module], Callable[[nn.Module], Steps]] = {
    ResidualBlock: _residual,
    GRUNet: recurrent.gru_layers,
    WhisperLayer: attention.whisper_layer,
    nn.TransformerEncoderLayer: attention.torch_layer,
    Wav2Vec2FrontEnd: attention.wav2vec2_layers,
}
"""What can be widened; every sum over a shortcut and every layer normalisation keeps its width."""


def _steps(detector: Detector) -> Steps:
    return {
        ".".join(part for part in (outer, inner) if part): step
        for outer, module in detector.named_modules()
        if type(module) in WIDENED
        for inner, step in WIDENED[type(module)](module).items()
    }


def layers_of(detector: Detector) -> list[str]:
    """Names of the layers that can be widened, from input to output."""
    return list(_steps(detector))


def widen(
    detector: Detector,
    share: float = 0.25,
    layers: Sequence[str] | Literal["random"] | None = None,
    count: int | None = None,
    seed: int = 0,
    keep_function: bool = True,
) -> Detector:
    """A copy of a detector with more neurons inside some of its layers.

    Args:
        detector: Trained, or to be trained; it stays as it is.
        share: New neurons of a layer, as a share of its old ones: kernels of a residual block, units of a
            GRU layer; of an encoder layer the dimensions of each head and the neurons of the feed-forward.
        layers: Names of `layers_of`; `random` draws `count` of them; None widens all.
        count: Of `random`, how many layers.
        seed: Of the layers that are drawn and of the new weights.
        keep_function: Whether the new neurons' outgoing weights start at zero, so that the copy computes what
            the detector does. Without it all new weights are random: for a network of the same size that is
            trained from scratch.

    Returns:
        The widened copy; its attribute `widening` says how.

    Raises:
        ValueError: If a name, a number or the share is not allowed, or the detector is widened already.
    """
    if _parts(detector):
        raise ValueError("the detector is widened already: prune it first")
    if not share > 0:
        raise ValueError(f"share must be above 0, got {share}")
    wide = copy.deepcopy(detector)
    steps = _steps(wide)
    chosen = _chosen(list(steps), layers, count, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in chosen:
            steps[name](share)
        for part in _parts(wide).values():
            glorot_uniform_(part.new)
    for part in _parts(wide).values():
        for weights in part.outgoing() if keep_function else ():
            nn.init.zeros_(weights)
    new = new_parameters(wide)
    wide.pretrained = tuple(
        name
        for name, _ in wide.named_parameters()
        if name not in new and name.startswith(detector.pretrained or ("-",))
    )
    wide.widening = Widening(share, tuple(chosen))
    return wide.to(next(detector.parameters()).device).train(detector.training)


def _chosen(
    known: list[str], layers: Sequence[str] | Literal["random"] | None, count: int | None, seed: int
) -> list[str]:
    """Layers to widen, from input to output."""
    if (layers == "random") != (count is not None):
        raise ValueError(f"count goes with layers='random', got layers={layers!r} and count={count}")
    if count is not None:
        if not 1 <= count <= len(known):
            raise ValueError(f"count must be 1 to {len(known)}, got {count}")
        layers = random.Random(seed).sample(known, count)
    layers = known if layers is None else layers
    unknown = sorted(set(layers) - set(known))
    if unknown or not layers:
        raise ValueError(f"cannot widen {unknown or 'no layer'}; allowed: {', '.join(known) or 'none'}")
    return [name for name in known if name in layers]


def _parts(detector: Detector) -> dict[str, Widened]:
    return {name: module for name, module in detector.named_modules() if isinstance(module, Widened)}


def new_parameters(detector: Detector) -> dict[str, nn.Parameter]:
    """The parameters of what was dropped in, by name; none where nothing was."""
    return {
        f"{name}.new.{inner}": parameter
        for name, part in _parts(detector).items()
        for inner, parameter in part.new.named_parameters()
    }


def freeze_old(detector: Detector) -> None:
    """Let only the new neurons of a widened detector be trained; nothing moves the old ones any more.

    Old weights need no gradients, and old batch-norm statistics stay as they are in training mode, too.

    Raises:
        ValueError: If the detector is not widened.
    """
    new = new_parameters(detector)
    if not new:
        raise ValueError("the detector has no new neurons: widen it first")
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(name in new)
    for name, module in list(detector.named_modules()):
        if isinstance(module, _BatchNorm) and not module.weight.requires_grad:
            detector.set_submodule(name, FrozenNorm(module))


def prune(detector: Detector) -> Detector:
    """A copy of a widened detector without the new neurons: the last step of plasticity.

    Args:
        detector: Widened; it stays as it is.

    Returns:
        The architecture that was widened, its weights as they now are; all of it can be trained.

    Raises:
        ValueError: If the detector is not widened.
    """
    if not _parts(detector):
        raise ValueError("the detector has no new neurons to prune")
    pruned = copy.deepcopy(detector)
    for name, part in _parts(pruned).items():
        pruned.set_submodule(name, part.old)
    for name, module in list(pruned.named_modules()):
        if isinstance(module, FrozenNorm):
            pruned.set_submodule(name, module.thawed())
    pruned.pretrained = tuple(name.replace(".old.", ".") for name in pruned.pretrained)
    del pruned.widening
    return pruned.requires_grad_(True).train(detector.training)
