"""When to answer "undecided": the thresholds that keep to stated error rates, and what abstaining comes to.

Probabilities are calibrated, of fake, for equal priors. Errors are counted among the clips that are decided:
what is stated is how often a verdict is wrong once it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ncdetect.labels import Label

UNDECIDED = "undecided"


class Thresholds(NamedTuple):
    """Probabilities of fake between which nothing is decided; `real_below` <= 0.5 <= `fake_above`."""

    real_below: float
    """A clip of this probability or a lower one may be called real."""
    fake_above: float
    """A clip of this probability or a higher one may be called fake."""

    def decided(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Which probabilities are outside the band; one of exactly a half leans to real."""
        probabilities = np.asarray(probabilities, np.float64)
        return np.where(
            probabilities > 0.5, probabilities >= self.fake_above, probabilities <= self.real_below
        )

    def verdicts(self, probabilities: ArrayLike) -> NDArray[np.str_]:
        """`real`, `fake` or `undecided` of each probability."""
        called = np.where(np.asarray(probabilities) > 0.5, Label.FAKE.word, Label.REAL.word)
        return np.where(self.decided(probabilities), called, UNDECIDED)


WIDEST = Thresholds(0.05, 0.95)
"""No wider band is chosen: a detector that never answers would keep to any error rate."""


def choose(llrs: ArrayLike, labels: ArrayLike, false_alarm: float, miss: float) -> Thresholds:
    """The narrowest undecided band that keeps to two error rates.

    If two bands keep to them, so does what both leave undecided: more reals called real make false alarms a
    smaller share, more fakes called fake the misses. So there is one narrowest band, and no other decides
    more clips of either class, however the classes are weighted. Its ends are probabilities of clips, 0.5,
    or those of WIDEST, beyond which every clip is decided. A rate of no clips counts as kept: where only one
    kind of verdict can be trusted, only that one is given.

    Args:
        llrs: Calibrated log-likelihood ratios fake : real, shape (N,), of clips that were not trained on.
        labels: Values of `Label`, shape (N,).
        false_alarm: At most this share of the decided reals is called fake, in [0, 1).
        miss: At most this share of the decided fakes is called real, in [0, 1).

    Returns:
        The thresholds. WIDEST where none keep to both rates: `report` then tells what it comes to.

    Raises:
        ValueError: If a class is missing, a ratio is not finite, or a rate is out of its range.
    """
    llrs, labels = np.asarray(llrs, np.float64), np.asarray(labels, np.int64)
    if llrs.shape != labels.shape or llrs.ndim != 1 or not np.isfinite(llrs).all():
        raise ValueError(f"llrs {llrs.shape} and labels {labels.shape} must be of one shape (N,), and finite")
    if not (0 <= false_alarm < 1 and 0 <= miss < 1):
        raise ValueError(f"false_alarm is {false_alarm}, miss {miss}; both must lie in [0, 1)")
    probabilities = expit(llrs)
    reals, fakes = (np.sort(probabilities[labels == label]) for label in Label)
    if not (len(reals) and len(fakes)):
        raise ValueError(f"{len(reals)} real and {len(fakes)} fake clips: both are needed")

    ends = np.clip([*probabilities, *WIDEST, 0.5], *WIDEST)
    low, high = np.unique(ends[ends <= 0.5]), np.unique(ends[ends >= 0.5])
    # Clips of each class that the lower threshold calls real, and the upper one fake.
    real_right, fake_wrong = (np.searchsorted(clips, low, side="right") for clips in (reals, fakes))
    from_here = np.maximum(high, np.nextafter(0.5, 1))
    real_wrong, fake_right = (len(clips) - np.searchsorted(clips, from_here) for clips in (reals, fakes))

    # The least upper threshold that keeps the false alarms, for each lower one; no other finds more fakes.
    allowed = false_alarm / (1 - false_alarm) * real_right + 1e-9
    partner = np.searchsorted(-real_wrong, -allowed)
    rows = np.flatnonzero(partner < len(high))
    kept = rows[fake_wrong[rows] * (1 - miss) <= miss * fake_right[partner[rows]] + 1e-9]
    return Thresholds(float(low[kept[-1]]), float(high[partner[kept[-1]]])) if len(kept) else WIDEST


@dataclass(frozen=True)
class Report:
    """What a detector that may abstain said of clips. Rates are fractions, NaN where they are of no clips."""

    reals: int
    fakes: int
    reals_decided: int
    fakes_decided: int
    reals_called_fake: int
    fakes_called_real: int

    @property
    def decided(self) -> float:
        """Share of the clips that got a verdict, both classes weighted equally."""
        return _mean(_rate(self.reals_decided, self.reals), _rate(self.fakes_decided, self.fakes))

    @property
    def accuracy(self) -> float:
        """Share of the verdicts that are right, both classes weighted equally."""
        return 1 - _mean(self.false_alarm, self.miss)

    @property
    def false_alarm(self) -> float:
        """Of the decided reals, the share called fake."""
        return _rate(self.reals_called_fake, self.reals_decided)

    @property
    def miss(self) -> float:
        """Of the decided fakes, the share called real."""
        return _rate(self.fakes_called_real, self.fakes_decided)

    @property
    def false_alarm_of_all(self) -> float:
        """Of all reals, the share called fake."""
        return _rate(self.reals_called_fake, self.reals)

    @property
    def miss_of_all(self) -> float:
        """Of all fakes, the share called real."""
        return _rate(self.fakes_called_real, self.fakes)

    def row(self) -> dict[str, int | float]:
        """One line of a table: the counts, then the rates."""
        rates = ("decided", "accuracy", "false_alarm", "miss", "false_alarm_of_all", "miss_of_all")
        return vars(self) | {name: round(getattr(self, name), 4) for name in rates}


def report(verdicts: Sequence[str] | NDArray[np.str_], labels: ArrayLike) -> Report:
    """Count what was said of clips.

    Args:
        verdicts: `real`, `fake` or `undecided` of each clip, shape (N,).
        labels: Values of `Label`, shape (N,).

    Raises:
        ValueError: If a verdict is another word, or if there are more or fewer than labels.
    """
    verdicts, labels = np.asarray(verdicts, np.str_), np.asarray(labels, np.int64)
    unknown = set(verdicts.tolist()) - {UNDECIDED, *(label.word for label in Label)}
    if unknown or verdicts.shape != labels.shape:
        raise ValueError(
            f"verdicts {verdicts.shape} and labels {labels.shape} must be of one shape (N,), the verdicts "
            f"real, fake or undecided; met: {', '.join(sorted(unknown)) or 'nothing else'}"
        )
    real, fake = (verdicts[labels == label] for label in Label)
    return Report(
        reals=len(real),
        fakes=len(fake),
        reals_decided=int((real != UNDECIDED).sum()),
        fakes_decided=int((fake != UNDECIDED).sum()),
        reals_called_fake=int((real == Label.FAKE.word).sum()),
        fakes_called_real=int((fake == Label.REAL.word).sum()),
    )


def novelty_auc(novelties: ArrayLike, wrong: ArrayLike) -> float:
    """Whether novelty tells which verdicts are wrong: the area under its ROC.

    Args:
        novelties: Of each clip, shape (N,).
        wrong: Whether what was said of it without regard to novelty is wrong, shape (N,), bool.

    Returns:
        The probability that a clip judged wrongly is more novel than one judged rightly, a tie counting half:
        0.5 is no help, below it novelty misleads.

    Raises:
        ValueError: If all clips are judged rightly, or all wrongly.
    """
    novelties, wrong = np.asarray(novelties, np.float64), np.asarray(wrong, bool)
    missed, right = novelties[wrong], np.sort(novelties[~wrong])
    if not (len(missed) and len(right)):
        raise ValueError(f"{len(missed)} clips judged wrongly and {len(right)} rightly: both are needed")
    below, up_to = (np.searchsorted(right, missed, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(right)))


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _mean(real: float, fake: float) -> float:
    """Of both classes; of one where the other has no clips."""
    known = [rate for rate in (real, fake) if not np.isnan(rate)]
    return float(np.mean(known)) if known else float("nan")
