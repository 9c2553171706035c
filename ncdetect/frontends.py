"""Front ends: waveforms (B, T) to features (B, F, L). A front end = one class and one line in FRONT_ENDS."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect._torchaudio import torchaudio

SAMPLE_RATE = 16_000
LEVEL_RMS = 0.1
N_FFT = 512
HOP = 160
"""10 ms in samples."""
FLOOR = 1e-6
"""Power under the logarithm, of clips at LEVEL_RMS."""


def equalise_level(wave: Tensor) -> Tensor:
    """Remove the DC offset and scale each clip to the same RMS level.

    Level and DC offset differ by source in every collection of corpora, so that a classifier could read the
    source from them instead of the voice.

    Args:
        wave: Waveforms, shape (B, T).

    Returns:
        Waveforms of RMS 0.1, shape (B, T); a silent clip stays silent.
    """
    wave = wave - wave.mean(dim=-1, keepdim=True)
    rms = wave.square().mean(dim=-1, keepdim=True).sqrt()
    return wave * (LEVEL_RMS / rms.clamp_min(1e-5))


class LogBands(nn.Module):
    """Levels waveforms and takes the logarithm of their power in bands of frequency.

    The level is equalised before anything else. The floor under the logarithm then lies some 60 dB below
    speech, which keeps digital silence from looking different from a quiet room.
    """

    def __init__(
        self,
        filters: Tensor,
        window: Tensor,
        hop: int,
        floor: float,
        pre_emphasis: float = 0.0,
        logarithm: Callable[[Tensor], Tensor] = torch.log,
    ):
        """Take what the front ends differ in.

        Args:
            filters: Weight of each frequency in each band, shape (n_fft / 2 + 1, F).
            window: Of the short-time Fourier transform, of at most n_fft samples; zeros fill it up evenly.
            hop: In samples.
            floor: Power that is added under the logarithm.
            pre_emphasis: c in x[t] - c x[t - 1].
            logarithm: Of power.
        """
        super().__init__()
        self.n_fft, self.hop, self.floor = 2 * (len(filters) - 1), hop, floor
        self.pre_emphasis, self.logarithm = pre_emphasis, logarithm
        before = (self.n_fft - len(window)) // 2
        window = F.pad(window, (before, self.n_fft - len(window) - before))
        # Derived from the arguments, so not part of the state_dict.
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", window, persistent=False)

    def power(self, wave: Tensor) -> Tensor:
        """Power in bands without level and logarithm: (B, T) -> (B, F, L), L = T // hop + 1."""
        if self.pre_emphasis:
            wave = torch.cat([wave[:, :1], wave[:, 1:] - self.pre_emphasis * wave[:, :-1]], dim=1)
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power.transpose(1, 2) @ self.filters).transpose(1, 2)

    def forward(self, wave: Tensor) -> Tensor:
        """Logarithmic power, (B, T) -> (B, F, L), float32 also under autocast.

        Raises:
            ValueError: If the waveform is not of shape (B, T) or shorter than half an FFT window.
        """
        if wave.ndim != 2 or wave.shape[1] <= self.n_fft // 2:
            raise ValueError(
                f"waveforms must have shape (B, T), T > {self.n_fft // 2} samples, got {tuple(wave.shape)}"
            )
        with torch.autocast(wave.device.type, enabled=False):
            return self.logarithm(self.power(equalise_level(wave.float())) + self.floor)


class LogMel(LogBands):
    """Log-mel spectrogram as in Yousif et al. 2024, section 3.2.2: 80 bands, FFT 512, hop 160, 16 kHz.

    Hann window, power spectrum, HTK mel scale over 0 to 8 kHz, natural logarithm.
    """

    def __init__(self, n_mels: int = 80, n_fft: int = N_FFT, hop: int = HOP, floor: float = FLOOR):
        """Build the filter bank; the arguments are in bands, samples, samples and power."""
        super().__init__(_mel_filters(n_mels, n_fft), torch.hann_window(n_fft), hop, floor)


class Cepstra(LogBands):
    """Cosine transform of logarithmic bands (DCT-II, orthonormal), and its first and second deltas over time.

    A delta is the slope of the regression line through the frames around (HTK's definition), frames beyond
    the ends repeated: at `reach` 1 half the difference of the frames before and after.
    """

    def __init__(self, reach: int, **bands: Any):
        """Keep as many coefficients as there are bands.

        Args:
            reach: Frames on each side of the middle one in a delta.
            **bands: Of `LogBands`.
        """
        super().__init__(**bands)
        self.reach = reach
        coefficients = self.filters.shape[1]
        self.size = 3 * coefficients
        """F: coefficients, deltas and double deltas."""
        dct = torchaudio.functional.create_dct(coefficients, coefficients, norm="ortho")
        self.register_buffer("dct", dct, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Coefficients, deltas and double deltas, (B, T) -> (B, F, L), float32 also under autocast.

        Raises:
            ValueError: If the waveform is not of shape (B, T) or shorter than half an FFT window.
        """
        bands = super().forward(wave)
        with torch.autocast(wave.device.type, enabled=False):
            parts = [(bands.transpose(1, 2) @ self.dct).transpose(1, 2)]
            for _ in range(2):
                parts.append(torchaudio.functional.compute_deltas(parts[-1], 2 * self.reach + 1))
        return torch.cat(parts, dim=1)


class LFCC(Cepstra):
    """Linear-frequency cepstral coefficients (Zhang et al. 2021, Sahidullah et al. 2015): F = 60.

    Pre-emphasis 0.97, Hamming windows of 20 ms every 10 ms, FFT 512, 20 triangular filters spaced evenly over
    0 to 8 kHz, decimal logarithm, 20 coefficients, deltas over three frames.
    Upstream differs in three ways. It keeps the level of a clip, here equalised as for `LogMel`; its floor
    under the logarithm is the rounding error of a float64, which makes digital silence a landmark; and its
    deltas are not divided, so twice and four times ours.
    """

    def __init__(self):
        """Build the filter bank."""
        nyquist = SAMPLE_RATE / 2
        super().__init__(
            reach=1,
            filters=torchaudio.functional.linear_fbanks(N_FFT // 2 + 1, 0.0, nyquist, 20, SAMPLE_RATE),
            window=torch.hamming_window(SAMPLE_RATE * 20 // 1000),
            hop=HOP,
            floor=FLOOR,
            pre_emphasis=0.97,
            logarithm=torch.log10,
        )


class MFCC(Cepstra):
    """Mel-frequency cepstral coefficients (Kawa et al. 2023): F = 384.

    Hann windows of 25 ms every 10 ms, FFT 512, 128 HTK mel bands over 0 to 8 kHz, 128 coefficients, deltas
    over five frames.
    Upstream differs in three ways. It keeps the level of a clip, here equalised as for `LogMel`; its
    logarithm is in decibels and cut off 80 below the loudest frame; and its deltas reach 199 frames to each
    side, a window length in samples taken for one in frames.
    """

    def __init__(self):
        """Build the filter bank."""
        super().__init__(
            reach=2,
            filters=_mel_filters(128, N_FFT),
            window=torch.hann_window(SAMPLE_RATE * 25 // 1000),
            hop=HOP,
            floor=FLOOR,
        )


def _mel_filters(n_mels: int, n_fft: int) -> Tensor:
    with warnings.catch_warnings():
        # Of 128 bands the lowest falls between two frequencies of the FFT: it stays at the floor.
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values")
        return torchaudio.functional.melscale_fbanks(
            n_freqs=n_fft // 2 + 1, f_min=0.0, f_max=SAMPLE_RATE / 2, n_mels=n_mels, sample_rate=SAMPLE_RATE
        )


FRONT_ENDS: dict[str, type[nn.Module]] = {"log-mel": LogMel, "lfcc": LFCC, "mfcc": MFCC}
