"""The study of the other systems as `other-systems.csv` for machines and `other-systems.md` for people."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ncdetect import tables
from ncdetect.findings_words import (
    ALL,
    WILDS,
    Difference,
    Row,
    joined,
    measured,
    number_of,
    percent,
    place,
    reaches_half,
    signed,
)
from ncdetect.other_systems_rows import ATTACKS, ATTENTION, CLEAN, POSTER, SECTIONS
from ncdetect.other_systems_table import CLAIMS, DEV, FOLDS, Claim

FILE = "other-systems"
SETS = (DEV, ALL, "cloned", *WILDS)
"""Shown here; the CSV has each corpus."""
TITLES = dict(
    zip(
        SECTIONS,
        (
            "The OC-Softmax poster: LFCC and MFCC",
            "The OC-Softmax poster: Whisper and MesoNet",
            "The AASIST notes: AASIST-L, transfer learning",
            "The AASIST notes: attention on log-mel",
            "The AASIST notes: adversarial training",
        ),
        strict=True,
    )
)
NOTES = (
    "Every system was trained by this command on the train clips of the same corpora; dev chose the epoch "
    "(the lowest EER, as the poster chose); eval and wild had no part in training or choosing. In the roles "
    "of the documents' data: `neural` alone as it is for ASVspoof 2019 LA; all corpora, reals and fakes "
    "equally often, under codecs, for ASVspoof 2021 DF; `wild` for In-the-Wild. Clips are of 3 s (the "
    "poster: 7.5 s and more). `all` is the eval part of the corpora that can be trained on.",
    "The schedules stand under each table. Those for a CPU are tens to thousands of times shorter than the "
    "published ones: what they settle is how the systems compare after the same few minutes, not what the "
    "published ones reach. Seconds are those of training, choosing the epoch included.",
    "Intervals hold 95 %, drawn by speaker (reals) and generator (fakes), the same draws for every system; "
    "differences are paired. Accuracy and F1 (of the fakes) are taken at the threshold where the two error "
    "rates on the dev clips of the same training are nearest to each other.",
)
VERDICTS = {"better": "confirmed", "worse": "contradicted", "open": "open"}


def write(table: Sequence[tables.Row], folder: Path, command: str) -> list[Path]:
    """Write both files.

    Args:
        table: What `other_systems_table.lines` gives.
        folder: Made where it is not there.
        command: What made it: the first line of the Markdown.

    Returns:
        The files.
    """
    return tables.write_both(table, folder, FILE, lambda read: markdown(read, command))


def markdown(rows: Sequence[Row], command: str) -> str:
    """Command, what the figures are, and of each section the tables, the schedules, claims and answers."""
    parts = [f"Made by `{command}`.", *NOTES]
    for section in SECTIONS:
        own = [row for row in rows if row["section"] == section]
        figures = [row for row in own if not row["against"]]
        if not figures:
            continue
        parts += [f"## {TITLES[section]}", *_tables(figures)]
        parts.append("\n".join(_schedules(figures)))
        said = answers(section, rows)
        if said:
            parts.append("\n".join(f"- {sentence}" for sentence in said))
    return "\n\n".join(parts) + "\n"


# -- the tables


def _tables(figures: Sequence[Row]) -> list[str]:
    """EER by set with what it cost; the other figures; the folds; the attacks."""
    whole = [row for row in figures if row["set"] in SETS]
    made = []
    if whole:
        made += [_by_set(whole, _names(whole, SETS), _COSTS), _other_figures(whole)]
    attacked = [row for row in figures if row["set"] in (CLEAN, *ATTACKS)]
    if attacked:
        made.append(
            "Some of the dev clips, perturbed against the detector itself; the strength is a share of the "
            "training's, an attack of one step is FGSM, PGD has ten:"
        )
        made.append(_by_set(attacked, _names(attacked, (CLEAN, *ATTACKS)), {}))
        made.append(_other_figures(attacked))
    folded = [row for row in figures if row["set"] == FOLDS]
    if folded:
        made.append("Mean and deviation over the folds, whose clips choose the epoch as well, in %:")
        made.append(_table(["system", "clips", "EER", "accuracy", "F1", "clips drawn", "seconds"], [
            [row["system"], row["clips"], *(_spread(row, name) for name in ("eer", "accuracy", "f1")),
             *(words(row) for words in _DRAWN.values())]
            for row in folded
        ]))  # fmt: skip
    return made


def _names(rows: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    there = {row["set"] for row in rows}
    return [name for name in wanted if name in there]


_DRAWN: dict[str, Callable[[Row], str]] = {
    "clips drawn": lambda row: f"{row['draws']:,}",
    "seconds": lambda row: f"{row['seconds']:,.0f}",
}
_COSTS: dict[str, Callable[[Row], str]] = {"parameters": lambda row: f"{row['parameters']:,}"} | _DRAWN


def _by_set(rows: Sequence[Row], names: Sequence[str], facts: dict[str, Callable[[Row], str]]) -> str:
    """A row a system: EER on each set; the first line counts the clips, where they are the same for all."""
    counts = [{f"*{row['reals']} + {row['fakes']}*" for row in rows if row["set"] == name} for name in names]
    counted = [next(iter(one)) if len(one) == 1 else "*its own*" for one in counts]
    lines = [["*clips, real + fake*", "", *counted, *("" for _ in facts)]]
    for system in dict.fromkeys(row["system"] for row in rows):
        own = {row["set"]: row for row in rows if row["system"] == system}
        some = next(iter(own.values()))
        cells = [measured(own[name]) if name in own else "-" for name in names]
        lines.append([f"{system}: {some['what']}", some["trained_on"], *cells,
                      *(words(some) for words in facts.values())])  # fmt: skip
    return "EER in % with 95 % interval:\n\n" + _table(["system", "trained on", *names, *facts], lines)


def _other_figures(rows: Sequence[Row]) -> str:
    columns = {"ap_fake": "AP of fake", "accuracy": "accuracy", "f1": "F1"}
    names = [name for name in (DEV, ALL, *WILDS, CLEAN, *ATTACKS) if any(row["set"] == name for row in rows)]
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        own = {row["set"]: row for row in rows if row["system"] == system}
        lines.append([system, *(
            " / ".join(percent(float(own[name][column])) for column in columns) if name in own else "-"
            for name in names
        )])  # fmt: skip
    return f"{' / '.join(columns.values())}, in %:\n\n" + _table(["system", *names], lines)


def _spread(row: Row, name: str) -> str:
    return f"{100 * float(row[name]):.1f} ± {100 * float(row[f'{name}_sd']):.1f}"


def _schedules(figures: Sequence[Row]) -> list[str]:
    first = {row["system"]: row for row in reversed(figures)}
    return ["Schedules:", "", *(f"- {name}: {first[name]['schedule']}" for name in reversed(first))]


def _table(columns: Sequence[object], lines: Sequence[Sequence[object]]) -> str:
    shown = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in shown)


# -- what the documents claim, and what came out


def answers(section: str, rows: Sequence[Row]) -> list[str]:
    """A sentence for each claim of a section, as far as its systems were run.

    Args:
        section: One of SECTIONS.
        rows: The whole table: a claim may reach into another section.
    """
    said = [answer(claim, rows) for claim in CLAIMS if claim.section == section]
    more = {POSTER: _longer, ATTENTION: _notes}.get(section)
    return [sentence for sentence in said if sentence] + (more(rows) if more else [])


def answer(claim: Claim, rows: Sequence[Row]) -> str:
    """The claim, and on each set whether it is confirmed; empty where it was not looked at."""
    found = []
    for row in rows:
        if (row["system"], row["against"]) == (claim.better, claim.worse) and row["set"] in claim.sets:
            difference = Difference(*(float(row[f"difference{end}"]) for end in ("", "_low", "_high")))
            name = str(row["set"])
            both = [
                other for other in rows
                if other["set"] == name and not other["against"]
                and other["system"] in (claim.better, claim.worse)
            ]  # fmt: skip
            guess = "; both may be guessing there" if all(map(reaches_half, both)) else ""
            found.append(f"{_where(name)} {VERDICTS[difference.verdict]}: {difference.words}{guess}")
    if not found:
        return ""
    return f"*{claim.text}* Here, {claim.better} against {claim.worse}, it is {'; '.join(found)}."


def _where(name: str) -> str:
    return f"under {name} of the training's strength" if name in ATTACKS else place(name)


def _longer(rows: Sequence[Row]) -> list[str]:
    """What the last four fifths of a training bring, on dev."""
    dev = (row for row in rows if (row["section"], row["set"], row["against"]) == (POSTER, DEV, ""))
    moved = [
        (row["system"], float(row["eer_fifth"]), float(row["eer_last"]))
        for row in dev
        if number_of(row, "eer_fifth") is not None
    ]
    if not moved:
        return []
    lower = sum(last < fifth for _, fifth, last in moved)
    told = joined([
        f"{name} {percent(fifth)} to {percent(last)} ({signed(last - fifth)})" for name, fifth, last in moved
    ])  # fmt: skip
    return [
        "*The poster: longer training helps (2019 LA, dev: OC-Softmax from 0.28 % after 20 epochs to 0.20 % "
        "after 100, softmax from 0.35 % to 0.27 %).* Here, EER in % on the dev clips that choose the epoch, "
        f"after a fifth of the schedule and at its end: {told}; it fell for {lower} of "
        f"{len(moved)}. In the wild only the end was measured."
    ]


def _notes(rows: Sequence[Row]) -> list[str]:
    """The notes' own figures, and whether the detector carries over to what it never heard."""
    said = [
        "*The notes: on ASVspoof accuracy 92.4 %, EER 7.1 %, F1 0.89.* Here, on clips of other speakers and "
        f"generators, {row['system']} comes to accuracy {_spread(row, 'accuracy')} %, EER "
        f"{_spread(row, 'eer')} %, F1 {float(row['f1']):.2f}: "
        + ("as good." if float(row["eer"]) <= 0.071 else "not confirmed on these corpora.")
        for row in rows
        if row["section"] == ATTENTION and row["set"] == FOLDS
    ]
    own = {row["set"]: row for row in rows if row["section"] == ATTENTION and row["set"] in (DEV, *WILDS)}
    wild = next((own[name] for name in WILDS if name in own), None)
    if wild and DEV in own:
        dev = own[DEV]
        apart = float(wild["eer_low"]) > float(dev["eer_high"])
        guess = ", where it may be guessing" if reaches_half(wild) else ""
        verdict = (
            "contradicted: the intervals lie apart" if apart
            else "not contradicted: the intervals overlap, which says little where they are wide"
        )  # fmt: skip
        said.append(
            "*The notes: it generalises well to unseen techniques.* Here the EER is "
            f"{measured(dev)} % on dev and {measured(wild)} % in the wild{guess}: {verdict}."
        )
    return said
