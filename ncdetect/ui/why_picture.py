"""The pictures of an explanation: spectrogram, colours over it, curve below it. Pure functions of arrays."""

import base64
import struct
import zlib
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

GREYS = 16
"""Levels of the spectrogram: with 4 bits a pixel even noise of 9 s stays below 60 kB."""
LEAST_SCALE = 0.5
"""Logits that fill at least the height of the curve: a flat one shall look flat."""
WIDTH = 1000
"""Of the drawings, which are stretched."""


def spectrogram(levels: NDArray[np.floating]) -> str:
    """A picture in black of varying opacity, as a data URI of a PNG: on a dark page the style inverts it.

    Args:
        levels: Of bands and frames, (F, L), in [0, 1], low bands first.
    """
    greys = np.round((GREYS - 1) * levels[::-1]).astype(np.uint8)
    height, width = greys.shape
    greys = np.pad(greys, ((0, 0), (0, width % 2)))
    rows = np.zeros((height, 1 + greys.shape[1] // 2), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = greys[:, ::2] << 4 | greys[:, 1::2]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),  # 4 bits, of a palette
            (b"PLTE", bytes(3 * GREYS)),
            (b"tRNS", bytes(255 * level // (GREYS - 1) for level in range(GREYS))),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def veil(values: ArrayLike) -> str:
    """Colours to lie over the spectrogram: the more a moment does, the stronger.

    Args:
        values: What each moment does to the logit, (L,), positive towards fake.
    """
    values = np.asarray(values, np.float64) / _full(values)
    at = (np.arange(len(values)) + 0.5) / len(values)
    drawn = ""
    for word, part in (("fake", np.maximum(values, 0)), ("real", np.maximum(-values, 0))):
        stops = "".join(
            f'<stop offset="{place:.3f}" stop-opacity="{value:.2f}"/>'
            for place, value in zip(at, part, strict=True)
        )
        drawn += (
            f'<linearGradient id="nc-why-{word}" class="nc-{word}">{stops}</linearGradient>'
            f'<rect width="{WIDTH}" height="1" fill="url(#nc-why-{word})"/>'
        )
    return (
        f'<svg class="nc-why-veil" viewBox="0 0 {WIDTH} 1" preserveAspectRatio="none" aria-hidden="true">'
        f"{drawn}</svg>"
    )


def curve(values: ArrayLike, told: str) -> str:
    """The same as areas: above the line towards fake, below it towards real.

    Args:
        values: As for `veil`.
        told: The curve in words, for who cannot see it.
    """
    values = np.asarray(values, np.float64)
    x = np.concatenate([[0], (np.arange(len(values)) + 0.5) * WIDTH / len(values), [WIDTH]])
    values = np.pad(values, 1, mode="edge")
    areas = ""
    for word, part in (("fake", np.maximum(values, 0)), ("real", np.minimum(values, 0))):
        y = 50 - 46 * part / _full(values)
        points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
        areas += f'<polygon class="nc-{word}" points="0,50 {points} {WIDTH},50"/>'
    return (
        f'<div class="nc-why-curve" role="img" aria-label="{escape(told)}"><svg viewBox="0 0 {WIDTH} 100" '
        f'preserveAspectRatio="none">{areas}<path d="M0 50H{WIDTH}"/></svg></div>'
    )


def _full(values: ArrayLike) -> float:
    return max(LEAST_SCALE, float(np.abs(values).max()))
