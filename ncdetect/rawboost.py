"""RawBoost: what a telephone line adds, without any recorded data (Tak et al. 2022, arXiv:2111.04433).

Written from the paper; the ranges are the paper's. Filters have zero phase here, so nothing is delayed.
"""

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from ncdetect.audio import SAMPLE_RATE

ORDERS = 5  # of the non-linearity: the signal and its powers up to the fifth
NOTCHES = 5  # band-stop filters in a row
TAPS = (10, 100)  # of a notch
CENTRE_HZ, WIDTH_HZ = (20.0, 8000.0), (100.0, 1000.0)  # of a notch
HARMONICS_DB = (-20.0, -5.0)  # gain of the powers from the second on; the signal's own is 0 dB
IMPULSE_SHARE = 0.1  # of the samples, at most
IMPULSE_GAIN = 2.0
NOISE_SNR_DB = (10.0, 40.0)
_FILTER_SIZE = 1024  # samples that hold a row of notches: NOTCHES * TAPS[1] = 500


def rawboost(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Give each clip one, two or all three of the paper's noises, in the paper's order; peaks stay.

    Args:
        wave: Waveforms at 16 kHz, float32, shape (B, T).
        generator: Source of every random choice.

    Returns:
        Shape (B, T).
    """
    peak = wave.abs().amax(dim=1, keepdim=True)
    boosted = wave / peak.clamp_min(1e-5)
    kinds = torch.randint(1, 8, (len(wave),), generator=generator)  # bit k: whether it gets noise k
    for bit, add in enumerate((convolutive_noise, impulsive_noise, stationary_noise)):
        rows = (kinds >> bit) % 2 == 1
        if rows.any():
            boosted[rows] = add(boosted[rows], generator)
    return boosted * (peak / boosted.abs().amax(dim=1, keepdim=True).clamp_min(1e-5))


def convolutive_noise(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Linear and non-linear convolutive noise: the signal and its powers, each through its own notches.

    Equations 1 and 2 of the paper: a Hammerstein system, as microphones, amplifiers and codecs are.

    Args:
        wave: Peak at 1, shape (B, T).
        generator: Source of every random choice.
    """
    batch, samples = wave.shape
    size = _padded(samples)
    gains_db = torch.empty(batch, ORDERS).uniform_(*HARMONICS_DB, generator=generator)
    gains_db[:, 0] = 0
    filters = _notches(batch * ORDERS, size, generator).view(batch, ORDERS, -1)
    spectrum = sum(
        filters[:, order] * 10 ** (gains_db[:, order, None] / 20) * torch.fft.rfft(wave ** (order + 1), size)
        for order in range(ORDERS)
    )
    changed = torch.fft.irfft(spectrum, size)[:, :samples]
    return changed - changed.mean(dim=1, keepdim=True)  # even powers have one


def impulsive_noise(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Impulsive signal-dependent noise: single samples off by up to twice themselves (equation 3).

    Args:
        wave: Shape (B, T).
        generator: Source of every random choice.
    """
    share = IMPULSE_SHARE * torch.rand(len(wave), 1, generator=generator)
    hit = torch.rand(wave.shape, generator=generator) < share
    factor = torch.empty(wave.shape).uniform_(-1, 1, generator=generator)
    return wave + IMPULSE_GAIN * factor * hit * wave


def stationary_noise(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Stationary signal-independent noise: white noise through notches, at 10 to 40 dB below the signal.

    Args:
        wave: Shape (B, T).
        generator: Source of every random choice.
    """
    batch, samples = wave.shape
    size = _padded(samples)
    white = torch.randn(batch, size, generator=generator)
    coloured = torch.fft.irfft(torch.fft.rfft(white) * _notches(batch, size, generator), size)[:, :samples]
    snr_db = torch.empty(batch, 1).uniform_(*NOISE_SNR_DB, generator=generator)
    return add_noise(wave, coloured, snr_db)


def add_noise(wave: Tensor, noise: Tensor, snr_db: Tensor | float) -> Tensor:
    """Add noise at a signal-to-noise ratio over the whole clip.

    Args:
        wave: Shape (B, T).
        noise: At any level, shape (B, T).
        snr_db: One value, or one a clip, shape (B, 1).

    Returns:
        Shape (B, T); silence gets noise that nobody hears.
    """
    return wave + 10 ** (-torch.as_tensor(snr_db) / 20) * _rms(wave) / _rms(noise) * noise


def _rms(wave: Tensor) -> Tensor:
    return wave.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-6)


def _padded(samples: int) -> int:
    """Length of a transform in which a row of notches does not reach round."""
    return next_fast_len(samples + _FILTER_SIZE, real=True)


def _notches(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Responses of rows of notches, (count, size // 2 + 1): real, so of zero phase, the greatest gain 1."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count, NOTCHES, 1).uniform_(low, high, generator=generator)

    half = torch.randint(TAPS[0] // 2, TAPS[1] // 2 + 1, (count, NOTCHES, 1), generator=generator)
    centre, width = uniform(*CENTRE_HZ), uniform(*WIDTH_HZ)
    low = (centre - width / 2).clamp_min(0) / SAMPLE_RATE  # cycles in a sample
    high = (centre + width / 2).clamp_max(SAMPLE_RATE / 2) / SAMPLE_RATE
    lag = torch.arange(-TAPS[1] // 2, TAPS[1] // 2 + 1)
    # The ideal band-pass, in a Hamming window of the drawn length, taken off the unchanged signal.
    window = (0.54 + 0.46 * torch.cos(torch.pi * lag / half)) * (lag.abs() <= half)
    passed = (2 * high * torch.sinc(2 * high * lag) - 2 * low * torch.sinc(2 * low * lag)) * window
    taps = torch.zeros(count, NOTCHES, _FILTER_SIZE)
    taps[..., lag % _FILTER_SIZE] = -passed  # lags below 0 stand at the end
    taps[..., 0] += 1
    row = torch.fft.irfft(torch.fft.rfft(taps).real.prod(dim=1), _FILTER_SIZE)  # (count, _FILTER_SIZE)
    longer = torch.zeros(count, size)
    middle = _FILTER_SIZE // 2
    longer[:, :middle], longer[:, -middle:] = row[:, :middle], row[:, middle:]
    response = torch.fft.rfft(longer).real
    return response / response.abs().amax(dim=1, keepdim=True)
