"""A report as one HTML file to print: style and pictures are inside, nothing is run and nothing fetched."""

from html import escape
from typing import TYPE_CHECKING

from ncdetect import report_fonts
from ncdetect.report_blocks import (
    HUES,
    Block,
    Circle,
    Drawing,
    Fact,
    Facts,
    Headline,
    Mark,
    Path,
    Section,
    Table,
    Text,
    sign,
)  # fmt: skip

if TYPE_CHECKING:
    from ncdetect.report import Report

STYLE = """
@page { size: A4; margin: 11mm 16mm 13.5mm; @bottom-right { content: counter(page) " / " counter(pages);
  font: 7.8pt Report, sans-serif; color: #475569; } }
* { box-sizing: border-box; }
html { background: #e6ebf2; color: #0f172a; color-scheme: light; -webkit-text-size-adjust: 100%;
  font: 16px/1.4 Report, "Source Sans 3", system-ui, "Segoe UI", Roboto, Arial, sans-serif;
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
body { margin: 0; }
main { max-width: 980px; margin: 24px auto; padding: 36px 44px; background: #fff; border-radius: 6px;
  box-shadow: 0 1px 3px rgb(15 23 42 / 14%), 0 12px 40px rgb(15 23 42 / 10%); }
header { display: flex; flex-wrap: wrap; gap: 0 24px; align-items: baseline; justify-content: space-between;
  border-bottom: 2px solid #0f172a; padding-bottom: 8px; margin-bottom: 16px; }
h1 { font-size: 1.95em; line-height: 1.15; margin: 0; letter-spacing: -.01em; }
header p { margin: 0; color: #475569; }
header .name { flex-basis: 100%; color: #0f172a; font-size: 1.06em; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 20px 30px; }
section { grid-column: span 6; display: flex; flex-direction: column; gap: 7px; break-inside: avoid;
  border-top: 1px solid #cbd3df; padding-top: 8px; min-width: 0; }
section.bare { border: 0; padding: 0; }
section.loud { border: 1px solid #e2b93b; border-left-width: 5px; border-radius: 5px; background: #fff7e0;
  padding: 10px 14px; }
h2, h3 { font-size: 1.06em; line-height: 1.25; margin: 0; }
h3 { font-size: 1em; margin: .25em 0 -.35em; }
p { margin: 0; }
.small { font-size: .89em; color: #475569; }
.head { display: flex; gap: 14px; align-items: center; }
.head svg { width: 3.5em; flex: none; }
.head strong { display: block; font-size: 2.2em; line-height: 1.1; letter-spacing: -.01em; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 2.7px; }
svg .bold { font-weight: 700; }
table { width: 100%; border-collapse: collapse; font-size: .94em; table-layout: fixed; }
th, td { text-align: left; padding: 3px 8px 3px 0; border-bottom: 1px solid #e3e8f0; overflow-wrap: anywhere;
  vertical-align: top; }
th { font-weight: 400; color: #475569; }
th:last-child, td:last-child { text-align: right; padding-right: 0; font-variant-numeric: tabular-nums; }
dl { margin: 0; display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px;
  font-size: .94em; }
dt { color: #475569; }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .81em/1.55 ReportMono, ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
footer { margin-top: 18px; padding-top: 8px; border-top: 1px solid #cbd3df; }
@media (max-width: 760px) {
  main { margin: 0; padding: 20px 16px; border-radius: 0; }
  section { grid-column: 1 / -1 !important; }
  svg text { font-size: 3.1px; }
  .broad text { font-size: 4px; }
  .scroll svg { width: 720px; }
  .scroll text { font-size: 3.3px; }
}
@media print {
  html { background: none; font-size: 8.6pt; line-height: 1.27; }
  main { margin: 0; padding: 0; max-width: none; box-shadow: none; }
  header { padding-bottom: 1.5mm; margin-bottom: 3mm; }
  .grid { gap: 2.8mm 6mm; }
  section { gap: 1.1mm; padding-top: 1.3mm; }
  section.loud { padding: 1.8mm 2.4mm; }
  th, td { padding-top: .5mm; padding-bottom: .5mm; }
  footer { margin-top: 2.4mm; padding-top: 1mm; }
  code { line-height: 1.35; }
}
"""


_TEXTS = {
    "body": "<p>{}</p>",
    "small": '<p class="small">{}</p>',
    "title": "<h3>{}</h3>",
    "code": "<p><code>{}</code></p>",
}


def html(report: "Report") -> str:
    """The whole file; all that is foreign is escaped."""
    grid = "".join(_section(section) for section in report.sections)
    letters = set(grid + report.heading + report.subtitle + report.time + report.foot)
    fonts = "".join(
        f"@font-face {{ font-family: {name}; font-weight: {700 if bold else 400}; "
        f"src: url({report_fonts.subset(family, bold, letters)}); }}\n"
        for name, family, bold in (
            ("Report", "sans", False),
            ("Report", "sans", True),
            ("ReportMono", "mono", False),
        )
    )
    return (
        f'<!doctype html>\n<html lang="{report.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Whatever a name might smuggle in, nothing runs and nothing is fetched.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; font-src data:\">\n"
        f"<title>{escape(report.heading)}</title>\n<style>{fonts}{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(report.title)}</h1><p><time datetime="{report.made.isoformat()}">'
        f'{escape(report.time)}</time></p><p class="name" dir="auto">{escape(report.subtitle)}</p>'
        f'</header>\n<div class="grid">{grid}</div>\n'
        f'<footer class="small">{escape(report.foot)}</footer>\n</main>\n</body>\n</html>\n'
    )


def _section(section: Section) -> str:
    kind = ' class="loud"' if section.loud else "" if section.title else ' class="bare"'
    title = f"<h2>{escape(section.title)}</h2>" if section.title else ""
    return (
        f'<section{kind} style="grid-column: span {section.columns}">{title}'
        f"{''.join(_block(block) for block in section.blocks)}</section>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Headline():
            mark = "".join(_mark(part) for part in sign(block.word, 0, 0, 12))
            return (
                f'<div class="head"><svg viewBox="0 0 12 12" aria-hidden="true">{mark}</svg><div>'
                f'<strong style="color:{HUES[block.word]}">{escape(block.text)}</strong>'
                f"<p>{escape(block.sure)}</p></div></div>"
            )
        case Text():
            return _TEXTS[block.kind].format(escape(block.text))
        case Facts():
            return f"<dl>{''.join(_fact(fact) for fact in block.rows)}</dl>"
        case Table():
            widths = "".join(f'<col style="width:{share:.0%}">' for share in block.shares)
            head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in block.head)
            rows = "".join(
                f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in block.rows
            )
            return (
                f"<table><colgroup>{widths}</colgroup><thead><tr>{head}</tr></thead>"
                f"<tbody>{rows}</tbody></table>"
            )
        case Drawing():
            return drawing(block)


def _fact(fact: Fact) -> str:
    value = escape(fact.value)
    value = f"<code>{value}</code>" if fact.code else f"<bdi>{value}</bdi>"
    return f"<dt>{escape(fact.name)}</dt><dd>{value}</dd>"


def drawing(picture: Drawing) -> str:
    """A drawing as SVG; a unit is a millimetre."""
    told = f'role="img" aria-label="{escape(picture.told)}"' if picture.told else 'aria-hidden="true"'
    marks = "".join(_mark(mark) for mark in picture.marks)
    drawn = f'<svg viewBox="0 0 {picture.width:g} {picture.height:g}" {told}>{marks}</svg>'
    # On a phone letters grow, and what is very wide is scrolled.
    if picture.width > 150:
        return f'<div class="scroll" tabindex="0">{drawn}</div>'
    return f'<div class="broad">{drawn}</div>' if picture.width > 100 else drawn


def _mark(mark: Mark) -> str:
    match mark:
        case Circle():
            return f'<circle cx="{mark.x:.2f}" cy="{mark.y:.2f}" r="{mark.radius:g}" fill="{mark.fill}"/>'
        case Path():
            points = "L".join(f"{x:.2f} {y:.2f}" for x, y in mark.points)
            line = f' stroke="{mark.line}" stroke-width="{mark.width:g}"' if mark.line else ""
            dashes = ' stroke-dasharray="1.4 1"' if mark.dashed else ""
            closed = "Z" if mark.closed else ""
            return f'<path d="M{points}{closed}" fill="{mark.fill or "none"}"{line}{dashes}/>'
        case _:
            kind = ' class="bold"' if mark.bold else ""
            anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
            return (
                f'<text x="{mark.x:.2f}" y="{mark.y:.2f}" fill="{mark.colour}"{anchor}{kind}>'
                f"{escape(mark.text)}</text>"
            )
