"""The quiz: rounds of clips in which nothing but the voice tells real from fake, and how they are scored."""

import csv
import math
import random
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ncdetect.labels import Label

EXAMPLES, PRACTICE = "examples", "practice"
GROUPS = {"headline": "voices", "seen": "voices", "hard": "vocoders"}
"""Kinds of fakes among the example clips; a group that is not here is in no round."""
FAMILIES = {
    "festival-clunits": "festival",
    "festival-diphone": "festival",
    "lpc-pulse": "lpc-vocoder",
}
"""Generators of the practice clips that go by another name in the training data."""
LEFT_OUT = ("hibari-tts",)
"""Of the practice clips: its name was in no training, but the voice it imitates was."""


@dataclass(frozen=True)
class Clip:
    """A clip to guess at."""

    file: Path
    label: Label
    source: str
    """EXAMPLES or PRACTICE: they were recorded, cut and coded differently, so a round pairs within one."""
    kind: str
    """What its fakes are: `voices` of speech synthesisers, or recordings rebuilt by `vocoders`."""
    generator: str
    speaker: str
    recording: str
    """Clips with the same words by the same person have one name."""
    language: str
    credit: str
    license: str
    speaker_met: bool
    """Whether the model was trained on this speaker."""
    generator_met: bool
    """Whether it was trained on this generator; False for a real clip."""

    @property
    def counts(self) -> bool:
        """Whether the model's answer counts: it has met neither the speaker nor the generator."""
        return not (self.speaker_met or self.generator_met)


@dataclass(frozen=True)
class Kind:
    """A kind of round."""

    kinds: tuple[str, ...]
    """Of clips, see `Clip.kind`."""
    pairs: int
    """Of a real and a fake clip."""


KINDS = {"warm-up": Kind(("voices",), 3), "hard": Kind(("vocoders",), 4)}


@dataclass(frozen=True)
class Answer:
    """What the model says of a clip."""

    verdict: str
    """real, fake or undecided."""
    probability: float
    """Calibrated, of fake."""


@dataclass
class Round:
    """Clips in their order, and what was answered so far, by number of the clip."""

    kind: str
    clips: tuple[Clip, ...]
    visitor: dict[int, Label] = field(default_factory=dict)
    model: dict[int, Answer | None] = field(default_factory=dict)
    """None where it could not judge."""

    def answer(self, number: int, visitor: Label, model: Answer | None) -> None:
        """Take an answer; the first one to a clip stays.

        Raises:
            IndexError: If the round has no such clip.
        """
        if not 0 <= number < len(self.clips):
            raise IndexError(f"the round has {len(self.clips)} clips, not number {number}")
        if number not in self.visitor:
            self.visitor[number], self.model[number] = visitor, model

    @property
    def over(self) -> bool:
        """Whether all clips are answered."""
        return len(self.visitor) == len(self.clips)

    def score(self) -> "Score":
        """Of what was answered so far."""
        right = {number for number, label in self.visitor.items() if label == self.clips[number].label}
        fair = [number for number in self.visitor if self.clips[number].counts and self.model[number]]
        said = [judged(self.clips[number], self.model[number]) for number in fair]
        return Score(
            len(self.visitor), len(right), len(fair), len(right.intersection(fair)),
            *(said.count(outcome) for outcome in ("right", "wrong", "undecided")),
        )  # fmt: skip


@dataclass(frozen=True)
class Score:
    """Counts of clips."""

    answered: int
    right: int
    """By the visitor, of those answered."""
    fair: int
    """Clips that count for the model."""
    fair_right: int
    """By the visitor, of the fair ones."""
    model_right: int
    model_wrong: int
    model_undecided: int


def judged(clip: Clip, answer: Answer | None) -> str:
    """What the model's answer is: `right`, `wrong` or `undecided`; `missing` where there is none."""
    if answer is None:
        return "missing"
    if answer.verdict == "undecided":
        return answer.verdict
    return "right" if answer.verdict == clip.label.word else "wrong"


def luck(right: int, clips: int) -> float:
    """Probability of at least so many right answers by tossing a fair coin for each clip, in [0, 1].

    Raises:
        ValueError: If more are right than there are.
    """
    if not 0 <= right <= clips:
        raise ValueError(f"{right} of {clips} cannot be right")
    return sum(math.comb(clips, count) for count in range(right, clips + 1)) / 2**clips


def draw(clips: Sequence[Clip], kind: str, seed: int, heard: Collection[Path] = ()) -> Round:
    """Draw a round: pairs of a real and a fake clip that differ in the voice alone, in a shuffled order.

    A pair has one language and one source; in a round of vocoders also one speaker, who says other words.
    So neither language nor sound quality nor, there, the person gives anything away. No two pairs have both
    in common, so that no recording comes twice; one is of whole sentences (the examples), while there are new
    ones.

    Args:
        clips: To draw from.
        kind: Of KINDS.
        seed: The same clips and seed give the same round.
        heard: Files that come again only where there is nothing else.

    Raises:
        ValueError: If there is no such kind, or there are not enough pairs.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of round {kind!r}; allowed: {', '.join(KINDS)}")
    wanted, generator = KINDS[kind], random.Random(seed)
    cells: dict[tuple[str, ...], list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.file):
        # Examples' real clips serve both kinds: as twin of a rebuilt one, as rival of a synthesiser.
        if clip.kind in wanted.kinds or (clip.label is Label.REAL and clip.source == EXAMPLES):
            cells[clip.source, clip.language].append(clip)
    heard = frozenset(heard)
    pairs = {cell: found for cell in sorted(cells) if (found := _pairs(cells[cell], heard))}
    order = generator.sample(list(pairs), len(pairs))
    order.sort(key=lambda cell: sum(clip.file in heard for clip in pairs[cell][0]))
    whole = next((cell for cell in order if cell[0] == EXAMPLES), None)
    order.sort(key=lambda cell: cell != whole or any(clip.file in heard for clip in pairs[cell][0]))
    if len(order) < wanted.pairs:
        raise ValueError(f"there are clips for {len(order)} pairs, {wanted.pairs} are needed")
    chosen = [clip for cell in order[: wanted.pairs] for clip in _pick(pairs[cell], generator)]
    generator.shuffle(chosen)
    return Round(kind, tuple(chosen))


def _pairs(clips: Sequence[Clip], heard: Collection[Path]) -> list[tuple[Clip, Clip]]:
    """Those of a real and a fake clip with different words of which the fewest were heard."""
    pairs = [
        (real, fake)
        for real in clips
        for fake in clips
        if real.label is Label.REAL and fake.label is Label.FAKE and real.recording != fake.recording
    ]
    counts = [sum(clip.file in heard for clip in pair) for pair in pairs]
    fewest = min(counts, default=0)
    return [pair for pair, count in zip(pairs, counts, strict=True) if count == fewest]


def _pick(pairs: Sequence[tuple[Clip, Clip]], generator: random.Random) -> tuple[Clip, Clip]:
    """One of them: generators first, as some have few clips; those that count three times as likely."""
    makers = {fake.generator: fake.counts for _, fake in pairs}
    weights = [3 if counts else 1 for counts in makers.values()]
    (maker,) = generator.choices(list(makers), weights)
    return generator.choice([pair for pair in pairs if pair[1].generator == maker])


def read_clips(assets: Path, bank: Path) -> list[Clip]:
    """The clips of `assets/examples` and `assets/practice`; a folder that is not there has none.

    Args:
        assets: Where both folders lie.
        bank: The model's bank: what of it stands in train or dev, the model has met.
    """
    speakers, generators = _met(bank)
    found = []
    for row in _rows(assets / EXAMPLES / "examples.csv"):
        if row["group"] in GROUPS:
            found.append(_clip(row, assets / EXAMPLES, EXAMPLES, GROUPS[row["group"]], row["text"], {
                "speaker_met": row["speaker_trained"] == "yes",
                "generator_met": row["generator_trained"] == "yes",
            }))  # fmt: skip
    for row in _rows(assets / PRACTICE / "manifest.csv"):
        if row["generator"] in LEFT_OUT:
            continue
        kind = "vocoders" if row["dataset"].endswith("vocoders") else "voices"
        family = FAMILIES.get(row["generator"], row["generator"])
        found.append(_clip(row, assets / PRACTICE, PRACTICE, kind, row["recording"], {
            "speaker_met": row["speaker"] in speakers,
            "generator_met": row["label"] == "fake" and family in generators,
        }))  # fmt: skip
    return found


def _clip(
    row: Mapping[str, str], folder: Path, source: str, kind: str, recording: str, met: Mapping[str, bool]
) -> Clip:
    return Clip(
        folder / row["path"], Label.from_word(row["label"]), source, kind, row["generator"], row["speaker"],
        re.sub(r"\W+", " ", recording).strip(), row["language"], row["credit"], row["license"], **met,
    )  # fmt: skip


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _met(bank: Path) -> tuple[set[str], set[str]]:
    """Speakers and generators of the train and dev clips of a bank, without its example clips."""
    import pyarrow.parquet as pq

    table = pq.read_table(bank, columns=["corpus", "split", "speaker", "generator"]).to_pylist()
    rows = [row for row in table if row["corpus"] != EXAMPLES and row["split"] in ("train", "dev")]
    return {row["speaker"] for row in rows}, {row["generator"] for row in rows}
