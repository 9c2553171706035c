"""The deletion test of explanations: the regions that are named must matter more than any others.

They are masked by noise with the clip's own mean spectrum and level, and so are regions of the same sizes
placed at random; the score must fall further (Samek et al. 2017, with noise in place of random pixels).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from ncdetect import metrics
from ncdetect.audio import SAMPLE_RATE
from ncdetect.explain import BATCH, REGION_S, Explanation, Region, checked, evaluated
from ncdetect.labels import Label
from ncdetect.masking import FADE_SAMPLES, noise_like, share_of
from ncdetect.models import Detector


@dataclass(frozen=True)
class Deletion:
    """What masking does to the logit of the class that is explained; positive: it speaks less for it."""

    named: float
    """Fall where the named regions are masked, mean over draws of noise."""
    random_mean: float
    """Fall where regions of the same sizes are masked, placed at random."""
    random_sd: float
    """Of single places."""

    @property
    def advantage(self) -> float:
        """By how much more the named regions matter, in logits."""
        return self.named - self.random_mean


def deletion(
    detector: Detector,
    wave: ArrayLike,
    explanation: Explanation,
    regions: Sequence[Region],
    draws: int = BATCH,
    seed: int = 0,
) -> Deletion:
    """Mask the named regions of a clip, and as many of the same sizes anywhere.

    Args:
        detector: The one that was explained.
        wave: The clip that was explained, shape (T,), at 16 kHz.
        explanation: Of that clip.
        regions: Those that it names; of none, all falls are 0.
        draws: How often each is masked, every time with new noise, the random ones at new places.
        seed: Of noise and places.

    Raises:
        ValueError: If the regions do not lie in the clip, or there are fewer than 2 draws.
    """
    clip = checked(wave)
    spans = [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in regions]
    if draws < 2 or any(not 0 <= start < end <= len(clip) for start, end in spans):
        length_s = len(clip) / SAMPLE_RATE
        raise ValueError(
            f"{draws} draws, regions {list(regions)}; allowed: at least 2, from 0 to {length_s} s"
        )
    if not spans:
        return Deletion(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    masked = []
    for _ in range(draws):
        for places in (spans, _elsewhere([end - start for start, end in spans], len(clip), rng)):
            share = share_of(places, len(clip), FADE_SAMPLES)
            masked.append((1 - share) * clip + share * noise_like(clip, int(rng.integers(2**31))))
    batches = torch.from_numpy(np.stack(masked)).to(next(detector.parameters()).device).split(BATCH)
    with evaluated(detector):
        scores = torch.cat([detector(batch).score for batch in batches]).cpu().double().numpy()
    sign = 1 if explanation.towards == Label.FAKE else -1
    named, random = (sign * (explanation.score - scores)).reshape(draws, 2).T
    return Deletion(float(named.mean()), float(random.mean()), float(random.std(ddof=1)))


@dataclass(frozen=True)
class Faithfulness:
    """How often, and how clearly, the named regions matter more than random ones."""

    clips: int
    share: metrics.Interval
    """Of the clips, those where the named regions matter more; one half is chance."""
    advantage: metrics.Interval
    """Mean of `Deletion.advantage`, in logits."""


def faithfulness(
    detector: Detector,
    waves: Iterable[ArrayLike],
    method: Callable[[Detector, ArrayLike], Explanation],
    count: int = 3,
    seconds: float = REGION_S,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Faithfulness:
    """The deletion test over clips; one whose explanation names nothing counts as not passed.

    Args:
        detector: Whose verdicts are explained.
        waves: Clips, each of shape (T,).
        method: Of METHODS, or one like it.
        count: Regions named of each clip.
        seconds: Length of a region.
        groups: What the bootstrap draws together, one a clip; None draws clips.
        seed: Of noise, places and bootstrap.

    Raises:
        ValueError: If there are no clips.
    """
    tests = []
    for number, wave in enumerate(waves):
        explanation = method(detector, wave)
        regions = explanation.regions(count, seconds)
        tests.append(deletion(detector, wave, explanation, regions, seed=seed + number))
    if not tests:
        raise ValueError("there are no clips to test")
    advantages = np.array([test.advantage for test in tests])
    drawn = metrics.resample(np.zeros(len(tests), np.int64), groups, seed=seed)
    found = [
        metrics.interval(values.mean(), drawn @ values / drawn.sum(axis=1))
        for values in ((advantages > 0).astype(np.float64), advantages)
    ]
    return Faithfulness(len(tests), *found)


def _elsewhere(sizes: Sequence[int], length: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Spans of these sizes in random order and at random places, none over another."""
    sizes = rng.permutation(np.asarray(sizes, np.int64))
    gaps = np.sort(rng.integers(0, length - sizes.sum(), len(sizes), endpoint=True))
    starts = gaps + np.cumsum(sizes) - sizes
    return [(int(start), int(start + size)) for start, size in zip(starts, sizes, strict=True)]
