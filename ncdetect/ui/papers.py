"""The systems of the papers, as they were trained here: a section of the Results tab."""

import logging
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from ncdetect.findings_words import ALL, Row, number_of, read_csv
from ncdetect.language import ENGLISH, say
from ncdetect.ui import shipped
from ncdetect.wording import rate

log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "results"
SYSTEMS, DROPIN = FOLDER / "other-systems.csv", FOLDER / "dropin.csv"
SETS = (ALL, "wild")


def section() -> str:
    """Both tables; nothing where neither file is there."""
    systems = table(SYSTEMS, say("Systems of the papers: error rate (EER) in % with 95 % interval"), system)
    widened = table(DROPIN, say("Dropin and plasticity: error rate (EER) in % with 95 % interval"), arm)
    if not systems and not widened:
        return ""
    lead = say(
        "Each was trained here on the same clips and with the same few minutes of computing: far less than "
        "their authors gave them. So the tables compare methods under equal terms; they do not say how good "
        "the published systems are. Full tables and the claims of the papers: {files}.",
        files="other-systems.md, dropin.md",
    )
    return (
        f'<section class="nc-card nc-result nc-papers"><h3>{say("The systems of the papers, trained here")}'
        f'</h3><p class="nc-lead">{escape(lead)}</p>{systems}{widened}</section>'
    )


def table(file: Path, caption: str, named: Callable[[Row], str | None]) -> str:
    """A line for each row that has a name, with its error rates; empty where the file has none.

    Args:
        file: CSV with columns set or corpus, eer, eer_low and eer_high.
        caption: Of the table.
        named: What a row is called; None leaves it out.
    """
    lines: dict[str, dict[str, Row]] = {}
    try:
        for row in read_csv(file) if file.is_file() else ():
            name, place = named(row), str(row.get("set", row.get("corpus")))
            if name and place in SETS and number_of(row, "eer") is not None:
                lines.setdefault(name, {})[place] = row
    except (OSError, ValueError, KeyError, TypeError):
        log.exception("%s cannot be shown", file)
        return ""
    body = "".join(
        f'<tr><th scope="row" lang="{ENGLISH}">{escape(name)}</th>'
        + "".join(f"<td>{_cell(found.get(place))}</td>" for place in SETS)
        + "</tr>"
        for name, found in lines.items()
    )
    columns = [say("model"), say("new clips of the training collections"), say("in the wild")]
    return shipped.table(caption, columns, body) if body else ""


def system(row: Row) -> str | None:
    """Name of a row of other-systems.csv."""
    return f"{row['what']} ({_collections(str(row['trained_on']).split())})"


def arm(row: Row) -> str | None:
    """Name of a row of dropin.csv: the mean over seeds, of whole models."""
    if row["seed"] != "mean" or row["layer"]:
        return None
    return f"{row['model']}: {row['arm']}"


def _collections(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} collections"


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    low, high = number_of(row, "eer_low"), number_of(row, "eer_high")
    interval = "" if low is None or high is None else shipped.interval(low, high)
    return f"<b>{escape(rate(float(row['eer'])))}</b><br>{escape(interval)}"
