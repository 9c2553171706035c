"""Which moments of a clip moved its verdict: `explain` and `deletion` on the windows that a predictor judges.

Of the methods it is occlusion: it takes half the time of integrated gradients and holds as well, and Grad-CAM
sees only one of the two encoders of `listener` (assets/results/explanations.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ncdetect import audio
from ncdetect.deletion import Deletion, deletion
from ncdetect.explain import REGION_S, Explanation, Region, occlusion
from ncdetect.frontends import LogMel
from ncdetect.labels import Label
from ncdetect.models.base import Detector, Output
from ncdetect.predictor import Verdict, Window

WINDOWS = 5
"""So many windows in a row are explained at most: 9 s."""
FRAME_S = 0.02
DRAWS = 3
"""Of noise, in the check."""
FLAT = 0.1
"""Logits between lowest and highest point of a curve in which nothing is named."""
RANGE_DB = 60
"""From the loudest point of a spectrogram to what is shown as silence."""


@dataclass(frozen=True)
class Part:
    """The windows of a clip that are explained, all of it or those in a row that speak most for its class."""

    towards: Label
    """What the classifier leans to: the class that is explained."""
    start_s: float
    end_s: float
    score: float
    """Mean logit of its windows."""
    judged: tuple[bool, ...]
    """Which of its windows have a part in that."""
    whole: bool


def part_of(verdict: Verdict, most: int = WINDOWS) -> Part:
    """What of a clip is explained.

    Args:
        verdict: On the clip.
        most: Windows in a row.
    """
    towards = Label(int(verdict.probability > 0.5))
    count = min(most, len(verdict.windows))
    runs = [verdict.windows[first : first + count] for first in range(len(verdict.windows) - count + 1)]
    sign = 1 if towards == Label.FAKE else -1
    run = max(runs, key=lambda run: sign * _mean_score(run) if any(w.judged for w in run) else -np.inf)
    return Part(
        towards=towards,
        start_s=run[0].start_s,
        end_s=run[-1].end_s,
        score=_mean_score(run),
        judged=tuple(window.judged for window in run),
        whole=len(runs) == 1,
    )


def _mean_score(run: Sequence[Window]) -> float:
    return float(np.mean([window.score for window in run if window.judged] or [np.nan]))


@dataclass(frozen=True, eq=False)
class Moments:
    """What moved the score of a part of a clip. Seconds count from the start of the part."""

    part: Part
    wave: NDArray[np.float32]
    """Of the part, (T,)."""
    explanation: Explanation
    """Its curve has a frame every FRAME_S."""
    regions: tuple[Region, ...]
    """The strongest first."""


def moments_of(detector: Detector, wave: NDArray[np.float32], part: Part) -> Moments:
    """Cover each moment of a part, in windows side by side, and see how far the score falls.

    Args:
        detector: The one that judged the clip.
        wave: The clip, shape (T,), at 16 kHz.
        part: Of that clip.
    """
    if not part.whole:
        wave = wave[round(part.start_s * audio.SAMPLE_RATE) : round(part.end_s * audio.SAMPLE_RATE)]
    duration_s = len(wave) / audio.SAMPLE_RATE
    starts, windows = audio.windows(wave, hop=audio.WINDOW_SAMPLES)
    frames = max(1, round(duration_s / FRAME_S))
    centres_s = (np.arange(round(windows.shape[1] / audio.SAMPLE_RATE / FRAME_S)) + 0.5) * FRAME_S
    falls, seen = np.zeros(frames), np.zeros(frames)
    for index in np.flatnonzero(audio.active_windows(windows)):
        found = occlusion(detector, windows[index], part.towards)
        # A clip shorter than a window stands in it more than once.
        at_s = (starts[index] / audio.SAMPLE_RATE + centres_s) % duration_s
        at = np.minimum((at_s / duration_s * frames).astype(int), frames - 1)
        np.add.at(falls, at, np.interp(centres_s, found.times_s, found.curve))
        np.add.at(seen, at, 1)
    curve = falls / np.maximum(seen, 1)
    curve[seen == 0] = curve[seen > 0].mean()  # where there is too little signal to judge, nothing stands out
    explanation = Explanation(found.method, part.towards, part.score, duration_s, curve.astype(np.float32))
    named = explanation.regions(most_regions(duration_s)) if np.ptp(curve) >= FLAT else ()
    return Moments(part, wave, explanation, named)


def most_regions(duration_s: float) -> int:
    """How many moments are named at most: three, and of a short clip no more than a third."""
    return max(1, min(3, int(duration_s / (3 * REGION_S) + 1e-9)))


def check(detector: Detector, moments: Moments, draws: int = DRAWS) -> Deletion:
    """Cover all named moments at once, and as much elsewhere, where the verdict on the part is made.

    Args:
        detector: The one that was explained.
        moments: What is tested.
        draws: Of noise and of places.
    """
    judging = _Judging(detector, moments.part.judged).eval()
    return deletion(judging, moments.wave, moments.explanation, moments.regions, draws)


class _Judging(nn.Module):
    """A detector that judges longer clips as a predictor does, by the mean over windows."""

    def __init__(self, detector: Detector, judged: Sequence[bool]):
        super().__init__()
        self.detector = detector
        self.judged = np.asarray(judged)

    def forward(self, waves: Tensor) -> Output:
        cut = np.stack([audio.windows(wave)[1][self.judged] for wave in waves.cpu().numpy()])  # (B, W, T)
        output = self.detector(torch.from_numpy(cut).flatten(0, 1).to(waves.device))
        return Output(*(part.unflatten(0, cut.shape[:2]).mean(dim=1) for part in output))


def spectrogram(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-mel spectrogram for the eye, (80, L): 1 at the loudest point, 0 from RANGE_DB below it, low first.

    Args:
        wave: Waveform, shape (T,), at 16 kHz, not silent.
    """
    power = _log_mel()(torch.from_numpy(np.ascontiguousarray(wave))[None])[0].numpy()
    return np.clip(1 + 10 / np.log(10) * (power - power.max()) / RANGE_DB, 0, 1)


@cache
def _log_mel() -> LogMel:
    return LogMel()
