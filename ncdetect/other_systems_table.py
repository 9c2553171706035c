"""The table of `other_systems`: figures of every row on every set of clips, and what the documents claim.

A line is a system on a set of clips, the spread over the folds of a cross-validation (set `folds`), or, with
`against`, the difference in EER between two systems on the same clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from ncdetect import metrics
from ncdetect.corpora import Clip
from ncdetect.experiments import open_data, training_corpora
from ncdetect.labels import Label
from ncdetect.other_systems import Place, Result, clips, judged_clips
from ncdetect.other_systems_rows import AASIST, ADVERSARIAL, ATTACKS, POSTER, WHISPER, Row
from ncdetect.pipeline import group_of
from ncdetect.tables import ROUNDS, test_sets
from ncdetect.tables import Row as Line

DEV, FOLDS = "dev", "folds"
FIFTHS = 5
"""The poster trains for 20 epochs and for 100."""
COLUMNS = (
    "section", "system", "what", "trained_on", "set", "clips", "reals", "fakes", "eer", "eer_low", "eer_high",
    "ap_fake", "accuracy", "f1", "against", "difference", "difference_low", "difference_high", "eer_sd",
    "accuracy_sd", "f1_sd", "parameters", "epochs", "draws", "seconds", "eer_fifth", "eer_last", "seeds",
    "precision", "schedule",
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """What a source document says, as an order of two rows."""

    section: str
    text: str
    better: str
    """Names of two rows."""
    worse: str
    sets: tuple[str, ...]
    """Where it is looked at: names of test sets."""


_BEATS = "The poster: OC-Softmax beats softmax on voices from the internet ({}; {})."
_SEEN = ("dev", "all", "wild")
CLAIMS: tuple[Claim, ...] = (
    Claim(POSTER, _BEATS.format("LFCC, 2021 DF", "47.2 % against 60.2 %; on dev 2.2 % against 1.8 %"),
          "lfcc-all", "lfcc-softmax-all", _SEEN),
    Claim(POSTER, _BEATS.format("MFCC, 2021 DF", "42.9 % against 47.7 %; on dev 2.0 % against 1.5 %"),
          "mfcc-all", "mfcc-softmax-all", _SEEN),
    Claim(POSTER, _BEATS.format("LFCC, 2019 LA, 100 epochs",
          "28.2 % against 34.3 %; on dev 0.20 % against 0.27 %"),
          "lfcc-neural", "lfcc-softmax-neural", _SEEN),
    Claim(POSTER, "The same of MFCC on one corpus, which the poster does not have.",
          "mfcc-neural", "mfcc-softmax-neural", _SEEN),
    Claim(POSTER, "Zhang et al. 2021: OC-Softmax beats AM-Softmax (2.2 % against 3.3 % on 2019 LA).",
          "lfcc-all", "lfcc-am-all", _SEEN),
    Claim(POSTER, "The poster: MFCC does better than LFCC (OC-Softmax; 42.9 % against 47.2 %).",
          "mfcc-all", "lfcc-all", ("all", "wild")),
    Claim(POSTER, "The poster: MFCC does better than LFCC (softmax; 47.7 % against 60.2 %).",
          "mfcc-softmax-all", "lfcc-softmax-all", ("all", "wild")),
    Claim(POSTER, "The poster: more data, compressed, does not help (LFCC, OC-Softmax, 20 epochs; 39.4 % "
          "after 2019 LA against 47.2 % after 2021 DF).", "lfcc-neural", "lfcc-all", ("wild",)),
    Claim(WHISPER, _BEATS.format("MFCC and Whisper", "29.9 % against 37.0 %; on dev 0.7 % against 0.4 %"),
          "whisper-oc", "whisper", _SEEN),
    Claim(WHISPER, "The poster: Whisper's encoder beside MFCC does better than MFCC alone (OC-Softmax; "
          "29.9 % against 42.9 %).", "whisper-oc", "mfcc-all", ("all", "wild")),
    Claim(AASIST, "The notes: transfer learning solves the lack of data.",
          "aasist-tuned", "aasist-scratch", _SEEN),
    Claim(AASIST, "The notes: training on a smaller subset first, then on everything, helps.",
          "aasist-part", "aasist-scratch", _SEEN),
    Claim(ADVERSARIAL, "The notes: adversarial training improves the detection of new methods.",
          "adversarial", "not-adversarial", ("all", "wild")),
    Claim(ADVERSARIAL, "Goodfellow et al. 2015: a detector trained on perturbed clips withstands them.",
          "adversarial", "not-adversarial", ("dev", *ATTACKS)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Measured:
    """A row on a set of clips."""

    clips: tuple[Clip, ...]
    eers: NDArray[np.floating]
    """Of each seed, (S,)."""
    resampled: NDArray[np.floating]
    """Of each seed and round of the bootstrap, (S, ROUNDS)."""
    ap_fake: float
    """These three are means over the seeds."""
    accuracy: float
    """At the threshold where the error rates on the row's own dev clips are nearest to each other."""
    f1: float
    """Of the fakes, there."""


def lines(place: Place, rows: Sequence[Row], found: Mapping[str, Sequence[Result]]) -> list[Line]:
    """The table in long form.

    Args:
        place: Where the runs were.
        rows: What was run.
        found: What `other_systems.series` gave.
    """
    measured = {row.name: of_row(place, row, found[row.name]) for row in rows if not row.folds}
    made: list[Line] = []
    for row in rows:
        facts = _facts(place, row, found[row.name])
        if row.folds:
            made.append(facts | _over_folds(found[row.name]))
        made += [facts | _figures(name, one) for name, one in measured.get(row.name, {}).items()]
    for claim in CLAIMS:
        better, worse = (measured.get(name, {}) for name in (claim.better, claim.worse))
        made += [
            {"section": claim.section, "system": claim.better, "against": claim.worse}
            | _difference(name, better[name], worse[name])
            for name in claim.sets
            if name in better and name in worse
        ]
    return [{name: _cell(line.get(name, "")) for name in COLUMNS} for line in made]


def of_row(place: Place, row: Row, results: Sequence[Result]) -> dict[str, Measured]:
    """By name of the set: the dev clips of the row's corpora, eval clips, attacked dev clips.

    Accuracy and F1 are those at the threshold that suits the dev clips of the same training.
    """
    dev, evals = clips(place, row)["dev"], judged_clips(place).select(split="eval")
    scores = [result.scores for result in results]
    sets = {DEV: (dev.clips, scores)}
    for test in test_sets(evals, training_corpora(open_data(place.data))):
        sets[test.name] = (tuple(evals.clips[index] for index in test.rows), scores)
    for name in results[0].attacks:
        attacked = [result.attacks[name] for result in results]
        sets[name] = (tuple(clip for clip in dev if clip.path in attacked[0]), attacked)
    at = [threshold(_read(dev.clips, own), dev.labels) for own in scores]
    return {name: _measured(own, said, at) for name, (own, said) in sets.items()}


def threshold(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The score at which the two error rates are nearest to each other; from there on a clip is fake."""
    det = metrics.det_curve(scores, labels)
    return float(det.thresholds[np.argmin(np.abs(det.fpr - det.fnr))])


def _read(own: Sequence[Clip], scores: Mapping[str, float]) -> NDArray[np.floating]:
    return np.array([scores[clip.path] for clip in own])


@cache
def _draws(own: tuple[Clip, ...]) -> metrics.Counts:
    """The same for every row, so that differences are paired."""
    return metrics.resample([clip.label for clip in own], list(map(group_of, own)), ROUNDS)


def _measured(
    own: tuple[Clip, ...], said: Sequence[Mapping[str, float]], thresholds: Sequence[float]
) -> Measured:
    labels = np.array([clip.label for clip in own], np.int64)
    by_seed = [_read(own, scores) for scores in said]
    called = [scores >= at for scores, at in zip(by_seed, thresholds, strict=True)]
    return Measured(
        own,
        np.array([metrics.eer_roc(scores, labels) for scores in by_seed]),
        np.stack([metrics.eer_resampled(scores, labels, _draws(own)) for scores in by_seed]),
        float(np.mean([metrics.average_precision(scores, labels).fake for scores in by_seed])),
        float(np.mean([(one == labels).mean() for one in called])),
        float(np.mean([f1_score(labels, one, zero_division=0) for one in called])),
    )


def _interval(eers: NDArray[np.floating], resampled: NDArray[np.floating]) -> metrics.Interval:
    """Of the mean over the seeds, which are drawn with replacement, too."""
    drawn = np.random.default_rng(0).integers(len(eers), size=(len(eers), ROUNDS))
    return metrics.interval(float(eers.mean()), resampled[drawn, np.arange(ROUNDS)].mean(axis=0))


def _figures(name: str, one: Measured) -> Line:
    labels = [clip.label for clip in one.clips]
    eer, low, high = _interval(one.eers, one.resampled)
    return {
        "set": name, "clips": len(labels), "reals": labels.count(Label.REAL),
        "fakes": labels.count(Label.FAKE), "eer": eer, "eer_low": low, "eer_high": high,
        "ap_fake": one.ap_fake, "accuracy": one.accuracy, "f1": one.f1,
    }  # fmt: skip


def _difference(name: str, one: Measured, other: Measured) -> Line:
    found = _interval(one.eers - other.eers, one.resampled - other.resampled)
    columns = ("difference", "difference_low", "difference_high")
    return {"set": name, "clips": len(one.clips)} | dict(zip(columns, found, strict=True))


def _over_folds(results: Sequence[Result]) -> Line:
    """Mean and deviation over the folds of all seeds."""
    folds = [fold for result in results for fold in result.folds]
    line: Line = {"set": FOLDS, "clips": round(sum(fold["clips"] for fold in folds) / len(results))}
    for name in ("eer", "accuracy", "f1"):
        values = [fold[name] for fold in folds]
        line |= {name: float(np.mean(values)), f"{name}_sd": float(np.std(values, ddof=1))}
    return line


def _facts(place: Place, row: Row, results: Sequence[Result]) -> Line:
    first = results[0]
    line: Line = {
        "section": row.section, "system": row.name, "what": row.what,
        "trained_on": " ".join(row.corpora or training_corpora(open_data(place.data))),
        "parameters": first.parameters, "epochs": first.epochs, "draws": first.draws,
        "seconds": round(float(np.mean([result.seconds for result in results])), 1),
        "seeds": len(results), "precision": first.precision, "schedule": first.schedule,
    }  # fmt: skip
    if all(len(result.dev_eers) >= FIFTHS for result in results):
        line["eer_fifth"] = float(np.mean([r.dev_eers[len(r.dev_eers) // FIFTHS - 1] for r in results]))
        line["eer_last"] = float(np.mean([result.dev_eers[-1] for result in results]))
    return line


def _cell(value: str | int | float) -> str | int | float:
    return round(value, 4) if isinstance(value, float) else value
