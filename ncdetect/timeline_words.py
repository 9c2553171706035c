"""The study of long clips as a table and in plain sentences: `joined.csv` and `joined.md`."""

from collections.abc import Sequence
from pathlib import Path

from ncdetect import tables
from ncdetect.findings_words import ALL, percent, place, signed
from ncdetect.timeline import CONSTANTS, DEV, EVAL, IN_USE, MEAN, RULES, Row, chosen, constants_name

FALSE_ALARMS = 0.05
"""Constants that warn of more of the clips that were not spliced (both classes weigh half) do not count."""


def write(rows: Sequence[Row], folder: Path, command: str) -> list[Path]:
    """Write the table as CSV and Markdown; the command that made it is the Markdown's first line."""
    return tables.write_both(rows, folder, "joined", lambda read: markdown(read, command))


class _Figures:
    """Rows by set, measure and choice."""

    def __init__(self, rows: Sequence[Row]):
        self.rows = {(row["set"], row["measure"], row["choice"]): row for row in rows}
        self.sets = list(dict.fromkeys(row["set"] for row in rows))

    def value(self, name: str, measure: str, choice: str = "") -> float:
        return float(self.rows[name, measure, choice]["value"])

    def rate(self, name: str, measure: str, choice: str = "") -> str:
        """`12.3 % [8.1, 17.0]`."""
        row = self.rows[name, measure, choice]
        ends = "" if row["low"] == "" else f" [{percent(row['low'])}, {percent(row['high'])}]"
        return f"{percent(row['value'])} %{ends}"

    def cell(self, name: str, measure: str, choice: str = "") -> str:
        """`12.3 [8.1, 17.0]`, or a dash where it was not measured."""
        known = (name, measure, choice) in self.rows
        return self.rate(name, measure, choice).replace(" %", "") if known else "-"

    def counts(self, name: str) -> str:
        """`60 + 74, 60`."""
        row = next(row for key, row in self.rows.items() if key[0] == name)
        return f"{row['reals']} + {row['fakes']}, {row['spliced']}"


def markdown(rows: Sequence[Row], command: str) -> str:
    """Sentences and tables made of the study's rows."""
    figures = _Figures(rows)
    sentences = [sentence for name in figures.sets if name != DEV for sentence in _sentences(figures, name)]
    sentences += [_constants_sentence(figures), _MADE, _DRAWN]
    tables_by_title = {
        "Ways of putting windows together, on dev, each calibrated there": _rules_table(figures),
        "Long clips and their timelines, in % with 95 % interval": _sets_table(figures),
        "The warning on dev with other constants, in % with 95 % interval": _constants_table(figures),
    }
    lines = [f"Made by `{command}`.", "", f"**{_rule_sentence(figures, rows)}**", ""]
    lines += [f"- {sentence}" for sentence in sentences]
    for title, table in tables_by_title.items():
        lines += ["", title, "", *table]
    return "\n".join(lines) + "\n"


_MADE = (
    "Clips of 3 s were joined to 10 to 30 s: those of one speaker or generator and, where these do not last, "
    "those of one source of reals or one kind of generator."
)
_DRAWN = "The intervals draw speakers, sources, generators and kinds with replacement."


def _rule_sentence(figures: _Figures, rows: Sequence[Row]) -> str:
    rule = chosen(rows)
    if rule == MEAN:
        return "A clip's score is the mean of its windows': on dev nothing else is clearly better."
    gain = figures.value(DEV, "cllr_difference", rule)
    return f"A clip's score is the mean of its windows': on dev the {rule} is better, by {-gain:.3f} bits."


def _sentences(figures: _Figures, name: str) -> list[str]:
    where, in_use = place(ALL if name == EVAL else str(name)), constants_name(*IN_USE)

    def of(measure: str, choice: str = "") -> str:
        return f"{percent(figures.value(name, measure, choice))} %"

    verdicts = f"{of('decided', MEAN)} get a verdict"
    if figures.value(name, "decided", MEAN) > 0:
        verdicts += f", of which {of('accuracy', MEAN)} are right"
    return [
        f"Long clips {where}: EER {figures.rate(name, 'eer', MEAN)}; {verdicts}.",
        f"A fake stretch of 4 to 8 s in a real recording, {where}: what sounds most fake lies in it in "
        f"{figures.rate(name, 'found')} of the recordings; by chance it would in {of('found_by_chance')}.",
        f"The warning about a different part names it in {figures.rate(name, 'told', in_use)}; "
        f"{of('unnoticed', in_use)} pass as real without it.",
        f"Without reason it is given for {of('false_alarm_real', in_use)} of the reals and "
        f"{of('false_alarm_fake', in_use)} of the fakes.",
    ]


def _alarms(figures: _Figures, choice: str) -> float:
    return sum(figures.value(DEV, f"false_alarm_{word}", choice) for word in ("real", "fake")) / 2


def _constants_sentence(figures: _Figures) -> str:
    limit, in_use = f"{100 * FALSE_ALARMS:g} %", constants_name(*IN_USE)
    kept = [choice for pair in CONSTANTS if _alarms(figures, choice := constants_name(*pair)) <= FALSE_ALARMS]
    if not kept:
        return f"With none of the constants tried is the warning given falsely for {limit} or less on dev."
    best = max(kept, key=lambda choice: (figures.value(DEV, "told", choice), -_alarms(figures, choice)))
    if figures.value(DEV, "told", best) <= figures.value(DEV, "told", in_use):
        return f"No other constants of the warning find more on dev with at most {limit} false alarms."
    found, now = (figures.rate(DEV, "told", choice) for choice in (best, in_use))
    return (
        f"With at most {limit} false alarms on dev the warning finds most with {best} (windows in a row, "
        f"probability): {found}, against {now} as it is."
    )


def _rules_table(figures: _Figures) -> list[str]:
    lines = ["| rule | EER % | difference | cross-entropy in bits | difference |", "|---|---|---|---|---|"]
    for rule in RULES:
        cells = [figures.cell(DEV, "eer", rule), "", f"{figures.value(DEV, 'cllr', rule):.3f}", ""]
        if rule != MEAN:
            eer, bits = (figures.rows[DEV, f"{name}_difference", rule] for name in ("eer", "cllr"))
            cells[1] = f"{signed(eer['value'])} [{signed(eer['low'])}, {signed(eer['high'])}]"
            cells[3] = f"{bits['value']:+.3f} [{bits['low']:+.3f}, {bits['high']:+.3f}]".replace("-", "−")
        lines.append(f"| {rule} | " + " | ".join(cells) + " |")
    return lines


def _sets_table(figures: _Figures) -> list[str]:
    in_use = constants_name(*IN_USE)
    measures = {
        "EER": ("eer", MEAN),
        "EER, of one speaker or generator only": ("eer_one_voice", MEAN),
        "with a verdict": ("decided", MEAN),
        "of these, right": ("accuracy", MEAN),
        "what sounds most fake lies in the fake stretch": ("found", ""),
        "by chance": ("found_by_chance", ""),
        "EER of windows, in the fake stretch against outside": ("window_eer", ""),
        "warning names the fake stretch": ("told", in_use),
        "called real without that": ("unnoticed", in_use),
        "warning on reals": ("false_alarm_real", in_use),
        "warning on fakes": ("false_alarm_fake", in_use),
    }
    counts = " | ".join(f"*{figures.counts(name)}*" for name in figures.sets)
    lines = ["| | " + " | ".join(figures.sets) + " |", "|---|" + "---|" * len(figures.sets)]
    lines.append(f"| *clips, real + fake, spliced* | {counts} |")
    for words, (measure, choice) in measures.items():
        cells = " | ".join(figures.cell(name, measure, choice) for name in figures.sets)
        lines.append(f"| {words} | {cells} |")
    return lines


def _constants_table(figures: _Figures) -> list[str]:
    lines = [
        "| windows in a row, at probability | names the fake stretch | on reals | on fakes |",
        "|---|---|---|---|",
    ]
    for pair in CONSTANTS:
        choice = constants_name(*pair)
        measures = ("told", "false_alarm_real", "false_alarm_fake")
        cells = " | ".join(figures.cell(DEV, measure, choice) for measure in measures)
        lines.append(f"| {choice}{' (in use)' if pair == IN_USE else ''} | {cells} |")
    return lines
