"""DistillMOS (Stahl and Gamper 2025), a small model of speech quality distilled from XLS-R, as an encoder."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (2, 64, 64, 128, 256, 256, 256)
"""Of the complex spectrogram, then of each convolution."""
FEATURES = 1024
"""Channels times the four frequencies that the convolutions leave."""
MAX_FRAMES = 384


class DistillMOS(nn.Module):
    """Convolutions on the complex spectrogram, then transformer layers; the quality head is left out."""

    def __init__(self, width: int = 200, layers: int = 7, heads: int = 8):
        """Build the encoder with fresh weights; with fewer layers it is cut."""
        super().__init__()
        self.convolutions = Convolutions()
        self.transformer = Transformer(width, layers, heads)

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Hidden states (B, L, D) of waveforms (B, T): of the convolutions, then of each layer."""
        convolved = self.convolutions(wave)
        return [convolved, *self.transformer(convolved)]


class Convolutions(nn.Module):
    """Complex spectrogram and six convolutions: (B, T) -> (B, T / 320, 1024)."""

    def __init__(self) -> None:
        """Build it with fresh weights."""
        super().__init__()
        last = len(CHANNELS) - 2
        self.cnn = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=(2 if i else 1, 2 if i == last else 1), padding=(0, 1))
            for i, (a, b) in enumerate(zip(CHANNELS, CHANNELS[1:], strict=False))
        )
        self.register_buffer("window", torch.hann_window(320), persistent=False)

    def spectrogram(self, wave: Tensor) -> Tensor:
        """Complex spectrogram, magnitudes to the power 0.3: (B, T) -> (B, 2, 161, T / 160), float32."""
        with torch.autocast(wave.device.type, enabled=False):
            wave = wave.float()
            wave = wave / (wave.abs().amax(dim=1, keepdim=True) + 1e-8)
            wave = F.pad(wave.unsqueeze(1), (80, 80), mode="reflect").squeeze(1)
            spectrum = torch.stft(wave, 320, 160, window=self.window, center=False, return_complex=True)
            compressed = spectrum * spectrum.abs().clamp_min(1e-12).pow(-0.7)
            return torch.view_as_real(compressed).permute(0, 3, 1, 2)

    def forward(self, wave: Tensor) -> Tensor:
        """Of waveforms at 16 kHz."""
        x = self.spectrogram(wave).contiguous(memory_format=torch.channels_last)
        for convolution in self.cnn:
            x = F.leaky_relu(convolution(x), 0.1)
        return x.flatten(1, 2).transpose(1, 2)


class Transformer(nn.Module):
    """Normalisation, linear projection, positions and post-norm layers."""

    def __init__(self, width: int, layers: int, heads: int):
        """Build it with fresh weights."""
        super().__init__()
        # Two batch normalisations in a row whose statistics never change: one scale and one offset.
        self.scale = nn.Parameter(torch.ones(FEATURES))
        self.offset = nn.Parameter(torch.zeros(FEATURES))
        self.linear_proj = nn.Linear(FEATURES, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True)
            for _ in range(layers)
        )
        self.register_buffer("positions", _positions(MAX_FRAMES, width), persistent=False)

    def forward(self, convolved: Tensor) -> list[Tensor]:
        """Hidden states (B, L, D) of each layer, from (B, L, 1024).

        Raises:
            ValueError: If there are more frames than it knows positions for (7.68 s).
        """
        if convolved.shape[1] > MAX_FRAMES:
            raise ValueError(f"at most {MAX_FRAMES} frames (7.68 s), got {convolved.shape[1]}")
        x = self.linear_proj(convolved * self.scale + self.offset)
        x = x + self.positions[: x.shape[1]]
        states = []
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        return states


def _positions(length: int, width: int) -> Tensor:
    """Sines and cosines in turn, (L, D)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(2 * length) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
