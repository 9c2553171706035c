"""Augmentation of waveform batches and spectrograms, against the shortcuts of the corpora.

Level needs none: the front end equalises it. Everything is drawn from one generator, so that a seed gives the
same batch again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import soxr
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from ncdetect import audio, codecs
from ncdetect.audio import SAMPLE_RATE
from ncdetect.rawboost import add_noise, rawboost

PHONE_BAND_HZ = (300.0, 3400.0)
PHONE_CODECS = ("mulaw", "amr-nb")
TAIL_SAMPLES = SAMPLE_RATE // 2  # where the sound of a room ends
_PEAK = 1e-5  # what a silent clip is taken for
Item = TypeVar("Item")


@dataclass(frozen=True)
class WaveAugment:
    """Damages one after another, each to its own share of the clips; with shares of 0 nothing changes."""

    speed: float = 0.2
    """Share of clips played up to 12 % slower or faster, which moves their pitch too."""
    room: float = 0.2
    """Share of clips with reverberation: an exponentially decaying noise tail, 0.1 to 0.6 s."""
    band: float = 0.3
    """Share of clips with a low-pass at 3.4 to 7.5 kHz and, half of them, a high-pass at 50 to 300 Hz."""
    tilt: float = 0.3
    """Share of clips with a random spectral tilt of up to 4 dB an octave (microphones)."""
    rawboost: float = 0.1
    """Share of clips with RawBoost's noises (`rawboost.rawboost`)."""
    noise: float = 0.4
    """Share of clips with white to brown noise at 10 to 40 dB signal-to-noise ratio."""
    mulaw: float = 0.1
    """Share of clips through 8-bit mu-law (ITU-T G.711's curve), the band kept."""
    clip: float = 0.05
    """Share of clips clipped at 30 to 90 % of their peak."""
    phone: float = 0.1
    """Share of clips through a telephone: 300 to 3,400 Hz, then mu-law or AMR at 8 kHz."""
    codec: float = 0.4
    """Share of clips through a real codec at one of its usual rates (`codecs.CODECS`)."""

    def __call__(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """Change a batch.

        Args:
            wave: Waveforms at 16 kHz, shape (B, T), on the CPU.
            generator: Source of every random choice.

        Returns:
            A new tensor of the same shape and dtype; a clip that went beyond full scale is scaled down to it.
        """
        changed = wave.to(torch.float32, copy=True)
        for name, damage in DAMAGES.items():
            rows = torch.rand(len(wave), generator=generator) < getattr(self, name)
            if rows.any():
                changed[rows] = damage(changed[rows], generator)
        return (changed / changed.abs().amax(dim=1, keepdim=True).clamp_min(1)).to(wave.dtype)


def band_limit(wave: Tensor, low_hz: Tensor | float, high_hz: Tensor | float) -> Tensor:
    """Keep a band, with skirts of 24 dB an octave below it and 48 above, as gentle channels have.

    Args:
        wave: Waveforms at 16 kHz, shape (B, T).
        low_hz: One value, or one a clip, shape (B, 1); 0 is no limit.
        high_hz: The same.
    """
    hertz = _hertz(wave)
    low, high = torch.as_tensor(low_hz).clamp_min(1e-3), torch.as_tensor(high_hz)
    above, below = torch.log2(hertz / high).clamp_min(0), torch.log2(low / hertz).clamp_min(0)
    return _filtered(wave, -48 * above - 24 * below)


def reverberate(wave: Tensor, decay_s: Tensor | float, direct_db: Tensor | float, white: Tensor) -> Tensor:
    """Put clips into a room: the direct sound, and a tail of noise that decays exponentially.

    Args:
        wave: Waveforms at 16 kHz, shape (B, T).
        decay_s: Seconds in which the tail falls by 60 dB; one value, or one a clip, shape (B, 1).
        direct_db: Energy of the direct sound above that of the tail; the same.
        white: White noise, shape (B, TAIL_SAMPLES): what the tail is made from.
    """
    samples, tail_samples = wave.shape[1], white.shape[1]
    tail = white * 10 ** (-3 * torch.arange(tail_samples) / SAMPLE_RATE / torch.as_tensor(decay_s))
    level = 10 ** (-torch.as_tensor(direct_db) / 20)
    response = tail * (level / tail.square().sum(dim=1, keepdim=True).sqrt())
    response[:, 0] = 1
    size = next_fast_len(samples + tail_samples, real=True)
    return torch.fft.irfft(torch.fft.rfft(wave, size) * torch.fft.rfft(response, size), size)[:, :samples]


def coloured_noise(white: Tensor, slope: Tensor | float) -> Tensor:
    """Noise whose amplitude falls with frequency to the power of `slope`: 0 white, 0.5 pink, 1 brown.

    Args:
        white: White noise, shape (B, T).
        slope: One value, or one a clip, shape (B, 1).
    """
    spectrum = torch.fft.rfft(white) * _hertz(white).clamp_min(50) ** -torch.as_tensor(slope)
    return torch.fft.irfft(spectrum, white.shape[1])


def _speed(wave: Tensor, generator: torch.Generator) -> Tensor:
    """A clip that got shorter is repeated."""
    factors = _uniform(wave, generator, 0.88, 1.12).squeeze(1).tolist()
    changed = [
        soxr.resample(row.numpy(), SAMPLE_RATE, SAMPLE_RATE / factor, "MQ")
        for row, factor in zip(wave, factors, strict=True)
    ]
    return torch.stack([torch.from_numpy(audio.repeat_to(row, wave.shape[1])) for row in changed])


def _room(wave: Tensor, generator: torch.Generator) -> Tensor:
    decay_s, direct_db = _uniform(wave, generator, 0.1, 0.6), _uniform(wave, generator, 6, 20)
    return reverberate(wave, decay_s, direct_db, torch.randn(len(wave), TAIL_SAMPLES, generator=generator))


def _band(wave: Tensor, generator: torch.Generator) -> Tensor:
    high, low = _uniform(wave, generator, 3400, 7500), _uniform(wave, generator, 50, 300)
    return band_limit(wave, low * (_uniform(wave, generator, 0, 1) < 0.5), high)


def _tilt(wave: Tensor, generator: torch.Generator) -> Tensor:
    octaves = torch.log2(_hertz(wave).clamp_min(50) / 1000)
    return _filtered(wave, _uniform(wave, generator, -4, 4) * octaves)


def _noise(wave: Tensor, generator: torch.Generator) -> Tensor:
    slope, snr_db = _uniform(wave, generator, 0, 1), _uniform(wave, generator, 10, 40)
    white = torch.randn(wave.shape, generator=generator)
    return add_noise(wave, coloured_noise(white, slope), snr_db)


def _mulaw(wave: Tensor, generator: torch.Generator) -> Tensor:
    peak = _peak(wave)
    steps = torch.round(127 * torch.log1p(255 * (wave / peak).abs()) / math.log(256))
    return torch.sign(wave) * torch.expm1(steps / 127 * math.log(256)) / 255 * peak


def _clip(wave: Tensor, generator: torch.Generator) -> Tensor:
    share = _uniform(wave, generator, 0.3, 0.9)
    limit = _peak(wave) * share
    return wave.clamp(-limit, limit) / share


def _phone(wave: Tensor, generator: torch.Generator) -> Tensor:
    names = [name for name in PHONE_CODECS if name in codecs.available()]
    return _coded(band_limit(wave, *PHONE_BAND_HZ), names, generator)


def _codec(wave: Tensor, generator: torch.Generator) -> Tensor:
    return _coded(wave, codecs.available(), generator)


def _coded(wave: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """Each clip through one of the codecs, for which its peak is at 1 to 25 dB below full scale."""

    def pick(items: Sequence[Item]) -> Item:
        return items[int(torch.randint(len(items), (), generator=generator))]

    scale = 10 ** (-_uniform(wave, generator, 1, 25) / 20) / _peak(wave)
    rows = []
    for row in wave * scale:
        name = pick(names)
        codec = codecs.CODECS[name]
        coded = codecs.code(row.numpy(), name, pick(codec.rates), pick(codec.bit_rates))
        rows.append(torch.from_numpy(coded))
    return torch.stack(rows) / scale


DAMAGES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "speed": _speed,
    "room": _room,
    "band": _band,
    "tilt": _tilt,
    "rawboost": rawboost,
    "noise": _noise,
    "mulaw": _mulaw,
    "clip": _clip,
    "phone": _phone,
    "codec": _codec,
}
"""By field of `WaveAugment`, in its order: from the voice through room, microphone and line to the codec."""


def _uniform(wave: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """One value a clip, (B, 1)."""
    return low + (high - low) * torch.rand(len(wave), 1, generator=generator)


def _peak(wave: Tensor) -> Tensor:
    return wave.abs().amax(dim=1, keepdim=True).clamp_min(_PEAK)


def _hertz(wave: Tensor) -> Tensor:
    """Frequencies (K,) of a waveform's transform, none of them 0."""
    return torch.fft.rfftfreq(wave.shape[1], 1 / SAMPLE_RATE).clamp_min(1)


def _filtered(wave: Tensor, gain_db: Tensor) -> Tensor:
    gain = 10 ** (gain_db.clamp(-80, 30) / 20)
    return torch.fft.irfft(torch.fft.rfft(wave) * gain, wave.shape[1])


class SpecAugment(nn.Module):
    """Frequency and time masking of features (Park et al. 2019), the masked part at the clip's mean."""

    def __init__(self, bands: int = 10, frames: int = 25, masks: int = 1):
        """Take the greatest width of a mask in bands and in frames, and how many of each there are."""
        super().__init__()
        self.bands, self.frames, self.masks = bands, frames, masks

    def forward(self, features: Tensor) -> Tensor:
        """(B, F, L) -> (B, F, L)."""
        batch, bands, frames = features.shape
        masked = torch.zeros(batch, bands, frames, dtype=torch.bool, device=features.device)
        for _ in range(self.masks):
            masked |= _stripes(batch, bands, self.bands, features.device).unsqueeze(2)
            masked |= _stripes(batch, frames, self.frames, features.device).unsqueeze(1)
        return torch.where(masked, features.mean(dim=(1, 2), keepdim=True), features)


def _stripes(batch: int, length: int, widest: int, device: torch.device) -> Tensor:
    """One random stripe a clip, (B, length)."""
    width = torch.rand(batch, 1, device=device) * min(widest, length)
    start = torch.rand(batch, 1, device=device) * (length - width)
    position = torch.arange(length, device=device)
    return (position >= start) & (position < start + width)
