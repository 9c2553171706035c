"""Training losses on a detector's output."""

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


LOSSES = {"bce": bce_loss}
