"""Fakes made from recordings: the voice is taken apart and put together again.

They inherit the split of their recording, and are for training only. `mel-griffin-lim` loses the phase and
what lies between the mel bands, `world` what does not fit a source and a filter.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ncdetect._torchaudio import torchaudio
from ncdetect.audio import SAMPLE_RATE

N_FFT, HOP, N_MELS = 1024, 256, 80
"""As most neural vocoders have them."""
GRIFFIN_LIM_STEPS = 24


def mel_griffin_lim(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Speech from its 80-band mel spectrogram, the phase by Griffin and Lim (1984).

    Args:
        wave: Waveforms at 16 kHz, shape (B, T).
        generator: Draws nothing here; the signature is that of an augmentation.

    Returns:
        Waveforms of the same shape and peaks.
    """
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(wave, N_FFT, HOP, window=window, return_complex=True).abs()
    filters = torchaudio.functional.melscale_fbanks(N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, SAMPLE_RATE)
    mel = spectrum.transpose(1, 2) @ filters
    magnitude = (mel @ torch.linalg.pinv(filters)).clamp_min(0).transpose(1, 2)
    made = torchaudio.functional.griffinlim(
        magnitude, window, N_FFT, HOP, N_FFT, power=1.0, n_iter=GRIFFIN_LIM_STEPS, momentum=0.99,
        length=wave.shape[1], rand_init=False,
    )  # fmt: skip
    return _at_peak_of(made, wave)


def world(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Speech from pitch, spectral envelope and aperiodicity by WORLD (Morise et al. 2016).

    Args:
        wave: Waveforms at 16 kHz, shape (B, T).
        generator: Draws the shift of the pitch, within two semitones, and nothing else.

    Returns:
        Waveforms of the same shape and peaks.

    Raises:
        ImportError: If the package `pyworld` is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise ImportError("fakes by WORLD need the package pyworld: pip install pyworld") from error
    made = []
    for row in wave.double().numpy():
        pitch, times = pyworld.dio(row, SAMPLE_RATE)
        pitch = pyworld.stonemask(row, pitch, times, SAMPLE_RATE)
        envelope = pyworld.cheaptrick(row, pitch, times, SAMPLE_RATE)
        noise = pyworld.d4c(row, pitch, times, SAMPLE_RATE)
        semitones = float(torch.rand((), generator=generator)) * 4 - 2
        spoken = pyworld.synthesize(pitch * 2 ** (semitones / 12), envelope, noise, SAMPLE_RATE)
        spoken = np.pad(spoken, (0, max(0, len(row) - len(spoken))))[: len(row)]
        made.append(torch.from_numpy(spoken.astype(np.float32)))
    return _at_peak_of(torch.stack(made), wave)


def _at_peak_of(made: Tensor, wave: Tensor) -> Tensor:
    peaks = [part.abs().amax(dim=1, keepdim=True) for part in (wave, made)]
    return made * peaks[0] / peaks[1].clamp_min(1e-5)


RESYNTHESES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "mel-griffin-lim": mel_griffin_lim,
    "world": world,
}


def in_turn(wave: Tensor, generator: torch.Generator) -> Tensor:
    """Each clip of a batch by the next of RESYNTHESES."""
    made = torch.empty_like(wave)
    for number, method in enumerate(RESYNTHESES.values()):
        made[number :: len(RESYNTHESES)] = method(wave[number :: len(RESYNTHESES)], generator)
    return made
