"""`gru`: a two-layer gated recurrent network on log-mel (Cho et al. 2014), the small one to widen.

Li et al. 2026 (arXiv 2603.24343) name a GRU among the networks they widen; the sizes are our choice.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.frontends import LogMel
from ncdetect.models.base import Detector, Dropout, glorot_uniform_

BANDS = 80
STACKED_FRAMES = 3
"""Frames of 10 ms that make one step of 30 ms: a recurrent network takes its time by the step."""


class MeanProjection(nn.Module):
    """Mean over time, one linear layer, batch normalisation, ReLU: (B, F, L) -> (B, D)."""

    def __init__(self, size: int, embedding_dim: int, dropout: float):
        """Build it for features of a size; `dropout` is in [0, 1)."""
        super().__init__()
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(size, embedding_dim)
        self.norm = nn.BatchNorm1d(embedding_dim)
        glorot_uniform_(self)

    def forward(self, states: Tensor) -> Tensor:
        """Embeddings, non-negative."""
        return F.relu(self.norm(self.linear(self.dropout(states.mean(dim=2)))))


class GRUNet(nn.Module):
    """Stacked frames, batch-normed, through GRU layers, and the projection of their mean."""

    def __init__(self, bands: int, width: int, layers: int, embedding_dim: int, dropout: float):
        """Build it; each of the layers has `width` units, and the same dropout behind it."""
        super().__init__()
        self.norm = nn.BatchNorm1d(bands)
        sizes = [bands * STACKED_FRAMES] + [width] * (layers - 1)
        # One module a layer, so that each can be widened by itself.
        self.layers = nn.ModuleList(nn.GRU(size, width, batch_first=True) for size in sizes)
        self.dropout = Dropout(dropout)
        self.projection = MeanProjection(width, embedding_dim, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, L) -> embeddings (B, D), non-negative."""
        x = F.pad(self.norm(features), (0, -features.shape[2] % STACKED_FRAMES), mode="replicate")
        # (B, F, L) -> (B, F, L / 3, 3) -> (B, L / 3, 3 F)
        x = x.unflatten(2, (-1, STACKED_FRAMES)).transpose(1, 2).flatten(2)
        for index, layer in enumerate(self.layers):
            x, _ = layer(self.dropout(x) if index else x)
        return self.projection(x.transpose(1, 2))


def gru(width: int = 128, dropout: float = 0.3) -> Detector:
    """Two GRU layers of 128 units on log-mel, 128-d embedding, 0.26 M parameters."""
    return Detector(LogMel(BANDS), GRUNet(BANDS, width, 2, 128, dropout), embedding_dim=128)
