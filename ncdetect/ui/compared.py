"""All systems on the same clips, from `compare.csv`: a section of the Results tab, rates for others."""

import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ncdetect.findings_words import ALL, Row, number_of, read_csv
from ncdetect.language import number, say
from ncdetect.ui import model, shipped
from ncdetect.wording import capital, rate

log = logging.getLogger(__name__)

FILE = Path(__file__).resolve().parents[2] / "assets" / "results" / "compare.csv"
SETS = {ALL: "eer_test_eval", "cloned": "eer_test_eval_cloned", "wild": "eer_test_wild"}
"""What is shown, by the column of `detector.csv` whose words say what it is."""
NEEDED = {"system", "set", "generator", "eer"}


def read(file: Path) -> list[Row]:
    """The rows on whole sets; none where the file is missing or damaged."""
    if not file.is_file():
        return []
    try:
        rows = read_csv(file)
        if not all(row.keys() >= NEEDED and isinstance(row["eer"], int | float) for row in rows):
            raise ValueError(f"a row lacks one of {', '.join(sorted(NEEDED))}")
    except (OSError, ValueError, TypeError):
        log.exception("%s cannot be shown", file)
        return []
    return [row for row in rows if row["generator"] == ""]


def section(rows: Sequence[Row]) -> str:
    """The error rates and the size of each system; nothing where there are no rows."""
    sets = [name for name in SETS if any(row["set"] == name for row in rows)]
    if not sets:
        return ""
    systems = {str(row["system"]): row for row in rows}
    lines = "".join(
        f'<tr><th scope="row">{_name(system)}</th>'
        + "".join(f"<td>{_cell(_of(rows, system, name))}</td>" for name in sets)
        + f"<td>{_size(row)}</td></tr>"
        for system, row in systems.items()
    )
    titles = shipped.sets()
    columns = [say("model"), *(titles[SETS[name]] for name in sets), say("size")]
    caption = say("Error rate (EER) in % with 95 % interval, fewest mistakes first")
    return (
        f'<section class="nc-card nc-result nc-compared"><h3>{say("All models on the same clips")}</h3>'
        f'<p class="nc-lead">{escape(said(rows))}</p>{shipped.table(caption, columns, lines)}</section>'
    )


def said(rows: Sequence[Row]) -> str:
    """In words, which system makes the fewest mistakes where."""
    best = []
    for name in (ALL, "wild"):
        own = [row for row in rows if row["set"] == name]
        if own:
            row = min(own, key=lambda row: float(row["eer"]))
            where = f"{_where(name)} ({measured(row)})"
            best.append(say("by “{system}” {where}", system=capital(str(row["system"])), where=where))
    count = len({row["system"] for row in rows})
    if not best or count < 2:
        return say("Every model that is compared has judged the same clips.")
    return say(
        "Of {count} models the fewest mistakes are made {best}. Where the intervals of two models overlap, "
        "these clips do not settle which is better.",
        count=count,
        best=_both(best),
    )


def rates(rows: Sequence[Row], system: str) -> str:
    """The measured error rates of a system in a few words; empty where there are none."""
    found = [(name, _of(rows, system, name)) for name in (ALL, "wild")]
    parts = [f"{measured(row)} {_where(name)}" for name, row in found if row]
    return _both(parts) if parts else ""


def measured(row: Row) -> str:
    """EER in per cent with its interval: `24.3 % [19.6, 27.4]`."""
    return f"{rate(float(row['eer']))} % {_interval(row)}".strip()


def _interval(row: Row) -> str:
    low, high = number_of(row, "eer_low"), number_of(row, "eer_high")
    return "" if low is None or high is None else shipped.interval(low, high)


def _where(name: str) -> str:
    return say("on new clips of the training collections") if name == ALL else say("in the wild")


def _both(parts: Sequence[str]) -> str:
    return say("{one} and {other}", one=parts[0], other=parts[1]) if len(parts) == 2 else parts[0]


def _of(rows: Sequence[Row], system: str, name: str) -> Row | None:
    return next((row for row in rows if str(row["system"]) == system and row["set"] == name), None)


def _name(system: str) -> str:
    here = f"<br><span>{say('judges on this page')}</span>" if system == model.NAME else ""
    return escape(capital(system)) + here


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"<b>{escape(rate(float(row['eer'])))}</b><br>{escape(_interval(row))}"


def _size(row: Row) -> str:
    megabytes = number_of(row, "megabytes")
    return "-" if megabytes is None else f"{number(megabytes, '.1f')} MB"
