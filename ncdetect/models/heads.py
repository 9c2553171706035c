"""Heads that judge an embedding by its angle to class centres (Zhang, Jiang and Duan 2021).

Like the linear head, each maps embeddings (B, D) to logits (B, 1), higher = more fake, and has a `weight`
(1, D) that points from real to fake. The margins enter the loss alone (see `losses`).
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 20.0
"""Alpha, from cosine to logit, of both losses."""
REAL_MARGIN, FAKE_MARGIN = 0.9, 0.2
"""Of OC-Softmax (m_0 and m_1): reals are drawn to cosines above the first, fakes to below the second."""
AM_MARGIN = 0.9
"""Of AM-Softmax (m): by so much the cosine to the own centre shall exceed that to the other."""


class CosineHead(nn.Module):
    """One centre, of the reals (OC-Softmax, equation 3): logit = -alpha (cos - (m_0 + m_1) / 2).

    The logit is 0 midway between the margins, 7 at the cosine of the fakes' and -7 at that of the reals'.
    """

    def __init__(self, embedding_dim: int):
        """Draw the centre for embeddings of that size."""
        super().__init__()
        self.centre = _centres(1, embedding_dim)

    @property
    def weight(self) -> Tensor:
        """Away from the reals' centre, (1, D), of length 1."""
        return -F.normalize(self.centre)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) -> (B, 1), in [-9, 31]."""
        away = F.normalize(embedding) @ self.weight.T
        return SCALE * (away + (REAL_MARGIN + FAKE_MARGIN) / 2)


class AMSoftmaxHead(nn.Module):
    """A centre of each class (AM-Softmax, equation 2): logit = alpha (cos to fake - cos to real)."""

    def __init__(self, embedding_dim: int):
        """Draw the centres, real and fake, for embeddings of that size."""
        super().__init__()
        self.centres = _centres(2, embedding_dim)

    @property
    def weight(self) -> Tensor:
        """From the reals' direction to the fakes', (1, D)."""
        real, fake = F.normalize(self.centres).split(1)
        return fake - real

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) -> (B, 1), in [-40, 40]."""
        return SCALE * F.normalize(embedding) @ self.weight.T


def _centres(classes: int, embedding_dim: int) -> nn.Parameter:
    """Their length, here about 1.4, divides the rate at which plain SGD turns them."""
    return nn.Parameter(nn.init.kaiming_uniform_(torch.empty(classes, embedding_dim), a=0.25))


HEADS: dict[str, Callable[[int], nn.Module]] = {
    "bce": partial(nn.Linear, out_features=1),
    "oc-softmax": CosineHead,
    "am-softmax": AMSoftmaxHead,
}
"""The head that each loss is for, given D. The softmax of two logits is the sigmoid of their difference."""
