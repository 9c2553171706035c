"""Detectors on pretrained encoders: `listener` has Whisper and DistillMOS, `small-listener` the latter.

The hidden states of Whisper's first layers and of DistillMOS are pooled over time (mean and deviation of
every layer) and projected to the embedding. The encoders' convolutions, and Whisper's first layer, are the
front end and stay as they were pretrained; the layers above may be fine-tuned.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.encoders import WhisperEncoder
from ncdetect.encoders.distillmos import FEATURES, Convolutions, Transformer
from ncdetect.encoders.pooling import mean_and_deviation, same_peak
from ncdetect.models.base import Detector, Dropout


@dataclass(frozen=True)
class Whisper:
    """How much of which Whisper is heard."""

    width: int
    heads: int
    layers: int


TINY_EN, BASE = Whisper(384, 6, 3), Whisper(512, 8, 4)
MOS_WIDTH, MOS_HEADS = 200, 8
FROZEN_LAYERS = 1
"""Whisper's layers in the front end."""
EMBEDDING_DIM = 128
LIMIT = 6.0
"""Standardised statistics are clipped here: one strange value must not outvote all others."""


class ListenerFrontEnd(nn.Module):
    """The encoders' lower parts: (B, T) -> (B, F, L), 50 frames a second, each clip at the same peak.

    F is Whisper's width (its convolutions and first layer), where it is heard, and 1,024 (of DistillMOS).
    """

    def __init__(self, whisper: Whisper | None):
        """Build it with fresh weights, with or without Whisper."""
        super().__init__()
        self.whisper = WhisperEncoder(whisper.width, FROZEN_LAYERS, whisper.heads) if whisper else None
        self.mos = Convolutions()

    def forward(self, wave: Tensor) -> Tensor:
        """Features of waveforms at 16 kHz."""
        wave = same_peak(wave)
        parts = [self.mos(wave)]
        if self.whisper is not None:
            parts.insert(0, self.whisper(wave)[-1])
        return torch.cat(parts, dim=2).transpose(1, 2)  # (B, L, F) -> (B, F, L)


class Pooling(nn.Module):
    """The encoders' upper layers and the statistics of every hidden state: (B, F, L) -> (B, `size`)."""

    def __init__(self, whisper: Whisper | None, mos_layers: int):
        """Build it with fresh weights.

        Args:
            whisper: The layers of the front end are counted; None where it is not heard.
            mos_layers: Of DistillMOS's seven.
        """
        super().__init__()
        upper = whisper.layers - FROZEN_LAYERS if whisper else 0
        self.width = whisper.width if whisper else 0
        self.whisper = WhisperEncoder(whisper.width, upper, whisper.heads).layers if whisper else ()
        self.mos = Transformer(MOS_WIDTH, mos_layers, MOS_HEADS)
        self.size = 2 * (self.width * (upper + 1) + FEATURES + MOS_WIDTH * mos_layers)

    def forward(self, features: Tensor) -> Tensor:
        """Mean and deviation over time of Whisper's states, the convolutions and DistillMOS's layers."""
        heard, judged = features.transpose(1, 2).split([self.width, FEATURES], dim=2)
        states = []
        if self.width:
            states.append(heard)
            for layer in self.whisper:
                states.append(layer(states[-1]))
        states += [judged, *self.mos(judged)]
        return mean_and_deviation(states)


class Projection(nn.Module):
    """Pooled statistics to embeddings: standardised, one linear layer, batch normalisation, ReLU."""

    def __init__(self, size: int, embedding_dim: int, dropout: float):
        """Build it; `standardise_on` sets the scale of the statistics, `dropout` is in [0, 1)."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(size, embedding_dim)
        self.norm = nn.BatchNorm1d(embedding_dim)

    def standardise_on(self, pooled: Tensor) -> None:
        """Take the scale of statistics (N, `size`) of training clips."""
        self.mean.copy_(pooled.mean(0))
        self.deviation.copy_(pooled.std(0).clamp_min(1e-4))

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Move the batch normalisation into the linear layer.

        In eval mode the function stays the same; in training mode it no longer depends on the batch.
        """
        norm = self.norm
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        self.linear.weight.mul_(factor.unsqueeze(1))
        self.linear.bias.copy_((self.linear.bias - norm.running_mean) * factor + norm.bias)
        self.norm = nn.Identity()

    def take(self, other: "Projection") -> None:
        """Take the parameters of another projection of this size; its normalisation may be folded."""
        self.load_state_dict(other.state_dict(), strict=False)
        if isinstance(other.norm, nn.Identity):
            self.norm.reset_parameters()
            self.norm.running_var.fill_(1 - self.norm.eps)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, `size`) -> (B, D), non-negative."""
        standard = ((pooled - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)
        return F.relu(self.norm(self.linear(self.dropout(standard))))


class ListenerBackbone(nn.Sequential):
    """Pooling, then projection: (B, F, L) -> (B, D)."""

    def __init__(self, whisper: Whisper | None, mos_layers: int, embedding_dim: int, dropout: float):
        """Build it with fresh weights; see `Pooling` and `Projection`."""
        pooling = Pooling(whisper, mos_layers)
        super().__init__(pooling, Projection(pooling.size, embedding_dim, dropout))


def _detector(whisper: Whisper | None, mos_layers: int, dropout: float) -> Detector:
    backbone = ListenerBackbone(whisper, mos_layers, EMBEDDING_DIM, dropout)
    detector = Detector(ListenerFrontEnd(whisper), backbone, EMBEDDING_DIM)
    detector.stored = "int8"
    detector.pretrained = ("frontend.", "backbone.0.")
    return detector


def listener(dropout: float = 0.3) -> Detector:
    """Four layers of Whisper base and all of DistillMOS, 128-d embedding, 19 M parameters."""
    return _detector(BASE, 7, dropout)


def light_listener(dropout: float = 0.3) -> Detector:
    """Three layers of Whisper tiny.en and all of DistillMOS, 128-d embedding, 11 M parameters."""
    return _detector(TINY_EN, 7, dropout)


def small_listener(dropout: float = 0.3) -> Detector:
    """Four layers of DistillMOS, 128-d embedding, 3.6 M parameters."""
    return _detector(None, 4, dropout)
