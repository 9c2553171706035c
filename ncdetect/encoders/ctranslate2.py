"""Reads Whisper's encoder from CTranslate2's `model.bin`, the form in which faster-whisper distributes it."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""Of an entry, by its number in the file (CTranslate2, binary version 6)."""


def read(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """All arrays of a model, by CTranslate2's names.

    Args:
        files: The model, or the parts it was cut into, in order.

    Raises:
        ValueError: If they hold something else.
    """
    data = b"".join(file.read_bytes() for file in files)
    try:
        return dict(_entries(data))
    except (struct.error, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{files[0].name} is no model of CTranslate2's: {error}") from error


def _entries(data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", data, at)
        at += struct.calcsize(f"<{kind}")
        return value

    def word() -> str:
        nonlocal at
        length = number("H")
        at += length
        return data[at - length : at].rstrip(b"\0").decode()

    number("I"), word(), number("I")  # versions of format and model, and the model's name
    for _ in range(number("I")):
        name = word()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = TYPES[number("B")], number("I")
        yield name, np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size


def whisper_encoder(entries: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The encoder's weights by the names of Hugging Face's `WhisperEncoder`, float32.

    CTranslate2 has queries, keys and values in one matrix; the keys' bias, which Whisper lacks, is zero.
    """
    found: dict[str, Tensor] = {}

    def take(name: str, source: str) -> None:
        found[name] = torch.from_numpy(entries[f"encoder/{source}"].astype(np.float32))

    for index in (1, 2):
        for kind in ("weight", "bias"):
            take(f"conv{index}.{kind}", f"conv{index}/{kind}")
    layers = 0
    while f"encoder/layer_{layers}/ffn/linear_0/weight" in entries:
        own, source = f"layers.{layers}", f"layer_{layers}"
        for kind in ("weight", "bias"):
            joined = entries[f"encoder/{source}/self_attention/linear_0/{kind}"].astype(np.float32)
            for name, part in zip("qkv", np.split(joined, 3), strict=True):
                if (name, kind) != ("k", "bias"):
                    found[f"{own}.self_attn.{name}_proj.{kind}"] = torch.from_numpy(part.copy())
            take(f"{own}.self_attn.out_proj.{kind}", f"{source}/self_attention/linear_1/{kind}")
            take(f"{own}.fc1.{kind}", f"{source}/ffn/linear_0/{kind}")
            take(f"{own}.fc2.{kind}", f"{source}/ffn/linear_1/{kind}")
        for kind, theirs in (("weight", "gamma"), ("bias", "beta")):
            take(f"{own}.self_attn_layer_norm.{kind}", f"{source}/self_attention/layer_norm/{theirs}")
            take(f"{own}.final_layer_norm.{kind}", f"{source}/ffn/layer_norm/{theirs}")
        layers += 1
    return found
