"""Weights in fewer bytes: what is lost, and that the same bytes come again."""

import pytest
import torch

from ncdetect.compression import SCALE, compress, expand


def state():
    generator = torch.Generator().manual_seed(0)
    return {
        "conv": torch.randn(4, 3, 2, 2, generator=generator) * torch.tensor([1, 10, 0.1, 0]).view(4, 1, 1, 1),
        "bias": torch.randn(4, generator=generator),
        "steps": torch.tensor(7),
    }


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
def test_compressing_what_was_expanded_gives_the_same_bytes(stored):
    once = compress(state(), stored)
    again = compress(expand(once), stored)
    assert once.keys() == again.keys() and all(torch.equal(once[name], again[name]) for name in once)
    assert expand(once)["steps"].dtype == torch.int64


def test_int8_keeps_each_channel_to_half_a_step():
    whole, found = state(), compress(state(), "int8")
    assert found["conv"].dtype == torch.int8 and found["bias"].dtype == torch.float32
    step = found["conv" + SCALE].float().view(4, 1, 1, 1)
    assert ((expand(found)["conv"] - whole["conv"]).abs() <= 0.501 * step + 1e-7).all()
    assert expand(found)["conv"][3].abs().max() == 0


def test_the_hand_worked_scale():
    found = compress({"w": torch.tensor([[127.0, -63.6], [0.5, 0.25]])}, "int8")
    assert found["w"].tolist() == [[127, -64], [127, 64]]  # 63.6 rounds to 64; the second step is 0.5 / 127


def test_float16_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match="beyond float16"):
        compress({"w": torch.tensor([1e5])}, "float16")
