"""All systems on the same clips: how often each is wrong, and what its verdicts are worth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncdetect import abstention, metrics, tables
from ncdetect.corpora import Manifest
from ncdetect.error_groups import LEAST_CLIPS
from ncdetect.experiments import ALL, training_corpora
from ncdetect.labels import Label
from ncdetect.pipeline import group_of
from ncdetect.systems import System
from ncdetect.tables import TestSet

ASV_KINDS = ("target", "nontarget", "spoof")


@dataclass(frozen=True, eq=False)
class Part:
    """Clips on which every system is measured."""

    test: TestSet
    generator: str = ""
    """Where the fakes are of one generator only: its name; empty for a whole set."""


def named_file(text: str) -> tuple[str, Path]:
    """Take `NAME=FILE` apart.

    Raises:
        ValueError: If it is something else.
        FileNotFoundError: If there is no such file.
    """
    name, _, file = text.partition("=")
    if not (name and file):
        raise ValueError(f"{text!r} must read NAME=FILE")
    if not Path(file).is_file():
        raise FileNotFoundError(f"there is no file {file}")
    return name, Path(file)


# -- the clips


def eval_clips(manifest: Manifest) -> tuple[Manifest, list[Part]]:
    """The eval clips, and the parts of them on which systems are compared.

    Parts are the pooled eval clips of the corpora that can be trained on, each corpus with both classes, and
    of the pooled set and each corpus outside it, the generators with at least LEAST_CLIPS clips: their fakes
    against all reals of the set. A generator's interval draws its fakes one by one.

    Raises:
        ValueError: If no set of eval clips has both classes.
    """
    tests = manifest.select(split="eval")
    trained_on = training_corpora(manifest)
    sets = sorted(
        tables.test_sets(tests, trained_on), key=lambda test: test.name not in (ALL, *trained_on)
    )  # what nothing was trained on comes last
    if not sets:
        raise ValueError("no corpus there has real and fake eval clips")
    pooled = any(test.name == ALL for test in sets)
    parts = [Part(test) for test in sets]
    for test in sets:
        if not (pooled and test.name in trained_on):
            parts += _by_generator(tests, test)
    return tests, parts


def _by_generator(tests: Manifest, test: TestSet) -> list[Part]:
    clips = [tests.clips[row] for row in test.rows]
    made = Counter(clip.generator for clip in clips if clip.label == Label.FAKE)
    found = []
    for name in sorted(name for name, count in made.items() if name and count >= LEAST_CLIPS):
        kept = [
            index for index, clip in enumerate(clips) if clip.label == Label.REAL or clip.generator == name
        ]
        groups = (
            clips[index].path if clips[index].label == Label.FAKE else group_of(clips[index])
            for index in kept
        )
        found.append(Part(TestSet(test.name, test.rows[kept], test.labels[kept], tuple(groups)), name))
    return found


def read_asv(file: Path) -> metrics.AsvRates:
    """Errors of a speaker verification system from its scores as ASVspoof 2019 distributes them.

    Args:
        file: A trial a line, three words: source, one of ASV_KINDS, score (higher = more like the speaker).

    Raises:
        ValueError: If a line is something else, or a kind is missing.
    """
    scores: dict[str, list[float]] = {kind: [] for kind in ASV_KINDS}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        words = line.split()
        try:
            _, kind, score = words
            scores[kind].append(float(score))
        except (ValueError, KeyError):
            raise ValueError(
                f"{file}:{number}: {line!r} must be a source, one of {', '.join(ASV_KINDS)}, and a score"
            ) from None
    return metrics.asv_rates(*scores.values())


# -- the figures


def rows(
    systems: Sequence[System], parts: Sequence[Part], asv: Mapping[str, metrics.AsvRates] | None = None
) -> list[tables.Row]:
    """The table in long form, the system of the lowest EER on the first part first.

    Args:
        systems: With scores of the same clips.
        parts: On what to measure; a system without a score for one of a part's clips is not measured on it.
        asv: Errors of a speaker verification system on the protocol of a corpus, by its name.

    Raises:
        ValueError: If two systems have one name, or one has no part that it scores completely.
    """
    twice = [name for name, count in Counter(system.name for system in systems).items() if count > 1]
    if twice:
        raise ValueError(f"two systems are called {twice[0]!r}: their names must differ")
    found = []
    for system in systems:
        own = [
            _row(system, part, (asv or {}).get(part.test.name))
            for part in parts
            if np.isfinite(system.scores[part.test.rows]).all()
        ]
        if not own:
            raise ValueError(f"{system.name!r} has not scored all clips of any set")
        found.append(own)
    first = parts[0].test.name

    def rank(own: list[tables.Row]) -> tuple[bool, float]:
        return own[0]["set"] != first, float(own[0]["eer"])

    return [row for own in sorted(found, key=rank) for row in own]


def _row(system: System, part: Part, asv: metrics.AsvRates | None) -> tables.Row:
    test = part.test
    scores, labels = system.scores[test.rows], test.labels
    eer = metrics.interval(
        metrics.eer_roc(scores, labels), metrics.eer_resampled(scores, labels, test.counts)
    )
    line: dict[str, str | int | float | None] = {
        "system": system.name,
        "set": test.name,
        "generator": part.generator,
        "clips": len(labels),
        "reals": int((labels == Label.REAL).sum()),
        "fakes": int((labels == Label.FAKE).sum()),
        "eer": eer.value,
        "eer_low": eer.low,
        "eer_high": eer.high,
        "eer_det": metrics.eer_det(scores, labels),
    }
    line |= dict.fromkeys(
        ("ap_fake", "min_dcf", "act_dcf", "cllr", "min_tdcf", "decided", "accuracy", "false_alarm", "miss")
    )
    if not part.generator:
        line["ap_fake"] = metrics.average_precision(scores, labels).fake
        line["min_dcf"] = metrics.min_dcf(scores, labels)
        if system.calibration:
            llrs = system.calibration.llr(scores)
            line |= {"act_dcf": metrics.act_dcf(llrs, labels), "cllr": metrics.cllr(llrs, labels)}
        if asv:
            line["min_tdcf"] = metrics.min_tdcf(scores, labels, asv)
        if system.words is not None:
            told = abstention.report(system.words[test.rows], labels)
            line |= {name: getattr(told, name) for name in ("decided", "accuracy", "false_alarm", "miss")}
    line |= {
        "parameters": system.parameters,
        "megabytes": system.megabytes,
        "clips_per_second": system.clips_per_second,
        "sha256": system.sha256,
    }
    return {name: _cell(value) for name, value in line.items()}


def _cell(value: str | int | float | None) -> str | int | float:
    if isinstance(value, float):
        return "" if np.isnan(value) else round(value, 4)
    return "" if value is None else value
