"""Training losses on a detector's output."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ncdetect.models.base import Output


def bce_loss(output: Output, labels: Tensor) -> Tensor:
    """Binary cross-entropy of the logit, mean over the batch (the paper's loss).

    Args:
        output: Of a detector.
        labels: Values of `Label`, (B,).
    """
    return F.binary_cross_entropy_with_logits(output.score.float(), labels.float())


def smoothed_bce_loss(output: Output, labels: Tensor, smoothing: float = 0.05) -> Tensor:
    """Binary cross-entropy against labels drawn in towards a half (Szegedy et al. 2016)."""
    wanted = labels.float() * (1 - 2 * smoothing) + smoothing
    return F.binary_cross_entropy_with_logits(output.score.float(), wanted)


def focal_loss(output: Output, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Cross-entropy weighted by (1 - p)^gamma, p that of the right class (Lin et al. 2017, equation 4)."""
    each = F.binary_cross_entropy_with_logits(output.score.float(), labels.float(), reduction="none")
    return ((1 - torch.exp(-each)) ** gamma * each).mean()


def contrastive_loss(output: Output, labels: Tensor, temperature: float = 0.1, weight: float = 0.2) -> Tensor:
    """Smoothed cross-entropy and supervised contrast of the embeddings (Khosla et al. 2020, equation 2)."""
    unit = F.normalize(output.embedding.float(), dim=1)
    likeness = (unit @ unit.T / temperature).fill_diagonal_(-1e9)
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)).fill_diagonal_(False)
    shares = likeness - likeness.logsumexp(dim=1, keepdim=True)
    contrast = -(shares * same).sum(dim=1) / same.sum(dim=1).clamp_min(1)
    return smoothed_bce_loss(output, labels) + weight * contrast.mean()


LOSSES = {
    "bce": bce_loss,
    "smoothed-bce": smoothed_bce_loss,
    "focal": focal_loss,
    "contrastive": contrastive_loss,
}
