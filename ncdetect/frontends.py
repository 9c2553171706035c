"""Front ends: waveforms (B, T) to features (B, F, L). A front end = one class and one line in FRONT_ENDS."""

import torch
from torch import Tensor, nn

from ncdetect._torchaudio import torchaudio

SAMPLE_RATE = 16_000
LEVEL_RMS = 0.1


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


class LogMel(nn.Module):
    """Log-mel spectrogram as in Yousif et al. 2024, section 3.2.2: 80 bands, FFT 512, hop 160, 16 kHz.

    Hann window, power spectrum, HTK mel scale over 0 to 8 kHz, natural logarithm. The clips are brought to
    one level first; the floor under the logarithm then lies some 60 dB below speech, which keeps digital
    silence from looking different from a quiet room.
    """

    def __init__(self, n_mels: int = 80, n_fft: int = 512, hop: int = 160, floor: float = 1e-6):
        """Build the filter bank; the arguments are in bands, samples, samples and power."""
        super().__init__()
        self.n_fft, self.hop, self.floor = n_fft, hop, floor
        filters = torchaudio.functional.melscale_fbanks(
            n_freqs=n_fft // 2 + 1, f_min=0.0, f_max=SAMPLE_RATE / 2, n_mels=n_mels, sample_rate=SAMPLE_RATE
        )
        # Derived from the arguments, so not part of the state_dict.
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def power(self, wave: Tensor) -> Tensor:
        """Mel power spectrogram without level and logarithm: (B, T) -> (B, F, L), L = T // hop + 1."""
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power.transpose(1, 2) @ self.filters).transpose(1, 2)

    def forward(self, wave: Tensor) -> Tensor:
        """Log-mel features, (B, T) -> (B, F, L), float32 also under autocast.

        Raises:
            ValueError: If the waveform is not of shape (B, T) or shorter than half an FFT window.
        """
        if wave.ndim != 2 or wave.shape[1] <= self.n_fft // 2:
            raise ValueError(
                f"waveforms must have shape (B, T), T > {self.n_fft // 2} samples, got {tuple(wave.shape)}"
            )
        with torch.autocast(wave.device.type, enabled=False):
            return torch.log(self.power(equalise_level(wave.float())) + self.floor)


FRONT_ENDS: dict[str, type[nn.Module]] = {"log-mel": LogMel}
