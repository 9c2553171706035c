"""Where a detector looks before and after dropin, by Grad-CAM on one clip: the paper's figure 4 as a PNG."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont  # gradio brings it

from ncdetect import audio
from ncdetect.explain import Explanation, grad_cam
from ncdetect.labels import Label
from ncdetect.models import Detector

FILE = "dropin-gradcam.png"
FRAME_WIDTH, BAND_HEIGHT = 2, 3
"""Pixels of a frame and of a band of the spectrogram."""
MARGIN, TEXT = 48, 16
"""Around a panel, and of letters, in pixels."""
COLOURS = 96
"""More would not be seen, and make a larger file."""
PAPER, INK, HEAT = (255, 255, 255), (15, 23, 42), (214, 84, 0)
DECADES = 6
"""Of power below the loudest cell, in which the spectrogram goes from white to black."""


def write(detectors: Mapping[str, Detector], clip: Path, towards: Label, folder: Path) -> str:
    """Draw what speaks for a class in the first window of a clip, a panel for each detector, side by side.

    Args:
        detectors: By title of the panel: two, on log-mel.
        clip: An audio file.
        towards: The class that is explained.
        folder: Made where it is not there; the picture is FILE in it.

    Returns:
        What is to be seen, in words.
    """
    wave = audio.windows(audio.load(clip).wave)[1][0]
    found = {name: grad_cam(detector, wave, towards) for name, detector in detectors.items()}
    first = next(iter(detectors.values()))
    with torch.inference_mode():
        spectrogram = first.frontend(torch.from_numpy(wave)[None])[0].numpy()
    panels = [_panel(spectrogram, name, explanation) for name, explanation in found.items()]
    picture = Image.new("RGB", (sum(panel.width for panel in panels), panels[0].height), PAPER)
    for index, panel in enumerate(panels):
        picture.paste(panel, (index * panel.width, 0))
    folder.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / FILE, optimize=True)
    scores = ", ".join(f"{name} {explanation.score:+.2f}" for name, explanation in found.items())
    return (
        f"Grad-CAM of `{clip.name}` (the paper's figure 4): the more orange, the more a moment and a band "
        f"speak for {towards.word}; each map has its own scale. Scores: {scores}. The two maps correlate at "
        f"{_likeness(*(explanation.map for explanation in found.values())):.2f}.\n\n"
        f"![Grad-CAM before and after dropin]({FILE})"
    )


def overlay(spectrogram: NDArray[np.floating], heat: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A spectrogram in grey with a map in colour over it.

    Args:
        spectrogram: Logarithmic power, (F, L), low frequencies first.
        heat: Not negative, (F, L).

    Returns:
        Red, green and blue, (F, L, 3), low frequencies last, as pictures are drawn.
    """
    depth = (spectrogram.max() - spectrogram) / (DECADES * np.log(10))
    grey = np.clip(depth, 0, 1)[..., None] * np.array(PAPER)
    share = 0.8 * (heat / max(float(heat.max()), 1e-12))[..., None]
    return np.round((1 - share) * grey + share * np.array(HEAT)).astype(np.uint8)[::-1]


def _likeness(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Pearson's correlation; 0 where a map is flat."""
    if not (one.std() and other.std()):
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _panel(spectrogram: NDArray[np.floating], name: str, explanation: Explanation) -> Image.Image:
    bands, frames = spectrogram.shape
    inner = Image.fromarray(overlay(spectrogram, explanation.map))
    inner = inner.resize((FRAME_WIDTH * frames, BAND_HEIGHT * bands), Image.Resampling.BILINEAR)
    panel = Image.new("RGB", (inner.width + MARGIN, inner.height + 2 * MARGIN), PAPER)
    panel.paste(inner, (MARGIN // 2, MARGIN))
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(TEXT)
    draw.text((MARGIN // 2, MARGIN // 4), f"{name}, score {explanation.score:+.2f}", INK, font)
    for second in range(int(explanation.duration_s) + 1):
        x = MARGIN // 2 + round(second / explanation.duration_s * inner.width)
        draw.line([(x, MARGIN + inner.height), (x, MARGIN + inner.height + 5)], INK)
        draw.text((x, MARGIN + inner.height + 7), f"{second} s", INK, font, anchor="ma")
    return panel
