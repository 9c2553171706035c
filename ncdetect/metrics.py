"""Error rates and costs of detection scores: pure functions on arrays.

Scores are logits, higher = more fake; labels are values of `Label`. Detecting a fake is the positive event:
FPR is the share of reals called fake, FNR the share of fakes called real.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from ncdetect.labels import Label

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels, np.int64)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must be of one shape (N,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    if not np.isin(labels, (Label.REAL, Label.FAKE)).all():
        raise ValueError(f"labels must be 0 (real) or 1 (fake), got {sorted(set(labels.tolist()))}")
    for label in Label:
        if not (labels == label).any():
            raise ValueError(f"no {label.word} clip among the {len(labels)}: both classes are needed")
    return scores, labels


class Det(NamedTuple):
    """Detection error trade-off: the rates at every threshold; a score >= threshold is called fake."""

    fpr: Floats
    fnr: Floats
    thresholds: Floats


def det_curve(scores: ArrayLike, labels: ArrayLike) -> Det:
    """Every attainable operating point, tied scores as one, from "all fake" to "all real"."""
    scores, labels = _checked(scores, labels)
    distinct, inverse = np.unique(scores, return_inverse=True)
    reals = np.bincount(inverse[labels == Label.REAL], minlength=len(distinct))
    fakes = np.bincount(inverse[labels == Label.FAKE], minlength=len(distinct))
    # At threshold t the clips below t are called real.
    fnr = np.concatenate([[0], np.cumsum(fakes)]) / fakes.sum()
    fpr = 1 - np.concatenate([[0], np.cumsum(reals)]) / reals.sum()
    return Det(fpr, fnr, np.concatenate([distinct, [np.inf]]))


def eer_roc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Equal error rate where the linearly interpolated ROC crosses FPR = 1 - TPR (the paper's EER-ROC)."""
    fpr, fnr, _ = det_curve(scores, labels)
    gap = fnr - fpr  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def eer_det(scores: ArrayLike, labels: ArrayLike) -> float:
    """Equal error rate by ASVspoof's rule: the mean of both rates where they differ least.

    Tied scores move together, so that the order of the clips cannot matter; of several thresholds with the
    same difference the mean of the lowest and the highest such rate is taken.
    """
    fpr, fnr, _ = det_curve(scores, labels)
    difference = np.abs(fpr - fnr)
    rates = ((fpr + fnr) / 2)[np.isclose(difference, difference.min(), rtol=0, atol=1e-12)]
    return float((rates.min() + rates.max()) / 2)


class AveragePrecision(NamedTuple):
    """AP with either class as the positive one, their mean, and the prevalence against which to read them."""

    fake: float
    real: float
    mean: float
    prevalence_fake: float


def average_precision(scores: ArrayLike, labels: ArrayLike) -> AveragePrecision:
    """Average precision; the paper does not say which class its mAP takes as positive."""
    # scikit-learn takes a second to import, and the page needs none of it.
    from sklearn.metrics import average_precision_score

    scores, labels = _checked(scores, labels)
    fake = float(average_precision_score(labels == Label.FAKE, scores))
    real = float(average_precision_score(labels == Label.REAL, -scores))
    return AveragePrecision(fake, real, (fake + real) / 2, float((labels == Label.FAKE).mean()))


class Cost(NamedTuple):
    """What errors cost (ASVspoof 5): prior of a fake, cost of a missed fake, cost of a false alarm."""

    prior_fake: float = 0.05
    miss: float = 10.0
    false_alarm: float = 1.0

    @property
    def beta(self) -> float:
        """Weight of FPR against FNR once costs are divided by those of always saying real."""
        return self.false_alarm * (1 - self.prior_fake) / (self.miss * self.prior_fake)


ASVSPOOF5_COST = Cost()


def min_dcf(scores: ArrayLike, labels: ArrayLike, cost: Cost = ASVSPOOF5_COST) -> float:
    """Least normalised detection cost over all thresholds; 1 is no better than a constant answer."""
    fpr, fnr, _ = det_curve(scores, labels)
    return float((fnr + cost.beta * fpr).min() / min(1.0, cost.beta))


def act_dcf(llrs: ArrayLike, labels: ArrayLike, cost: Cost = ASVSPOOF5_COST) -> float:
    """Normalised detection cost at the threshold that calibrated scores promise (Brummer and du Preez 2006).

    Args:
        llrs: Log-likelihood ratios fake : real (natural logarithm), shape (N,).
        labels: Values of `Label`, shape (N,).
        cost: Prior and costs.
    """
    llrs, labels = _checked(llrs, labels)
    called_fake = llrs >= np.log(cost.beta)
    fnr = float((~called_fake[labels == Label.FAKE]).mean())
    fpr = float(called_fake[labels == Label.REAL].mean())
    return (fnr + cost.beta * fpr) / min(1.0, cost.beta)


class AsvRates(NamedTuple):
    """Errors of the speaker verification system (ASV) that stands behind a detector, at its own EER."""

    miss: float
    """Share of the target speakers that it rejects."""
    false_alarm: float
    """Share of the impostors that it accepts."""
    spoof_miss: float
    """Share of the fakes that it rejects by itself."""


def asv_rates(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> AsvRates:
    """Errors of an ASV system at the threshold where misses and false alarms differ least.

    A score at the threshold is accepted. ASVspoof's own tool takes the score just below it as threshold,
    which moves a rate by one trial at most.

    Args:
        target: ASV scores of target trials, higher = more like the claimed speaker, shape (N,).
        nontarget: Of impostors, shape (M,).
        spoof: Of fakes, shape (K,).

    Raises:
        ValueError: If one of the kinds has no trial or a score is not finite.
    """
    target, nontarget, spoof = (np.asarray(scores, np.float64) for scores in (target, nontarget, spoof))
    if not (target.size and nontarget.size and spoof.size):
        counts = f"{target.size} target, {nontarget.size} nontarget and {spoof.size} spoof trials"
        raise ValueError(f"{counts}: all three kinds are needed")
    if not np.isfinite(spoof).all():
        raise ValueError("ASV scores of fakes are not all finite")
    # Targets in the place of fakes: what is accepted is called fake there.
    scores = np.concatenate([nontarget, target])
    det = det_curve(scores, np.repeat([Label.REAL, Label.FAKE], [nontarget.size, target.size]))
    best = int(np.argmin(np.abs(det.fnr - det.fpr)))
    return AsvRates(float(det.fnr[best]), float(det.fpr[best]), float((spoof < det.thresholds[best]).mean()))


class TandemCost(NamedTuple):
    """Priors and costs of detector and ASV in tandem (ASVspoof 2019 evaluation plan)."""

    prior_target: float = 0.95 * 0.99
    prior_nontarget: float = 0.95 * 0.01
    prior_spoof: float = 0.05
    asv_miss: float = 1.0
    asv_false_alarm: float = 10.0
    cm_miss: float = 1.0
    """Of a real that the detector rejects."""
    cm_false_alarm: float = 10.0
    """Of a fake that the detector lets through."""


ASVSPOOF2019_COST = TandemCost()


def min_tdcf(
    scores: ArrayLike, labels: ArrayLike, asv: AsvRates, cost: TandemCost = ASVSPOOF2019_COST
) -> float:
    """Least normalised tandem detection cost, min t-DCF; 1 is no better than a constant answer.

    As defined by Kinnunen et al. 2018, with the costs of ASVspoof 2019; since ASVspoof 2021 called legacy.

    Args:
        scores: The detector's scores, shape (N,).
        labels: Values of `Label`, shape (N,).
        asv: Of the ASV system, on the same protocol.
        cost: Priors and costs.

    Raises:
        ValueError: If the ASV system is so bad that a weight is not positive: the cost is not defined then.
    """
    reject = cost.prior_target * (cost.cm_miss - cost.asv_miss * asv.miss)
    reject -= cost.prior_nontarget * cost.asv_false_alarm * asv.false_alarm
    accept = cost.cm_false_alarm * cost.prior_spoof * (1 - asv.spoof_miss)
    if reject <= 0 or accept <= 0:
        raise ValueError(f"min t-DCF is not defined with this ASV system: its weights are {reject:.3g} and "
                         f"{accept:.3g}, and both must be positive")  # fmt: skip
    fpr, fnr, _ = det_curve(scores, labels)
    return float((reject * fpr + accept * fnr).min() / min(reject, accept))


def cllr(llrs: ArrayLike, labels: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits (Brummer and du Preez 2006); 0 is perfect, 1 knows nothing."""
    llrs, labels = _checked(llrs, labels)
    fake = np.logaddexp(0, -llrs[labels == Label.FAKE]).mean()
    real = np.logaddexp(0, llrs[labels == Label.REAL]).mean()
    return float((fake + real) / (2 * np.log(2)))


def balanced_accuracy(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean of the classes' shares on the right side of a logit of 0."""
    scores, labels = _checked(scores, labels)
    right = (scores > 0) == (labels == Label.FAKE)
    return float(np.mean([right[labels == label].mean() for label in Label]))


class Calibration(NamedTuple):
    """Log-likelihood ratio = scale * score + offset."""

    scale: float = 1.0
    offset: float = 0.0

    def llr(self, scores: ArrayLike) -> Floats:
        """Log-likelihood ratios fake : real of raw scores."""
        return self.scale * np.asarray(scores, np.float64) + self.offset

    def probability(self, scores: ArrayLike) -> Floats:
        """Probability of fake if real and fake were equally likely."""
        return expit(self.llr(scores))

    def score_at(self, probability: float) -> float:
        """The raw score that has this probability."""
        return float((logit(probability) - self.offset) / self.scale)


def fit_calibration(scores: ArrayLike, labels: ArrayLike) -> Calibration:
    """Logistic calibration for equal priors (Platt 1999; each class weighs half).

    Raises:
        ValueError: If higher scores do not mean more fake on these clips.
    """
    from sklearn.linear_model import LogisticRegression

    scores, labels = _checked(scores, labels)
    # A weak prior keeps the scale finite where the classes do not overlap.
    model = LogisticRegression(C=1e3, class_weight="balanced").fit(scores[:, None], labels)
    scale, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    if scale <= 0:
        raise ValueError(f"higher scores do not mean more fake on these clips (scale {scale:.3g})")
    return Calibration(scale, offset)


class Interval(NamedTuple):
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float


def resample(labels: ArrayLike, groups: ArrayLike | None = None, rounds: int = 1000, seed: int = 0) -> Counts:
    """How often each clip is drawn in each round of a bootstrap, reals and fakes apart, shape (rounds, N).

    The same draws applied to several models' scores of the same clips give paired differences.

    Args:
        labels: Values of `Label`, shape (N,).
        groups: What is drawn together, shape (N,): a generator's or a speaker's clips resemble one another,
            and drawing single clips would make the interval too narrow. None draws clips.
        rounds: Resamples.
        seed: Makes the draws reproducible.
    """
    labels = np.asarray(labels, np.int64)
    names = np.arange(len(labels)) if groups is None else np.asarray(groups)
    rng = np.random.default_rng(seed)
    counts = np.zeros((rounds, len(labels)), np.int32)
    for label in Label:
        rows = np.flatnonzero(labels == label)
        if len(rows):
            distinct, group = np.unique(names[rows], return_inverse=True)
            size = len(distinct)
            drawn = rng.multinomial(size, np.full(size, 1 / size), size=rounds)
            counts[:, rows] = drawn[:, group]
    return counts


def eer_resampled(scores: ArrayLike, labels: ArrayLike, counts: Counts) -> Floats:
    """`eer_roc` of each resample, shape (rounds,): `counts` (rounds, N) says how often a clip is in it."""
    scores, labels = _checked(scores, labels)
    order = np.argsort(scores, kind="stable")
    last_of_tie = np.flatnonzero(np.diff(scores[order], append=np.inf) > 0)

    def below(label: Label) -> Floats:
        drawn = np.where(labels[order] == label, counts[:, order], 0)
        total = np.cumsum(drawn, axis=1)[:, last_of_tie]
        return np.concatenate([np.zeros((len(total), 1)), total / total[:, -1:]], axis=1)

    fnr, fpr = below(Label.FAKE), 1 - below(Label.REAL)
    gap = fnr - fpr
    after = np.argmax(gap >= 0, axis=1)
    row = np.arange(len(gap))
    share = -gap[row, after - 1] / (gap[row, after] - gap[row, after - 1])
    return fpr[row, after - 1] + share * (fpr[row, after] - fpr[row, after - 1])


def interval(value: float, resampled: Floats) -> Interval:
    """A figure with the percentile interval at 95 % of its resamples (Efron and Tibshirani 1993, ch. 13)."""
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Interval(float(value), float(low), float(high))


def eer_interval(
    scores: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None, rounds: int = 1000, seed: int = 0
) -> Interval:
    """`eer_roc` with its bootstrap interval at 95 %; the arguments are those of `resample`."""
    counts = resample(labels, groups, rounds, seed)
    return interval(eer_roc(scores, labels), eer_resampled(scores, labels, counts))
