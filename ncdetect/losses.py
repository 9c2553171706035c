"""Training losses on a detector's output."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ncdetect.models.base import Output
from ncdetect.models.heads import AM_MARGIN, FAKE_MARGIN, REAL_MARGIN, SCALE


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


def oc_softmax_loss(output: Output, labels: Tensor) -> Tensor:
    """One-class softmax (Zhang et al. 2021, equation 3), mean over the batch; for a `CosineHead`.

    A real costs softplus(alpha (m_0 - cos)), a fake softplus(alpha (cos - m_1)). The head's score is
    s = -alpha (cos - (m_0 + m_1) / 2), so that alpha (m_0 - cos) = s + M and alpha (cos - m_1) = -s + M with
    M = alpha (m_0 - m_1) / 2 = 7: cross-entropy of the logit that asks for a margin of 7 on either side.
    """
    return _margin_loss(output, labels, SCALE * (REAL_MARGIN - FAKE_MARGIN) / 2)


def am_softmax_loss(output: Output, labels: Tensor) -> Tensor:
    """Additive-margin softmax (Zhang et al. 2021, equation 2), mean over the batch; for an `AMSoftmaxHead`.

    A clip costs softplus(alpha (m - cos to its own centre + cos to the other)). The head's score is
    s = alpha (cos to fake - cos to real), so that a real costs softplus(s + M), a fake softplus(-s + M) with
    M = alpha m = 18.
    """
    return _margin_loss(output, labels, SCALE * AM_MARGIN)


def _margin_loss(output: Output, labels: Tensor, margin: float) -> Tensor:
    score, fake = output.score.float(), labels.float()
    return ((1 - fake) * F.softplus(margin + score) + fake * F.softplus(margin - score)).mean()


LOSSES = {
    "bce": bce_loss,
    "smoothed-bce": smoothed_bce_loss,
    "focal": focal_loss,
    "contrastive": contrastive_loss,
    "oc-softmax": oc_softmax_loss,
    "am-softmax": am_softmax_loss,
}
