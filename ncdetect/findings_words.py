"""How the tables of the experiments are read, and their figures put into words: intervals, places, rules."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ncdetect.rules import RULES

Row = dict[str, str | int | float]
MEAN, ALL, RANDOM = "mean", "all", "random"
WILDS = ("wild", "in-the-wild")
"""Test sets of which nothing was trained on, so named by the corpora that the project knows."""
OPEN = "no difference that these clips can show"


@dataclass(frozen=True)
class Table:
    """A compact table: the first cell of a line names it; a line break in a cell is one in print."""

    caption: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    note: str = ""


class Difference(NamedTuple):
    """Of two EERs, with its 95 % interval: negative is better."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Better or worse where the interval leaves out zero, else open."""
        return "better" if self.high < 0 else "worse" if self.low > 0 else "open"

    @property
    def words(self) -> str:
        """Verdict, size and interval."""
        by, span = points(self.value), f"95 % interval {self._span()}"
        if self.verdict == "open":
            side = "" if by == "0.0" else f" {self._side(self.value)}"
            return f"{OPEN} ({by} points{side}; {span})"
        return f"{self.verdict}, by {by} points ({span})"

    @property
    def cell(self) -> str:
        """Signed points with the interval, for a table."""
        return f"{signed(self.value)} [{signed(self.low)}, {signed(self.high)}]"

    def _span(self) -> str:
        low, high = points(self.low), points(self.high)
        if self.high <= 0:
            return f"{high} to {low} better"
        if self.low >= 0:
            return f"{low} to {high} worse"
        return f"{low} better to {high} worse"

    @staticmethod
    def _side(value: float) -> str:
        return "better" if value < 0 else "worse"


def read_csv(file: Path) -> list[Row]:
    """Read a table; what looks like a number is one.

    Raises:
        FileNotFoundError: If it was not made yet.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        return [{name: _value(text) for name, text in line.items()} for line in csv.DictReader(stream)]


def _value(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def percent(rate: float) -> str:
    """A rate in per cent, never a certain 0 or 100."""
    return "<0.1" if rate < 0.0005 else ">99.9" if rate > 0.9995 else f"{100 * rate:.1f}"


def signed(difference: float) -> str:
    """A difference of rates in points, with its sign."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def points(difference: float) -> str:
    """The size of a difference of rates, in points."""
    return f"{abs(100 * difference):.1f}"


def measured(row: Row) -> str:
    """EER in per cent with its interval: `24.3 [19.6, 27.4]`."""
    low, high = number_of(row, "eer_low"), number_of(row, "eer_high")
    ends = "" if low is None or high is None else f" [{percent(low)}, {percent(high)}]"
    return percent(float(row["eer"])) + ends


def eer_words(row: Row) -> str:
    """As in `measured`, with its unit: `24.3 % [19.6, 27.4]`."""
    value, _, ends = measured(row).partition(" ")
    return f"{value} % {ends}".strip()


def number_of(row: Row, name: str) -> float | None:
    """A value of a row; None where it is empty or missing."""
    value = row.get(name, "")
    return None if isinstance(value, str) or not math.isfinite(value) else float(value)


def title(rule: str) -> str:
    """A rule in plain words."""
    return "Everything" if rule == ALL else RULES[rule].title if rule in RULES else rule


def named(rule: str) -> str:
    """A rule as a part of a sentence."""
    return {ALL: "all clips", RANDOM: "a random draw"}.get(rule, f"“{title(rule)}”")


def place(corpus: str) -> str:
    """Where was tested, as a part of a sentence."""
    if corpus == ALL:
        return "on new clips of the training collections"
    return "in the wild" if corpus in WILDS else f"on {corpus}"


def share_words(budget: float) -> str:
    """A budget or keep-rate: `25 %`, or `all`."""
    return "all" if budget == 1 else f"{100 * budget:.3g} %"


def clip_count(row: Row) -> int:
    """Clips trained on, of both classes."""
    return round(float(row["train_reals"]) + float(row["train_fakes"]))


def joined(parts: Sequence[str]) -> str:
    """`a, b and c`; at least one."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capitalised(text: str) -> str:
    """As the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def means(rows: Iterable[Row]) -> list[Row]:
    """The rows that average over the seeds."""
    return [row for row in rows if row["seed"] == MEAN]


def places(rows: Sequence[Row]) -> list[str]:
    """Test sets that findings speak of: the training collections pooled, or the only one, and the wild."""
    corpora = list(dict.fromkeys(str(row["corpus"]) for row in rows))
    home = ALL if ALL in corpora else next((name for name in corpora if name not in WILDS), None)
    return [name for name in (home, *WILDS) if name in corpora]


def trainings(rows: Sequence[Row]) -> str:
    """How many trainings stand behind each figure; empty where that is not known."""
    count = len({row["seed"] for row in rows} - {MEAN})
    if count == 1:
        return "Each was trained once only: how much luck there is in a training is not in the intervals."
    if not count:
        return ""
    return f"Each figure is the mean of {count} trainings; the intervals take in their luck, too."


def overlap(one: Row, other: Row) -> str:
    """Whether two intervals, which are not of a paired difference, settle anything."""
    ends = [number_of(row, end) for row in (one, other) for end in ("eer_low", "eer_high")]
    if None in ends:
        return ""
    low, high, other_low, other_high = ends
    apart = high < other_low or other_high < low
    return "the intervals lie apart" if apart else "the intervals overlap, so it may be chance"


def dev_loss(found: Mapping[str, Row]) -> float:
    """Of a training, from its row on any test set; infinite where it is not known."""
    loss = number_of(next(iter(found.values())), "dev_loss")
    return float("inf") if loss is None else loss


def best_by_dev(grid: Mapping[Any, Mapping[str, Row]]) -> Any:
    """The key of the lowest dev loss; of a tie that of fewer clips."""
    return min(grid, key=lambda key: (dev_loss(grid[key]), clip_count(next(iter(grid[key].values())))))


def by_columns(rows: Sequence[Row], *names: str) -> dict[Any, dict[str, Row]]:
    """The mean rows by some columns, each by test set."""
    found: dict[Any, dict[str, Row]] = {}
    for row in means(rows):
        key = tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]
        found.setdefault(key, {})[str(row["corpus"])] = row
    return found


def reaches_half(row: Row) -> bool:
    """Whether a model may be guessing there: its interval reaches 50 %."""
    high = number_of(row, "eer_high")
    return float(row["eer"] if high is None else high) >= 0.5
