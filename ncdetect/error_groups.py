"""What the remaining errors have in common: error rates at the equal error rate, by what the clips share."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect import audio, metrics
from ncdetect.corpora import Clip
from ncdetect.labels import Label

LEAST_CLIPS = 8
"""Smaller groups are counted together."""
REST = "others"
SHORT_S = 2.5


@dataclass(frozen=True)
class Group:
    """Clips of one class that share something."""

    what: str
    """Key of the attribute: `generator`, `source`, `kind`, `length`, `band` or `corpus`."""
    name: str
    label: Label
    clips: int
    wrong: int

    @property
    def rate(self) -> float:
        """Share of wrong ones."""
        return self.wrong / self.clips


def wrong_at_eer(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Which clips are on the wrong side of the threshold where both error rates are nearest to each other.

    Args:
        scores: Logits, higher = more fake, shape (N,).
        labels: Values of `Label`, shape (N,).
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels, np.int64)
    det = metrics.det_curve(scores, labels)
    threshold = det.thresholds[np.argmin(np.abs(det.fpr - det.fnr))]
    return (scores >= threshold) != (labels == Label.FAKE)


def attributes(clip: Clip, wave: NDArray[np.float32]) -> dict[str, str]:
    """What the groups are made by."""
    band = "narrow" if audio.high_band_level(wave) < audio.NARROW_BAND_DB else "wide"
    length = f"under {SHORT_S:g} s" if len(wave) < SHORT_S * audio.SAMPLE_RATE else f"{SHORT_S:g} s or more"
    name = "generator" if clip.label == Label.FAKE else "source"
    of = clip.generator if clip.label == Label.FAKE else clip.generator or clip.source
    return {"corpus": clip.corpus, name: of, "kind": clip.kind, "length": length, "band": band}


def grouped(
    wrong: Sequence[bool], labels: Sequence[int], described: Sequence[Mapping[str, str]]
) -> list[Group]:
    """Count clips and errors by attribute and class.

    Args:
        wrong: Of each clip.
        labels: Values of `Label`.
        described: `attributes` of each.

    Returns:
        The groups, attribute by attribute, the worst first, those under LEAST_CLIPS together and last.
    """
    counts: dict[tuple[str, Label], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for bad, label, entry in zip(wrong, labels, described, strict=True):
        for what, name in entry.items():
            counts[what, Label(label)][name].append(bool(bad))
    found = []
    for (what, label), by_name in counts.items():
        rest = [bad for each in by_name.values() if len(each) < LEAST_CLIPS for bad in each]
        groups = [
            Group(what, name, label, len(each), sum(each))
            for name, each in by_name.items()
            if len(each) >= LEAST_CLIPS
        ]
        found += sorted(groups, key=lambda group: (-group.rate, group.name))
        if rest:
            found.append(Group(what, REST, label, len(rest), sum(rest)))
    return found


def table(groups: Sequence[Group], worst: int = 4) -> list[str]:
    """Lines of Markdown: of each attribute and class the worst groups and all the rest of it."""
    lines = ["| | of | clips | wrong |", "|---|---|---|---|"]
    for label in Label:
        for what in dict.fromkeys(group.what for group in groups):
            own = [group for group in groups if (group.what, group.label) == (what, label)]
            if len(own) < 2:
                continue
            named = [group for group in own if group.name != REST]
            shown = named if len(named) <= worst + 1 else named[:worst]
            left = [group for group in own if group not in shown]
            if left:
                shown = [
                    *shown,
                    Group(what, REST, label, sum(g.clips for g in left), sum(g.wrong for g in left)),
                ]
            lines += [
                f"| {label.word}, {what} | {group.name or 'not known'} | {group.clips} | "
                f"{group.wrong} ({100 * group.rate:.0f} %) |"
                for group in shown
            ]
    return lines
