"""Tab "Results": what the experiments found, in words first, then as figure and tables beside the paper's."""

import logging
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import gradio as gr

from ncdetect import findings, findings_rules
from ncdetect.findings_rules import NC_RULES
from ncdetect.findings_words import (
    RANDOM,
    Difference,
    Row,
    Table,
    capitalised,
    measured,
    number_of,
    place,
    places,
    read_csv,
    share_words,
    title,
)
from ncdetect.language import ENGLISH, say, spoken
from ncdetect.ui import compared, papers, shipped
from ncdetect.ui.private import Uploads
from ncdetect.ui.results_words import questions, titles

log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "results"
NUMBERS = (4, 1, 2, 3)
"""Experiments in the order of the page."""
LEAST_SCALE = 0.6
"""The bars of the weaknesses reach beyond guessing."""

Tables = Mapping[int, list[Row] | None]


def load() -> dict[int, list[Row] | None]:
    """The rows of each experiment; None where there is no table that can be read."""
    found: dict[int, list[Row] | None] = {}
    for number in NUMBERS:
        try:
            rows = read_csv(file_of(number))
            findings.tables(number, rows)  # Does it have all columns?
            found[number] = rows if findings.sentences(number, rows) else None
        except FileNotFoundError:
            found[number] = None
        except (OSError, ValueError, LookupError, TypeError):
            log.exception("the table of experiment %s cannot be shown", number)
            found[number] = None
    return found


def detectors() -> list[Row] | None:
    """The rows of `detector.csv`; None where it is missing or damaged."""
    try:
        return read_csv(FOLDER / "detector.csv")
    except (OSError, ValueError):
        log.warning("detector.csv cannot be shown")
        return None


def file_of(number: int) -> Path:
    """Where the table of an experiment lies."""
    return FOLDER / f"experiment-{number}.csv"


def headlines(found: Tables) -> list[str]:
    """What matters most, of all experiments that were run."""
    wanted = ((4, 2), (1, 1)) if found[4] else tuple((number, 1) for number in NUMBERS)
    return [
        sentence
        for number, count in wanted
        for sentence in findings.sentences(number, found[number] or [])[:count]
    ]


def header(found: Tables) -> str:
    """The heading, and what matters most in large type."""
    first, *rest = headlines(found) or [say("Nothing has been measured here yet.")]
    more = "".join(f"<p>{_text(sentence)}</p>" for sentence in rest)
    more = f'<div class="nc-pair" lang="{ENGLISH}">{more}</div>' if more else ""
    note = say(
        "Every sentence here is worked out from the tables below, whoever wins. Lower error rates are "
        "better; in brackets stands the 95 % interval."
    )
    # The findings are long and made of many parts; other languages say so instead of half translating them.
    english = say("The findings themselves and the cells of the tables are in English.")
    english = f'<p class="nc-note">{english}</p>' if spoken() != ENGLISH else ""
    return (
        f'<header class="nc-header nc-results-head"><h2>{say("What the measurements say")}</h2>{english}'
        f'<p class="nc-say" lang="{ENGLISH}">{_text(first)}</p>{more}<p class="nc-note">{note}</p></header>'
    )


def section(number: int, rows: Sequence[Row] | None, told: Sequence[str] = ()) -> str:
    """An experiment: words, for the fourth its figure, tables beside the paper's.

    Args:
        number: 1 to 4.
        rows: Its table; None where there is none.
        told: Sentences that the page has said already.
    """
    head = f'<section class="nc-card nc-result" data-experiment="{number}"><h3>{titles()[number]} '
    head += f"<small>{say('Experiment {number}', number=number)}</small></h3>"
    if not rows:
        command = f"python -m ncdetect experiment {number} --data DIR"
        return (
            f'{head}<p class="nc-missing">{say("This was not measured yet. This command makes the table:")} '
            f'<code>{command}</code></p><div class="nc-pair">{_papers(number)}</div></section>'
        )
    sentences = findings.sentences(number, rows)
    lead = ""
    if number != 4 and sentences and sentences[0] not in told:
        lead = f'<p class="nc-lead" lang="{ENGLISH}">{_text(sentences[0])}</p>'
        sentences = sentences[1:]
    listed = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences if sentence not in told)
    words = f'<ul lang="{ENGLISH}">{listed}</ul>' if listed else ""
    shown, unfolded, layout = findings.tables(number, rows), 1, "nc-pair"
    if number == 4:
        words = figure(rows) + _fold(say("The findings in words, one by one"), words)
        unfolded, layout = len(places(rows)), "nc-stack"
    tables = "".join(map(_table, shown[:unfolded])) + _papers(number)
    folded = "".join(_fold(table.caption, _table(table)) for table in shown[unfolded:])
    return f'{head}{lead}{words}<div class="{layout}">{tables}</div>{folded}{_download(number)}</section>'


def _text(sentence: str) -> str:
    """As HTML, figures kept beside their unit."""
    return escape(sentence).replace(" %", "&nbsp;%").replace(" points", "&nbsp;points")


def _fold(summary: str, content: str) -> str:
    if not content:
        return ""
    return f'<details class="nc-fold"><summary>{escape(summary)}</summary>{content}</details>'


def _download(number: int) -> str:
    file = file_of(number)
    return (
        f'<p class="nc-buttons"><a class="nc-button nc-second" href="gradio_api/file={escape(str(file))}" '
        f'download="{file.name}">{say("Download {file}", file=file.name)}</a></p>'
    )


def _table(table: Table, style: str = "") -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(line[0])}</th>'
        + "".join(f"<td>{_cell(cell)}</td>" for cell in line[1:])
        + "</tr>"
        for line in table.lines
    )
    note = f'<p class="nc-note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="nc-result-table {style}" lang="{ENGLISH}"><div class="nc-scroll" tabindex="0" '
        f'role="region" aria-label="{escape(table.caption)}"><table><caption><span>{escape(table.caption)}'
        f"</span></caption><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table></div>{note}</div>"
    )


def _papers(number: int) -> str:
    return _table(findings.papers_table(number), "nc-paper")


def _cell(text: str) -> str:
    """A figure strong, its interval beside it, a second line below."""
    found = []
    for line in text.split("\n"):
        value, _, ends = line.partition(" [")
        if ends:
            found.append(f"<b>{escape(value)}</b> <span>[{escape(ends)}</span>")
        else:
            found.append(escape(line))
    return "<br>".join(found)


# -- the figure of experiment 4


def figure(rows: Sequence[Row]) -> str:
    """Difference from random by rule and budget, a panel for each place, all on one scale."""
    panels = {name: _differences(rows, name) for name in places(rows)}
    panels = {name: panel for name, panel in panels.items() if panel}
    if not panels:
        return ""
    ends = [end for panel in panels.values() for one in panel.values() for d in one.values() for end in d]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = 0.04 * (high - low) or 0.01
    low, high = low - margin, high + margin

    def at(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    drawn = "".join(_panel(name, panel, at, _ticks(low, high)) for name, panel in panels.items())
    caption = say(
        "Against a random draw of the same size: difference of the error rates in points. <b>Left of the "
        "line is better than random</b>, right is worse."
    )
    filled = say("filled: the 95 % interval leaves out zero")
    return (
        f'<figure class="nc-dots" style="--zero:{at(0)}%"><figcaption>{caption}</figcaption>'
        f'<div class="nc-dots-panels">{drawn}</div><p class="nc-note nc-dots-key"><span>'
        f'<span class="nc-dots-mark nc-dots-clear"></span>{filled}</span> <span><span class="nc-dots-mark">'
        f"</span>{say('hollow: too close to call')}</span> <span><i></i>{say('95 % interval')}</span> "
        f"{say('The tables below hold the same numbers.')}</p></figure>"
    )


def _differences(rows: Sequence[Row], name: str) -> dict[str, dict[float, Difference]]:
    """By rule, then by budget."""
    found: dict[str, dict[float, Difference]] = {}
    for choice in findings_rules.choices(rows):
        row = choice.tests.get(name)
        difference = findings_rules.difference(row) if row else None
        if difference is not None and choice.rule != RANDOM:
            found.setdefault(choice.rule, {})[choice.budget] = difference
    return found


def _panel(
    name: str,
    panel: Mapping[str, Mapping[float, Difference]],
    at: Callable[[float], float],
    ticks: Sequence[int],
) -> str:
    lines = []
    for rule, by_budget in panel.items():
        tracks = "".join(
            f'<div class="nc-dots-line" title="{escape(title(rule))}, {share_words(budget)} of the clips: '
            f'{escape(d.words)}"><small>{share_words(budget)}</small><div class="nc-dots-track">'
            f'<i style="left:{at(d.low)}%;width:{round(at(d.high) - at(d.low), 2)}%"></i>'
            f'<span class="nc-dots-mark{"" if d.verdict == "open" else " nc-dots-clear"}" '
            f'style="left:{at(d.value)}%"></span></div></div>'
            for budget, d in by_budget.items()
        )
        tag = f"<em>{say('NC sampling')}</em>" if rule in NC_RULES else ""
        lines.append(
            f'<div class="nc-dots-rule"><span>{escape(title(rule))}{tag}</span><div>{tracks}</div></div>'
        )
    axis = "".join(
        f'<span style="left:{at(tick / 100)}%">{f"{tick:+d}".replace("-", "−") if tick else "0"}</span>'
        for tick in ticks
    )
    return (
        f'<div class="nc-dots-panel" lang="{ENGLISH}"><h4>{escape(capitalised(place(name)))}</h4>'
        f'<div role="img" aria-label="{escape(_spoken(name, panel))}">{"".join(lines)}'
        f'<div class="nc-dots-axis"><span></span><div>{axis}</div></div></div></div>'
    )


def _spoken(name: str, panel: Mapping[str, Mapping[float, Difference]]) -> str:
    verdicts = [d.verdict for by_budget in panel.values() for d in by_budget.values()]
    return (
        f"Difference from random {place(name)}: of {len(verdicts)} comparisons {verdicts.count('better')} "
        f"better, {verdicts.count('worse')} worse, {verdicts.count('open')} too close to call. The table "
        f"has the numbers."
    )


def _ticks(low: float, high: float) -> list[int]:
    """Whole points at steps of 1, 2 or 5 times ten, at most seven."""
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (high - low) * 100 / s <= 6 or s == 50)
    return [tick for tick in range(-100, 101, step) if low < tick / 100 < high]


# -- what the model is bad at


def weaknesses(rows: Sequence[Row] | None) -> str:
    """The test sets of the rule and budget that dev chooses, most mistakes first."""
    found = findings_rules.weakest(rows or [])
    if found is None or not found[1]:
        return ""
    tests = found[1]
    top = max(LEAST_SCALE, *(number_of(row, "eer_high") or float(row["eer"]) for row in tests))
    lines = "".join(_weak_line(row, top) for row in tests)
    title = say("What the small ResNet is bad at")
    caption = say(
        "Error rate (EER) in % with 95 % interval, most mistakes first; the dashed line is guessing"
    )
    return (
        f'<section class="nc-card nc-result nc-weak"><h3>{title}</h3>'
        f'<p class="nc-lead" lang="{ENGLISH}">{_text(findings_rules.weakness(rows or []))}</p>'
        f'<div class="nc-scroll" tabindex="0" role="region" aria-label="{title}"><table>'
        f'<caption>{caption}</caption><thead><tr><th scope="col">{say("tested")}</th>'
        f'<th scope="col">{say("real + fake")}</th><th scope="col">EER</th><td aria-hidden="true"></td></tr>'
        f"</thead><tbody>{lines}</tbody></table></div></section>"
    )


def _weak_line(row: Row, top: float) -> str:
    value = float(row["eer"])
    low, high = (number_of(row, name) for name in ("eer_low", "eer_high"))
    low, high = (value if low is None else low), (value if high is None else high)
    left, width, dot, half = (round(100 * part / top, 2) for part in (low, high - low, value, 0.5))
    return (
        f'<tr><th scope="row">{escape(place(str(row["corpus"])))}</th><td>{row["reals"]} + '
        f"{row['fakes']}</td>"
        f'<td>{_cell(measured(row))}</td><td aria-hidden="true" class="nc-weak-bar"><div '
        f'class="nc-dots-track" style="--zero:{half}%"><i style="left:{left}%;width:{width}%"></i>'
        f'<span class="nc-dots-mark nc-dots-clear" style="left:{dot}%"></span></div></td></tr>'
    )


def build(_: Uploads) -> None:
    """Lay out the tab from the tables as they are now."""
    gr.set_static_paths([FOLDER])
    found = load()
    told = headlines(found)
    cards = "".join(section(number, found[number], told) for number in NUMBERS)
    comparison = compared.section(compared.read(FOLDER / compared.FILE.name))
    measured = [shipped.section(detectors()), comparison, papers.section()]
    sections = [header(found), *measured, weaknesses(found[4]), cards]
    gr.HTML(
        '<div class="nc-results">' + "".join(sections) + "</div>", apply_default_css=False, elem_id="results"
    )
    gr.HTML(f'<h3 class="nc-questions">{say("What does this mean?")}</h3>')
    for question, answer in questions().items():
        with gr.Accordion(question, open=False):
            gr.HTML(f'<p class="nc-answer-text">{answer}</p>')
