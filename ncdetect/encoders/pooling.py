"""Hidden states of encoders to statistics of a clip."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ncdetect.encoders.whisper import WhisperEncoder


def same_peak(wave: Tensor) -> Tensor:
    """Waveforms (B, T) brought to a peak of 0.95."""
    return wave * (0.95 / wave.abs().amax(dim=1, keepdim=True).clamp_min(1e-5))


def mean_and_deviation(states: Sequence[Tensor]) -> Tensor:
    """Those over time of each state (B, L, D), one state after another: (B, 2 x sum of D)."""
    return torch.cat([torch.cat([x.float().mean(1), x.float().std(1)], dim=1) for x in states], dim=1)


class WhisperStatistics(nn.Module):
    """Statistics of Whisper's layers, without its convolutions: (B, T) -> (B, 2 x width x layers)."""

    def __init__(self, encoder: WhisperEncoder):
        """Take an encoder, cut to the layers that are heard."""
        super().__init__()
        self.encoder = encoder

    def forward(self, wave: Tensor) -> Tensor:
        """Statistics of waveforms at 16 kHz."""
        return mean_and_deviation(self.encoder(same_peak(wave))[1:])
