"""The comparison of all systems as files: `compare.csv` for machines, `compare.md` for people."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ncdetect import tables
from ncdetect.error_groups import LEAST_CLIPS
from ncdetect.findings_words import ALL, WILDS, Row, measured, number_of, percent

FILE = "compare"
FIGURES = {
    "eer_det": "EER by the DET rule, %",
    "ap_fake": "AP of fake, %",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr, bits",
    "min_tdcf": "min t-DCF",
    "decided": "decided, %",
    "accuracy": "right of these, %",
    "false_alarm": "reals called fake, %",
    "miss": "fakes called real, %",
}
RATES = ("eer_det", "ap_fake", "decided", "accuracy", "false_alarm", "miss")
NOTES = (
    "Eval clips, which had no part in training or choosing the checkpoints. `all` is the eval part of the "
    "corpora that can be trained on; wild ones are never pooled with them. Intervals hold 95 %, drawn by "
    "speaker (reals) and generator (fakes), the same draws for every system: where two overlap, these clips "
    "do not settle which system is better.",
    "Parameters, the size of the stored weights, and how many clips of 3 s one CPU thread of the machine "
    "that made this embeds in a second.",
)
COSTS = (
    "minDCF and actDCF: prior of a fake 0.05, a missed fake costs 10, a false alarm 1 (ASVspoof 5); 1 is no "
    "better than a constant answer. actDCF and Cllr judge the calibrated scores. Of the verdicts, `decided` "
    "are those that are not “undecided”, both classes weighted equally; the last two columns count among "
    "the decided clips of a class."
)


def write(table: Sequence[tables.Row], folder: Path, command: str) -> list[Path]:
    """Write both files.

    Args:
        table: What `compare.rows` gives.
        folder: Made where it is not there.
        command: What made it: the first line of the Markdown.

    Returns:
        The files.
    """
    return tables.write_both(table, folder, FILE, lambda read: markdown(read, command))


def markdown(rows: Sequence[Row], command: str) -> str:
    """Command, what the figures are, and three tables: EER by set, other figures, EER by generator."""
    whole = [row for row in rows if not row["generator"]]
    wide = [name for name in dict.fromkeys(row["set"] for row in whole) if name in (ALL, *WILDS)]
    wide = wide or [whole[0]["set"]]
    known = [name for name in FIGURES if any(number_of(row, name) is not None for row in whole)]
    parts = [
        f"Made by `{command}`.",
        *NOTES,
        _by_column(whole, "set", "EER in % with 95 % interval", _facts(whole)),
        COSTS,
        _table(
            ["system", "on", *(FIGURES[name] for name in known)],
            [
                [row["system"], row["set"], *(_figure(row, name) for name in known)]
                for name in wide
                for row in whole
                if row["set"] == name
            ],
        ),
    ]
    for name in wide:
        made = [row for row in rows if row["generator"] and row["set"] == name]
        if made:
            parts.append(
                f"The generators of `{name}` with at least {LEAST_CLIPS} clips, each against all reals of "
                "the set; intervals draw the fakes one by one."
            )
            parts.append(_by_column(made, "generator", "EER in % with 95 % interval"))
    return "\n\n".join(parts) + "\n"


def _facts(rows: Sequence[Row]) -> dict[str, Callable[[Row], str]]:
    """Columns on what a system takes, as far as that is known of any."""
    shown: dict[str, tuple[str, Callable[[float], str]]] = {
        "parameters": ("parameters", "{:,.0f}".format),
        "megabytes": ("MB", "{:.1f}".format),
        "clips_per_second": ("clips/s", "{:.0f}".format),
    }

    def cell(name: str, words: Callable[[float], str]) -> Callable[[Row], str]:
        return lambda row: "-" if (value := number_of(row, name)) is None else words(value)

    return {
        title: cell(name, words)
        for name, (title, words) in shown.items()
        if any(number_of(row, name) is not None for row in rows)
    }


def _by_column(
    rows: Sequence[Row], column: str, caption: str, facts: dict[str, Callable[[Row], str]] | None = None
) -> str:
    """A row a system, the EER of each value of a column, then facts; the first line counts the clips."""
    facts = facts or {}
    names = list(dict.fromkeys(row[column] for row in rows))
    counts = {row[column]: f"*{row['reals']} + {row['fakes']}*" for row in rows}
    lines = [["*clips, real + fake*", *(counts[name] for name in names), *("" for _ in facts)]]
    for system in dict.fromkeys(row["system"] for row in rows):
        own = {row[column]: row for row in rows if row["system"] == system}
        some = next(iter(own.values()))
        cells = [measured(own[name]) if name in own else "-" for name in names]
        lines.append([system, *cells, *(words(some) for words in facts.values())])
    return f"{caption}:\n\n" + _table(["system", *names, *facts], lines)


def _figure(row: Row, name: str) -> str:
    value = number_of(row, name)
    if value is None:
        return "-"
    return percent(value) if name in RATES else f"{value:.3f}"


def _table(columns: Sequence[object], lines: Sequence[Sequence[object]]) -> str:
    shown = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in shown)
