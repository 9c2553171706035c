"""The verdict survives a phone call, or does not: clips judged again after each of some everyday damages."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ncdetect import audio, augment, codecs, findings_words, metrics, tables
from ncdetect.corpora import Clip, Manifest
from ncdetect.findings_words import WILDS, Difference, joined, percent
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.pipeline import group_of, no_progress
from ncdetect.predictor import Predictor, Word
from ncdetect.training import Progress

NONE = "none"
MOST_RISE = 0.25  # of the EER, relative to that of the undamaged clips
MOST_FLIPPED = 0.05  # of the clips that were decided undamaged
NOISE_SNR_DB = 15.0
PINK = 0.5
DECAY_S, DIRECT_DB = 0.5, 0.0  # a living room, from where the walls are as loud as the speaker

Wave = NDArray[np.float32]
Damage = Callable[[Wave, str], Wave]
"""(waveform at 16 kHz (T,), path of the clip) -> damaged waveform (T,). The path seeds what is random."""


def damages() -> dict[str, Damage]:
    """What may have happened to a clip before it is judged, by name; NONE is the first."""
    return {
        NONE: lambda wave, path: wave,
        "mp3 64 kbit/s": _codec("mp3", 44_100, 64_000),
        "opus 16 kbit/s": _codec("opus", 16_000, 16_000),
        "8 kHz mu-law": _codec("mulaw", 8_000),
        "noise 15 dB": _noise,
        "aac 32 kbit/s": _codec("aac", 44_100, 32_000),
        "amr-nb 12.2 kbit/s": _codec("amr-nb", 8_000, 12_200),
        "reverberation": _reverberation,
    }


def _codec(name: str, rate: int, bit_rate: int = 0) -> Damage:
    return lambda wave, path: codecs.code(wave, name, rate, bit_rate)


def _noise(wave: Wave, path: str) -> Wave:
    """Pink noise over the whole clip."""
    white = torch.randn(1, len(wave), generator=_generator(path))
    pink = augment.coloured_noise(white, PINK)
    return augment.add_noise(torch.from_numpy(wave)[None], pink, NOISE_SNR_DB)[0].numpy()


def _reverberation(wave: Wave, path: str) -> Wave:
    white = torch.randn(1, augment.TAIL_SAMPLES, generator=_generator(path))
    return augment.reverberate(torch.from_numpy(wave)[None], DECAY_S, DIRECT_DB, white)[0].numpy()


def _generator(path: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(path.encode()))


@dataclass(frozen=True, eq=False)
class Judged:
    """What a predictor said of clips."""

    scores: NDArray[np.float64]
    """Logits, (N,)."""
    words: tuple[Word, ...]
    """Verdicts, N of them."""


@dataclass(frozen=True)
class Survival:
    """How a predictor fares with damaged clips, beside the same clips undamaged."""

    checkpoint: str
    damage: str
    reals: int
    fakes: int
    eer: metrics.Interval
    """On the damaged clips; 95 %, drawn by generator (fakes) and speaker (reals)."""
    undamaged_eer: float
    difference: metrics.Interval
    """EER on the damaged clips minus that on the undamaged ones, both of the same draws."""
    decided: int
    """Clips called real or fake, not undecided, before the damage: what the next two are counted among."""
    flipped: int
    """Decided the other way after it."""
    undecided: int
    """Undecided after it."""

    @classmethod
    def of(
        cls, checkpoint: str, damage: str, clips: Sequence[Clip], before: Judged, after: Judged
    ) -> "Survival":
        """Compare what was said of clips before and after a damage.

        Raises:
            ValueError: If one of the classes has no clip.
        """
        labels = np.array([clip.label for clip in clips])
        counts = metrics.resample(labels, [group_of(clip) for clip in clips])
        rates = [metrics.eer_roc(judged.scores, labels) for judged in (before, after)]
        draws = [metrics.eer_resampled(judged.scores, labels, counts) for judged in (before, after)]
        pairs = [pair for pair in zip(before.words, after.words, strict=True) if pair[0] != "undecided"]
        return cls(
            checkpoint=checkpoint,
            damage=damage,
            reals=int((labels == Label.REAL).sum()),
            fakes=int((labels == Label.FAKE).sum()),
            eer=metrics.interval(rates[1], draws[1]),
            undamaged_eer=rates[0],
            difference=metrics.interval(rates[1] - rates[0], draws[1] - draws[0]),
            decided=len(pairs),
            flipped=sum(new not in (old, "undecided") for old, new in pairs),
            undecided=sum(new == "undecided" for _, new in pairs),
        )

    @property
    def rise(self) -> float | None:
        """Of the EER, relative to the undamaged one; None where that is 0 and this is not."""
        if not self.undamaged_eer:
            return None if self.eer.value else 0.0
        return self.eer.value / self.undamaged_eer - 1

    @property
    def survives(self) -> bool:
        """Whether the EER rises by at most MOST_RISE, and at most MOST_FLIPPED of the verdicts flip."""
        rises = self.eer.value > (1 + MOST_RISE) * self.undamaged_eer + 1e-12
        return not rises and self.flipped <= MOST_FLIPPED * self.decided

    def row(self) -> tables.Row:
        """One line of the table, rates as fractions; a rate of nothing is empty."""
        line: dict[str, str | int | float | None] = {
            "checkpoint": self.checkpoint,
            "damage": self.damage,
            "clips": self.reals + self.fakes,
            "reals": self.reals,
            "fakes": self.fakes,
            "eer": self.eer.value,
            "eer_low": self.eer.low,
            "eer_high": self.eer.high,
            "eer_rise": self.rise,
            "difference": self.difference.value,
            "difference_low": self.difference.low,
            "difference_high": self.difference.high,
            "decided_before": self.decided,
            "flipped": self.flipped,
            "flipped_rate": self.flipped / self.decided if self.decided else None,
            "undecided": self.undecided,
            "undecided_rate": self.undecided / self.decided if self.decided else None,
            "survives": "yes" if self.survives else "no",
        }
        line = {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
        return {name: "" if value is None else value for name, value in line.items()}

    def sentence(self) -> str:
        """Both limits, and whether they are kept."""
        rise = "" if self.rise is None else f", up {100 * self.rise:.0f} %" if self.rise > 0 else ", no rise"
        return (
            f"{self.damage}: {'survived' if self.survives else 'not survived'}. "
            f"EER from {percent(self.undamaged_eer)} % to {percent(self.eer.value)} %{rise}; "
            f"of {self.decided} decided verdicts {_among(self.flipped, self.decided)} flip between real and "
            f"fake, {_among(self.undecided, self.decided)} become undecided."
        )


def _among(count: int, of: int) -> str:
    return f"{count} ({100 * count / of:.1f} %)" if of else "none"


def eval_clips(manifest: Manifest) -> Manifest:
    """The eval clips of all corpora but the wild ones, which no number of ours pools with others.

    Raises:
        ValueError: If there are none.
    """
    corpora = sorted({clip.corpus for clip in manifest} - set(WILDS))
    if not corpora:
        raise ValueError("every corpus there is a wild one; robustness is measured on the others")
    return manifest.select(corpus=corpora, split="eval")


def measure(predictor: Predictor, waves: Waves, progress: Progress = no_progress) -> list[Survival]:
    """Judge every clip undamaged and after each damage alone.

    Args:
        predictor: Judges.
        waves: Clips of both classes.
        progress: Wraps the clips.

    Returns:
        One entry a damage, NONE first.

    Raises:
        ValueError: If a class has no clip, a file cannot be read, or PyAV lacks a codec.
    """
    clips, kinds = waves.manifest.clips, damages()
    if len({clip.label for clip in clips}) < len(Label):
        raise ValueError(f"the {len(clips)} clips are all of one class: both are needed")
    scores = np.zeros((len(kinds), len(clips)))
    words: list[list[Word]] = [[] for _ in kinds]
    for column, clip in enumerate(progress(clips, predictor.name)):
        wave = waves[column]
        for row, damage in enumerate(kinds.values()):
            verdict = predictor.judge(as_audio(damage(wave, clip.path)))
            scores[row, column] = verdict.score
            words[row].append(verdict.verdict)
    judged = [Judged(*parts) for parts in zip(scores, map(tuple, words), strict=True)]
    compare = partial(Survival.of, predictor.name, clips=clips, before=judged[0])
    return [compare(damage=name, after=after) for name, after in zip(kinds, judged, strict=True)]


def as_audio(wave: Wave) -> audio.Audio:
    """A waveform at 16 kHz, (T,), as a clip: scaled down where a damage overshot full scale."""
    peak = max(1.0, float(np.abs(wave).max()))
    return audio.Audio(
        wave / np.float32(peak), len(wave) / audio.SAMPLE_RATE, audio.SAMPLE_RATE, 1, "array/float32"
    )


def write(entries: Sequence[Survival], folder: Path, command: str) -> list[Path]:
    """Write the table as `robustness.csv` and, with what it says in words, `robustness.md`.

    Args:
        entries: Of one checkpoint or several, each checkpoint's together.
        folder: Made where it is not there.
        command: What made it: the first line of the Markdown.

    Returns:
        The files.
    """
    table = [entry.row() for entry in entries]
    return tables.write_both(table, folder, "robustness", lambda _: markdown(entries, command))


def markdown(entries: Sequence[Survival], command: str) -> str:
    """Command, findings of each checkpoint, table."""
    parts = [
        f"Made by `{command}`: eval clips without the wild, each damage alone.",
        f"The verdict survives a damage if the EER rises by at most {100 * MOST_RISE:.0f} % of what it was, "
        f"and if of the clips decided before it at most {100 * MOST_FLIPPED:.0f} % are decided the other way "
        "after it.",
    ]
    for checkpoint, group in groupby(entries, key=lambda entry: entry.checkpoint):
        damaged = [entry for entry in group if entry.damage != NONE]
        parts += [
            f"**{checkpoint}: {_headline(damaged)}**",
            "\n".join(f"- {entry.sentence()}" for entry in damaged),
        ]
    return "\n\n".join([*parts, _table(entries)]) + "\n"


def _headline(damaged: Sequence[Survival]) -> str:
    kept = [entry.damage for entry in damaged if entry.survives]
    lost = [entry.damage for entry in damaged if not entry.survives]
    if not lost:
        return f"the verdict survives all {len(kept)} damages."
    if not kept:
        return f"the verdict survives none of the {len(lost)} damages."
    count = f"{len(kept)} of {len(damaged)} damages"
    return f"the verdict survives {count} ({joined(kept)}), but not {joined(lost)}."


def _table(entries: Sequence[Survival]) -> str:
    columns = (
        "checkpoint", "damage", "clips, real + fake", "EER % with 95 % interval", "rise in points",
        "relative rise", "decided before", "of these flip", "of these become undecided",
    )  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for entry in entries:
        cells = (
            entry.checkpoint,
            entry.damage,
            f"{entry.reals} + {entry.fakes}",
            findings_words.measured(entry.row()),
            Difference(*entry.difference).cell,
            "-" if entry.rise is None else f"{100 * entry.rise:+.0f} %",
            str(entry.decided),
            _among(entry.flipped, entry.decided),
            _among(entry.undecided, entry.decided),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
