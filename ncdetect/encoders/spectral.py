"""Statistics of classic front ends, for comparison with those of pretrained encoders."""

import torch
from torch import Tensor, nn

from ncdetect.encoders.pooling import mean_and_deviation
from ncdetect.frontends import FLOOR, HOP, LFCC, N_FFT, SAMPLE_RATE, LogBands, LogMel, equalise_level

OCTAVES, PER_OCTAVE, LONG_FFT = 7, 24, 2048
"""Of the constant-Q bands: 62.5 Hz to 8 kHz, each as wide as it is high in a fixed proportion."""
MOST_DELAY = 4.0
"""Group delays are clipped here, in standard deviations of a window's time axis."""


class GroupDelay(nn.Module):
    """Group delay of each frequency, the derivative of the phase (Yegnanarayana 1992): F = 257.

    In frames of 32 ms every 10 ms; measured from the middle of the frame, in standard deviations of the time
    axis of the Hann window, and clipped, for at the zeros of a spectrum it has poles.
    """

    def __init__(self):
        """Build the two windows."""
        super().__init__()
        window = torch.hann_window(N_FFT)
        time = torch.arange(N_FFT) - (window * torch.arange(N_FFT)).sum() / window.sum()
        time = time / ((window * time**2).sum() / window.sum()).sqrt()
        self.register_buffer("windows", torch.stack([window, window * time]), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, T) -> (B, F, L), float32 also under autocast."""
        with torch.autocast(wave.device.type, enabled=False):
            wave = equalise_level(wave.float())
            plain, timed = (
                torch.stft(wave, N_FFT, HOP, window=window, return_complex=True) for window in self.windows
            )
            power = plain.real.square() + plain.imag.square() + FLOOR
            delay = (plain.real * timed.real + plain.imag * timed.imag) / power
            return delay.clamp(-MOST_DELAY, MOST_DELAY)


def constant_q() -> LogBands:
    """Logarithmic power in bands of constant Q, Gaussian in the logarithm of frequency: F = 168."""
    centres = SAMPLE_RATE / 2 * 2 ** (-torch.arange(OCTAVES * PER_OCTAVE, 0, -1) / PER_OCTAVE)
    frequencies = torch.arange(LONG_FFT // 2 + 1) * SAMPLE_RATE / LONG_FFT
    # No band is narrower than the transform resolves.
    width = (centres * (2 ** (0.5 / PER_OCTAVE) - 1)).clamp_min(SAMPLE_RATE / LONG_FFT / 2)
    filters = torch.exp(-0.5 * ((frequencies[:, None] - centres) / width).square())
    return LogBands(filters / filters.sum(0), torch.hann_window(LONG_FFT), HOP, FLOOR)


def linear() -> LogBands:
    """Logarithmic power of each frequency of the transform: F = 257."""
    return LogBands(torch.eye(N_FFT // 2 + 1), torch.hann_window(N_FFT), HOP, FLOOR)


FRONT_ENDS = {
    "log-mel": LogMel,
    "linear": linear,
    "constant-q": constant_q,
    "lfcc": LFCC,
    "phase": GroupDelay,
}
SIZES = {"log-mel": 80, "linear": 257, "constant-q": 168, "lfcc": 60, "phase": 257}
"""F of each."""


class SpectralStatistics(nn.Module):
    """Mean and deviation over time of every front end, one after another: (B, T) -> (B, 2 x sum of F)."""

    def __init__(self):
        """Build the front ends."""
        super().__init__()
        self.parts = nn.ModuleList(build() for build in FRONT_ENDS.values())

    def forward(self, wave: Tensor) -> Tensor:
        """Statistics of waveforms at 16 kHz."""
        return mean_and_deviation([part(wave).transpose(1, 2) for part in self.parts])


def columns(name: str) -> tuple[int, int]:
    """Where the statistics of a front end begin and end."""
    names = list(SIZES)
    start = 2 * sum(SIZES[before] for before in names[: names.index(name)])
    return start, start + 2 * SIZES[name]
