"""Two recordings compared, in words: what the model hears, what makes that unfair, how far they lie apart."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ncdetect.language import number, say

if TYPE_CHECKING:
    from ncdetect.bank import EmbeddingBank
    from ncdetect.predictor import Verdict

ALIKE, FAR = 1.0, 3.0
"""Differences of log-odds: below the first two recordings sound alike, from the second on far from it."""
BAND_DB, LASTS = 15.0, 3.0
"""Differences of the level above the telephone band, and of length, that make a comparison unfair."""
LONG_S = 9.0
"""Beyond so many seconds, more of them hardly make a verdict surer."""


@dataclass(frozen=True, eq=False)
class Heard:
    """A recording as the model hears it."""

    verdict: "Verdict"
    embedding: NDArray[np.float64]
    """Mean over the windows that were judged, (D,)."""
    high_band_db: float
    """How much there is above the telephone band (`audio.high_band_level`)."""

    def apart(self, other: "Heard") -> float:
        """Distance to another recording in the embedding."""
        return float(np.linalg.norm(self.embedding - other.embedding))

    @property
    def farthest(self) -> float:
        """The longer of the distances to the class means."""
        return max(self.verdict.distance_real, self.verdict.distance_fake)


@dataclass(frozen=True, eq=False)
class Pairs:
    """How far pairs of known real recordings lie apart."""

    one: NDArray[np.float64]
    """Of one speaker, different recordings, sorted, (P,)."""
    two: NDArray[np.float64]
    """Each a recording of those, and one by another speaker of the same source, sorted, (Q,)."""

    @classmethod
    def of(cls, bank: "EmbeddingBank", most: int, seed: int = 0) -> "Pairs":
        """Draw pairs of the bank's named speakers, at most `most` of each."""
        clips, rng = bank.clips, np.random.default_rng(seed)
        usable = bank.known() & (clips["label"] == "real").to_numpy() & (clips["speaker"] != "").to_numpy()
        speakers, sources = clips["speaker"].to_numpy(), clips["generator"].to_numpy()
        recordings = clips["recording"].to_numpy()
        by_source = {source: np.flatnonzero(usable & (sources == source)) for source in set(sources[usable])}
        one, two = [], []
        for speaker in sorted(set(speakers[usable])):
            rows = np.flatnonzero(usable & (speakers == speaker))
            found = [
                (first, second)
                for place, first in enumerate(rows)
                for second in rows[place + 1 :]
                if recordings[first] != recordings[second] or not recordings[first]
            ]
            for pick in rng.permutation(len(found))[:most]:
                one.append(found[pick])
                others = by_source[sources[found[pick][0]]]
                others = others[speakers[others] != speaker]
                if len(others):
                    two.append((found[pick][0], rng.choice(others)))
        return cls(*(_distances(bank, drawn) for drawn in (one, two)))

    @property
    def told_apart(self) -> float:
        """How often a pair of one speaker lies nearer than one of two; 0.5 is chance, NaN of no pairs."""
        if not (len(self.one) and len(self.two)):
            return float("nan")
        below, up_to = (np.searchsorted(self.two, self.one, side=side) for side in ("left", "right"))
        return float(1 - (below + up_to).mean() / (2 * len(self.two)))

    def nearer(self, distance: float) -> tuple[int, int]:
        """Of 100 pairs of one speaker, and of two, how many lie nearer to each other than this."""
        shares = (np.searchsorted(drawn, distance) / max(1, len(drawn)) for drawn in (self.one, self.two))
        first, second = (round(100 * float(share)) for share in shares)
        return first, second


def _distances(bank: "EmbeddingBank", drawn: list[tuple[int, int]]) -> NDArray[np.float64]:
    rows = np.array(drawn, np.int64).reshape(-1, 2)
    return np.sort(np.linalg.norm(bank.embeddings[rows[:, 0]] - bank.embeddings[rows[:, 1]], axis=1))


def together(clip: Heard, known: Heard, scale: float) -> str:
    """What both verdicts say together.

    Args:
        clip: The one in question.
        known: The one that is real for sure.
        scale: Log-odds per unit of score.
    """
    first, second = clip.verdict.verdict, known.verdict.verdict
    if second == "fake":
        return say(
            "The model takes even the recording that you know to be real for a fake. With this voice or this "
            "line it errs, so its verdict on the clip counts for little."
        )
    if first == second == "real":
        return say("Both sound real to the model.")
    difference = _difference(scale * (clip.verdict.score - known.verdict.score))
    if second == "undecided":
        unsure = say(
            "The model is unsure even of the recording that you know to be real, so its verdict on the clip "
            "counts for less."
        )
        return f"{unsure} {difference}"
    if first == "fake":
        more = say("If both were recorded alike, that weighs more than the verdict on the clip alone.")
        return f"{difference} {more}"
    return difference


def _difference(log_odds: float) -> str:
    if abs(log_odds) < ALIKE:
        return say("The clip sounds about as synthetic to it as the recording that you know.")
    if log_odds >= FAR:
        return say("The clip sounds far more synthetic to it than the recording that you know.")
    if log_odds > 0:
        return say("The clip sounds somewhat more synthetic to it than the recording that you know.")
    return say("The clip sounds less synthetic to it than the recording that you know.")


def odds(clip: Heard, known: Heard, scale: float) -> str:
    """The difference of the scores as a factor of the odds."""
    log_odds = scale * (clip.verdict.score - known.verdict.score)
    times = number(float(np.exp(min(abs(log_odds), np.log(1000)))), ".1f" if abs(log_odds) < FAR else ",.0f")
    if log_odds >= 0:
        return say("To the classifier the odds of fake are {times} times as high for the clip.", times=times)
    return say(
        "To the classifier the odds of fake are {times} times as high for the recording that you know.",
        times=times,
    )


def unfair(clip: Heard, known: Heard) -> list[str]:
    """What differs between the recordings besides the voice: a sentence each."""
    found = []
    short, long = sorted((clip, known), key=lambda heard: heard.verdict.duration_s)
    if long.verdict.duration_s > LASTS * short.verdict.duration_s and short.verdict.duration_s < LONG_S:
        seconds = (number(heard.verdict.duration_s, ".1f") for heard in (clip, known))
        found.append(
            say(
                "The clip lasts {clip} s, the recording that you know {known} s: with so little to go by, "
                "the shorter one is judged less surely.",
                **dict(zip(("clip", "known"), seconds, strict=True)),
            )
        )
    codes = [{warning.code for warning in heard.verdict.warnings} for heard in (clip, known)]
    duller = clip.high_band_db < known.high_band_db
    if abs(clip.high_band_db - known.high_band_db) > BAND_DB or "narrow_band" in codes[0] ^ codes[1]:
        found.append(
            say(
                "The clip has far fewer high tones than the recording that you know, as over a telephone: "
                "that alone changes how real a voice sounds to the model."
            )
            if duller
            else say(
                "The recording that you know has far fewer high tones than the clip, as over a telephone: "
                "that alone changes how real a voice sounds to the model."
            )
        )
    told = {"short", "narrow_band"}
    for heard, own, other in ((clip, *codes), (known, *reversed(codes))):
        for warning in heard.verdict.warnings:
            if warning.code in own - other - told:
                found.append(
                    say("Only of the clip: {sentence}", sentence=warning.sentence)
                    if heard is clip
                    else say("Only of the recording that you know: {sentence}", sentence=warning.sentence)
                )
    return found


def fair() -> str:
    """What is said where nothing was found that makes the comparison unfair."""
    return say(
        "In length, high tones and loudness nothing was found that makes the comparison unfair. Room, device "
        "and compression may still differ."
    )


def distance(apart: float, pairs: Pairs) -> str:
    """How far the two lie apart among pairs of known recordings, and why that names nobody."""
    if apart < 1e-4:
        return say("To the model these are one and the same recording.")
    if not len(pairs.one):
        return say(
            "The two lie {apart} apart in the model's embedding, which was made to tell computers from "
            "people, not one person from another.",
            apart=number(apart, ".2f"),
        )
    one, two = pairs.nearer(apart)
    sentence = say(
        "The two lie {apart} apart in the model's embedding. Of 100 pairs of known recordings by one "
        "speaker, {one} lie nearer to each other; of 100 pairs by two speakers of one collection, {two}.",
        apart=number(apart, ".2f"), one=number(one), two=number(two),
    )  # fmt: skip
    why = say(
        "The model was made to tell computers from people, not one person from another: a pair by one "
        "speaker lies nearer than a pair by two in about {told} of 100 cases (50 would be chance), and often "
        "because of the same room and microphone.",
        told=number(100 * pairs.told_apart, ".0f"),
    )
    return f"{sentence} {why}"
