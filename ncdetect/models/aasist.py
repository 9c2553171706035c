"""AASIST: graph attention over the bands and the frames of a raw waveform (Jung et al. 2022).

`aasist` and `aasist-l` are the paper's networks, weight for weight: `aasist_weights.load` puts the published
weights into them. A clip is judged by its first 4 s; nothing is normalised at the input, so its level counts.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.frontends import SAMPLE_RATE
from ncdetect.models.base import Detector
from ncdetect.models.graph import GraphAttention, GraphPool, HeterogeneousAttention

CLIP_SAMPLES = 64_600
"""4.04 s: what the published networks were trained on."""
FILTERS = 70
POOLED_BANDS = FILTERS // 3
NODE_DIM = 32
"""Of the heterogeneous graphs; the embedding is five such nodes."""
CLIPS_AT_ONCE = 8
"""In the encoder at inference, where a clip takes some 0.25 GB."""
SPECTRAL_TEMPERATURE = TEMPORAL_TEMPERATURE = 2.0
HETEROGENEOUS_TEMPERATURE = 100.0


class SincBands(nn.Module):
    """Fixed sinc band-passes on the waveform (Ravanelli and Bengio 2018), rectified, pooled 3 by 3.

    The bands lie side by side on the mel scale over 0 to 8 kHz. A clip shorter than CLIP_SAMPLES is repeated,
    of a longer one the start is heard.
    """

    def __init__(self, taps: int = 129):
        """Build the filters of an odd number of taps."""
        super().__init__()
        time = torch.arange(taps, dtype=torch.float64) - taps // 2
        highest_mel = 2595 * torch.log10(torch.tensor(1 + SAMPLE_RATE / 2 / 700, dtype=torch.float64))
        mel = torch.linspace(0, 1, FILTERS + 1, dtype=torch.float64) * highest_mel
        edges = 2 * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE  # as a share of the highest frequency
        low_passes = edges[:, None] * torch.sinc(edges[:, None] * time)
        window = torch.hamming_window(taps, periodic=False, dtype=torch.float64)
        filters = (low_passes.diff(dim=0) * window).float()  # (70, taps)
        # Derived from the arguments, so not part of the state_dict.
        self.register_buffer("filters", filters.unsqueeze(1), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Pooled magnitudes, (B, T) -> (B, 23, 21490), float32 also under autocast.

        Raises:
            ValueError: If the waveform is not of shape (B, T) or empty.
        """
        if wave.ndim != 2 or wave.shape[1] < 1:
            raise ValueError(f"waveforms must have shape (B, T), T > 0, got {tuple(wave.shape)}")
        repeated = wave[:, torch.arange(CLIP_SAMPLES, device=wave.device) % wave.shape[1]]
        with torch.autocast(wave.device.type, enabled=False):
            bands = F.conv1d(repeated.float().unsqueeze(1), self.filters)
            return F.max_pool2d(bands.abs().unsqueeze(1), 3).squeeze(1)


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut; the frames are pooled by three.

    The first convolution hears the input as it is: the published network holds a normalisation before it, and
    computes it, but does not use what comes out.
    """

    def __init__(self, in_channels: int, out_channels: int):
        """Build the block; where the width changes, the shortcut is a convolution."""
        super().__init__()
        # A kernel of two bands, padded once by one on either side, keeps the number of bands.
        self.conv1 = nn.Conv2d(in_channels, out_channels, (2, 3), padding=(1, 1))
        self.norm = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, (2, 3), padding=(0, 1))
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, (1, 3), padding=(0, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, L) -> (B, C', F, L / 3)."""
        residual = self.conv2(F.selu(self.norm(self.conv1(x))))
        return F.max_pool2d(residual + self.shortcut(x), (1, 3))


class Branch(nn.Module):
    """Half of the paper's max graph operation: two heterogeneous layers, pooling between, summed."""

    def __init__(self, in_dim: int, share: float):
        """Build it for nodes of that width; `share` of the frames and of the bands are kept."""
        super().__init__()
        self.master = nn.Parameter(torch.randn(1, 1, in_dim))
        self.first = HeterogeneousAttention(in_dim, NODE_DIM, HETEROGENEOUS_TEMPERATURE)
        self.temporal_pool = GraphPool(NODE_DIM, share)
        self.spectral_pool = GraphPool(NODE_DIM, share)
        self.second = HeterogeneousAttention(NODE_DIM, NODE_DIM, HETEROGENEOUS_TEMPERATURE)
        self.dropout = nn.Dropout(0.2)

    def forward(self, temporal: Tensor, spectral: Tensor) -> tuple[Tensor, ...]:
        """Frames (B, N, D), bands (B, M, D) -> frames (B, N', 32), bands (B, M', 32), master (B, 1, 32)."""
        temporal, spectral, master = self.first(temporal, spectral, self.master.expand(len(temporal), -1, -1))
        before = self.temporal_pool(temporal), self.spectral_pool(spectral), master
        return tuple(self.dropout(a + b) for a, b in zip(before, self.second(*before), strict=True))


class AasistBackbone(nn.Module):
    """Residual encoder, one graph of bands and one of frames, two branches that join them, readout."""

    def __init__(
        self, widths: Sequence[int], spectral_share: float, temporal_share: float, branch_share: float
    ):
        """Build it.

        Args:
            widths: Channels of each residual block; the last is the width of the first nodes.
            spectral_share: Of the bands, kept before the branches.
            temporal_share: Of the frames.
            branch_share: Of either, kept between a branch's two layers.
        """
        super().__init__()
        width = widths[-1]
        self.norm = nn.BatchNorm2d(1)
        self.encoder = nn.Sequential(
            *(ResidualBlock(a, b) for a, b in zip((1, *widths), widths, strict=False))
        )
        self.position = nn.Parameter(torch.randn(1, POOLED_BANDS, width))
        self.spectral = nn.Sequential(
            GraphAttention(width, width, SPECTRAL_TEMPERATURE), GraphPool(width, spectral_share)
        )
        self.temporal = nn.Sequential(
            GraphAttention(width, width, TEMPORAL_TEMPERATURE), GraphPool(width, temporal_share)
        )
        self.branches = nn.ModuleList(Branch(width, branch_share) for _ in range(2))
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, 23, L) -> embeddings (B, 160)."""
        x = F.selu(self.norm(features.unsqueeze(1)))  # (B, F, L) -> (B, 1, F, L)
        magnitude = self._encode(x).abs()  # (B, D, 23, L / 729)
        spectral = self.spectral(magnitude.amax(dim=3).transpose(1, 2) + self.position)
        temporal = self.temporal(magnitude.amax(dim=2).transpose(1, 2))
        heard = zip(*(branch(temporal, spectral) for branch in self.branches), strict=True)
        temporal, spectral, master = (torch.maximum(a, b) for a, b in heard)
        embedding = torch.cat(
            [
                temporal.abs().amax(dim=1),
                temporal.mean(dim=1),
                spectral.abs().amax(dim=1),
                spectral.mean(dim=1),
                master.squeeze(1),
            ],
            dim=1,
        )
        return self.dropout(embedding)

    def _encode(self, x: Tensor) -> Tensor:
        """The encoder, on a few clips at a time where neither gradients nor batch statistics are wanted."""
        if torch.is_grad_enabled() or self.norm.training:
            return self.encoder(x)
        return torch.cat([self.encoder(part) for part in x.split(CLIPS_AT_ONCE)])


def aasist() -> Detector:
    """AASIST: 160-d embedding, 0.30 M parameters."""
    return Detector(SincBands(), AasistBackbone((32, 32, 64, 64, 64, 64), 0.5, 0.7, 0.5), 5 * NODE_DIM)


def aasist_l() -> Detector:
    """AASIST-L, the light one: 160-d embedding, 0.09 M parameters."""
    return Detector(SincBands(), AasistBackbone((32, 32, 24, 24, 24, 24), 0.4, 0.5, 0.7), 5 * NODE_DIM)
