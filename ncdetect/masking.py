"""What stands in the place of a masked stretch: noise like the clip itself, never silence."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ncdetect.audio import SAMPLE_RATE

FADE_SAMPLES = SAMPLE_RATE // 100
"""Over which a mask of the waveform begins and ends."""


def noise_like(wave: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Noise with a clip's mean spectrum and level, by drawing its phases (Theiler et al. 1992).

    Args:
        wave: Waveform, shape (T,).
        seed: Of the phases.

    Returns:
        Float32, shape (T,).
    """
    spectrum = np.fft.rfft(wave)
    turned = spectrum * np.exp(2j * np.pi * np.random.default_rng(seed).random(len(spectrum)))
    turned[0] = spectrum[0]  # the DC offset stays
    if len(wave) % 2 == 0:
        turned[-1] = spectrum[-1]  # so does the Nyquist frequency, which is real too
    return np.fft.irfft(turned, len(wave)).astype(np.float32)


def share_of(spans: Iterable[tuple[int, int]], length: int, fade: int = 0) -> NDArray[np.float32]:
    """How much of each sample is masked, shape (length,): 1 in the spans, 0 elsewhere.

    Args:
        spans: Starts and ends in samples, or in frames.
        length: Of the clip.
        fade: Over which a span begins and ends, within it: an edge would be heard as a click.
    """
    share = np.zeros(length, np.float32)
    for start, end in spans:
        depth = np.arange(1, end - start + 1)
        share[start:end] = np.minimum(1, np.minimum(depth, depth[::-1]) / (fade + 1))
    return share
