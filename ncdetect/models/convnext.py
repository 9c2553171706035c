"""`convnext`: a ConvNeXt on log-mel (Liu et al. 2022, section 2; sized as its smallest relatives)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ncdetect.frontends import LogMel
from ncdetect.models.base import Detector, Dropout, glorot_uniform_


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, F, L)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position over its channels."""
        # (B, C, F, L) -> (B, F, L, C) and back
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7 convolution, layer norm, inverted bottleneck with GELU, layer scale, shortcut."""

    def __init__(self, channels: int, dropout: float):
        """Build the block; dropout follows the activation, as the paper's recipe has it."""
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.dropout = Dropout(dropout)
        self.project = nn.Conv2d(4 * channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, L) -> (B, C, F, L)."""
        hidden = self.dropout(nn.functional.gelu(self.expand(self.norm(self.depthwise(x)))))
        return x + self.scale * self.project(hidden)


class ConvNeXt(nn.Module):
    """A 4 x 4 patch stem, stages of blocks joined by 2 x 2 down-sampling, mean over frequency and time."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], dropout: float):
        """Build the stages; `depths` (blocks) and `widths` (channels) hold one number each."""
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1)
        layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 4, 4), ChannelNorm(widths[0])]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if stage > 0:
                layers += [ChannelNorm(widths[stage - 1]), nn.Conv2d(widths[stage - 1], width, 2, 2)]
            layers += [ConvNeXtBlock(width, dropout) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(widths[-1])
        glorot_uniform_(self)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, L) -> embeddings (B, D), D the last width."""
        x = self.input_norm(features.unsqueeze(1))  # (B, F, L) -> (B, 1, F, L)
        return self.norm(self.layers(x).mean(dim=(2, 3)))


def convnext(dropout: float = 0.3) -> Detector:
    """ConvNeXt of the size called atto: 3.4 M parameters, 320-d embedding."""
    return Detector(LogMel(), ConvNeXt((2, 2, 6, 2), (40, 80, 160, 320), dropout), embedding_dim=320)
