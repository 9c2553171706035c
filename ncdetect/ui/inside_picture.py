"""Tab "Inside the model": measures of collapse as small curves, and error curves as SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ncdetect.language import number, say

Moments = Sequence[Mapping[str, float]]

SIDES = ("train", "dev")
WIDTH, HEIGHT = 300.0, 76.0
"""Of a measure's picture, stretched to its place."""
PAD = 7.0
TICKS = (0, 0.25, 1, 2, 4, 6)
"""Epochs that the axis names, where they were recorded."""
SIZE, LEFT, BOTTOM = 440.0, 52.0, 46.0
"""Of the error curves' picture, and its margins for words."""
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
LEAST, MOST = 0.005, 0.9
"""Rates at the ends of both axes."""


class Measure(NamedTuple):
    """One of the measures, for people."""

    title: str
    words: str
    short: str
    logarithmic: bool
    form: str


def known_measures() -> dict[str, Measure]:
    """By their names in `epochs.measures`."""
    return {
        "nc1": Measure(
            say("Tightness of the classes"),
            say("The spread inside the classes, against the gap between them. At 0 each class is one point."),
            "NC1", True, ".2f",
        ),
        "cdnv": Measure(
            say("How far clips stray"),
            say("From their average, measured by the distance between the two averages. Lower is better."),
            "CDNV", True, ".2f",
        ),
        "nc3": Measure(
            say("Direction of the classifier"),
            say("How far it is from the direction between the two averages. At 0 both are the same."),
            "NC3", False, ".2f",
        ),
        "nc4": Measure(
            say("Both readings agree"),
            say("Of how many clips the nearest average voice says the same as the classifier. At 1 of all."),
            "NC4", False, ".3f",
        ),
    }  # fmt: skip


def choice(name: str, label: str, options: tuple[tuple[str, str], ...]) -> str:
    """A row of buttons of which one is pressed; `nc.choice` makes it alive."""
    buttons = "".join(
        f'<button type="button" role="radio" aria-checked="false" data-value="{value}">{words}</button>'
        for value, words in options
    )
    return (
        f'<div class="nc-choice" role="radiogroup" data-choice="{name}" aria-label="{label}">{buttons}</div>'
    )


def empty() -> str:
    """The card of the measures, with room for the pictures."""
    return (
        f'<section class="nc-card nc-inside-measures"><h3>{say("Collapse, measured")}</h3>'
        f'<p class="nc-inside-key"><span><svg viewBox="0 0 28 8" aria-hidden="true"><path d="M0 4h28"/></svg>'
        f'{say("clips held back")}</span><span><svg viewBox="0 0 28 8" class="nc-inside-dash" '
        f'aria-hidden="true"><path d="M0 4h28"/></svg>{say("clips it learns from")}</span></p>'
        '<div class="nc-inside-curves"></div><p class="nc-inside-lesson"></p></section>'
    )


def measures(moments: Moments, kept: int) -> dict[str, object]:
    """The curves by moment as HTML, and what moves on them.

    Args:
        moments: As in `epochs.Story`, two at least.
        kept: Index of the moment whose weights were kept.

    Returns:
        `html`; `values` and `heights` (from the top, 0 to 1) by measure and side, a list over the moments;
        `ticks`: place (0 to 1) and name of the epochs on the axis.
    """
    drawn, values, heights = [], {}, {}
    last = len(moments) - 1
    for name, told in known_measures().items():
        shown = {side: [one[f"{name}_{side}"] for one in moments] for side in SIDES}
        place = scale([v for side in SIDES for v in shown[side]], told.logarithmic)
        heights[name] = {side: [round(place(v), 4) for v in shown[side]] for side in SIDES}
        values[name] = {side: [number(v, told.form) for v in shown[side]] for side in SIDES}
        drawn.append(_curves(name, told, heights[name], values[name], kept / last))
    ticks = [
        (round(index / last, 4), number(one["epoch"], "g"))
        for index, one in enumerate(moments)
        if one["epoch"] in TICKS
    ]
    axis = "".join(f'<span style="left:{100 * at:.2f}%">{text}</span>' for at, text in ticks)
    note = say(
        "To the right the epochs: passes over the clips. The beginning is in slow motion. Dotted: the "
        "weights that were kept."
    )
    axis = f'<div class="nc-inside-axis" aria-hidden="true">{axis}</div><p class="nc-note">{note}</p>'
    return {"html": "".join(drawn) + axis, "values": values, "heights": heights, "ticks": ticks}


def scale(values: Sequence[float], logarithmic: bool) -> Callable[[float], float]:
    """From values to heights from the top, 0 to 1: the largest is PAD below it, the smallest PAD above 1."""
    apply = math.log if logarithmic and min(values) > 0 else float
    low, high = apply(min(values)), apply(max(values))
    top, room = PAD / HEIGHT, 1 - 2 * PAD / HEIGHT
    return lambda value: top + room * ((high - apply(value)) / (high - low) if high > low else 0.5)


def _curves(
    name: str,
    told: Measure,
    heights: Mapping[str, Sequence[float]],
    values: Mapping[str, Sequence[str]],
    kept: float,
) -> str:
    step = WIDTH / (len(heights["dev"]) - 1)
    lines = "".join(
        f'<polyline class="nc-inside-{side}" points="'
        + " ".join(f"{i * step:.1f},{HEIGHT * y:.1f}" for i, y in enumerate(heights[side]))
        + '"/>'
        for side in SIDES
    )
    ends = {f"{side}_{end}": values[side][at] for side in SIDES for end, at in (("first", 0), ("last", -1))}
    spoken = say(
        "{title}: on clips it learns from {train_first} at first and {train_last} at the end, on clips held "
        "back {dev_first} and {dev_last}.",
        title=told.title,
        **ends,
    )
    return (
        f'<div class="nc-inside-measure" data-measure="{name}"><div class="nc-inside-name">'
        f'<b>{told.title}</b> <small>{told.short}</small><span><output data-side="dev"></output>'
        f'<output data-side="train"></output></span></div><p>{told.words}</p>'
        f'<div class="nc-inside-curve" role="img" aria-label="{escape(spoken)}">'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M{WIDTH * kept:.1f} 0V{HEIGHT:g}"/>{lines}</svg>'
        '<hr><i data-side="train"></i><i data-side="dev"></i></div></div>'
    )


# -- error curves


def at_rate(rate: float) -> float:
    """Where a rate lies on an axis of normal deviates (Martin et al. 1997), 0 to 1; clipped to its ends."""
    deviate = NormalDist().inv_cdf
    low, high = deviate(LEAST), deviate(MOST)
    return (deviate(min(MOST, max(LEAST, rate))) - low) / (high - low)


class Curve(NamedTuple):
    """The errors of one part of the test clips at every setting."""

    part: str
    fpr: np.ndarray
    fnr: np.ndarray
    eer: float
    called: tuple[tuple[float, float], tuple[float, float]]
    """FPR and FNR where `likely fake` begins, and where `likely real` ends."""


def det(curves: Sequence[Curve], spoken: str) -> str:
    """DET curves with the equal error rate and the shipped thresholds of each.

    Args:
        curves: Of each part.
        spoken: What they show, in words.
    """
    width, height = SIZE - LEFT - 12, SIZE - BOTTOM - 12

    def point(fpr: float, fnr: float) -> tuple[float, float]:
        return LEFT + width * at_rate(fpr), 12 + height * (1 - at_rate(fnr))

    grid = []
    for rate in RATES:
        x, y = point(rate, rate)
        words = number(100 * rate, "g")
        grid.append(
            f'<path d="M{x:.1f} 12V{12 + height:.1f}M{LEFT} {y:.1f}H{LEFT + width:.1f}"/>'
            f'<text x="{x:.1f}" y="{30 + height:.1f}" text-anchor="middle">{words}</text>'
            f'<text x="{LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{words}</text>'
        )
    (x0, y0), (x1, y1) = point(LEAST, LEAST), point(MOST, MOST)
    across = say("real voices called fake, of 100")
    up = say("fakes that pass as real, of 100")
    drawn = "".join(_curve(curve, point) for curve in curves)
    return (
        f'<svg class="nc-det" viewBox="0 0 {SIZE:g} {SIZE + 8:g}" role="img" aria-label="{escape(spoken)}">'
        f'<g class="nc-det-grid">{"".join(grid)}<path class="nc-det-equal" d="M{x0:.1f} {y0:.1f}L{x1:.1f} '
        f'{y1:.1f}"/></g><text class="nc-det-axis" x="{LEFT + width / 2:.0f}" y="{SIZE + 4:.0f}" '
        f'text-anchor="middle">{across}</text><text class="nc-det-axis" transform="translate(13 '
        f'{12 + height / 2:.0f}) rotate(-90)" text-anchor="middle">{up}</text>{drawn}</svg>'
    )


def _curve(curve: Curve, point: Callable[[float, float], tuple[float, float]]) -> str:
    rates = [
        (a, b) for a, b in zip(curve.fpr, curve.fnr, strict=True) if LEAST <= a <= MOST and LEAST <= b <= MOST
    ]
    line = " ".join("{:.1f},{:.1f}".format(*point(a, b)) for a, b in rates)
    (ux, uy), (dx, dy) = (point(*rates) for rates in curve.called)
    x, y = point(curve.eer, curve.eer)
    return (
        f'<g class="nc-det-{curve.part}"><polyline points="{line}"/>'
        f'<path d="M{ux:.1f} {uy - 8:.1f}l7.5 13h-15z"/><path d="M{dx:.1f} {dy + 8:.1f}l7.5 -13h-15z"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7"/></g>'
    )
