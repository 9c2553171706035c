"""The pictures of a report as vector drawings in millimetres, for HTML and PDF alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect import wording
from ncdetect.labels import Label
from ncdetect.language import number, say
from ncdetect.report_blocks import (
    HUES,
    INK,
    LINE,
    PAPER,
    SOFT,
    SUNK,
    Circle,
    Drawing,
    Mark,
    Path,
    Point,
    Words,
    box,
    diamond,
    pale,
    sign,
    star,
)  # fmt: skip

if TYPE_CHECKING:
    from ncdetect.predictor import Window

MAP_DOTS = 600
"""Known clips on the map, at most."""
ROW_S = 120.0
"""Seconds in a row of the timeline, at most."""


@dataclass(frozen=True)
class Distance:
    """A clip's distance to one of the average voices, among the known clips of that class."""

    label: Label
    value: float
    low: float
    """Distance to their own mean that 5 % of the known clips do not exceed."""
    high: float
    """The same for 95 %."""
    caption: str
    rank: str


def gauge(probability: float, real_below: float, fake_above: float, width: float = 112) -> Drawing:
    """Where the probability of fake falls, and from where on which word may be said."""
    top, bottom, at = 4.0, 8.0, width * probability
    zones = ((0.0, real_below, "real"), (real_below, fake_above, "undecided"), (fake_above, 1.0, "fake"))
    marks: list[Mark] = []
    for low, high, word in zones:
        left, right = width * low + 0.25, width * high - 0.25
        marks.append(box(left, top, right, bottom, fill=pale(HUES[word], 0.2)))
        marks.append(box(left, bottom, right, bottom + 0.6, fill=HUES[word]))
        marks.append(
            Words((left + right) / 2, top - 1.3, wording.word(word), HUES[word], "middle", bold=True)
        )
    for edge in (real_below, fake_above):
        # Not where it would meet the pointer's own number: the model's facts name the thresholds as well.
        if abs(edge - probability) * width > 14:
            words = say("{percent} %", percent=number(100 * edge, ".0f"))
            marks.append(Words(width * edge, bottom + 4, words, SOFT, "middle"))
    marks.append(box(at - 0.9, top - 0.8, at + 0.9, bottom + 1.4, fill=PAPER))
    marks.append(box(at - 0.5, top - 0.8, at + 0.5, bottom + 1.4, fill=INK))
    words = say("{percent} % fake", percent=wording.percent(probability))
    anchor = "start" if at < 10 else "end" if at > width - 10 else "middle"
    x = {"start": 0.0, "end": width, "middle": at}[anchor]
    marks.append(Words(x, bottom + 4.6, words, INK, anchor, bold=True))
    told = say("{percent} % fake, if real and fake were equally likely", percent=wording.percent(probability))
    return Drawing(width, bottom + 5.4, tuple(marks), told)


def distance_bars(distances: Sequence[Distance], width: float = 86) -> Drawing:
    """The distances to the average voices on one scale; outlined is where nine in ten known clips lie."""
    full = 1.04 * max(max(d.value, d.high) for d in distances)
    step = 15.5
    marks: list[Mark] = []
    nearest = min(distances, key=lambda distance: distance.value)
    for row, distance in enumerate(distances):
        top, word = row * step, distance.label.word
        marks += sign(word, 0, top + 0.2, 3.4)
        marks.append(Words(4.6, top + 3, distance.caption, INK, bold=distance is nearest))
        marks.append(Words(width, top + 3, number(distance.value, ".2f"), INK, "end", bold=True))
        low, high = width * distance.low / full, width * distance.high / full
        marks.append(box(0, top + 4.6, width, top + 8.8, fill=SUNK))
        marks.append(box(0, top + 5.5, max(0.8, width * distance.value / full), top + 7.9, fill=HUES[word]))
        marks.append(box(low, top + 4.6, high, top + 8.8, line=INK, width=0.3))
        marks.append(Words(0, top + 12, distance.rank))
    told = "; ".join(f"{d.caption}: {number(d.value, '.2f')}, {d.rank}" for d in distances)
    return Drawing(width, step * len(distances) - 2.4, tuple(marks), told)


def drawn(distances: NDArray[np.float64], clip: Point) -> list[int]:
    """Rows of the known clips that are drawn: evenly thinned, without the few that lie far off.

    Args:
        distances: To the real and the fake mean, (N, 2).
        clip: The two distances of this clip.
    """
    rows = thinned(len(distances), MAP_DOTS)
    low, high = np.quantile(distances, (0.005, 0.995), axis=0) if rows else (np.array(clip), np.array(clip))
    low, high = np.minimum(low, clip), np.maximum(high, clip)
    return [row for row in rows if (distances[row] >= low).all() and (distances[row] <= high).all()]


def exact_map(
    known: ArrayLike, labels: ArrayLike, clip: Point, size: float = 86, height: float = 68
) -> Drawing:
    """Known clips and this one by their distances to both average voices; the diagonal is the decision.

    Args:
        known: Distances of those that are drawn to the real and the fake mean, (N, 2).
        labels: Values of `Label`, (N,).
        clip: The two distances of this clip.
        size: Width of the picture.
        height: Height of the picture.
    """
    points, labels = np.asarray(known, np.float64).reshape(-1, 2), np.asarray(labels)
    everything = np.vstack([points, [clip]])
    left, right, top, bottom = 7.0, size - 0.5, 4.5, height - 8.5
    low, high = everything.min(axis=0), everything.max(axis=0)
    middle = (low + high) / 2
    # One scale for both axes, or the diagonal would lie.
    unit = (
        min((right - left) / max(high[0] - low[0], 1e-9), (bottom - top) / max(high[1] - low[1], 1e-9)) * 0.95
    )

    def place(x: float, y: float) -> Point:
        return (left + right) / 2 + unit * (x - middle[0]), (top + bottom) / 2 - unit * (y - middle[1])

    def shown(x: float, y: float) -> tuple[float, float]:
        """The distances at a place of the picture."""
        return middle[0] + (x - (left + right) / 2) / unit, middle[1] - (y - (top + bottom) / 2) / unit

    marks: list[Mark] = [box(left, top, right, bottom, line=LINE)]
    (x_low, y_low), (x_high, y_high) = shown(left, bottom), shown(right, top)
    step = _step(max(x_high - x_low, y_high - y_low))
    for tick in _ticks(x_low, x_high, step):
        x = place(tick, 0)[0]
        marks.append(Path(((x, bottom), (x, bottom + 1)), line=LINE, closed=False))
        marks.append(Words(x, bottom + 4, number(tick, "g"), SOFT, "middle"))
    for tick in _ticks(y_low, y_high, step):
        y = place(0, tick)[1]
        marks.append(Path(((left - 1, y), (left, y)), line=LINE, closed=False))
        marks.append(Words(left - 1.8, y + 0.95, number(tick, "g"), SOFT, "end"))
    at = place(*clip)
    # Beside the star, and below the dots.
    for words, hue, x, y, anchor in (
        (say("nearer to the average real voice"), HUES["real"], left + 2, top + 4.2, "start"),
        (say("nearer to the average fake voice"), HUES["fake"], right - 2, bottom - 2, "end"),
    ):
        met = abs(at[0] - x) < 46 and abs(at[1] - y + 1) < 5
        aside = 0.0 if not met else 9.0 if anchor == "start" else -9.0
        marks.append(Words(x, y + aside, words, hue, anchor, bold=True))
    for (x, y), label in zip(points, labels, strict=True):
        across, down = place(x, y)
        if label == Label.REAL:
            marks.append(Circle(across, down, 0.55, pale(HUES["real"], 0.62)))
        else:
            marks.append(Path(diamond(across, down, 0.8), line=pale(HUES["fake"], 0.72), width=0.2))
    first, last = max(x_low, y_low), min(x_high, y_high)
    if first < last:
        marks.append(
            Path((place(first, first), place(last, last)), line=INK, width=0.3, closed=False, dashed=True)
        )
    marks += [Path(star(*at, 3.3), PAPER), Path(star(*at, 2.6), INK)]
    marks.append(Words(right, height - 0.9, say("distance to the average real voice") + " →", SOFT, "end"))
    marks.append(Words(left, 2.8, "↑ " + say("distance to the average fake voice"), SOFT))
    told = say(
        "Known clips by their distances to both average voices. This clip lies {real} from the real and "
        "{fake} from the fake one.",
        real=number(clip[0], ".2f"),
        fake=number(clip[1], ".2f"),
    )
    return Drawing(size, height, tuple(marks), told)


def map_legend(width: float = 86) -> Drawing:
    """What the marks of the map are."""
    entries = (
        (Circle(1.2, 2, 0.8, HUES["real"]), say("known real clip")),
        (Path(diamond(1.2, 2, 1.1), line=HUES["fake"]), say("known fake clip")),
        (Path(star(1.4, 2, 1.7), INK), say("this clip")),
    )
    marks: list[Mark] = []
    for place, (mark, words) in enumerate(entries):
        left = place * width / 3
        if isinstance(mark, Circle):
            marks.append(Circle(left + mark.x, mark.y, mark.radius, mark.fill))
        else:
            moved = tuple((left + x, y) for x, y in mark.points)
            marks.append(Path(moved, mark.fill, mark.line))
        marks.append(Words(left + 4, 2.95, words))
    return Drawing(width, 4, tuple(marks), "")


def timeline(windows: Sequence["Window"], duration_s: float, told: str, width: float = 178) -> Drawing:
    """How the probability runs through a clip: a bar a stretch, towards fake above the middle, else below."""
    edges = [0.0]
    for before, after in zip(windows, windows[1:], strict=False):
        edges.append((before.start_s + before.end_s + after.start_s + after.end_s) / 4)
    edges.append(max(duration_s, edges[-1]))
    rows = max(1, ceil(edges[-1] / ROW_S - 1e-9))
    row_s = edges[-1] if rows == 1 else ROW_S
    half, left = (5.5, 13.0) if rows == 1 else (4.2, 13.0)
    step, unit = 2 * half + 6, (width - left) / row_s
    marks: list[Mark] = []
    for row in range(rows):
        top, start_s, end_s = row * step, row * row_s, min((row + 1) * row_s, edges[-1])
        middle, right = top + half, left + unit * (end_s - start_s)
        marks.append(box(left, top, right, top + 2 * half, fill=SUNK))
        for window, begin, end in zip(windows, edges, edges[1:], strict=False):
            if end <= start_s or begin >= end_s:
                continue
            x = [left + unit * (min(max(edge, start_s), end_s) - start_s) for edge in (begin, end)]
            if window.probability is None:
                marks.append(box(x[0], middle - 0.5, x[1], middle + 0.5, fill=LINE))
                continue
            reach = 2 * half * (window.probability - 0.5)
            hue = HUES["fake" if reach > 0 else "real"]
            gap = min(0.2, 0.1 * (x[1] - x[0]))
            marks.append(box(x[0] + gap, middle - reach, x[1] - gap, middle, fill=hue))
        marks.append(Path(((left, middle), (right, middle)), line=INK, closed=False, width=0.25))
        marks.append(Words(left - 1.5, top + 2.6, say("fake"), HUES["fake"], "end", bold=True))
        marks.append(Words(left - 1.5, top + 2 * half - 0.5, say("real"), HUES["real"], "end", bold=True))
        for tick in _seconds(start_s, end_s):
            x_tick = left + unit * (tick - start_s)
            below = top + 2 * half
            marks.append(Path(((x_tick, below), (x_tick, below + 0.9)), line=SOFT, closed=False))
            anchor = "start" if tick == start_s else "end" if right - x_tick < 4 else "middle"
            marks.append(Words(x_tick, below + 3.7, wording.clock(tick), SOFT, anchor))
    return Drawing(width, rows * step - 1.6, tuple(marks), told)


def thinned(count: int, most: int) -> list[int]:
    """At most so many of the rows 0 to count, evenly spread."""
    return sorted({int(row) for row in np.linspace(0, count - 1, min(count, most)).round()}) if count else []


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten: the least that fits into a span at most eight times."""
    power = 10.0 ** floor(np.log10(max(span, 1e-9) / 8))
    return next(power * times for times in (1, 2, 5, 10) if span / (power * times) <= 8)


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [round(step * count, 9) for count in range(ceil(low / step), floor(high / step) + 1)]


def _seconds(start_s: float, end_s: float) -> list[float]:
    """Where the time is written: at whole steps from the start on, at most thirteen of them."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300)
    step = next(step for step in steps if (end_s - start_s) / step <= 12)
    return [start_s + step * count for count in range(floor((end_s - start_s) / step + 1e-9) + 1)]
