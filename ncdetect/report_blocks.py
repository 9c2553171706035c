"""What a report is made of: blocks of text, tables, and drawings in millimetres, which are then rendered."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Literal

from ncdetect.plots import COLOURS

INK, SOFT, LINE, SUNK, PAPER = "#0f172a", "#475569", "#cbd3df", "#eef2f7", "#ffffff"
HUES = {word: COLOURS[word]["light"] for word in ("real", "fake", "undecided")}
LETTERS_MM = 2.7
"""Size of the letters in drawings: 7.7 points."""
FULL, HALF = 6, 3
"""How many of six columns a section is wide."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Path:
    """Straight lines from point to point, in millimetres from the upper left corner."""

    points: tuple[Point, ...]
    fill: str | None = None
    line: str | None = None
    width: float = 0.25
    closed: bool = True
    dashed: bool = False


@dataclass(frozen=True)
class Circle:
    """A filled circle."""

    x: float
    y: float
    radius: float
    fill: str


@dataclass(frozen=True)
class Words:
    """One line of text on its base line."""

    x: float
    y: float
    text: str
    colour: str = SOFT
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


Mark = Path | Circle | Words


@dataclass(frozen=True)
class Drawing:
    """A picture and the same in words, for who cannot see it."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    told: str


@dataclass(frozen=True)
class Headline:
    """The verdict: its sign, its words, and how sure it is."""

    word: str
    text: str
    sure: str


@dataclass(frozen=True)
class Text:
    """A paragraph, a title between paragraphs, or a line of code."""

    text: str
    kind: Literal["body", "small", "title", "code"] = "body"


@dataclass(frozen=True)
class Fact:
    """A value and what it is; `code` is for machines as much as for people."""

    name: str
    value: str
    code: bool = False


@dataclass(frozen=True)
class Facts:
    """Facts below each other."""

    rows: tuple[Fact, ...]


@dataclass(frozen=True)
class Table:
    """A table; the last column holds numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...]
    """Of the width, for each column."""


Block = Headline | Text | Facts | Table | Drawing


@dataclass(frozen=True)
class Section:
    """Blocks below a title. A loud one is set apart; empty titles are left out."""

    title: str
    blocks: tuple[Block, ...]
    columns: int = FULL
    loud: bool = False


def sign(word: str, x: float, y: float, size: float) -> tuple[Path | Circle, ...]:
    """The sign of a verdict, so that colour never speaks alone: circle, diamond or square, with a cut.

    Args:
        word: real, fake or undecided.
        x: Left edge.
        y: Upper edge.
        size: Width and height.
    """

    def path(points: Sequence[Point], fill: str | None = None) -> Path:
        placed = tuple((x + size * a / 48, y + size * b / 48) for a, b in points)
        cut = None if fill else PAPER
        return Path(placed, fill, cut, size * 5 / 48, closed=fill is not None)

    hue = HUES[word]
    if word == "real":
        return Circle(x + size / 2, y + size / 2, size * 20 / 48, hue), path(
            [(15, 24.5), (21.5, 31), (33, 18)]
        )
    if word == "fake":
        body = path([(24, 2), (46, 24), (24, 46), (2, 24)], hue)
        return body, path([(24, 13), (24, 27)]), path([(24, 31.5), (24, 35.5)])
    return path([(6, 6), (42, 6), (42, 42), (6, 42)], hue), path([(14, 24), (34, 24)])


def box(
    left: float,
    top: float,
    right: float,
    bottom: float,
    fill: str | None = None,
    line: str | None = None,
    width: float = 0.25,
) -> Path:
    """A rectangle."""
    return Path(((left, top), (right, top), (right, bottom), (left, bottom)), fill, line, width)


def diamond(x: float, y: float, reach: float) -> tuple[Point, ...]:
    """Its corners."""
    return (x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)


def star(x: float, y: float, reach: float) -> tuple[Point, ...]:
    """The corners of a star with five points, the first of them up."""
    turns = [(pi * turn / 5, reach if turn % 2 == 0 else 0.45 * reach) for turn in range(10)]
    return tuple((x + radius * sin(angle), y - radius * cos(angle)) for angle, radius in turns)


def pale(colour: str, share: float) -> str:
    """A colour thinned with white; `share` of it stays."""
    values = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - value)):02x}" for value in values)
