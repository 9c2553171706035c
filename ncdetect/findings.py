"""What the tables of experiments 1 to 4 say, in plain words and in tables beside the paper's own numbers.

Pure functions of the rows that `read_csv` returns. Every sentence is worked out from the numbers: whatever
wins is said, also where neural-collapse sampling loses.
"""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from ncdetect import findings_rules
from ncdetect.findings_words import (
    ALL,
    WILDS,
    Row,
    Table,
    best_by_dev,
    by_columns,
    capitalised,
    clip_count,
    dev_loss,
    eer_words,
    joined,
    means,
    measured,
    overlap,
    percent,
    place,
    places,
    reaches_half,
    share_words,
    trainings,
)

CITATION = "Yousif et al. 2024, arXiv:2404.13008"


class Paper(NamedTuple):
    """A figure of the paper; it gives no intervals and does not name the positive class of its mAP."""

    experiment: int
    model: str
    training: str
    evaluation: str
    eer: float
    mean_ap: float


_LA, _WILD, _SUBSET = "ASVspoof 2019 LA", "In-the-Wild", "a subset of the three"
_SMALL, _HALF = "tiny ResNet, 9 blocks", f"NC sampling: all reals, 50 % of the fakes of {_LA} train"
_RANDOM = f"random, {{}} per class from each of {_LA}, FoR and WaveFake"
PAPER = (
    Paper(1, "ResNet, 18 blocks", f"all of {_LA} train", f"{_LA} eval", 0.08, 0.99),
    Paper(1, "ResNet, 18 blocks", f"all of {_LA} train", _WILD, 0.57, 0.32),
    Paper(1, "ConvNeXt", f"all of {_LA} train", f"{_LA} eval", 0.11, 0.99),
    Paper(1, "ConvNeXt", f"all of {_LA} train", _WILD, 0.47, 0.41),
    Paper(2, _SMALL, _HALF, f"{_LA} eval", 0.10, 0.99),
    Paper(2, _SMALL, _HALF, _WILD, 0.54, 0.48),
    Paper(3, _SMALL, _RANDOM.format("1,000"), _SUBSET, 0.39, 0.60),
    Paper(3, _SMALL, _RANDOM.format("1,000"), _WILD, 0.49, 0.37),
    Paper(3, _SMALL, _RANDOM.format("3,000"), _SUBSET, 0.44, 0.56),
    Paper(3, _SMALL, _RANDOM.format("3,000"), _WILD, 0.54, 0.26),
    Paper(3, _SMALL, _RANDOM.format("5,000"), _SUBSET, 0.44, 0.56),
    Paper(3, _SMALL, _RANDOM.format("5,000"), _WILD, 0.52, 0.32),
)
"""The paper's own numbers; its experiments differ in what they train and test on."""


def sentences(number: int, rows: Sequence[Row]) -> list[str]:
    """What an experiment found, the most important first; none without rows that average over seeds."""
    return [text for text in _EXPERIMENTS[number].sentences(rows) if text] if means(rows) else []


def tables(number: int, rows: Sequence[Row]) -> list[Table]:
    """The compact tables of an experiment, EER in per cent; none without rows that average over seeds."""
    return _EXPERIMENTS[number].tables(rows) if means(rows) else []


def papers_table(number: int) -> Table:
    """The paper's own numbers beside an experiment; beside the fourth, which it lacks, those in the wild."""
    entries = [entry for entry in PAPER if number in (entry.experiment, 4)]
    caption, note = f"The paper's own numbers ({CITATION})", ""
    if number == 4:
        entries = [entry for entry in entries if entry.evaluation == _WILD]
        note = (
            "The paper never compares rules at an equal number of clips; these are its figures in the wild. "
        )
    lines = tuple(
        (entry.model, entry.training, entry.evaluation, f"{100 * entry.eer:.0f}", f"{entry.mean_ap:.2f}")
        for entry in entries
    )
    note += "Other clips for training and test than here, and no intervals: only the pattern compares."
    return Table(caption, ("model", "trained on", "tested on", "EER %", "mAP"), lines, note)


def markdown(number: int, rows: Sequence[Row], command: str) -> str:
    """The text beside the CSV: command, findings, tables, the paper's numbers."""
    found = sentences(number, rows)
    parts = [f"Made by `{command}`."]
    if found:
        parts += [f"**{found[0]}**", "\n".join(f"- {text}" for text in found[1:])]
    parts += [_printed(table) for table in (*tables(number, rows), papers_table(number))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _printed(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"

    lines = [line(table.columns), "|" + "---|" * len(table.columns), *map(line, table.lines)]
    return f"{table.caption}\n\n" + "\n".join(lines) + (f"\n\n{table.note}" if table.note else "")


def _papers(number: int, wild: bool) -> list[float]:
    return [e.eer for e in PAPER if e.experiment == number and (e.evaluation == _WILD) == wild]


def _listed(rates: Sequence[float]) -> str:
    return joined([f"{100 * rate:.0f}" for rate in rates]) + " %"


# -- experiment 1: each collection by itself


def _pairs(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """By model and training collection: the rows of its own collection (`own`) and of each other test set."""
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in means(rows):
        key = (str(row["model"]), str(row["trained_on"]))
        own = row["corpus"] == row["trained_on"]
        pairs.setdefault(key, {})["own" if own else str(row["corpus"])] = row
    return pairs


def _sentences_1(rows: Sequence[Row]) -> list[str]:
    pairs, found = _pairs(rows), []
    for wild in WILDS:
        both = {key: (row["own"], row[wild]) for key, row in pairs.items() if "own" in row and wild in row}
        if not both:
            continue
        own, away = (fmean(float(pair[i]["eer"]) for pair in both.values()) for i in (0, 1))
        harder = sum(there["eer"] > here["eer"] for here, there in both.values())
        found.append(
            f"A model that learned from one collection errs on {percent(own)} % of new clips of that "
            f"collection, and on {percent(away)} % {place(wild)} (means of {len(both)} models): the wild is "
            f"harder for {harder} of {len(both)}."
        )
        for text, side in (("in its own collection", 0), (place(wild), 1)):
            model, corpus = min(both, key=lambda key: float(both[key][side]["eer"]))
            best = eer_words(both[model, corpus][side])
            found.append(f"Fewest mistakes {text}: {model} trained on {corpus}, {best}.")
        guessing = sum(reaches_half(pair[1]) for pair in both.values())
        found.append(
            f"{capitalised(place(wild))}, {guessing} of {len(both)} cannot be told from guessing: "
            "their intervals reach 50 %."
        )
        same = "the same direction as here" if away > own else "unlike here"
        found.append(
            f"The paper's two models erred on {_listed(_papers(1, wild=False))} at home and on "
            f"{_listed(_papers(1, wild=True))} in the wild: {same}."
        )
    return [*found, trainings(rows)]


def _tables_1(rows: Sequence[Row]) -> list[Table]:
    others = places(rows)
    others = [name for name in others if name == ALL or name in WILDS]
    lines = tuple(
        (
            f"{model} on {corpus}",
            f"{clip_count(next(iter(found.values()))):,}",
            *(measured(found[name]) if name in found else "–" for name in ("own", *others)),
        )
        for (model, corpus), found in _pairs(rows).items()
    )
    return [
        Table(
            "EER in % with 95 % interval, each model trained on one collection",
            ("model", "clips", "its own collection", *map(_heading, others)),
            lines,
        )
    ]


def _heading(corpus: str) -> str:
    return {ALL: "all collections"}.get(corpus, "in the wild" if corpus in WILDS else corpus)


# -- experiment 2: keep-rates of NC sampling


def _grid(rows: Sequence[Row], corpus: str) -> dict[tuple[float, float], dict[str, Row]]:
    """By rate of reals and of fakes: the row of each test set."""
    grid: dict[tuple[float, float], dict[str, Row]] = {}
    for row in means(rows):
        if row["trained_on"] == corpus:
            rates = float(row["real_rate"]), float(row["fake_rate"])
            grid.setdefault(rates, {})[str(row["corpus"])] = row
    return grid


def _trained_on(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["trained_on"]) for row in means(rows)))


def _kept(rates: tuple[float, float]) -> str:
    return f"{share_words(rates[0])} of the reals and {share_words(rates[1])} of the fakes"


def _sentences_2(rows: Sequence[Row]) -> list[str]:
    corpora, found, fewer = _trained_on(rows), [], 0
    won: dict[str, list[bool]] = {}
    for corpus in corpora:
        grid = _grid(rows, corpus)
        best, whole = best_by_dev(grid), (1.0, 1.0)
        fewer += best != whole
        text = f"{corpus}: dev chooses {_kept(best)} ({clip_count(next(iter(grid[best].values()))):,} clips)"
        if best == whole or whole not in grid:
            found.append(f"{text}.")
            continue
        for name in (corpus, *WILDS):
            if name not in grid[best] or name not in grid[whole]:
                continue
            one, other = grid[best][name], grid[whole][name]
            won.setdefault(place(name) if name in WILDS else "in their own collection", []).append(
                one["eer"] < other["eer"]
            )
            settled = overlap(one, other)
            text += f"; {place(name)} {eer_words(one)} against {eer_words(other)} with all" + (
                f": {settled}" if settled else ""
            )
        found.append(f"{text}.")
    headline = (
        "Keeping only the most typical clips of a collection: on the validation clips (dev), fewer did "
        f"better than all in {fewer} of {len(corpora)} collections"
    )
    for where, wins in won.items():
        headline += f"; on the test clips {where}, in {sum(wins)} of these {len(wins)}"
    return [
        f"{headline}.",
        *found,
        _picked_by_chance(len(_grid(rows, corpora[0]))),
        "“All” are the clips that the pre-trained model gets right: only these can be chosen.",
        f"The paper found best: all reals and 50 % of the fakes of {_LA}, {_listed(_papers(2, wild=False))} "
        f"at home and {_listed(_papers(2, wild=True))} in the wild.",
        trainings(rows),
    ]


def _picked_by_chance(settings: int) -> str:
    if settings < 2:
        return ""
    return (
        f"There are {settings} settings to choose from: were they all alike, chance would pick one with "
        f"fewer clips in {settings - 1} of {settings} cases."
    )


def _tables_2(rows: Sequence[Row]) -> list[Table]:
    columns = (
        "trained on",
        "reals kept",
        "fakes kept",
        "clips",
        "dev loss",
        "its own collection",
        "in the wild",
    )
    short, whole = [], []
    for corpus in _trained_on(rows):
        grid = _grid(rows, corpus)
        for rates, found in grid.items():
            wild = next((found[name] for name in WILDS if name in found), None)
            line = (
                corpus,
                *map(share_words, rates),
                f"{clip_count(next(iter(found.values()))):,}",
                f"{dev_loss(found):.3f}",
                measured(found[corpus]) if corpus in found else "–",
                measured(wild) if wild else "–",
            )
            whole.append(line)
            if rates in (best_by_dev(grid), (1.0, 1.0)):
                short.append(line)
    caption = "EER in % with 95 % interval"
    return [
        Table(f"{caption}: the keep-rates that dev chooses, beside keeping all", columns, tuple(short)),
        Table(f"{caption}: the whole grid", columns, tuple(whole)),
    ]


# -- experiment 3: random clips


def _sentences_3(rows: Sequence[Row]) -> list[str]:
    by_count, found = dict(sorted(by_columns(rows, "count").items())), []
    for name in places(rows):
        line = {count: test[name] for count, test in by_count.items() if name in test}
        rates = [float(row["eer"]) for row in line.values()]
        (fewest, first), (most, last) = list(line.items())[0], list(line.items())[-1]
        text = f"{eer_words(first)} with {fewest:,} of each class and collection"
        if len(rates) == 1:
            found.append(f"With random clips, {place(name)}: {text}.")
            continue
        settled = overlap(first, last)
        found.append(
            f"{_trend(rates)} {place(name)}: {text}, {eer_words(last)} with {most:,}"
            + (f"; {settled}." if settled else ".")
        )
    return [
        *found,
        f"The paper, with 1,000, 3,000 and 5,000: {_listed(_papers(3, wild=False))} at home and "
        f"{_listed(_papers(3, wild=True))} in the wild.",
        trainings(rows),
    ]


def _trend(rates: Sequence[float]) -> str:
    steps = [later - earlier for earlier, later in zip(rates, rates[1:], strict=False)]
    if all(step < 0 for step in steps):
        return "More random clips, fewer mistakes at every step"
    if rates[-1] < rates[0]:
        return "More random clips made fewer mistakes, though not at every step"
    if rates[-1] == rates[0]:
        return "More random clips changed nothing between fewest and most"
    return "More random clips did not help"


def _tables_3(rows: Sequence[Row]) -> list[Table]:
    shown = places(rows)
    lines = tuple(
        (
            f"{count:,}",
            f"{clip_count(next(iter(found.values()))):,}",
            f"{dev_loss(found):.3f}",
            *(measured(found[name]) if name in found else "–" for name in shown),
        )
        for count, found in sorted(by_columns(rows, "count").items())
    )
    columns = ("of each class and collection", "clips", "dev loss", *map(_heading, shown))
    return [Table("EER in % with 95 % interval, random clips", columns, lines)]


# -- experiment 4: rules of selection at equal budgets


class _Experiment(NamedTuple):
    sentences: Callable[[Sequence[Row]], list[str]]
    tables: Callable[[Sequence[Row]], list[Table]]


_EXPERIMENTS = {
    1: _Experiment(_sentences_1, _tables_1),
    2: _Experiment(_sentences_2, _tables_2),
    3: _Experiment(_sentences_3, _tables_3),
    4: _Experiment(findings_rules.sentences, findings_rules.tables),
}
