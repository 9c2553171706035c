"""Does the verdict hold: one clip judged again after each of some everyday damages, and cut in half."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ncdetect import audio
from ncdetect.predictor import Predictor, Verdict, Window, Word
from ncdetect.robustness import NONE, Wave, as_audio, damages

WINDOWS = 7
"""So many windows in a row are probed at most: 12 s. Each is judged once for every damage."""
LEAST_SOUND_S = 1.5
"""A half with less sound is not judged: that little would be uncertain even undamaged."""
FIRST, SECOND = "first half", "second half"
DAMAGES = ("8 kHz mu-law", "mp3 64 kbit/s", "opus 16 kbit/s", "noise 15 dB", "reverberation", FIRST, SECOND)
"""What is done to a clip, in this order: damages of `robustness`, then the cuts."""
SEED = "probe"
"""Noise and room are the same for every clip."""

Change = Literal["holds", "opens", "flips", "decides"]


@dataclass(frozen=True, eq=False)
class Probed:
    """A clip after one damage, and what the model says of it then."""

    damage: str
    """NONE or one of DAMAGES."""
    wave: Wave
    """As it was judged, (T,), at 16 kHz."""
    verdict: Verdict


def probe(predictor: Predictor, wave: Wave) -> Iterator[Probed]:
    """Judge a clip as it is, and again after each damage alone.

    Args:
        predictor: Judges.
        wave: At 16 kHz, shape (T,), at least 0.3 s. Every window of it is judged up to seven times: `part_of`
            says what to probe of a long clip.

    Yields:
        NONE first, then DAMAGES one after the other; a half with less than LEAST_SOUND_S is left out.

    Raises:
        ValueError: If PyAV lacks a codec.
    """
    kinds, halves = damages(), halves_of(wave)
    for name in (NONE, *DAMAGES):
        damaged = halves.get(name) if name in (FIRST, SECOND) else kinds[name](wave, SEED)
        if damaged is not None:
            clip = as_audio(damaged)
            yield Probed(name, clip.wave, predictor.judge(clip))


def halves_of(wave: Wave) -> dict[str, Wave]:
    """The halves of a clip that hold at least LEAST_SOUND_S of sound, by name.

    Sound is what `audio.active_windows` takes for it: frames within 35 dB of the clip's loudest.

    Args:
        wave: At 16 kHz, shape (T,).
    """
    least, middle = audio.frame_levels(wave).max() - audio.ACTIVE_RANGE_DB, len(wave) // 2
    halves = {FIRST: wave[:middle], SECOND: wave[middle:]}
    return {
        name: half
        for name, half in halves.items()
        if (audio.frame_levels(half) > least).mean() * len(half) >= LEAST_SOUND_S * audio.SAMPLE_RATE
    }


def part_of(windows: Sequence[Window], most: int = WINDOWS) -> tuple[float, float] | None:
    """Which part of a long clip is probed: the windows in a row whose mean score is nearest to the whole's.

    The part that speaks most for the verdict would make it look steadier than it is, and the first one is
    often a jingle or silence.

    Args:
        windows: Of the verdict on the clip, in order.
        most: Windows in a row.

    Returns:
        Start and end in s; None where it has no more windows: then the whole clip is.
    """
    if len(windows) <= most:
        return None
    runs = [windows[first : first + most] for first in range(len(windows) - most + 1)]
    whole = _mean_score(windows)
    run = min(runs, key=lambda run: np.nan_to_num(abs(_mean_score(run) - whole), nan=np.inf))
    return run[0].start_s, run[-1].end_s


def _mean_score(windows: Sequence[Window]) -> float:
    return float(np.mean([window.score for window in windows if window.score is not None] or [np.nan]))


def change(before: Word, after: Word) -> Change:
    """What a damage does to a verdict.

    Returns:
        holds where it stays, opens where a decided one becomes undecided, flips where real becomes fake or
        fake real, decides where an undecided one is decided.
    """
    if before == after:
        return "holds"
    if after == "undecided":
        return "opens"
    return "decides" if before == "undecided" else "flips"
