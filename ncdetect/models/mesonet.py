"""`whisper-mesonet`: Whisper's encoder beside MFCC, judged by MesoInception-4 (Kawa et al. 2023).

The system that Kawa et al. found best, as their code has it, but for what follows from this library:

- It hears the library's windows of 3 s instead of 30 s (a shorter clip is repeated in both), so that both
  pictures have 300 frames instead of 3,000. Silence is not cut out, and the level is equalised first.
- The 1,024 pooled values are the embedding, as for the OC-Softmax poster (whose table names them its input),
  and the head reads them directly: the code's layer of 16 units between them and the logit is left out,
  because every head here must be linear in the embedding.

Two schedules are published. Kawa et al. train 10 epochs with a frozen encoder (Adam, learning rate 1e-4,
weight decay 1e-4, batches of 8), then 5 epochs of everything at 1e-6. The OC-Softmax poster trains 5 epochs
frozen, then 15 unfrozen, and names no rates. `STAGES` has the poster's epochs and Kawa et al.'s rates: in the
second stage 1e-6 for the encoder, while what was not pretrained stays at 1e-4.
"""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from huggingface_hub import hf_hub_download
from safetensors import safe_open
from torch import Tensor, nn

from ncdetect._torchaudio import torchaudio
from ncdetect.encoders import WhisperEncoder
from ncdetect.frontends import SAMPLE_RATE, equalise_level
from ncdetect.models.base import Detector, Dropout
from ncdetect.models.heads import HEADS

WIDTH, LAYERS, ATTENTION_HEADS = 384, 4, 6
"""Of Whisper tiny.en's encoder."""
COEFFICIENTS = WIDTH // 3
"""MFCC; with both deltas they have as many rows as the encoder."""
EMBEDDING_DIM = 1024
HUB_REPOSITORY = "openai/whisper-tiny.en"
WEIGHT_FILES = ("whisper-tiny.en-encoder.safetensors", "model.safetensors")
"""The encoder alone, or the whole model as the Hub has it."""
STAGES: tuple[dict[str, float], ...] = (
    {"epochs": 5, "patience": 5, "learning_rate": 1e-4, "weight_decay": 1e-4, "pretrained_rate": 0.0},
    {"epochs": 15, "patience": 15, "learning_rate": 1e-4, "weight_decay": 1e-4, "pretrained_rate": 0.01},
)
"""Encoder frozen, then unfrozen: fields of two `training.Recipe`s, one after the other, in batches of 8."""


class WideDeltaMFCC(nn.Module):
    """MFCC with differences over 4 s: (B, T) -> (B, 384, T // 160 + 1), 128 coefficients, delta, delta-delta.

    Hann window of 25 ms every 10 ms, FFT 512, 128 mel bands, decibels down to 80 below the clip's loudest
    value, orthonormal DCT. The deltas are regressions over 400 frames, as in Kawa et al.'s code, where usual
    ones have 5 or 9; beyond the ends the first and the last frame are repeated.
    """

    def __init__(self, n_fft: int = 512, window: int = 400, hop: int = 160, delta_frames: int = 400):
        """Build the filter bank; the arguments are in samples, `delta_frames` in frames."""
        super().__init__()
        self.n_fft, self.window_length, self.hop, self.delta_frames = n_fft, window, hop, delta_frames
        with warnings.catch_warnings():
            # With 128 bands on 257 frequencies the lowest bands fall between two of them, as published.
            warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero")
            filters = torchaudio.functional.melscale_fbanks(
                n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, COEFFICIENTS, SAMPLE_RATE
            )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        cosines = torchaudio.functional.create_dct(COEFFICIENTS, COEFFICIENTS, "ortho")
        self.register_buffer("cosines", cosines, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Of waveforms at 16 kHz, float32 also under autocast."""
        functional = torchaudio.functional
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.stft(
                wave.float(), self.n_fft, self.hop, self.window_length, self.window, return_complex=True
            )
            power = spectrum.real.square() + spectrum.imag.square()
            mel = self.filters.T @ power
            # A dimension of 1: otherwise the floor would follow the loudest clip of the batch.
            decibels = functional.amplitude_to_DB(mel.unsqueeze(1), 10.0, 1e-10, 0.0, top_db=80.0).squeeze(1)
            cepstrum = self.cosines.T @ decibels
            delta = functional.compute_deltas(cepstrum, self.delta_frames)
            return torch.cat([cepstrum, delta, functional.compute_deltas(delta, self.delta_frames)], dim=1)


class WhisperAndMFCC(nn.Module):
    """Two pictures of 384 rows and 100 frames a second, one above the other: (B, T) -> (B, 768, T // 160).

    The encoder gives 50 frames a second. As in Kawa et al.'s code its whole output stands twice in a row to
    fill the frames of the MFCC, so that the pictures have the same size without showing the same moments.
    """

    def __init__(self) -> None:
        """Build it with fresh weights; `load_encoder` brings the published ones."""
        super().__init__()
        self.encoder = WhisperEncoder(WIDTH, LAYERS, ATTENTION_HEADS)
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.mfcc = WideDeltaMFCC()

    def heard(self, wave: Tensor) -> Tensor:
        """The encoder's output after its last normalisation, (B, T) -> (B, T / 320, 384)."""
        return self.layer_norm(self.encoder(wave)[-1])

    def forward(self, wave: Tensor) -> Tensor:
        """Features of waveforms at 16 kHz.

        Raises:
            ValueError: If the waveform is not of shape (B, T) or is shorter than 0.32 s, the least that
                MesoInception-4 can pool.
        """
        frames = wave.shape[-1] // self.mfcc.hop
        if wave.ndim != 2 or frames < MesoInception4.STRIDE:
            least = MesoInception4.STRIDE * self.mfcc.hop
            raise ValueError(
                f"waveforms must have shape (B, T), T >= {least} samples, got {tuple(wave.shape)}"
            )
        wave = equalise_level(wave.float())
        heard = self.heard(wave).transpose(1, 2)  # (B, L, D) -> (B, D, L)
        return torch.cat([heard.float().repeat(1, 1, 2)[..., :frames], self.mfcc(wave)[..., :frames]], dim=1)


class Inception(nn.Module):
    """Four branches, 1 x 1 and three 3 x 3 convolutions of growing dilation, normalised and pooled by 2.

    Afchar et al. 2018; in Kawa et al.'s code the branches have no activation.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int]):
        """Build it; `widths` has the channels of each branch."""
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(in_channels, widths[0], 1, bias=False)])
        for rate, width in enumerate(widths[1:], start=1):
            squeeze = nn.Conv2d(in_channels, width, 1, bias=False)
            spread = nn.Conv2d(width, width, 3, padding=rate, dilation=rate, bias=False)
            self.branches.append(nn.Sequential(squeeze, spread))
        self.norm = nn.BatchNorm2d(sum(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, L) -> (B, sum of the widths, F / 2, L / 2)."""
        return F.max_pool2d(self.norm(torch.cat([branch(x) for branch in self.branches], dim=1)), 2)


class Convolutions(nn.Module):
    """MesoInception-4's convolutions: (B, 2, F, L) -> (B, 16, F / 32, L / 32)."""

    def __init__(self) -> None:
        """Build them with fresh weights."""
        super().__init__()
        self.inceptions = nn.Sequential(Inception(2, (1, 4, 4, 2)), Inception(11, (2, 4, 4, 2)))
        self.conv1 = nn.Conv2d(12, 16, 5, padding=2, bias=False)
        self.conv2 = nn.Conv2d(16, 16, 5, padding=2, bias=False)
        # One for both convolutions, as in Kawa et al.'s code.
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        """Of two pictures."""
        x = F.max_pool2d(self.norm(F.relu(self.conv1(self.inceptions(x)))), 2)
        return F.max_pool2d(self.norm(F.relu(self.conv2(x))), 4)


class MesoInception4(nn.Module):
    """MesoInception-4 (Afchar et al. 2018) on two pictures, pooled to 1,024 values: (B, 768, L) -> (B, D)."""

    STRIDE = 32
    """Rows and frames that become one."""

    def __init__(self, dropout: float = 0.5):
        """Build it; `dropout` is in [0, 1)."""
        super().__init__()
        self.convolutions = Convolutions()
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features to embeddings."""
        x = self.convolutions(features.unflatten(1, (2, WIDTH)))  # (B, 2 * F, L) -> (B, 2, F, L)
        return F.adaptive_avg_pool1d(self.dropout(x.flatten(1)), EMBEDDING_DIM)


def load_encoder(detector: Detector, folder: Path | None = None) -> None:
    """Put Whisper tiny.en's published encoder into a freshly built detector.

    Args:
        detector: A `whisper-mesonet`.
        folder: Holds one of `WEIGHT_FILES`; None fetches the model from the Hugging Face Hub.

    Raises:
        FileNotFoundError: If the folder holds neither.
    """
    if folder is None:
        file = Path(hf_hub_download(HUB_REPOSITORY, WEIGHT_FILES[1]))
    else:
        file = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if file is None:
        raise FileNotFoundError(f"there is no {' or '.join(WEIGHT_FILES)} in {folder}")
    parts = ((detector.frontend.encoder, ""), (detector.frontend.layer_norm, "layer_norm."))
    with safe_open(file, "pt") as published:
        names = set(published.keys())
        whole = "model.encoder." if "model.encoder.layer_norm.weight" in names else ""
        for module, within in parts:
            state = {name: published.get_tensor(whole + within + name) for name in module.state_dict()}
            module.load_state_dict(state)


def whisper_mesonet(loss: str, dropout: float = 0.5) -> Detector:
    """Whisper tiny.en's encoder and MFCC before MesoInception-4, 1,024-d embedding, 7.6 M parameters.

    Args:
        loss: `bce` or `oc-softmax`: the head is the one for it.
        dropout: Of the values before they are pooled to the embedding, in [0, 1).
    """
    head = HEADS[loss](EMBEDDING_DIM)
    detector = Detector(WhisperAndMFCC(), MesoInception4(dropout), EMBEDDING_DIM, head)
    detector.loss = loss
    detector.separate = () if loss == "bce" else ("head.",)
    detector.stored = "float16"
    detector.pretrained = ("frontend.encoder.", "frontend.layer_norm.")
    return detector
