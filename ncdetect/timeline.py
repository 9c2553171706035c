"""How windows make up the verdict on a long clip, and whether its timeline finds a fake part: a study.

Long clips are those of `joined`. Ways of putting windows together are compared on dev, and so are the
constants of the warning about a different part; what is in use is then measured on eval.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import trim_mean

from ncdetect import abstention, audio, metrics
from ncdetect.corpora import Manifest
from ncdetect.experiments import training_corpora
from ncdetect.joined import LongClip, long_clips, spliced_clips
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.metrics import Interval
from ncdetect.predictor import (
    MIXED_PROBABILITY,
    MIXED_WINDOWS,
    Predictor,
    Verdict,
    Window,
    other_stretch,
)  # fmt: skip

Floats = NDArray[np.float64]
Row = dict[str, str | int | float]

SEED = 0
ROUNDS = 2
"""How often all clips are joined anew."""
DEV, EVAL = "dev", "eval"
MEAN = "mean"


def _highest_third(llrs: Floats) -> float:
    return np.sort(llrs)[::-1][: -(-len(llrs) // 3)].mean()


RULES: dict[str, Callable[[Floats], float]] = {
    MEAN: np.mean,
    "median": np.median,
    "trimmed mean": lambda llrs: trim_mean(llrs, 0.2),
    "highest third": _highest_third,
    "log-mean-exp": lambda llrs: logsumexp(llrs) - np.log(len(llrs)),
}
"""From the windows' log-likelihood ratios (W,) to the clip's. The predictor takes the mean."""
IN_USE = (MIXED_WINDOWS, MIXED_PROBABILITY)
CONSTANTS = tuple((windows, p) for windows in (1, 2, 3) for p in (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95))
"""Of the warning about a different part: windows in a row, and the probability of each."""


@dataclass(frozen=True, eq=False)
class Heard:
    """A long clip and what a detector says of it."""

    clip: LongClip
    verdict: Verdict

    @property
    def judged(self) -> list[Window]:
        """Windows with enough signal, at least one."""
        return [window for window in self.verdict.windows if window.judged]

    def within(self) -> Floats:
        """Share of each judged window that lies in the fake stretch, (W,)."""
        return np.array([share_within(window, self.clip.fake_span) for window in self.judged])

    def scores(self) -> Floats:
        """Logits of the judged windows, (W,)."""
        return np.array([window.score for window in self.judged])


def share_within(window: Window, span: tuple[float, float]) -> float:
    """Share of a window's time that lies in a span of seconds."""
    shared = min(window.end_s, span[1]) - max(window.start_s, span[0])
    return max(0.0, shared) / (window.end_s - window.start_s)


def study(
    predictor: Predictor,
    manifest: Manifest,
    progress: Callable[[Iterable, str], Iterable] = lambda items, _: items,
) -> list[Row]:
    """Measure a detector on long clips.

    Args:
        predictor: Of the checkpoint.
        manifest: Corpora with dev and eval clips; those for evaluation only are measured apart.
        progress: Wraps the clips, given a caption.

    Returns:
        A row a figure: measure, set (dev, eval, or a corpus for evaluation only), choice (a rule, or the
        warning's constants), value, low, high (95 % interval, empty where there is none) and numbers of
        reals, fakes and spliced clips.

    Raises:
        ValueError: If a set has too few clips for long ones of both classes.
    """
    known = training_corpora(manifest)
    if not known:
        raise ValueError("no corpus there has train and dev clips of both classes")
    rest = sorted({clip.corpus for clip in manifest} - set(known))
    sets = {split: manifest.select(corpus=known, split=split) for split in (DEV, EVAL)}
    sets |= {corpus: manifest.select(corpus=corpus, split=EVAL) for corpus in rest}
    rows: list[Row] = []
    for name, part in sets.items():
        whole = long_clips(Waves(part), SEED, ROUNDS)
        if len({clip.label for clip in whole}) < len(Label):
            raise ValueError(
                f"the {len(part)} clips of {name} cannot be joined to 10 s of both classes: too few are of "
                "one speaker or source, or of one generator or kind"
            )
        clips = [*whole, *spliced_clips(whole, SEED)]
        heard = [Heard(clip, _judged(predictor, clip)) for clip in progress(clips, f"long clips of {name}")]
        rows += [{"set": name} | row for row in measured(heard, predictor.config.calibration, name, rows)]
    return rows


def _judged(predictor: Predictor, clip: LongClip) -> Verdict:
    duration_s = len(clip.wave) / audio.SAMPLE_RATE
    return predictor.judge(audio.Audio(clip.wave, duration_s, audio.SAMPLE_RATE, 1, "joined"))


def measured(
    heard: Sequence[Heard], calibration: metrics.Calibration, name: str, before: Sequence[Row] = ()
) -> list[Row]:
    """The rows of one set: on dev all rules and constants, elsewhere those in use and the rule chosen on dev.

    Args:
        heard: Whole and spliced clips.
        calibration: The detector's.
        name: Of the set.
        before: The rows of dev.
    """
    whole = [one for one in heard if one.clip.fake_span is None]
    spliced = [one for one in heard if one.clip.fake_span is not None]
    labels = np.array([one.clip.label for one in whole])
    groups = [one.clip.group for one in whole]
    llrs = [calibration.llr(one.scores()) for one in whole]
    if name == DEV:
        rows = compared(llrs, labels, groups)
        constants = CONSTANTS
    else:
        rules = dict.fromkeys((MEAN, chosen(before)))
        rows = [_row("eer", rule, _eer(RULES[rule], llrs, labels, groups)) for rule in rules]
        constants = (IN_USE,)
    alone = np.array([one.clip.one_voice for one in whole])
    if len(set(labels[alone].tolist())) == len(Label):
        voices = [[of[i] for i in np.flatnonzero(alone)] for of in (llrs, groups)]
        rows.append(_row("eer_one_voice", MEAN, _eer(RULES[MEAN], voices[0], labels[alone], voices[1])))
    said = abstention.report([one.verdict.verdict for one in whole], labels)
    rows += [_row(measure, MEAN, (getattr(said, measure), "", "")) for measure in ("decided", "accuracy")]
    rows += found(spliced)
    for windows, probability in constants:
        rows += warned(whole, spliced, windows, probability)
    counts = {
        "reals": int((labels == Label.REAL).sum()),
        "fakes": int((labels == Label.FAKE).sum()),
        "spliced": len(spliced),
    }
    return [row | counts for row in rows]


def compared(llrs: Sequence[Floats], labels: NDArray[np.int64], groups: Sequence[str]) -> list[Row]:
    """Rules of putting windows together, each calibrated on these clips, and their differences from the mean.

    Args:
        llrs: Log-likelihood ratios of each clip's windows, N arrays (W,).
        labels: Values of `Label`, (N,).
        groups: What the bootstrap draws together, N names.

    Returns:
        Rows of the measures eer, cllr (cross-entropy in bits, both classes weighing half), and of both
        differences.
    """
    counts = metrics.resample(labels, groups)
    rows = []
    for name, rule in RULES.items():
        values = np.array([rule(windows) for windows in llrs])
        eer = metrics.eer_roc(values, labels), metrics.eer_resampled(values, labels, counts)
        cllr = _cllr(metrics.fit_calibration(values, labels).llr(values), labels, counts)
        if name == MEAN:
            of_mean = {"eer": eer, "cllr": cllr}
        for measure, (value, resampled) in (("eer", eer), ("cllr", cllr)):
            rows.append(_row(measure, name, metrics.interval(value, resampled)))
            if name != MEAN:
                reference, others = of_mean[measure]
                difference = metrics.interval(value - reference, resampled - others)
                rows.append(_row(f"{measure}_difference", name, difference))
    return rows


def _cllr(llrs: Floats, labels: NDArray[np.int64], counts: metrics.Counts) -> tuple[float, Floats]:
    """Of all clips, and of each resample."""
    loss = np.logaddexp(0, np.where(labels == Label.FAKE, -llrs, llrs)) / np.log(2)
    drawn = [counts * (labels == label) for label in Label]
    resampled = np.mean([weights @ loss / weights.sum(axis=1) for weights in drawn], axis=0)
    return metrics.cllr(llrs, labels), resampled


def chosen(rows: Iterable[Row]) -> str:
    """The rule of the lowest cllr among those that are clearly better on dev than the mean, else the mean."""
    better = {
        str(row["choice"]): float(row["value"])
        for row in rows
        if row["measure"] == "cllr_difference" and float(row["high"]) < 0
    }
    return min(better, key=better.__getitem__, default=MEAN)


def found(spliced: Sequence[Heard]) -> list[Row]:
    """Whether the window that sounds most fake is one of the fake stretch, and how windows are told apart.

    Measures: `found` (at least half of that window lies in the stretch), `found_by_chance` (if any window
    were as likely), `window_eer` (windows within the stretch against those outside, mixed ones left out).
    """
    groups = [one.clip.group for one in spliced]
    hits = [one.within()[one.scores().argmax()] >= 0.5 for one in spliced]
    chances = [(one.within() >= 0.5).mean() for one in spliced]
    inside = np.concatenate([one.within() for one in spliced])
    scores = np.concatenate([one.scores() for one in spliced])
    names = np.repeat(groups, [len(one.judged) for one in spliced])
    pure = (inside == 0) | (inside > 1 - 1e-9)
    eer = metrics.eer_interval(scores[pure], (inside[pure] > 0).astype(int), names[pure])
    return [
        _row("found", "", _share(hits, groups)),
        _row("found_by_chance", "", _share(chances, groups)),
        _row("window_eer", "", eer),
    ]


def warned(whole: Sequence[Heard], spliced: Sequence[Heard], windows: int, probability: float) -> list[Row]:
    """How often the warning about a different part tells the truth, with these constants.

    Measures: `told` (spliced clips of which it names a stretch that overlaps the fake one, as synthetic),
    `unnoticed` (spliced clips that are called real without that), `false_alarm_real` and `false_alarm_fake`
    (whole clips that it is given for).
    """

    def stretch(one: Heard) -> tuple[float, float] | None:
        called = Label(int(one.verdict.probability > 0.5))
        rows = other_stretch(one.verdict.windows, called, probability, windows)
        return rows and (one.verdict.windows[rows[0]].start_s, one.verdict.windows[rows[1]].end_s)

    def told(one: Heard) -> bool:
        named = stretch(one) if one.verdict.probability <= 0.5 else None
        start_s, end_s = one.clip.fake_span
        return named is not None and named[0] < end_s and named[1] > start_s

    choice = constants_name(windows, probability)
    groups = [one.clip.group for one in spliced]
    right = [told(one) for one in spliced]
    missed = [one.verdict.verdict == "real" and not ok for one, ok in zip(spliced, right, strict=True)]
    rows = [_row("told", choice, _share(right, groups)), _row("unnoticed", choice, _share(missed, groups))]
    for label in Label:
        own = [one for one in whole if one.clip.label == label]
        alarms = _share([stretch(one) is not None for one in own], [one.clip.group for one in own])
        rows.append(_row(f"false_alarm_{label.word}", choice, alarms))
    return rows


def constants_name(windows: int, probability: float) -> str:
    """How the warning's constants are called in the table."""
    return f"{windows} at {probability:g}"


def _eer(
    rule: Callable[[Floats], float], llrs: Sequence[Floats], labels: NDArray[np.int64], groups: Sequence[str]
) -> Interval:
    return metrics.eer_interval([rule(windows) for windows in llrs], labels, groups)


def _share(values: ArrayLike, groups: Sequence[str]) -> Interval:
    """The mean over clips, resampled by group."""
    values = np.asarray(values, np.float64)
    counts = metrics.resample(np.zeros(len(values)), groups)
    return metrics.interval(values.mean(), counts @ values / counts.sum(axis=1))


def _row(measure: str, choice: str, figure: tuple[float, float | str, float | str]) -> Row:
    value, low, high = (round(float(x), 4) if x != "" else x for x in figure)
    return {"measure": measure, "choice": choice, "value": value, "low": low, "high": high}
