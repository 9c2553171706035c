"""A report as PDF with vector pictures, made without a browser.

What its fonts lack is there by its number, such as [U+4F60].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from fpdf import FPDF

from ncdetect import report_blocks as blocks
from ncdetect import report_fonts
from ncdetect.report_blocks import (
    FULL,
    HUES,
    INK,
    LETTERS_MM,
    LINE,
    SOFT,
    Block,
    Circle,
    Drawing,
    Fact,
    Facts,
    Headline,
    Mark,
    Section,
    Table,
    Text,
)  # fmt: skip

if TYPE_CHECKING:
    from ncdetect.report import Report

PAGE_MM, SIDE_MM, TOP_MM, BOTTOM_MM = (210.0, 297.0), 16.0, 11.0, 13.5
WIDTH_MM = PAGE_MM[0] - 2 * SIDE_MM
GUTTER_MM, ROW_MM, BLOCK_MM, PAD_MM = 6.0, 2.9, 1.2, 3.0
POINTS = 72 / 25.4
"""In a millimetre."""
LOUD, LOUD_LINE, FAINT_LINE = "#fff7e0", "#e2b93b", "#e3e8f0"


@dataclass(frozen=True)
class Style:
    """How letters look; sizes in points."""

    size: float = 8.8
    colour: str = INK
    bold: bool = False
    mono: bool = False

    @property
    def line_mm(self) -> float:
        """From one base line to the next."""
        return self.size * (1.5 if self.mono else 1.27) / POINTS


BODY, SMALL, CELL, NAME = Style(), Style(7.8, SOFT), Style(8.2), Style(8.2, SOFT)
TITLE, HEAD, CODE = Style(9.4, bold=True), Style(8.2, SOFT), Style(7.1, mono=True)
_TEXTS = {"body": BODY, "small": SMALL, "title": Style(8.8, bold=True), "code": CODE}


@dataclass(frozen=True)
class Placed:
    """Something that is laid out: its height in millimetres, and how it is painted at a place."""

    height: float
    paint: Callable[[float, float], None]


def pdf(report: "Report") -> bytes:
    """The whole file: the same bytes for the same report."""
    writer = _Writer(report)
    pages: list[list[Placed]] = [[writer.header()]]
    y = TOP_MM + pages[0][0].height
    for row in _rows(report.sections):
        placed = writer.row(row)
        if y + placed.height - ROW_MM > PAGE_MM[1] - BOTTOM_MM:
            pages.append([])
            y = TOP_MM
        pages[-1].append(placed)
        y += placed.height
    return writer.painted(pages)


def _rows(sections: Sequence[Section]) -> list[list[Section]]:
    rows: list[list[Section]] = []
    for section in sections:
        if not rows or sum(one.columns for one in rows[-1]) + section.columns > FULL:
            rows.append([])
        rows[-1].append(section)
    return rows


def _width(columns: int) -> float:
    return (WIDTH_MM + GUTTER_MM) * columns / FULL - GUTTER_MM


class _Writer:
    """Lays out and paints."""

    def __init__(self, report: "Report"):
        self.report = report
        self.pdf = FPDF(unit="mm", format="A4")
        self.pdf.set_auto_page_break(False)
        self.pdf.c_margin = 0
        for family, bold in report_fonts.FILES:
            self.pdf.add_font(family, "B" if bold else "", report_fonts.file(family, bold))
        known = {name: set(font.cmap) for name, font in self.pdf.fonts.items()}
        self.letters = {"sans": known["sans"] & known["sansB"], "mono": known["mono"]}
        self.pdf.set_creation_date(report.made)
        self.pdf.set_title(report.heading)
        self.pdf.set_creator("ncdetect")
        self.pdf.set_lang(report.language)
        self.pdf.add_page()  # even measuring needs one

    def painted(self, pages: Sequence[Sequence[Placed]]) -> bytes:
        """The file of these pages, numbered."""
        for number, page in enumerate(pages, 1):
            if number > 1:
                self.pdf.add_page()
            y = TOP_MM
            for placed in page:
                placed.paint(SIDE_MM, y)
                y += placed.height
            foot = PAGE_MM[1] - 8.5
            self.line(self.report.foot, SMALL, SIDE_MM, foot)
            self.line(f"{number} / {len(pages)}", SMALL, SIDE_MM + WIDTH_MM, foot, "end")
        return bytes(self.pdf.output())

    def header(self) -> Placed:
        """Title, time, and the name of the clip."""
        name = self.text(self.report.subtitle, WIDTH_MM, Style(9.6))

        def paint(x: float, y: float) -> None:
            self.line(self.report.title, Style(18, bold=True), x, y + 5.6)
            self.line(self.report.time, Style(8.8, SOFT), x + WIDTH_MM, y + 5.6, "end")
            name.paint(x, y + 7.4)
            self.rule(x, y + 8.6 + name.height, WIDTH_MM, INK, 0.5)

        return Placed(11.6 + name.height, paint)

    def row(self, sections: Sequence[Section]) -> Placed:
        """Sections side by side, and the room below them."""
        widths = [_width(section.columns) for section in sections]
        placed = [self.section(section, width) for section, width in zip(sections, widths, strict=True)]
        height = max(one.height for one in placed)

        def paint(x: float, y: float) -> None:
            for section, one, width in zip(sections, placed, widths, strict=True):
                if section.loud:
                    self.box(x, y, width, height)
                one.paint(x, y)
                x += width + GUTTER_MM

        return Placed(height + ROW_MM, paint)

    def section(self, section: Section, width: float) -> Placed:
        """Title and blocks below each other; a loud section has its box around it."""
        pad = PAD_MM if section.loud else 0.0
        inner = width - 2 * pad
        placed = [self.text(section.title, inner, TITLE)] if section.title else []
        placed += [self.block(block, inner) for block in section.blocks]
        above = 2.0 if section.loud else 1.4 if section.title else 0.0

        def paint(x: float, y: float) -> None:
            if section.title and not section.loud:
                self.rule(x, y, width, LINE)
            y += above
            for one in placed:
                one.paint(x + pad, y)
                y += one.height + BLOCK_MM

        inside = sum(one.height for one in placed) + BLOCK_MM * (len(placed) - 1)
        return Placed(above + inside + (2.0 if section.loud else 0.0), paint)

    def block(self, block: Block, width: float) -> Placed:
        """One block."""
        match block:
            case Headline():
                return self.headline(block, width)
            case Text():
                text = self.text(block.text, width, _TEXTS[block.kind])
                # A title stands close to what it is of.
                return self.close(text) if block.kind == "title" else text
            case Facts():
                return self.facts(block.rows, width)
            case Table():
                return self.table(block, width)
            case Drawing():
                return self.drawing(block, width)

    @staticmethod
    def close(title: Placed) -> Placed:
        """With more room above it than below."""
        return Placed(title.height - 0.2, lambda x, y: title.paint(x, y + 0.7))

    def headline(self, block: Headline, width: float) -> Placed:
        """Sign, words, and how sure they are."""
        sure, style = self.text(block.sure, width - 15, BODY), Style(21, HUES[block.word], bold=True)
        height = max(12.0, 9.2 + sure.height)

        def paint(x: float, y: float) -> None:
            for mark in blocks.sign(block.word, 0, (height - 12) / 2, 12):
                self.mark(mark, x, y, 1)
            self.line(block.text, style, x + 15, y + 6.6)
            sure.paint(x + 15, y + 9.2)

        return Placed(height, paint)

    def facts(self, rows: Sequence[Fact], width: float) -> Placed:
        """Names on the left, values on the right."""
        names = max(self.width_of(fact.name, NAME) for fact in rows)
        left = names + 3 if names else 0.0
        values = [self.text(fact.value, width - left, CODE if fact.code else CELL) for fact in rows]

        def paint(x: float, y: float) -> None:
            for fact, value in zip(rows, values, strict=True):
                self.line(fact.name, NAME, x, y + 0.74 * NAME.line_mm)
                value.paint(x + left, y)
                y += value.height + 0.35

        return Placed(sum(value.height + 0.35 for value in values), paint)

    def table(self, table: Table, width: float) -> Placed:
        """Head, and rows between hairlines."""
        edges = [width * sum(table.shares[:column]) for column in range(len(table.shares) + 1)]
        widths = [right - left - 2 for left, right in zip(edges, edges[1:], strict=False)]
        styles = [HEAD] + [CELL] * len(table.rows)
        rows = [
            [self.text(cell, wide, style) for cell, wide in zip(row, widths, strict=True)]
            for row, style in zip((table.head, *table.rows), styles, strict=True)
        ]
        heights = [max(cell.height for cell in row) + 0.9 for row in rows]

        def paint(x: float, y: float) -> None:
            for texts, row, style, height in zip(
                (table.head, *table.rows), rows, styles, heights, strict=True
            ):
                for cell, edge in zip(row[:-1], edges, strict=False):
                    cell.paint(x + edge, y + 0.3)
                self.line(texts[-1], style, x + width, y + 0.3 + 0.74 * style.line_mm, "end")
                y += height
                self.rule(x, y, width, FAINT_LINE)

        return Placed(sum(heights), paint)

    def drawing(self, drawing: Drawing, width: float) -> Placed:
        """A picture as wide as there is room."""
        scale = width / drawing.width

        def paint(x: float, y: float) -> None:
            for mark in drawing.marks:
                self.mark(mark, x, y, scale)

        return Placed(scale * drawing.height, paint)

    def mark(self, mark: Mark, x: float, y: float, scale: float) -> None:
        """Paint one mark of a drawing whose upper left corner lies at x, y."""
        match mark:
            case Circle():
                self.pdf.set_fill_color(mark.fill)
                self.pdf.circle(x + scale * mark.x, y + scale * mark.y, scale * mark.radius, style="F")
            case blocks.Path():
                points = [(x + scale * across, y + scale * down) for across, down in mark.points]
                if mark.fill:
                    self.pdf.set_fill_color(mark.fill)
                if mark.line:
                    self.pdf.set_draw_color(mark.line)
                    self.pdf.set_line_width(scale * mark.width)
                if mark.dashed:
                    self.pdf.set_dash_pattern(1.4, 1)
                style = ("D" if mark.line else "") + ("F" if mark.fill else "")
                self.pdf.polyline(points, polygon=mark.closed, style=style)
                if mark.dashed:
                    self.pdf.set_dash_pattern()
            case _:
                style = Style(scale * LETTERS_MM * POINTS, mark.colour, mark.bold)
                self.line(mark.text, style, x + scale * mark.x, y + scale * mark.y, mark.anchor)

    def text(self, text: str, width: float, style: Style) -> Placed:
        """A paragraph, broken into lines; a word that is too long is broken too."""
        text = self._use(style, text)
        lines = self.pdf.multi_cell(width, text=text, dry_run=True, output="LINES")

        def paint(x: float, y: float) -> None:
            for number, line in enumerate(lines):
                self.line(line, style, x, y + (number + 0.74) * style.line_mm)

        return Placed(len(lines) * style.line_mm, paint)

    def line(
        self,
        text: str,
        style: Style,
        x: float,
        y: float,
        anchor: Literal["start", "middle", "end"] = "start",
    ) -> None:
        """One line of text whose base line begins, is halved or ends at x."""
        width = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * self.width_of(text, style)
        self.pdf.set_text_color(style.colour)
        if text:
            self.pdf.text(x - width, y, self._use(style, text))

    def width_of(self, text: str, style: Style) -> float:
        """In millimetres."""
        text = self._use(style, text)
        return self.pdf.get_string_width(text)

    def rule(self, x: float, y: float, width: float, colour: str, thickness: float = 0.2) -> None:
        """A horizontal line."""
        self.pdf.set_draw_color(colour)
        self.pdf.set_line_width(thickness)
        self.pdf.line(x, y, x + width, y)

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """What sets a loud section apart."""
        self.pdf.set_fill_color(LOUD)
        self.pdf.set_draw_color(LOUD_LINE)
        self.pdf.set_line_width(0.25)
        self.pdf.rect(x, y, width, height, style="DF")
        self.pdf.set_fill_color(LOUD_LINE)
        self.pdf.rect(x, y, 1.1, height, style="F")

    def _use(self, style: Style, text: str) -> str:
        """Take up a style; what its font cannot show becomes numbers."""
        family = "mono" if style.mono else "sans"
        self.pdf.set_font(family, "B" if style.bold else "", style.size)
        runs = groupby(text, key=lambda letter: ord(letter) in self.letters[family])
        return "".join(
            "".join(run) if shown else "[" + " ".join(f"U+{ord(letter):04X}" for letter in run) + "]"
            for shown, run in runs
        )
