"""Augmentation of waveform batches and spectrograms, against the shortcuts of the corpora.

Level needs none: the front end equalises it. Everything is drawn from one generator, so that a seed gives the
same batch again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ncdetect.frontends import SAMPLE_RATE


@dataclass(frozen=True)
class WaveAugment:
    """Room, channel, noise, coding and clipping, each with its own probability for each clip."""

    room: float = 0.2
    """Share of clips with reverberation: an exponentially decaying noise tail, 0.1 to 0.6 s."""
    band: float = 0.3
    """Share of clips with a low-pass at 3.4 to 7.5 kHz and a high-pass up to 300 Hz (as a telephone has)."""
    tilt: float = 0.3
    """Share of clips with a random spectral tilt of up to 4 dB an octave (microphones)."""
    noise: float = 0.4
    """Share of clips with white to brown noise at 10 to 40 dB signal-to-noise ratio."""
    mulaw: float = 0.1
    """Share of clips through 8-bit mu-law (ITU-T G.711's curve)."""
    clip: float = 0.05
    """Share of clips clipped at 30 to 90 % of their peak."""

    def __call__(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """Change a batch.

        Args:
            wave: Waveforms at 16 kHz, shape (B, T).
            generator: Source of every random choice.

        Returns:
            Waveforms of the same shape.
        """
        batch, samples = wave.shape

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(batch, 1, generator=generator)

        def chosen(probability: float) -> Tensor:
            return torch.rand(batch, 1, generator=generator) < probability

        # One transform for everything linear; the tail of the room wraps round, which a random crop hides.
        frequencies = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE).unsqueeze(0)  # (1, K)
        spectrum = torch.fft.rfft(wave)
        octaves = torch.log2(frequencies.clamp_min(50.0) / 1000.0)
        gain_db = torch.where(chosen(self.tilt), uniform(-4, 4), 0.0) * octaves
        banded = chosen(self.band)
        low_pass = torch.where(banded, uniform(3400, 7500), 1e9)
        high_pass = torch.where(banded & chosen(0.5), uniform(50, 300), 0.0)
        # Skirts of 24 dB an octave upwards, 12 downwards, as gentle channels have.
        gain_db = gain_db - 48 * torch.log2(frequencies.clamp_min(1.0) / low_pass).clamp_min(0)
        gain_db = gain_db - 24 * torch.log2(high_pass.clamp_min(1e-3) / frequencies.clamp_min(1.0)).clamp_min(
            0
        )
        spectrum = spectrum * 10 ** (gain_db.clamp(-80, 30) / 20)
        spectrum = spectrum * torch.fft.rfft(
            self._rooms(chosen(self.room), uniform(0.1, 0.6), samples, generator)
        )
        wave = torch.fft.irfft(spectrum, samples)

        noise = torch.fft.rfft(torch.randn(batch, samples, generator=generator))
        noise = noise * frequencies.clamp_min(50.0) ** (-uniform(0, 1))
        noise = torch.fft.irfft(noise, samples)
        ratio = 10 ** (-uniform(10, 40) / 20) * _rms(wave) / _rms(noise)
        wave = wave + torch.where(chosen(self.noise), ratio, 0.0) * noise

        peak = wave.abs().amax(dim=1, keepdim=True).clamp_min(1e-5)
        limit = peak * torch.where(chosen(self.clip), uniform(0.3, 0.9), 1.0)
        wave = wave.clamp(-limit, limit) / limit
        coded = torch.sign(wave) * torch.log1p(255 * wave.abs()) / torch.log(torch.tensor(256.0))
        coded = torch.round(coded * 127) / 127
        coded = torch.sign(coded) * torch.expm1(coded.abs() * torch.log(torch.tensor(256.0))) / 255
        return torch.where(chosen(self.mulaw), coded, wave)

    @staticmethod
    def _rooms(chosen: Tensor, decay_s: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Impulse responses (B, T): the direct sound, and for the chosen a tail 6 to 20 dB below it."""
        batch = len(chosen)
        length = min(samples, SAMPLE_RATE // 2)
        time_s = torch.arange(length) / SAMPLE_RATE
        tail = torch.randn(batch, length, generator=generator) * 10 ** (-3 * time_s / decay_s)
        level = 10 ** (-(6 + 14 * torch.rand(batch, 1, generator=generator)) / 20)
        tail = tail * (level / tail.square().sum(dim=1, keepdim=True).sqrt()) * chosen
        response = torch.zeros(batch, samples)
        response[:, :length] = tail
        response[:, 0] = 1.0
        return response


def _rms(wave: Tensor) -> Tensor:
    return wave.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-6)


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
