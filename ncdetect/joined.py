"""Long clips made of short ones: the corpora's clips last 3 s, a visitor's half a minute.

Clips of one speaker or generator are joined to 10 to 30 s, and a stretch of a fake is spliced into a real
recording, so that where it begins and ends is known. `timeline` measures a detector on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ncdetect import audio
from ncdetect.corpora import Clip
from ncdetect.labels import Label
from ncdetect.loading import Waves

Wave = NDArray[np.float32]

SHORTEST_S, LONGEST_S = 10.0, 30.0
SPLICED_S = (4.0, 8.0)
AROUND_S = audio.WINDOW_SAMPLES / audio.SAMPLE_RATE
"""Of the real recording on either side of the fake stretch, at least: a window's length."""
FADE_SAMPLES = audio.SAMPLE_RATE // 100  # 10 ms
LEVEL_DBFS = -26.0
PEAK = 0.99


@dataclass(frozen=True, eq=False)
class LongClip:
    """A recording of 10 to 30 s made of short clips; a spliced one is longer by its fake stretch."""

    wave: Wave
    """(T,) at 16 kHz."""
    label: Label
    """Of a spliced clip that of the recording around the fake stretch."""
    group: str
    """What its clips have in common: speaker or source of reals, generator or kind of fakes."""
    language: str
    """That of most of its clips."""
    one_voice: bool
    """Whether all of it is of one speaker or one generator."""
    fake_span: tuple[float, float] | None = None
    """Where a fake was spliced in, in seconds."""


def equalised(wave: Wave) -> Wave:
    """A clip whose active 20 ms frames have a mean power of LEVEL_DBFS; quieter where its peak forbids it."""
    levels = audio.frame_levels(wave)
    active = levels[levels > levels.max() - audio.ACTIVE_RANGE_DB]
    gain = 10 ** ((LEVEL_DBFS - 10 * np.log10(np.mean(10 ** (active / 10)))) / 20)
    return (wave * min(gain, PEAK / np.abs(wave).max())).astype(np.float32)


def join(waves: Sequence[Wave]) -> Wave:
    """Waveforms one after the other, each faded linearly into the next over FADE_SAMPLES."""
    joined = waves[0]
    rise = np.linspace(0, 1, FADE_SAMPLES, dtype=np.float32)
    for wave in waves[1:]:
        seam = joined[-FADE_SAMPLES:] * (1 - rise) + wave[:FADE_SAMPLES] * rise
        joined = np.concatenate([joined[:-FADE_SAMPLES], seam, wave[FADE_SAMPLES:]])
    return joined


def splice(host: Wave, guest: Wave, at: int) -> tuple[Wave, tuple[float, float]]:
    """Put a waveform into another at a sample, with cross-fades.

    Returns:
        The waveform, and where the guest lies in it, in seconds: from the middle of its rise to that of its
        fall.
    """
    wave = join([host[:at], guest, host[at:]])
    start = at - FADE_SAMPLES / 2
    end = start + len(guest) - FADE_SAMPLES
    return wave, (start / audio.SAMPLE_RATE, end / audio.SAMPLE_RATE)


def long_clips(waves: Waves, seed: int, rounds: int = 1) -> list[LongClip]:
    """Join the clips of a manifest.

    Reals go by speaker and, where a speaker's clips do not last 10 s or name none, by source; fakes go by
    generator and then by kind. In each round a clip is used once at most.

    Args:
        waves: Clips of one split.
        seed: Decides which clips are joined, in which order, and how long it becomes.
        rounds: How often all clips are joined anew.
    """
    rng = np.random.default_rng(seed)
    return [_joined(waves, *planned) for _ in range(rounds) for planned in _plan(waves, rng)]


def _one(clip: Clip) -> str:
    return clip.generator if clip.label == Label.FAKE else clip.speaker


def _alike(clip: Clip) -> str:
    return clip.kind if clip.label == Label.FAKE else clip.generator


def _plan(waves: Waves, rng: np.random.Generator) -> list[tuple[list[int], str, bool]]:
    """What is joined: rows in order, the name of their group, and whether it is one speaker or generator."""
    found = []
    left = list(range(len(waves.manifest)))
    for name in (_one, _alike):
        groups: dict[tuple[Label, str], list[int]] = {}
        for row in left:
            clip = waves.manifest.clips[row]
            groups.setdefault((clip.label, name(clip)), []).append(row)
        left = []
        for (label, common), rows in groups.items():
            taken = _drawn(waves, rows, rng) if common else []
            found += [(part, f"{label.word} {common}", name is _one) for part in taken]
            used = {row for part in taken for row in part}
            left += [row for row in rows if row not in used]
    return found


def _drawn(waves: Waves, rows: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """Rows of one group in lists that last from SHORTEST_S to LONGEST_S; the last few may be left over."""
    parts: list[list[int]] = []
    part: list[int] = []
    samples, wanted = 0, rng.uniform(SHORTEST_S, LONGEST_S) * audio.SAMPLE_RATE
    for row in rng.permutation(rows).tolist():
        part.append(row)
        samples += len(waves[row]) - FADE_SAMPLES
        if samples >= wanted:
            parts.append(part)
            part, samples, wanted = [], 0, rng.uniform(SHORTEST_S, LONGEST_S) * audio.SAMPLE_RATE
    if samples >= SHORTEST_S * audio.SAMPLE_RATE:
        parts.append(part)
    return parts


def _joined(waves: Waves, rows: Sequence[int], group: str, one_voice: bool) -> LongClip:
    clips = [waves.manifest.clips[row] for row in rows]
    wave = join([equalised(waves[row]) for row in rows])[: int(LONGEST_S * audio.SAMPLE_RATE)]
    languages = [clip.language for clip in clips]
    language = max(sorted(set(languages)), key=languages.count)
    return LongClip(wave, clips[0].label, group, language, one_voice)


def spliced_clips(clips: Sequence[LongClip], seed: int) -> list[LongClip]:
    """Splice a stretch of a fake into each real, of the same language where there is one.

    Args:
        clips: Reals and fakes as `long_clips` makes them.
        seed: Decides which fake, which stretch of it, and where.

    Returns:
        One for each real, in their order; none where there are no fakes.
    """
    rng = np.random.default_rng(seed)
    fakes = [clip for clip in clips if clip.label == Label.FAKE]
    around = int(AROUND_S * audio.SAMPLE_RATE)
    found = []
    for host in clips:
        if host.label == Label.FAKE or not fakes:
            continue
        alike = [clip for clip in fakes if clip.language == host.language] or fakes
        guest = alike[rng.integers(len(alike))].wave
        length = int(rng.uniform(*SPLICED_S) * audio.SAMPLE_RATE)
        first = rng.integers(len(guest) - length + 1)
        at = int(rng.integers(around, len(host.wave) - around + 1))
        wave, span = splice(host.wave, guest[first : first + length], at)
        found.append(replace(host, wave=wave, fake_span=span))
    return found
