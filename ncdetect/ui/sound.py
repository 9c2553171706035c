"""Sound on its way to the browser: 16 bit at 16 kHz, as base64 in JSON."""

import base64

import numpy as np
from numpy.typing import NDArray

FADE_SAMPLES = 80
"""Over so many a cut begins and ends: an edge would be heard as a click."""


def pcm(wave: NDArray[np.floating], fade: int = 0) -> bytes:
    """A wave (T,), within full scale, as little-endian samples, faded in and out over so many of them."""
    from ncdetect.masking import share_of

    faded = wave * share_of([(0, len(wave))], len(wave), fade) if fade else wave
    return (32_767 * faded).astype("<i2").tobytes()


def packed(data: bytes) -> str:
    """Bytes as base64; `nc.samples` unpacks those of `pcm`."""
    return base64.b64encode(data).decode()
