"""What is measured of the detectors that ship, and what was tried for them: a section of the Results tab."""

from collections.abc import Mapping, Sequence
from html import escape

from ncdetect.findings_words import Row, percent

SETS = {
    "eer_test_eval": "new clips of the training collections",
    "eer_test_eval_cloned": "of these, cloned and commercial voices",
    "eer_test_wild": "in the wild",
}
TRIED = {
    "eer_corpora": "another collection",
    "eer_generators": "other voices",
    "eer_dev": "dev",
    "eer_validation": "validation",
}
SHIPPED = "shipped as "


def section(rows: Sequence[Row] | None) -> str:
    """The error rates of what ships, and the series of changes, from the rows of `detector.csv`."""
    finals = [row for row in rows or () if str(row["what"]).startswith(SHIPPED)]
    if not finals:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(_name(row))}</th>'
        + "".join(f"<td><b>{_rate(row, name)}</b><br>{_interval(row, name)}</td>" for name in SETS)
        + "</tr>"
        for row in finals
    )
    tried = "".join(
        f'<tr><th scope="row">{escape(str(row["what"]))}</th><td>{escape(str(row["why"]))}</td>'
        + "".join(f"<td>{_rate(row, name)}</td>" for name in TRIED)
        + "</tr>"
        for row in rows
        if row["why"] != "final"
    )
    return (
        '<section class="nc-card nc-result nc-shipped"><h3>The detectors that ship</h3>'
        f'<p class="nc-lead">{escape(said(finals))}</p>'
        + table("Error rate (EER) in % with 95 % interval", ["model", *SETS.values()], lines)
        + "<details><summary>What was tried for them</summary>"
        + table(
            "Error rate (EER) in % on clips unlike those of the training: of a collection that was left out, "
            "of voices that were left out, of dev; validation is the mean of these and of the same clips "
            "damaged, and decides",
            ["change", "why", *TRIED.values()],
            tried,
        )
        + "</details></section>"
    )


def said(finals: Sequence[Row]) -> str:
    """In words, how often the first of them is wrong."""
    row = finals[0]
    return (
        f"“{capital(_name(row))}”, which judges on this page, takes one real in "
        f"{1 / float(row['eer_test_wild']):.1f} for fake in the wild, and as many fakes for real, if it "
        f"has to answer every time; of new clips of the training collections one in "
        f"{1 / float(row['eer_test_eval']):.1f}. That is why it may say “undecided”."
    )


def capital(name: str) -> str:
    """A name at the head of a sentence."""
    return name[:1].upper() + name[1:]


def _name(row: Mapping) -> str:
    return str(row["what"]).removeprefix(SHIPPED).split(":")[0]


def _rate(row: Row, name: str) -> str:
    return percent(float(row[name]))


def _interval(row: Row, name: str) -> str:
    return f"[{percent(float(row[f'{name}_low']))}, {percent(float(row[f'{name}_high']))}]"


def table(caption: str, columns: Sequence[str], lines: str) -> str:
    """A table that scrolls by itself where it is too wide; its lines are HTML."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    return (
        f'<div class="nc-result-table"><div class="nc-scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table><caption><span>{escape(caption)}</span></caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div></div>"
    )
