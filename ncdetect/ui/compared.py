"""All systems on the same clips, from `compare.csv`: a section of the Results tab, rates for others."""

import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ncdetect.findings_words import ALL, Row, eer_words, joined, measured, number_of, place, read_csv
from ncdetect.ui import model, shipped

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
    columns = ["model", *(shipped.SETS[SETS[name]] for name in sets), "size"]
    return (
        '<section class="nc-card nc-result nc-compared"><h3>All models on the same clips</h3>'
        f'<p class="nc-lead">{escape(said(rows))}</p>'
        + shipped.table("Error rate (EER) in % with 95 % interval, fewest mistakes first", columns, lines)
        + "</section>"
    )


def said(rows: Sequence[Row]) -> str:
    """In words, which system makes the fewest mistakes where."""
    best = []
    for name in (ALL, "wild"):
        own = [row for row in rows if row["set"] == name]
        if own:
            row = min(own, key=lambda row: float(row["eer"]))
            best.append(f"by “{shipped.capital(str(row['system']))}” {place(name)} ({eer_words(row)})")
    count = len({row["system"] for row in rows})
    if not best or count < 2:
        return "Every model that is compared has judged the same clips."
    return (
        f"Of {count} models the fewest mistakes are made {joined(best)}. Where the intervals of two models "
        "overlap, these clips do not settle which is better."
    )


def rates(rows: Sequence[Row], system: str) -> str:
    """The measured error rates of a system in a few words; empty where there are none."""
    found = [(name, _of(rows, system, name)) for name in (ALL, "wild")]
    parts = [f"{eer_words(row)} {place(name)}" for name, row in found if row]
    return joined(parts) if parts else ""


def _of(rows: Sequence[Row], system: str, name: str) -> Row | None:
    return next((row for row in rows if str(row["system"]) == system and row["set"] == name), None)


def _name(system: str) -> str:
    here = "<br><span>judges on this page</span>" if system == model.NAME else ""
    return escape(shipped.capital(system)) + here


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    value, _, ends = measured(row).partition(" ")
    return f"<b>{escape(value)}</b><br>{escape(ends)}"


def _size(row: Row) -> str:
    megabytes = number_of(row, "megabytes")
    return "-" if megabytes is None else f"{megabytes:.1f} MB"
