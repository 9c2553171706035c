"""What is measured of the detectors that ship, and what was tried for them: a section of the Results tab."""

from collections.abc import Mapping, Sequence
from html import escape

from ncdetect.findings_words import Row
from ncdetect.language import number, say
from ncdetect.wording import capital, rate

SHIPPED = "shipped as "


def sets() -> dict[str, str]:
    """The test sets by their column, in words."""
    return {
        "eer_test_eval": say("new clips of the training collections"),
        "eer_test_eval_cloned": say("of these, cloned and commercial voices"),
        "eer_test_wild": say("in the wild"),
    }


def tried() -> dict[str, str]:
    """What validation measured by its column, in words."""
    return {
        "eer_corpora": say("another collection"),
        "eer_generators": say("other voices"),
        "eer_dev": say("dev"),
        "eer_validation": say("validation"),
    }


def section(rows: Sequence[Row] | None) -> str:
    """The error rates of what ships, and the series of changes, from the rows of `detector.csv`."""
    finals = [row for row in rows or () if str(row["what"]).startswith(SHIPPED)]
    if not finals:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(_name(row))}</th>'
        + "".join(
            f"<td><b>{escape(_rate(row, name))}</b><br>{escape(_interval(row, name))}</td>" for name in sets()
        )
        + "</tr>"
        for row in finals
    )
    changes = "".join(
        f'<tr><th scope="row">{escape(str(row["what"]))}</th><td>{escape(str(row["why"]))}</td>'
        + "".join(f"<td>{_rate(row, name)}</td>" for name in tried())
        + "</tr>"
        for row in rows
        if row["why"] != "final"
    )
    caption = say("Error rate (EER) in % with 95 % interval")
    meaning = say(
        "Error rate (EER) in % on clips unlike those of the training: of a collection that was left out, of "
        "voices that were left out, of dev; validation is the mean of these and of the same clips damaged, "
        "and decides"
    )
    return (
        f'<section class="nc-card nc-result nc-shipped"><h3>{say("The detectors that ship")}</h3>'
        f'<p class="nc-lead">{escape(said(finals))}</p>'
        + table(caption, [say("model"), *sets().values()], lines)
        + f"<details><summary>{say('What was tried for them')}</summary>"
        + table(meaning, [say("change"), say("why"), *tried().values()], changes)
        + "</details></section>"
    )


def said(finals: Sequence[Row]) -> str:
    """In words, how often the first of them is wrong."""
    row = finals[0]
    return say(
        "“{model}”, which judges on this page, takes one real in {wild} for fake in the wild, and as many "
        "fakes for real, if it has to answer every time; of new clips of the training collections one in "
        "{own}. That is why it may say “undecided”.",
        model=capital(_name(row)),
        wild=number(1 / float(row["eer_test_wild"]), ".1f"),
        own=number(1 / float(row["eer_test_eval"]), ".1f"),
    )


def _name(row: Mapping) -> str:
    return str(row["what"]).removeprefix(SHIPPED).split(":")[0]


def _rate(row: Row, name: str) -> str:
    return escape(rate(float(row[name])))


def _interval(row: Row, name: str) -> str:
    return escape(interval(float(row[f"{name}_low"]), float(row[f"{name}_high"])))


def interval(low: float, high: float) -> str:
    """Two rates in per cent: `[19.6, 27.4]`; a semicolon where the comma is the sign of the fraction."""
    return f"[{rate(low)}{',' if number(0.5) == '0.5' else ';'} {rate(high)}]"


def table(caption: str, columns: Sequence[str], lines: str) -> str:
    """A table that scrolls by itself where it is too wide; its lines are HTML."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    return (
        f'<div class="nc-result-table"><div class="nc-scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table><caption><span>{escape(caption)}</span></caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div></div>"
    )
