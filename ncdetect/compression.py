"""Weights in fewer bytes: float16, or int8 with a scale for each output channel. Computing stays in float32.

Compressing what was expanded gives the same bytes again, so that a hash of the file stands for the weights.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Stored = Literal["float32", "float16", "int8"]
SCALE = "/scale"
"""End of the name of an int8 tensor's scales."""


def compress(state: Mapping[str, Tensor], stored: Stored) -> dict[str, Tensor]:
    """What is written of a state dict.

    Args:
        state: Names and tensors; whole numbers stay as they are.
        stored: `int8` holds for tensors of two dimensions or more; the others are float32 then.

    Returns:
        Contiguous tensors on the CPU.

    Raises:
        ValueError: If a value is too large for float16.
    """
    found = {}
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        if not value.is_floating_point() or stored == "float32":
            found[name] = value
        elif stored == "float16":
            found[name] = value.half()
            if not found[name].isfinite().all():
                raise ValueError(f"{name} has values beyond float16 (65,504)")
        elif value.ndim < 2:
            found[name] = value
        else:
            # Rounded to float16 first, so that expanding and compressing again finds the same scale.
            scale = (value.flatten(1).abs().amax(dim=1) / 127).clamp_min(2**-14).half().float()
            shaped = scale.view(-1, *[1] * (value.ndim - 1))
            found[name] = (value / shaped).round().clamp(-127, 127).to(torch.int8)
            found[name + SCALE] = scale.half()
    return found


def expand(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict, in float32, of what `compress` made."""
    found = {}
    for name, value in stored.items():
        if name.endswith(SCALE):
            continue
        if value.dtype == torch.int8 and name + SCALE in stored:
            scale = stored[name + SCALE].float()
            value = value.float() * scale.view(-1, *[1] * (value.ndim - 1))
        found[name] = value.float() if value.is_floating_point() else value
    return found
