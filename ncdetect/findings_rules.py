"""What experiment 4 found: rules of selection against a random draw of equal size and against all clips."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from ncdetect.findings_words import (
    ALL,
    RANDOM,
    Difference,
    Row,
    Table,
    best_by_dev,
    by_columns,
    capitalised,
    clip_count,
    dev_loss,
    eer_words,
    joined,
    measured,
    named,
    number_of,
    percent,
    place,
    places,
    points,
    reaches_half,
    share_words,
    title,
    trainings,
)
from ncdetect.rules import RULES

NC_RULES = {"algorithm-1": "Algorithm 1", "algorithm-2": "Algorithm 2"}
"""Neural-collapse sampling, by the paper's names."""
QUARTER = 0.25
CHANCE = 0.05
"""Share of 95 % intervals that leave out zero although there is no difference."""


class Choice(NamedTuple):
    """A rule and a budget, with the row of each test set."""

    rule: str
    budget: float
    tests: Mapping[str, Row]

    @property
    def row(self) -> Row:
        """Any: what does not depend on the test set."""
        return next(iter(self.tests.values()))


def choices(rows: Sequence[Row]) -> list[Choice]:
    """All rules and budgets, in the order of `rules.RULES`, random and everything first."""
    order = [ALL, RANDOM, *RULES]
    found = [
        Choice(str(rule), float(b), tests) for (rule, b), tests in by_columns(rows, "rule", "budget").items()
    ]
    place_of = {rule: at for at, rule in reversed(list(enumerate(order)))}
    return sorted(found, key=lambda one: (place_of.get(one.rule, len(order)), one.rule, one.budget))


def chosen_on_dev(rows: Sequence[Row], budget: float | None = None) -> Choice | None:
    """The rule and budget of the lowest mean dev loss: no test clip is asked; of a tie that of fewer clips.

    Args:
        rows: Of experiment 4.
        budget: Only among those of this budget.
    """
    found = {(c.rule, c.budget): c for c in choices(rows) if budget in (None, c.budget)}
    return found[best_by_dev({key: choice.tests for key, choice in found.items()})] if found else None


def difference(row: Row, reference: str = RANDOM) -> Difference | None:
    """EER less that of `random` at the same budget, or of `all`; None where it is not defined."""
    suffix = "" if reference == RANDOM else f"_{reference}"
    names = (f"difference_from_{reference}", f"difference{suffix}_low", f"difference{suffix}_high")
    values = [number_of(row, name) for name in names]
    return None if None in values else Difference(*values)


def sentences(rows: Sequence[Row]) -> list[str]:
    """What it found, the most important first; empty ones where something was not run."""
    return [
        _nc_headline(rows),
        *_quarter(rows),
        *(_winners(rows, name) for name in places(rows)),
        *(_nc_against_random(rows, rule, name) for rule in NC_RULES for name in places(rows)),
        *(_by_chance(rows, name) for name in places(rows)),
        "The lowest error rates above are picked on the very clips that measure them, which flatters them.",
        _dev(rows),
        _short_budgets(rows),
        trainings(rows),
    ]


def _against_random(rows: Sequence[Row], name: str) -> dict[tuple[str, float], Difference]:
    found = {(c.rule, c.budget): difference(c.tests[name]) for c in choices(rows) if name in c.tests}
    return {key: value for key, value in found.items() if value is not None}


def _tally(verdicts: Sequence[str]) -> tuple[int, int]:
    return verdicts.count("better"), verdicts.count("worse")


def _nc_headline(rows: Sequence[Row]) -> str:
    by_place = {
        name: [value.verdict for (rule, _), value in _against_random(rows, name).items() if rule in NC_RULES]
        for name in places(rows)
    }
    verdicts = sum(by_place.values(), [])
    if not verdicts:
        return ""
    (better, worse), of = _tally(verdicts), len(verdicts)
    subject, rest = "Training on the most typical clips (neural-collapse sampling)", of - better - worse
    if not better and not worse:
        return (
            f"{subject} was neither better nor worse than training on as many random ones, as far as these "
            f"clips can show ({of} comparisons)."
        )

    def told(word: str) -> str:
        if not verdicts.count(word):
            return f"never {word}"
        where = [f"{v.count(word)} {place(name)}" for name, v in by_place.items() if v.count(word)]
        return f"{word} in {verdicts.count(word)} ({joined(where)})"

    first, second = ("better", "worse") if better else ("worse", "better")
    tail = f"; the other {rest} are too close to call." if rest else "."
    return (
        f"{subject}, in {of} comparisons with training on as many random ones, was {told(first)}, "
        f"{told(second)}{tail}"
    )


def _winners(rows: Sequence[Row], name: str) -> str:
    found = [choice for choice in choices(rows) if name in choice.tests and choice.rule != ALL]
    parts = []
    for budget in sorted({choice.budget for choice in found}):
        same = [choice for choice in found if choice.budget == budget]
        lowest = min(float(choice.tests[name]["eer"]) for choice in same)
        best = [choice for choice in same if float(choice.tests[name]["eer"]) == lowest]
        text = f"with {share_words(budget)} of the clips {joined([named(choice.rule) for choice in best])}"
        text += f", {eer_words(best[0].tests[name])}" if len(best) == 1 else f" alike, {percent(lowest)} %"
        against = difference(best[0].tests[name])
        if len(same) > 1 and all(choice.rule != RANDOM for choice in best) and against:
            text += f", compared with random {against.words}"
        parts.append(text)
    return f"Lowest mean error rate {place(name)}: {'; '.join(parts)}." if parts else ""


def _nc_against_random(rows: Sequence[Row], rule: str, name: str) -> str:
    parts = [
        f"with {share_words(budget)} {value.words}"
        for (one, budget), value in _against_random(rows, name).items()
        if one == rule
    ]
    if not parts:
        return ""
    return (
        f"{named(rule)} (NC sampling, {NC_RULES[rule]}) against as many random clips, {place(name)}: "
        f"{'; '.join(parts)}."
    )


def _quarter(rows: Sequence[Row]) -> list[str]:
    best = chosen_on_dev(rows, QUARTER)
    if best is None:
        return []
    quarter = {choice.rule: choice for choice in choices(rows) if choice.budget == QUARTER}
    whole = next((choice for choice in choices(rows) if choice.rule == ALL), None)
    roles = {best.rule: f"{named(best.rule)}, which the validation clips prefer at that size"}
    roles |= {rule: named(rule) for rule in (RANDOM, "algorithm-1") if rule in quarter and rule != best.rule}
    short = {"better": "better", "worse": "worse", "open": "no difference shown"}
    answers, details, possible = [], [], []
    for name in places(rows):
        told = []
        for rule, role in roles.items():
            test = quarter[rule].tests.get(name)
            found = difference(test, ALL) if test else None
            if found is None:
                continue
            told.append(f"{role}: {found.words}")
            if rule == best.rule:
                answers.append(f"{short[found.verdict]} {place(name)}")
                possible += [found.high] if found.verdict == "open" and found.high > 0 else []
        if told:
            details.append(f"A quarter of the clips against all of them, {place(name)}: {'; '.join(told)}.")
    if not answers:
        return details
    sizes = f" ({clip_count(best.row):,} of {clip_count(whole.row):,})" if whole else ""
    text = f"Is a quarter of the clips{sizes} as good as all of them? With {roles[best.rule]}: "
    text += f"{joined(answers)}."
    if possible:
        worst = points(max(possible))
        text += f" No difference shown does not mean equal: {worst} points worse would fit as well."
    return [text, *details]


def _by_chance(rows: Sequence[Row], name: str) -> str:
    verdicts = [value.verdict for value in _against_random(rows, name).values()]
    if len(verdicts) < 2:
        return ""
    better, worse = _tally(verdicts)
    found = {0: "none has", 1: "1 has"}.get(better + worse, f"{better + worse} have")
    return (
        f"Of {len(verdicts)} comparisons with random {place(name)}, {found} an interval without zero "
        f"({better} better, {worse} worse); about {CHANCE * len(verdicts):.1f} would by chance alone, were "
        "all rules alike."
    )


def _dev(rows: Sequence[Row]) -> str:
    best = chosen_on_dev(rows)
    if best is None or dev_loss(best.tests) == float("inf"):
        return ""
    whole = next((choice for choice in choices(rows) if choice.rule == ALL), None)
    text = f"On the validation clips (dev), which decide what ships, of {len(choices(rows))} ways to choose "
    if best.rule == ALL:
        text += f"training on everything is best (mean dev loss {dev_loss(best.tests):.3f})"
    else:
        text += f"{named(best.rule)} with {share_words(best.budget)} of the clips is best "
        text += f"(mean dev loss {dev_loss(best.tests):.3f}"
        text += f"; training on everything {dev_loss(whole.tests):.3f})" if whole else ")"
    tests = [f"{eer_words(best.tests[name])} {place(name)}" for name in places(rows) if name in best.tests]
    return f"{text}; its error rate is {joined(tests)}." if tests else f"{text}."


def _short_budgets(rows: Sequence[Row]) -> str:
    found = choices(rows)
    full = {choice.budget: clip_count(choice.row) for choice in found if choice.rule == RANDOM}
    short = [
        f"{named(choice.rule)} with {share_words(choice.budget)} "
        f"({clip_count(choice.row):,} of {full[choice.budget]:,})"
        for choice in found
        if choice.budget in full and clip_count(choice.row) < 0.99 * full[choice.budget]
    ]
    return f"Some had fewer clips to train on than random: {joined(short)}." if short else ""


def tables(rows: Sequence[Row]) -> list[Table]:
    """For each place the EER of every rule and budget; then dev loss and cost."""
    found = choices(rows)
    budgets = sorted({choice.budget for choice in found if choice.rule != ALL})
    by_key = {(choice.rule, choice.budget): choice for choice in found}
    rules = list(dict.fromkeys(choice.rule for choice in found if choice.rule != ALL))
    whole = next((choice for choice in found if choice.rule == ALL), None)
    columns = ("rule", *(f"{share_words(budget)} of the clips" for budget in budgets))

    def lines(cell: Callable[[Choice], str]) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (
                title(rule),
                *(cell(by_key[rule, budget]) if (rule, budget) in by_key else "–" for budget in budgets),
            )
            for rule in rules
        )

    made = []
    for name in places(rows):

        def cell(choice: Choice, name: str = name) -> str:
            row = choice.tests.get(name)
            against = difference(row) if row else None
            return "–" if row is None else measured(row) + (f"\n{against.cell}" if against else "")

        everything = (
            f"Trained on everything: {measured(whole.tests[name])}. " if whole and name in whole.tests else ""
        )
        made.append(
            Table(
                f"{capitalised(place(name))}: EER in % with 95 % interval; below it the difference from "
                "random, in points",
                columns,
                lines(cell),
                f"{everything}A difference below zero is better than random.",
            )
        )
    loss = f"Trained on everything: {dev_loss(whole.tests):.3f}." if whole else ""
    made.append(
        Table(
            "Mean loss on the validation clips (dev), lower is better: this chooses what ships",
            columns, lines(lambda choice: f"{dev_loss(choice.tests):.3f}"), loss,
        )
    )  # fmt: skip
    made.append(_cost(found, budgets, whole))
    return made


def _cost(found: Sequence[Choice], budgets: Sequence[float], whole: Choice | None) -> Table:
    lines = []
    for budget in [*budgets, *([whole.budget] if whole else [])]:
        same = [choice.row for choice in found if choice.budget == budget]
        clips, seconds = (
            [f(row) for row in same] for f in (clip_count, lambda row: number_of(row, "seconds"))
        )
        known = [value for value in seconds if value is not None]
        count = f"{min(clips):,}" if min(clips) == max(clips) else f"{min(clips):,} to {max(clips):,}"
        lines.append((share_words(budget), count, f"{fmean(known):,.0f}" if known else "–"))
    return Table(
        "What a training costs, mean over the rules", ("of the clips", "clips", "seconds"), tuple(lines),
        "All trainings take equally many steps, so a smaller budget saves clips, not steps; seconds depend "
        "on what else the machine was doing.",
    )  # fmt: skip


def weakest(rows: Sequence[Row]) -> tuple[Choice, list[Row]] | None:
    """Of the rule and budget that dev chooses: its test sets, the one with most mistakes first."""
    best = chosen_on_dev(rows) if rows else None
    if best is None:
        return None
    tests = [row for name, row in best.tests.items() if name != ALL]
    return best, sorted(tests, key=lambda row: -float(row["eer"]))


def weakness(rows: Sequence[Row]) -> str:
    """Where that model makes most mistakes; empty without rows."""
    found = weakest(rows)
    if found is None or not found[1]:
        return ""
    choice, tests = found
    trained = "everything" if choice.rule == ALL else f"what {named(choice.rule)} keeps"
    if choice.rule not in (ALL, RANDOM):
        trained += f" at {share_words(choice.budget)}"
    if choice.rule == RANDOM:
        trained = f"a random {share_words(choice.budget)} of the clips"
    worst = tests[0]
    text = f"Trained on {trained}, which the validation clips prefer, the model is worst "
    text += f"{place(str(worst['corpus']))}: {eer_words(worst)}"
    if len(tests) > 1:
        text += f"; best {place(str(tests[-1]['corpus']))}: {eer_words(tests[-1])}"
    guessing = [str(row["corpus"]) for row in tests if reaches_half(row)]
    if guessing:
        text += (
            f". Its interval reaches 50 %, which is guessing, {joined([place(name) for name in guessing])}"
        )
    return f"{text}."
