"""The method in pictures: Figure 2 of Yousif et al. 2024 redrawn, with the numbers of what ships.

Small SVGs beside words that wrap, so that it reads from left to right on a wide screen and from top to bottom
on a phone.
"""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from ncdetect import wording
from ncdetect.labels import Label
from ncdetect.language import number, say
from ncdetect.ui import about_facts, lab_corpora, model
from ncdetect.ui.about_facts import Cloud, Collection
from ncdetect.ui.verdict import shape

WIDTH, HEIGHT = 200, 130
CLIPS_A_MARK = 20
BLOCKS = {"pretrained": 18, "tiny": 9}
"""Residual blocks of the networks."""
_STAR = "M0-9l2.6 5.8 6.3.7-4.7 4.3 1.3 6.2L0 3.9l-5.5 3.1 1.3-6.2-4.7-4.3 6.3-.7z"


def picture() -> str:
    """The three ways as lists of steps."""
    return (
        _way("sampling", say("The paper's way: keep the typical clips"), _sampling())
        + _way("listener", say("The way of the model on this page: hear through larger ears"), _listener())
        + _way("verdict", say("When you bring a clip"), _verdict())
    )


def _way(name: str, title: str, steps: Sequence[str]) -> str:
    items = "".join(f"<li>{step}</li>" for step in steps)
    return (
        f'<section class="nc-way nc-way-{name}" aria-label="{escape(title)}"><h4>{title}</h4>'
        f'<ol class="nc-steps">{items}</ol></section>'
    )


def _step(key: str, title: str, text: str, told: str, drawn: str) -> str:
    """A picture with its words; `told` is what it shows, for those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="nc-m-{key}-t" '
        f'aria-describedby="nc-m-{key}-d"><title id="nc-m-{key}-t">{escape(title)}</title>'
        f'<desc id="nc-m-{key}-d">{escape(told)}</desc>{drawn}</svg>'
        f"<div><h5>{title}</h5><p>{text}</p></div>"
    )


def _sampling() -> list[str]:
    known = [one for one in about_facts.collections() if sum(one.trained)]
    names = [one.name for one in known if one.name in lab_corpora.names()]
    clouds = [about_facts.cloud(name) for name in names]
    everything = about_facts.total([one.trained for one in known])
    facts = model.facts(about_facts.NC_MODEL)
    kept = int(facts.get("reals", 0)), int(facts.get("fakes", 0))
    real, fake = (number(count, ",") for count in kept)
    of_real, of_fake = (number(count, ",") for count in everything)
    return [
        _step(
            "corpora", say("{n} collections", n=len(known)),
            say("{names}: each has its own speakers and its own ways to make a fake.",
                names=escape(", ".join(one.name for one in known))),
            say("Bars: how many real and fake clips each collection has for training."), _bars(known),
        ),
        _step(
            "models", say("A network for each"),
            say("A ResNet with {blocks} blocks learns to tell real from fake in its collection alone.",
                blocks=BLOCKS["pretrained"]),
            say("A row of blocks for each collection."), _networks(len(known)),
        ),
        _step(
            "embeddings", say("What each network sees"),
            say("Its last layer turns every clip into a list of numbers, the embedding. The crosses are the "
                "averages of real and of fake: the class means."),
            say("For each collection a cloud of real and one of fake clips, with their averages."),
            "".join(_cloud(one, *_quarter(place), 1.9, False) for place, one in enumerate(clouds[:4])),
        ),
        _step(
            "algorithm", say("Keep what is near the mean"),
            say("Algorithm 1 keeps the clips nearest to their class mean. Algorithm 2 first sorts the fakes "
                "into clusters, and keeps those nearest to the mean of their own."),
            say("The clips near their class mean are drawn strong, the others pale."),
            _cloud(clouds[-1], 14, 12, 172, 106, 4.2, True) if clouds else "",
        ),
        _step(
            "database", say("A new, smaller training set"),
            say("{real} of {of_real} real and {fake} of {of_fake} fake clips are left.",
                real=real, of_real=of_real, fake=fake, of_fake=of_fake),
            say("Each mark is {n} clips; those that were dropped are pale.", n=CLIPS_A_MARK),
            _marks(everything, kept),
        ),
        _step(
            "tiny", say("A tiny ResNet"),
            say("A network with {blocks} blocks learns from these alone. It ships as “{name}”, but it is not "
                "the one that judges here.", blocks=BLOCKS["tiny"], name=about_facts.NC_MODEL),
            say("One row of few blocks."), _networks(1, BLOCKS["tiny"]),
        ),
    ]  # fmt: skip


def _listener() -> list[str]:
    facts = model.facts()
    every = int(facts.get("reals", 0)), int(facts.get("fakes", 0))
    real, fake = (number(count, ",") for count in every)
    return [
        _step(
            "all", say("All training clips"),
            f"{say('{real} real and {fake} fake clips of the same collections.', real=real, fake=fake)} "
            + _halves(),
            say("Each mark is {n} clips; none is pale.", n=CLIPS_A_MARK), _marks(every, every),
        ),
        _step(
            "ears", say("Two listeners, as they are"),
            say("Whisper base and DistillMOS, two networks that others trained on far more speech, hear each "
                "clip. Nothing in them is changed."),
            say("Two stacks of layers behind a lock."), _ears(),
        ),
        _step(
            "head", say("A small part that learns"),
            say("What they hear is pressed into 128 numbers, and a line is drawn between real and fake. Only "
                "this is learned from our clips. It ships as “{name}” and judges on this page.",
                name=model.NAME),
            say("Many numbers run together into few, then into one."), _funnel(),
        ),
    ]  # fmt: skip


def _halves() -> str:
    """What choosing half of the clips would have cost, where it was measured."""
    found = about_facts.halves()
    if found is None:
        return ""
    one, two, blind = (wording.rate(rate) for rate in found)
    return say(
        "Half of them, chosen by Algorithm 1 or 2, gave an error rate of {one} or {two} % in validation; "
        "half drawn blindly gave {blind} %. So nothing was left out.", one=one, two=two, blind=blind,
    )  # fmt: skip


def _verdict() -> list[str]:
    agreement = model.facts().get("agreement") or {}
    agree = number(round(100 * float(agreement.get("agree", 0))))
    clips = number(int(agreement.get("clips", 0)), ",")
    return [
        _step(
            "clip", say("Your clip"), say("It is cut into stretches of three seconds."),
            say("A wave, cut into stretches."), _wave(),
        ),
        _step(
            "numbers", say("128 numbers"),
            say("Each stretch becomes its embedding, a point in 128 dimensions."),
            say("A row of short and long bars."), _fingerprint(),
        ),
        _step(
            "distances", say("Reading one: which mean is nearer?"),
            say("The distances to the average real and the average fake voice are measured in all 128 "
                "dimensions."),
            say("A star between two averages, with a line to each."), _distances(),
        ),
        _step(
            "classifier", say("Reading two: which side of the line?"),
            say("The classifier says how probable a fake is. On {clips} test clips both readings agreed in "
                "{agree} %.", clips=clips, agree=agree),
            say("A scale from real to fake with a mark on it."), _scale(),
        ),
        _step(
            "answer", say("Verdict"),
            say("Likely real, likely fake, or undecided: where the readings disagree, the probability is "
                "middling, or the clip is unlike all known ones."),
            say("Three signs: a circle for real, a diamond for fake, a square for undecided."), _signs(),
        ),
    ]  # fmt: skip


def _mark(label: int, x: float, y: float, size: float, strong: bool = True) -> str:
    """A circle for real, a diamond for fake."""
    pale = "" if strong else " nc-m-pale"
    if label == Label.REAL:
        return f'<circle class="nc-m-real{pale}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'
    s = 1.2 * size
    path = f"M{x:.1f} {y - s:.1f}l{s:.1f} {s:.1f}-{s:.1f} {s:.1f}-{s:.1f}-{s:.1f}z"
    return f'<path class="nc-m-fake{pale}" d="{path}"/>'


def _bar(name: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="nc-m-{name}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{min(2.0, width / 2):.1f}"/>'
    )


def _bars(collections: Sequence[Collection]) -> str:
    most = max((count for one in collections for count in one.trained), default=1)
    drawn, step = "", HEIGHT / max(1, len(collections))
    for row, one in enumerate(collections):
        y = row * step
        for line, (word, count) in enumerate(zip(("real", "fake"), one.trained, strict=True)):
            width = 184 * count / most
            drawn += _bar(word, 8, y + step / 2 - 10 + 11 * line, width, 9)
    return drawn


def _networks(rows: int, blocks: int = BLOCKS["pretrained"]) -> str:
    drawn, step = "", HEIGHT / max(1, rows)
    tall = min(step - 8, 70)
    for row in range(rows):
        for block in range(blocks):
            height = tall * (1 - 0.7 * block / (blocks - 1))
            x = 12 + block * 176 / BLOCKS["pretrained"] + (0 if rows > 1 else 44)
            y = row * step + (step - height) / 2
            drawn += (
                f'<rect class="nc-m-ink" x="{x:.1f}" y="{y:.1f}" width="6.4" height="{height:.1f}" rx="2"/>'
            )
    return drawn


def _quarter(place: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of one of four clouds."""
    return 8 + 100 * (place % 2), 6 + 66 * (place // 2), 84, 52


def _cloud(
    cloud: Cloud, left: float, top: float, width: float, height: float, size: float, chosen: bool
) -> str:
    at = np.array([left, top]) + cloud.places * (width, height)
    order = np.argsort(cloud.kept, kind="stable") if chosen else np.arange(len(at))
    drawn = "".join(
        _mark(cloud.labels[row], *at[row], size, bool(cloud.kept[row]) or not chosen) for row in order
    )
    for x, y in np.array([left, top]) + cloud.means * (width, height):
        arm = 2.2 * size
        cross = f"M{x - arm:.1f} {y:.1f}h{2 * arm:.1f}M{x:.1f} {y - arm:.1f}v{2 * arm:.1f}"
        drawn += f'<path class="nc-m-mean" d="{cross}"/>'
    return drawn


def _marks(every: tuple[int, int], kept: tuple[int, int]) -> str:
    """Reals on the left, fakes on the right, column by column from the middle outwards."""
    drawn, rows, gap = "", 9, 13.2
    for label, (count, strong) in enumerate(zip(every, kept, strict=True)):
        for place in range(round(count / CLIPS_A_MARK)):
            column, row = divmod(place, rows)
            x = 100 + (-1 if label == Label.REAL else 1) * (10 + gap * column)
            drawn += _mark(label, x, 12 + gap * row, 4, place < round(strong / CLIPS_A_MARK))
    return drawn


def _ears() -> str:
    drawn = ""
    for left, layers in ((10, 4), (126, 6)):
        for layer in range(layers):
            drawn += (
                f'<rect class="nc-m-ink" x="{left}" y="{104 - 16 * layer}" width="64" height="11" rx="3" '
                f'opacity="{0.45 + 0.55 * layer / layers:.2f}"/>'
            )
    return drawn + (
        '<path class="nc-m-line" d="M91 56v-6a9 9 0 0 1 18 0v6"/>'
        '<rect class="nc-m-accent" x="85" y="56" width="30" height="22" rx="4"/>'
    )


def _funnel() -> str:
    lines = "".join(
        f'<path class="nc-m-thin" d="M14 {8 + 9.5 * row:.1f}L96 {44 + 3.5 * row:.1f}"/>' for row in range(13)
    )
    bars = "".join(
        f'<rect class="nc-m-ink" x="98" y="{42 + 3.5 * row:.1f}" width="12" height="2.4"/>'
        for row in range(13)
    )
    head = '<path class="nc-m-line" d="M118 65h38"/><circle class="nc-m-accent" cx="170" cy="65" r="13"/>'
    return lines + bars + head


def _wave() -> str:
    drawn = ""
    for bar in range(48):
        height = 10 + 70 * abs(math.sin(0.41 * bar) * math.sin(0.13 * bar + 0.6))
        drawn += _bar("ink", 6 + 3.95 * bar, 65 - height / 2, 2.4, height)
    return drawn + "".join(f'<path class="nc-m-cut" d="M{x} 12v106"/>' for x in (68.2, 131.4))


def _fingerprint() -> str:
    drawn = ""
    for bar in range(32):
        height = 46 * math.sin(1.7 * bar + 0.4) * math.cos(0.6 * bar)
        drawn += _bar("accent", 6 + 6 * bar, 65 - max(0.0, height), 4, max(3.0, abs(height)))
    return drawn + '<path class="nc-m-thin" d="M4 65h192"/>'


def _distances() -> str:
    return (
        '<path class="nc-m-line nc-m-near" d="M84 78L44 40"/>'
        '<path class="nc-m-line nc-m-far" d="M84 78L160 92"/>'
        + _mark(Label.REAL, 40, 36, 14) + _mark(Label.FAKE, 164, 93, 14)
        + f'<path class="nc-m-clip" transform="translate(84 78) scale(1.5)" d="{_STAR}"/>'
    )  # fmt: skip


def _scale() -> str:
    return (
        _bar("real", 10, 58, 70, 14) + _bar("mid", 80, 58, 40, 14) + _bar("fake", 120, 58, 70, 14) +
        '<rect class="nc-m-clip" x="46" y="48" width="7" height="34" rx="3.5"/>'
    )  # fmt: skip


def _signs() -> str:
    places = {"real": 8, "fake": 76, "undecided": 144}
    return "".join(
        shape(word).replace("<svg ", f'<svg x="{x}" y="41" width="48" height="48" ')
        for word, x in places.items()
    )
