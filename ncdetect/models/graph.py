"""Graph attention between frames and bands: the layers behind AASIST (Jung et al. 2022).

A graph is a set of nodes of shape (B, N, D), every node joined to every other. "Temporal" nodes are frames,
"spectral" nodes are bands, the "master" is one node that hears all others and is heard by none.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_DROPOUT = 0.2
POOL_DROPOUT = 0.3


class GraphAttention(nn.Module):
    """Attention among nodes of one kind: (B, N, D) -> (B, N, D') (Tak et al. 2021)."""

    def __init__(self, in_dim: int, out_dim: int, temperature: float):
        """Build it; a higher temperature makes the attention more even."""
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(INPUT_DROPOUT)
        self.pair = nn.Linear(in_dim, out_dim)
        self.weight = _weights(out_dim)
        self.gather = Gather(in_dim, out_dim)
        self.norm = nn.BatchNorm1d(out_dim)

    def forward(self, nodes: Tensor) -> Tensor:
        """New nodes, as many as there were."""
        nodes = self.dropout(nodes)
        likeness = torch.tanh(self.pair(_products(nodes))) @ self.weight  # (B, N, N, 1)
        attention = F.softmax(likeness.squeeze(-1) / self.temperature, dim=2)
        return F.selu(_normalise(self.norm, self.gather(attention, nodes, nodes)))


class HeterogeneousAttention(nn.Module):
    """The paper's heterogeneous stacking layer: attention among frames and bands, and their master.

    Both kinds are first projected to a common space; likeness within the temporal nodes, within the spectral
    ones and between the two is weighted apart. The two directions between them share one weight.
    """

    def __init__(self, in_dim: int, out_dim: int, temperature: float):
        """Build it; see `GraphAttention`."""
        super().__init__()
        self.temperature = temperature
        self.temporal = nn.Linear(in_dim, in_dim)
        self.spectral = nn.Linear(in_dim, in_dim)
        self.dropout = nn.Dropout(INPUT_DROPOUT)
        self.pair = nn.Linear(in_dim, out_dim)
        self.weight_temporal = _weights(out_dim)
        self.weight_spectral = _weights(out_dim)
        self.weight_between = _weights(out_dim)
        self.gather = Gather(in_dim, out_dim)
        self.norm = nn.BatchNorm1d(out_dim)
        self.master_pair = nn.Linear(in_dim, out_dim)
        self.master_weight = _weights(out_dim)
        self.master_gather = Gather(in_dim, out_dim)

    def forward(self, temporal: Tensor, spectral: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New nodes of each kind.

        Args:
            temporal: (B, N, D).
            spectral: (B, M, D).
            master: (B, 1, D).

        Returns:
            The three with D' in place of D.
        """
        frames, bands = temporal.shape[1], spectral.shape[1]
        nodes = self.dropout(torch.cat([self.temporal(temporal), self.spectral(spectral)], dim=1))
        attention = F.softmax(self._likeness(nodes, frames) / self.temperature, dim=2)
        heard = torch.tanh(self.master_pair(nodes * master)) @ self.master_weight  # (B, N + M, 1)
        hearing = F.softmax(heard / self.temperature, dim=1).transpose(1, 2)
        master = self.master_gather(hearing, nodes, master)
        nodes = F.selu(_normalise(self.norm, self.gather(attention, nodes, nodes)))
        temporal, spectral = nodes.split([frames, bands], dim=1)
        return temporal, spectral, master

    def _likeness(self, nodes: Tensor, frames: int) -> Tensor:
        """Of each node (second index) to each (third), (B, N + M, N + M); the first nodes are the frames."""
        pairs = torch.tanh(self.pair(_products(nodes)))
        of_frames = [pairs[:, :frames, :frames] @ self.weight_temporal,
                     pairs[:, :frames, frames:] @ self.weight_between]  # fmt: skip
        of_bands = [pairs[:, frames:, :frames] @ self.weight_between,
                    pairs[:, frames:, frames:] @ self.weight_spectral]  # fmt: skip
        return torch.cat([torch.cat(of_frames, dim=2), torch.cat(of_bands, dim=2)], dim=1).squeeze(-1)


class GraphPool(nn.Module):
    """Keep the share of nodes that score highest, each scaled by its score (Gao and Ji 2019)."""

    def __init__(self, dim: int, share: float):
        """Take the width of the nodes and the share to keep, in (0, 1]."""
        super().__init__()
        self.share = share
        self.dropout = nn.Dropout(POOL_DROPOUT)
        self.score = nn.Linear(dim, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """(B, N, D) -> (B, max(1, int(share N)), D), the highest score first."""
        scores = torch.sigmoid(self.score(self.dropout(nodes)))  # (B, N, 1)
        kept = max(1, int(nodes.shape[1] * self.share))
        best = scores.topk(kept, dim=1).indices.expand(-1, -1, nodes.shape[2])
        return (nodes * scores).gather(1, best)


class Gather(nn.Module):
    """What a node takes from those it attends to, and what it keeps of itself."""

    def __init__(self, in_dim: int, out_dim: int):
        """Build both projections."""
        super().__init__()
        self.attended = nn.Linear(in_dim, out_dim)
        self.own = nn.Linear(in_dim, out_dim)

    def forward(self, attention: Tensor, nodes: Tensor, own: Tensor) -> Tensor:
        """Attention (B, M, N), nodes (B, N, D) and the M nodes that attend, (B, M, D) -> (B, M, D')."""
        return self.attended(attention @ nodes) + self.own(own)


def _products(nodes: Tensor) -> Tensor:
    """Element-wise product of every pair, (B, N, D) -> (B, N, N, D)."""
    return nodes.unsqueeze(2) * nodes.unsqueeze(1)


def _normalise(norm: nn.BatchNorm1d, nodes: Tensor) -> Tensor:
    """Batch normalisation in which every node of every clip counts: (B, N, D) -> (B, N, D)."""
    return norm(nodes.flatten(0, 1)).view_as(nodes)


def _weights(dim: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, 1)))
