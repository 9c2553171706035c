"""The contract of every detector: front end, backbone and a single-logit head, composed."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ncdetect.compression import Stored


class Output(NamedTuple):
    """What a detector says of a batch of clips."""

    embedding: Tensor
    """Penultimate activation, (B, D): what the head reads."""
    score: Tensor
    """Logit, (B,): higher = more fake."""


class Detector(nn.Module):
    """A front end, a backbone and a head with one logit.

    `classify(embed(x))` equals `forward(x).score`. In training mode `feature_augment`, when set, changes the
    features between front end and backbone.
    """

    def __init__(
        self, frontend: nn.Module, backbone: nn.Module, embedding_dim: int, head: nn.Module | None = None
    ):
        """Compose the parts.

        Args:
            frontend: Waveforms (B, T) -> features (B, F, L).
            backbone: Features (B, F, L) -> embeddings (B, D).
            embedding_dim: D.
            head: Embeddings (B, D) -> logits (B, 1), with a `weight` (1, D) that points from real to fake;
                None is a linear one.
        """
        super().__init__()
        self.frontend = frontend
        self.backbone = backbone
        self.head = nn.Linear(embedding_dim, 1) if head is None else head
        self.embedding_dim = embedding_dim
        self.feature_augment: nn.Module | None = None
        self.stored: Stored = "float32"
        """Precision of the weights in a checkpoint."""
        self.pretrained: tuple[str, ...] = ()
        """Prefixes of the parameters that come pretrained, which training may treat with more care."""
        self.loss = "bce"
        """Key of LOSSES: what it is made to be trained with."""
        self.separate: tuple[str, ...] = ()
        """Prefixes of the parameters that plain SGD trains, apart from all others."""

    def embed(self, wave: Tensor) -> Tensor:
        """Penultimate embeddings of waveforms at 16 kHz, (B, T) -> (B, D)."""
        features = self.frontend(wave)
        if self.training and self.feature_augment is not None:
            features = self.feature_augment(features)
        return self.backbone(features)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits of embeddings, (B, D) -> (B,)."""
        with torch.autocast(embedding.device.type, enabled=False):
            return self.head(embedding.float()).squeeze(-1)

    def forward(self, wave: Tensor) -> Output:
        """Embeddings and logits of waveforms at 16 kHz, (B, T)."""
        embedding = self.embed(wave).float()
        return Output(embedding, self.classify(embedding))


class Dropout(nn.Module):
    """Dropout whose mask takes one random byte a value instead of one random float.

    Drawing the mask was 43 % of a training step on CPU; eight bytes a draw make that a tenth. The probability
    is rounded to 1/256 and the scale follows the rounded one, so that the expectation is kept exactly.
    """

    def __init__(self, probability: float):
        """Take the probability of dropping a value, in [0, 1)."""
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"dropout must be in [0, 1), got {probability}")
        self.dropped = round(probability * 256)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the identity in eval mode."""
        if not self.training or self.dropped == 0:
            return x
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
        draws.random_(torch.iinfo(torch.int64).min, None)  # all 64 bits, the sign included
        mask = draws.view(torch.uint8)[: x.numel()].as_strided(x.shape, x.stride()) >= self.dropped
        return x * mask * (256 / (256 - self.dropped))


def glorot_uniform_(module: nn.Module) -> None:
    """Initialise convolutions and linear layers as the paper does (Glorot and Bengio 2010), biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
