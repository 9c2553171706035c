"""The series of changes as a table: `detector.csv` for machines, `detector.md` for people."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ncdetect import error_groups, files
from ncdetect.pipeline import Figures

if TYPE_CHECKING:
    from ncdetect.detector_build import Shipped
    from ncdetect.detector_study import Change

COMMAND = "python -m ncdetect detector --data DATA --weights WEIGHTS"
FILE = "detector"
TESTS = {"all": "eval", "cloned": "eval_cloned", "wild": "wild"}
"""Columns of the milestones, by the name of the set in `Figures`."""
Rows = Mapping[str, Mapping[str, float]]


def write(changes: Sequence["Change"], rows: Rows, shipped: Sequence["Shipped"], folder: Path) -> list[Path]:
    """Write both files.

    Args:
        changes: Of the series, in its order.
        rows: `detector_study.summary` of each.
        shipped: What ships, with its figures on eval and wild.
        folder: The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = [
        {"change": change.name, "what": change.what, "why": change.why}
        | {name: round(value, 4) for name, value in rows[change.name].items()}
        for change in changes
    ]
    table += [
        {"change": f"{entry.name}-seed{seed}", "what": f"shipped as {entry.name}: {entry.change.name}"
         if seed == entry.seed else entry.change.name, "why": "final"} | milestones(figures)
        for entry in shipped
        for seed, figures in entry.figures.items()
    ]  # fmt: skip
    columns = list(dict.fromkeys(name for row in table for name in row))
    with (
        files.replacing(folder / f"{FILE}.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    files.write_text(folder / f"{FILE}.md", markdown(changes, rows, shipped))
    return [folder / f"{FILE}.csv", folder / f"{FILE}.md"]


def milestones(figures: Sequence[Figures]) -> dict[str, float]:
    """EER and interval on eval, its part `cloned`, and wild."""
    row = {}
    for entry in figures:
        if entry.clips in TESTS:
            for end, value in zip(("", "_low", "_high"), entry.eer, strict=True):
                row[f"eer_test_{TESTS[entry.clips]}{end}"] = round(value, 4)
    return row


def markdown(changes: Sequence["Change"], rows: Rows, shipped: Sequence["Shipped"]) -> str:
    """The series, what it says, and what ships."""
    heads = {
        "eer_corpora": "another corpus", "eer_generators": "other voices", "eer_dev": "dev",
        "eer_corpora_damaged": "another corpus, damaged", "eer_known_damaged": "known corpora, damaged",
        "eer_validation": "**validation**", "seconds": "seconds",
    }  # fmt: skip
    lines = [
        f"Made by `{COMMAND}`.",
        "",
        "EER in %, on clips unlike those of the training: of a corpus that was left out (mean of four), of "
        "generators and speakers that were left out, of dev; as they are, and with several damages at once. "
        "`validation` is the mean of `another corpus` and of the two others, as they are and damaged: it "
        "decides. Eval and wild have no part in it.",
        "",
        "| change | what | why | " + " | ".join(heads.values()) + " |",
        "|---|---|---|" + "---|" * len(heads),
    ]
    for change in changes:
        cells = [
            f"{rows[change.name][key]:.0f}" if key == "seconds" else f"{100 * rows[change.name][key]:.1f}"
            for key in heads
        ]
        lines.append(f"| {change.name} | {change.what} | {change.why} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {sentence}" for sentence in sentences(rows)), ""]
    for entry in shipped:
        lines += [*final(entry), ""]
    return "\n".join(lines)


def final(entry: "Shipped") -> list[str]:
    """What ships under a name: each seed on eval and wild, the spread, what the verdicts came to."""
    first = next(iter(entry.figures.values()))
    lines = [
        f"**{entry.name}** ({entry.change.what}): EER in % [95 % interval] on clips that neither trained nor "
        f"chose it; the seed with the least dev loss ships ({entry.seed}).",
        "",
        "| seed | dev loss | " + " | ".join(f"{f.clips} ({f.reals} + {f.fakes})" for f in first) + " |",
        "|---|---|" + "---|" * len(first),
    ]
    for seed, figures in entry.figures.items():
        cells = [f"{100 * f.eer.value:.1f} [{100 * f.eer.low:.1f}, {100 * f.eer.high:.1f}]" for f in figures]
        lines.append(f"| {seed} | {entry.dev_losses[seed]:.3f} | " + " | ".join(cells) + " |")
    spread = [
        f"{figures.clips} {100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}"
        for index, figures in enumerate(first)
        for values in [[row[index].eer.value for row in entry.figures.values()]]
    ]
    lines += ["", f"Mean and deviation over the seeds: {', '.join(spread)}."]
    lines += [f"- {told_sentence(clips, report)}" for clips, report in entry.told.items()]
    read = ", ".join(f"{100 * value:.0f} % ({name})" for name, value in entry.sources.items())
    lines.append(
        f"- From the embedding a linear probe reads which corpus an eval real is of: {read}; chance is 25 %."
    )
    for clips, groups in entry.errors.items():
        lines += ["", f"Wrong at the equal error rate, {clips}:", "", *error_groups.table(groups)]
    return lines


def told_sentence(clips: str, report) -> str:
    """What the verdicts on a set of clips came to."""
    return (
        f"On {clips} ({report.reals} + {report.fakes} clips) it decides {100 * report.decided:.0f} %, and is "
        f"right in {100 * report.accuracy:.0f} % of what it decides: of the decided reals it calls "
        f"{100 * report.false_alarm:.0f} % fake, of the decided fakes {100 * report.miss:.0f} % real."
    )


def sentences(rows: Rows) -> list[str]:
    """What the series says, from its numbers."""
    start = "all-copies"
    if start not in rows:
        return []
    said = []
    for name, text in (
        ("random-half", "a random half of the clips"),
        ("algorithm-1-half", "the half nearest to its class means (Algorithm 1)"),
        ("algorithm-2-half", "half of the clips by Algorithm 2"),
    ):
        if name in rows:
            change = 100 * (rows[name]["eer_validation"] - rows[start]["eer_validation"])
            said.append(f"With {text} instead of all, validation moves by {change:+.1f} points.")
    without = {name: rows[name] for name in rows if name.startswith("no-") and name != "no-average"}
    for name, row in without.items():
        change = 100 * (row["eer_dev"] - rows[start]["eer_dev"])
        said.append(f"Without `{name.removeprefix('no-')}` in training, dev moves by {change:+.1f} points.")
    return said
