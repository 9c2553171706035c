"""Detectors whose reasons are known, and clips to try them on."""

import numpy as np
import torch
from torch import nn

import media
from ncdetect.frontends import LogMel
from ncdetect.models import Detector

WHISTLE_HZ = 5_000
RATE = 16_000


class Whistle(nn.Module):
    """How far a band stands out, where it does: one convolution over all bands, ReLU, the mean over time."""

    def __init__(self, front_end: nn.Module):
        super().__init__()
        self.front_end = front_end
        self.conv = nn.Conv2d(1, 1, (80, 1))
        tone = torch.from_numpy(media.tone(RATE, 1.0, WHISTLE_HZ))[None]
        band = int(LogMel().power(tone)[0].mean(dim=1).argmax())
        nn.init.constant_(self.conv.weight, -1 / 79)
        self.conv.weight.data[0, 0, band] = 1
        nn.init.constant_(self.conv.bias, -5)

    def forward(self, features):
        return torch.relu(self.conv(self.front_end(features).unsqueeze(1))).mean(dim=(2, 3))


def whistle_detector(raw: bool = False) -> Detector:
    """It hears a whistle as fake; `raw`: its front end returns the waveform."""
    parts = (nn.Identity(), Whistle(LogMel())) if raw else (LogMel(), Whistle(nn.Identity()))
    detector = Detector(*parts, 1).eval()
    nn.init.constant_(detector.head.weight, 10)
    nn.init.constant_(detector.head.bias, -0.5)
    return detector


def whistled(start_s: float, end_s: float, seed: int = 0) -> np.ndarray:
    """Speech with a whistle in one stretch, 3 s."""
    wave = media.speech_like(3.0, seed=seed)
    start, end = round(start_s * RATE), round(end_s * RATE)
    wave[start:end] += media.tone(RATE, 3.0, WHISTLE_HZ, 0.1)[start:end]
    return wave
