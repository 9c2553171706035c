"""ResNets on spectrograms: `resnet18b` with 18 residual blocks and `tiny-resnet` with 9 (Yousif et al. 2024).

The paper names the number of blocks, batch normalisation, dropout 0.3 and Glorot initialisation; widths and
the placement of the strides are our choice (He et al. 2016, basic blocks, four stages).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.frontends import LogMel
from ncdetect.models.base import Detector, Dropout, glorot_uniform_


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, dropout between them, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float):
        """Build the block; where shape changes, the shortcut is a strided 1 x 1 convolution."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.dropout = Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, L) -> (B, C', F / stride, L / stride)."""
        residual = self.dropout(F.relu(self.norm1(self.conv1(x))))
        return F.relu(self.norm2(self.conv2(residual)) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of residual blocks, and the mean over frequency and time."""

    def __init__(self, blocks: Sequence[int], widths: Sequence[int], dropout: float):
        """Build the stages.

        Args:
            blocks: Residual blocks of each stage; every stage but the first halves frequency and time.
            widths: Channels of each stage.
            dropout: Probability, in [0, 1).
        """
        super().__init__()
        # One statistic for the whole spectrogram: centres the log-mel whatever the front end's scale.
        self.norm = nn.BatchNorm2d(1)
        self.stem = nn.Conv2d(1, widths[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        # As He et al. do: a quarter of the arithmetic.
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        layers: list[nn.Module] = []
        channels = widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(ResidualBlock(channels, width, stride, dropout))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.dropout = Dropout(dropout)
        glorot_uniform_(self)
        # Each block starts as its shortcut (Goyal et al. 2017, 5.1): with dropout in every block and a few
        # hundred clips, the deep net otherwise stays at chance for longer than early stopping waits.
        for block in self.blocks:
            nn.init.zeros_(block.norm2.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, L) -> embeddings (B, D), D the last width; non-negative."""
        x = self.norm(features.unsqueeze(1))  # (B, F, L) -> (B, 1, F, L)
        x = self.dropout(self.pool(F.relu(self.stem_norm(self.stem(x)))))
        return self.blocks(x).mean(dim=(2, 3))


def resnet18b(dropout: float = 0.3) -> Detector:
    """The paper's pre-trained model: 18 residual blocks on log-mel, 256-d embedding, 6.3 M parameters."""
    backbone = ResNet((4, 5, 5, 4), (32, 64, 128, 256), dropout)
    return Detector(LogMel(), backbone, embedding_dim=256)


def tiny_resnet(dropout: float = 0.3) -> Detector:
    """The paper's small model: 9 residual blocks on log-mel, 128-d embedding, 0.8 M parameters."""
    return Detector(LogMel(), ResNet((2, 2, 3, 2), (16, 32, 64, 128), dropout), embedding_dim=128)
