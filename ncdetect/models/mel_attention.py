"""`mel-attention`: convolutions on log-mel, then transformer self-attention over time.

Some notes describe AASIST so; the published AASIST (`aasist`) shares none of these layers. The notes name a
CNN, transformer self-attention, dropout, binary cross-entropy with AdamW, time and frequency masking, pitch
shifting and noise. Sizes and the order of the layers are our choice.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.encoders.whisper import sinusoids
from ncdetect.frontends import LogMel
from ncdetect.models.base import Detector, Dropout, glorot_uniform_


class MelAttention(nn.Module):
    """Strided convolutions, attention among the frames that they leave (25 a second), the mean over time."""

    def __init__(self, bands: int, widths: Sequence[int], layers: int, heads: int, dropout: float):
        """Build it.

        Args:
            bands: F of the features.
            widths: Channels of each convolution; all halve the bands, the first two halve the frames too. The
                last is the width of the attention and of the embedding.
            layers: Of the transformer.
            heads: Of each layer; they share out the width.
            dropout: Probability, in [0, 1).
        """
        super().__init__()
        width = widths[-1]
        # One statistic for the whole spectrogram: centres the log-mel whatever the front end's scale.
        self.norm = nn.BatchNorm2d(1)
        self.convolutions = nn.Sequential()
        for index, (before, after) in enumerate(zip((1, *widths), widths, strict=False)):
            stride = (2, 2 if index < 2 else 1)
            self.convolutions.extend(
                [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            )
            bands = (bands + 1) // 2
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(width * bands, width)
        # Normalised before attention, not after: such a stack trains without warm-up (Xiong et al. 2020).
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.last_norm = nn.LayerNorm(width)
        glorot_uniform_(self)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, L) -> embeddings (B, D)."""
        x = self.dropout(self.convolutions(self.norm(features.unsqueeze(1))))
        x = self.project(x.flatten(1, 2).transpose(1, 2))  # (B, C, F / 16, L / 4) -> (B, L / 4, D)
        x = x + sinusoids(x.shape[1], x.shape[2]).to(x)
        for layer in self.layers:
            x = layer(x)
        return self.last_norm(x).mean(dim=1)


def mel_attention(dropout: float = 0.2) -> Detector:
    """Four convolutions and four layers of attention on log-mel, 128-d embedding, 1.1 M parameters."""
    return Detector(LogMel(), MelAttention(80, (32, 64, 128, 128), 4, 4, dropout), embedding_dim=128)
