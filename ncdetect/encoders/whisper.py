"""The encoder of Whisper (Radford et al. 2022), on clips as short as they are instead of padded to 30 s."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect._torchaudio import torchaudio
from ncdetect.frontends import SAMPLE_RATE


class WhisperMel(nn.Module):
    """Whisper's log-mel spectrogram: 80 bands (Slaney), FFT 400, hop 160, log10, 8 decades deep."""

    def __init__(self, n_mels: int = 80, n_fft: int = 400, hop: int = 160):
        """Build the filter bank; the arguments are in bands and samples."""
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        filters = torchaudio.functional.melscale_fbanks(
            n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, n_mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, T) -> (B, F, L), L = T // hop, float32 also under autocast."""
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.stft(wave.float(), self.n_fft, self.hop, window=self.window, return_complex=True)
            power = (spectrum.real.square() + spectrum.imag.square())[..., :-1]
            mel = (power.transpose(1, 2) @ self.filters).transpose(1, 2)
            log = mel.clamp_min(1e-10).log10()
            log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8)
            return (log + 4) / 4


class Attention(nn.Module):
    """Self-attention of several heads; the keys have no bias, as in Whisper."""

    def __init__(self, width: int, heads: int):
        """Build it with fresh weights."""
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        y = F.scaled_dot_product_attention(
            split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        )
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each normalised first and added to what came in."""

    def __init__(self, width: int, heads: int):
        """Build it with fresh weights."""
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn = Attention(width, heads)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class WhisperEncoder(nn.Module):
    """Two convolutions and transformer layers; parameters are named as in Hugging Face's `WhisperEncoder`.

    Of the final normalisation nothing is kept: hidden states are taken before it. Positions are sinusoids,
    which are computed, not stored.
    """

    def __init__(self, width: int, layers: int, heads: int):
        """Build the encoder: tiny is 384, 4, 6; base is 512, 6, 8. Fewer layers make a cut one."""
        super().__init__()
        self.frontend = WhisperMel()
        self.conv1 = nn.Conv1d(80, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers))
        self.register_buffer("positions", sinusoids(1500, width), persistent=False)

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Hidden states (B, T / 320, D) of waveforms (B, T): of the convolutions, then of each layer."""
        x = F.gelu(self.conv1(self.frontend(wave)))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        states = [x + self.positions[: x.shape[1]]]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return states


def sinusoids(length: int, width: int) -> Tensor:
    """Positions (L, D): sines, then cosines, of wavelengths from 2 pi to 20,000 pi."""
    increment = math.log(10_000) / (width // 2 - 1)
    rates = torch.exp(-increment * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
