"""Tab "Inside the model": error curves in words, and the test clips by where they come from."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ncdetect import wording
from ncdetect.labels import Label
from ncdetect.language import number, say
from ncdetect.ui.inside_picture import Curve, choice, det
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    import pandas as pd

    from ncdetect.metrics import Interval
    from ncdetect.record import Part, TrackRecord

BY = ("generator", "kind", "language")
WORDS = ("real", "undecided", "fake")
"""Verdicts in the order of a bar."""


class Group(NamedTuple):
    """Test clips of one class and origin, and what was said of them."""

    name: str
    counts: tuple[int, int, int]
    """Called real, undecided, fake."""
    wrong: "Interval"
    """Share that got the wrong verdict."""

    @property
    def clips(self) -> int:
        """How many there are."""
        return sum(self.counts)


def part_name(part: "Part") -> str:
    """Test clips of this part, in a few words."""
    return say("in the wild") if part == "wild" else say("on new clips of the collections")


def empty() -> str:
    """Both cards, with room for what comes."""
    return (
        f'<section class="nc-card nc-inside-det"><h3>{say("Two ways to be wrong")}</h3>'
        f'<div class="nc-inside-room" data-room="curves"></div></section>'
        f'<section class="nc-card nc-inside-fails"><h3>{say("Where it fails")}</h3>'
        f"<p>{_opening()}</p>"
        f'<div class="nc-inside-asked">{_choices()}<input type="search" placeholder="{say("Find a name …")}" '
        f'aria-label="{say("Show only rows whose name holds this text")}">'
        '</div><div class="nc-inside-room" data-room="groups" aria-live="polite"></div></section>'
    )


def _opening() -> str:
    return say(
        "What the model said of test clips, by where they come from. First stand those of which the clips "
        "prove the largest share of mistakes; a row of one or two clips proves little."
    )


def _choices() -> str:
    parts = (("eval", say("Collections")), ("wild", say("In the wild")))
    by = (("generator", say("By source")), ("kind", say("By kind")), ("language", say("By language")))
    return choice("part", say("Which test clips"), parts) + choice("by", say("Sorted into rows"), by)


# -- curves


def curves(known: "TrackRecord") -> str:
    """The error curves beside what they mean."""
    from ncdetect import metrics
    from ncdetect.record import PARTS

    drawn, lines = [], []
    for part in PARTS:
        curve = known.det(part)
        if curve is None:
            continue
        rows = known.part(part)
        labels = (rows["label"] == Label.FAKE.word).to_numpy(np.int64)
        eer = metrics.eer_interval(rows["score"], labels, groups_of(rows))
        probability = rows["probability"].to_numpy()
        limits = known.config.thresholds
        called = tuple(
            (float(above[labels == 0].mean()), float(1 - above[labels == 1].mean()))
            for above in (probability >= limits.fake_above, probability > limits.real_below)
        )
        drawn.append(Curve(part, curve.fpr, curve.fnr, eer.value, called))
        lines.append(_line(drawn[-1], eer, int((labels == 0).sum()), int((labels == 1).sum())))
    if not lines:
        return f"<p>{say('There are no test clips of both classes.')}</p>"
    words = "".join(f"<li>{line}</li>" for line in lines)
    spoken = say("Error curves. What they show stands beside them in words.")
    signs = f"<span>{_sign('M12 4l9 16H3z')}{_above()}</span><span>{_sign('M12 20l9-16H3z')}{_below()}</span>"
    return (
        f'<div class="nc-inside-two"><div>{det(drawn, spoken)}</div><div class="nc-inside-words">'
        f'<p>{_trade()}</p><ul>{words}</ul><p class="nc-inside-signs">{signs}</p>'
        f'<p class="nc-note">{_stretched()}</p></div></div>'
    )


def _sign(path: str) -> str:
    return f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{path}"/></svg>'


def _trade() -> str:
    return say(
        "A detector can be set to be strict or lenient: whoever wants to miss no fake accuses more real "
        "voices. Each curve runs through all settings; nearer to the lower left corner is better."
    )


def _above() -> str:
    return say("Here “likely fake” begins: what lies to the right of it on the curve would accuse more.")


def _below() -> str:
    return say("Here “likely real” ends. Between the two the page says “undecided”.")


def _stretched() -> str:
    return say(
        "Both axes are stretched as normal deviates (a DET plot), which makes room for small rates and "
        "straightens the curves. The signs stand at the two limits of the probability; a verdict is "
        "undecided as well where nearest average and classifier disagree, or a clip is unlike all known ones."
    )


def _line(curve: Curve, eer: "Interval", reals: int, fakes: int) -> str:
    mark = f'<i class="nc-det-key nc-det-{curve.part}"></i>'
    return mark + say(
        "<b>{where}</b> both mistakes are equally frequent at <b>{eer} of 100</b> (the dot; 95 % interval: "
        "{low} to {high}; {reals} real clips, {fakes} fakes). As shipped, {alarm} of 100 real voices are "
        "beyond the sign of “likely fake”, and {miss} of 100 fakes below the sign of “likely real”.",
        where=wording.capital(part_name(curve.part)),
        eer=number(100 * eer.value, ".1f"),
        low=number(100 * eer.low, ".1f"),
        high=number(100 * eer.high, ".1f"),
        reals=number(reals, ","),
        fakes=number(fakes, ","),
        alarm=number(100 * curve.called[0][0], ".0f"),
        miss=number(100 * curve.called[1][1], ".0f"),
    )


def groups_of(rows: "pd.DataFrame") -> np.ndarray:
    """What is drawn together in a bootstrap: a generator's fakes, a speaker's reals, (N,)."""
    fake = (rows["label"] == Label.FAKE.word) & (rows["generator"] != "")
    return np.where(fake, "generator " + rows["generator"], "speaker " + rows["group"]).astype(np.str_)


# -- groups


def grouped(rows: "pd.DataFrame", label: Label, by: str) -> list[Group]:
    """Test clips of a class by a column, those with the largest proven share of mistakes first.

    Args:
        rows: Of one part of the track record.
        label: Whose.
        by: One of BY.
    """
    from ncdetect.record import shares

    own = rows[rows["label"] == label.word]
    wrong = Label(1 - label).word
    found = []
    for name, members in own.groupby(by, sort=True):
        counts = tuple(int((members["verdict"] == word).sum()) for word in WORDS)
        hits = (members["verdict"] == wrong).to_numpy()[:, None]
        (share,) = shares(hits, groups_of(members) if by != "generator" else np.arange(len(members)))
        found.append(Group(str(name), counts, share))
    return sorted(found, key=lambda group: (-group.wrong.low, -group.wrong.value, -group.clips, group.name))


def groups(known: "TrackRecord", part: "Part", by: str) -> str:
    """Fakes and reals of one part, a row a group, and what the worst have in common."""
    rows = known.part(part)
    columns = []
    for label in (Label.FAKE, Label.REAL):
        found = grouped(rows, label, by)
        title = say("Fakes") if label == Label.FAKE else say("Real voices")
        lines = "".join(_row(group, label, by) for group in found)
        columns.append(
            f"<div><h4>{shape(label.word)}{title} <small>{_total(found, label)}</small></h4>"
            f'<div class="nc-fails" role="list" tabindex="0" aria-label="{title}">{lines}</div>'
            f'<p class="nc-fails-none" hidden>{say("No row has this name.")}</p></div>'
        )
    keys = "".join(f"<span>{shape(word)}{_called(word)}</span>" for word in WORDS)
    said = "".join(f"<p>{sentence}</p>" for sentence in in_common(rows))
    return (
        f'<div class="nc-inside-said">{said}</div><div class="nc-legend">{keys}</div>'
        f'<div class="nc-inside-columns">{"".join(columns)}</div>'
    )


def _called(word: str) -> str:
    return {"real": say("called real"), "fake": say("called fake")}.get(word) or wording.word(word)


def _total(found: Sequence[Group], label: Label) -> str:
    clips = sum(group.clips for group in found)
    wrong = sum(group.counts[WORDS.index(Label(1 - label).word)] for group in found)
    if label == Label.FAKE:
        return say("{wrong} of {clips} pass as real", wrong=number(wrong, ","), clips=number(clips, ","))
    return say("{wrong} of {clips} are called fake", wrong=number(wrong, ","), clips=number(clips, ","))


def name_of(name: str, by: str, label: Label) -> str:
    """A group's name for people, as HTML."""
    if not name:
        return escape(say("not known"))
    if by == "kind":
        return escape(wording.capital(wording.what_it_is(label.word, "", name, "")))
    return escape(wording.language(name) if by == "language" else name)


def _row(group: Group, label: Label, by: str) -> str:
    name, clips = name_of(group.name, by, label), group.clips
    bar = "".join(
        f'<i class="nc-{word}" style="flex:{count}">{count}</i>'
        for word, count in zip(WORDS, group.counts, strict=True)
        if count
    )
    spoken = say(
        "{real} called real, {undecided} undecided, {fake} called fake; wrong: {share} of 100",
        share=number(100 * group.wrong.value, ".0f"),
        **dict(zip(WORDS, group.counts, strict=True)),
    )
    ends = f"{number(100 * group.wrong.low, '.0f')}-{number(100 * group.wrong.high, '.0f')}"
    return (
        f'<div class="nc-fail" role="listitem" data-name="{name.lower()}">'
        f"<span>{name} <small>{clips}</small></span>"
        f'<div class="nc-fail-bar" role="img" aria-label="{escape(spoken)}">{bar}</div>'
        f"<b>{number(100 * group.wrong.value, '.0f')} % <small>[{ends}]</small></b></div>"
    )


def in_common(rows: "pd.DataFrame") -> list[str]:
    """By which kind the mistakes differ, where the clips settle it, for fakes and reals of one part."""
    said = []
    for label in (Label.FAKE, Label.REAL):
        found = [group for group in grouped(rows, label, "kind") if group.name and group.clips >= 20]
        if len(found) < 2:
            continue
        worst = found[0]
        best = min(found[1:], key=lambda group: group.wrong.high)
        values = {
            "worst": name_of(worst.name, "kind", label), "a": number(100 * worst.wrong.value, ".0f"),
            "best": name_of(best.name, "kind", label), "b": number(100 * best.wrong.value, ".0f"),
        }  # fmt: skip
        if label == Label.FAKE:
            settled = say(
                "Kind of fake that passes most often: {worst} ({a} of 100); most rarely: {best} ({b}).",
                **values,
            )
            unsettled = say("Which kind of fake passes most often, these clips do not settle.")
        else:
            settled = say(
                "Kind of real speech accused most often: {worst} ({a} of 100); most rarely: {best} ({b}).",
                **values,
            )
            unsettled = say("Which kind of real speech is accused most often, these clips do not settle.")
        said.append(settled if worst.wrong.low > best.wrong.high else unsettled)
    return said
