"""The tables of experiments 1 to 4: from scores to rows with intervals, to CSV and Markdown.

In long form, a row for each run, seed and test set. Test sets are the eval clips of each corpus, `all` (those
of the corpora that can be trained on, pooled) and what is for evaluation only (`wild`). A row with seed
`mean` averages over the seeds; its interval draws seeds, speakers and generators with replacement.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ncdetect import findings, findings_words, metrics
from ncdetect.corpora import Manifest
from ncdetect.experiments import ALL, Result, Run, Study, open_data, training_corpora
from ncdetect.files import replacing
from ncdetect.labels import Label
from ncdetect.pipeline import group_of

Row = dict[str, str | int | float]
MEAN = "mean"
FACTS = ("train_reals", "train_fakes", "best_epoch", "epochs", "dev_loss", "dev_eer", "seconds")
ROUNDS = 1000


@dataclass(frozen=True, eq=False)
class TestSet:
    """Clips on which every run of an experiment is measured, with the draws of their bootstrap."""

    __test__ = False
    name: str
    rows: np.ndarray
    """Where they stand among the scored clips, (N,)."""
    labels: np.ndarray
    """Values of `Label`, (N,)."""
    groups: tuple[str, ...]
    """Generator of a fake, speaker of a real."""

    @cached_property
    def counts(self) -> metrics.Counts:
        """How often each clip is drawn in each round, the same for every run, (ROUNDS, N)."""
        return metrics.resample(self.labels, self.groups, ROUNDS)


def write(
    study: Study, number: int, runs: Sequence[Run], results: Mapping[str, Result], out: Path, command: str
) -> list[Path]:
    """Write an experiment's table as CSV and Markdown.

    Args:
        study: On what it ran.
        number: 1 to 4.
        runs: Its runs.
        results: By name of run.
        out: The folder.
        command: What made it: the first line of the Markdown.

    Returns:
        The files.
    """
    manifest = open_data(study.data)
    sets = test_sets(manifest.select(split="eval"), training_corpora(manifest))
    table = rows(runs, results, sets, ("random", ALL) if number == 4 else ())
    return write_both(
        table, out, f"experiment-{number}", lambda read: findings.markdown(number, read, command)
    )


def test_sets(tests: Manifest, trained_on: Sequence[str]) -> list[TestSet]:
    """The pooled eval clips of the training corpora, then every corpus with both classes."""
    corpora = sorted({clip.corpus for clip in tests})
    wanted = {ALL: set(trained_on)} if len(trained_on) > 1 else {}
    wanted |= {corpus: {corpus} for corpus in corpora}
    found = []
    for name, members in wanted.items():
        rows = np.array([row for row, clip in enumerate(tests) if clip.corpus in members], np.int64)
        clips = [tests.clips[row] for row in rows]
        labels = np.array([clip.label for clip in clips], np.int64)
        if len(set(labels.tolist())) == len(Label):
            found.append(TestSet(name, rows, labels, tuple(group_of(clip) for clip in clips)))
    return found


test_sets.__test__ = False


@dataclass(frozen=True, eq=False)
class _Measured:
    eer: float
    resampled: np.ndarray
    ap_fake: float
    ap_real: float


def rows(
    runs: Sequence[Run],
    results: Mapping[str, Result],
    sets: Sequence[TestSet],
    references: Sequence[str] = (),
) -> list[Row]:
    """The table of an experiment.

    Args:
        runs: Its runs.
        results: By name of run; all scored the same clips in the same order.
        sets: On what to measure.
        references: Of experiment 4: `random` and `all`: rules from which the difference is told, paired by
            seed and clip; random's at the same budget.
    """
    measured = {
        (run.name, test.name): _measure(results[run.name].scores, test) for run in runs for test in sets
    }
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault(_without_seed(run), []).append(run)
    table = []
    for group in groups.values():
        partners = {
            name: found for name in references if (found := _reference(groups, group[0], name)) is not None
        }
        for test in sets:
            own = [measured[run.name, test.name] for run in group]
            against = {
                name: [measured[other.name, test.name] for other in partner]
                for name, partner in partners.items()
            }
            for index, run in enumerate(group):
                table.append(
                    _row(
                        run.columns,
                        test,
                        [own[index]],
                        {name: [found[index]] for name, found in against.items() if index < len(found)},
                        [results[run.name].facts],
                    )
                )
            table.append(
                _row(
                    {**group[0].columns, "seed": MEAN},
                    test,
                    own,
                    {name: found for name, found in against.items() if len(found) == len(own)},
                    [results[run.name].facts for run in group],
                )
            )
    # Every line has every column, a difference that is not there is empty.
    columns = list(dict.fromkeys(name for line in table for name in line))
    return [{name: line.get(name, "") for name in columns} for line in table]


def _without_seed(run: Run) -> tuple:
    return tuple((name, value) for name, value in run.columns.items() if name != "seed")


def _reference(groups: Mapping[tuple, list[Run]], run: Run, rule: str) -> list[Run] | None:
    """The runs of another rule at the same budget; of `all`, whatever the budget. None for itself."""
    if run.columns.get("rule") == rule:
        return None
    for others in groups.values():
        columns = others[0].columns
        if columns.get("rule") == rule and (rule == ALL or columns["budget"] == run.columns["budget"]):
            return others
    return None


def _measure(scores: np.ndarray, test: TestSet) -> _Measured:
    scores = scores[test.rows]
    precision = metrics.average_precision(scores, test.labels)
    return _Measured(
        metrics.eer_roc(scores, test.labels),
        metrics.eer_resampled(scores, test.labels, test.counts),
        precision.fake,
        precision.real,
    )


def _row(
    columns: Mapping[str, str | int | float],
    test: TestSet,
    own: Sequence[_Measured],
    against: Mapping[str, Sequence[_Measured]],
    facts: Sequence[Mapping[str, float]],
) -> Row:
    def over_seeds(value: Callable[[int], float | np.ndarray]) -> metrics.Interval:
        """Mean over seeds, from the value of each and its resamples: drawing the seeds, too."""
        values = [value(index) for index in range(len(own))]
        drawn = np.random.default_rng(0).integers(len(own), size=(ROUNDS, len(own)))
        resampled = np.stack([resamples for _, resamples in values])  # (seeds, ROUNDS)
        means = resampled[drawn, np.arange(ROUNDS)[:, None]].mean(axis=1)
        return metrics.interval(float(np.mean([one for one, _ in values])), means)

    eer = over_seeds(lambda i: (own[i].eer, own[i].resampled))
    line: Row = {
        **columns,
        "corpus": test.name,
        "split": "eval",
        "clips": len(test.labels),
        "reals": int((test.labels == Label.REAL).sum()),
        "fakes": int((test.labels == Label.FAKE).sum()),
        "eer": eer.value,
        "eer_low": eer.low,
        "eer_high": eer.high,
    }
    for name, others in against.items():
        found = over_seeds(
            lambda i, others=others: (own[i].eer - others[i].eer, own[i].resampled - others[i].resampled)
        )
        # The names that DESIGN gives to those from random; others are told apart by a suffix.
        suffix = "" if name == "random" else f"_{name}"
        line[f"difference_from_{name}"] = found.value
        line[f"difference{suffix}_low"], line[f"difference{suffix}_high"] = found.low, found.high
    line["ap_fake"] = float(np.mean([one.ap_fake for one in own]))
    line["ap_real"] = float(np.mean([one.ap_real for one in own]))
    line |= {name: float(np.mean([fact[name] for fact in facts])) for name in FACTS}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}


def write_csv(table: Sequence[Row], file: Path) -> None:
    """Write a table, whole or not at all."""
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def write_both(
    table: Sequence[Row], folder: Path, name: str, text: Callable[[list[findings_words.Row]], str]
) -> list[Path]:
    """Write a table for machines, and in words for people.

    Args:
        table: The rows.
        folder: Made where it is not there.
        name: Of both files, NAME.csv and NAME.md.
        text: Markdown, from the rows as they were written.

    Returns:
        The files.
    """
    files = [folder / f"{name}.csv", folder / f"{name}.md"]
    write_csv(table, files[0])
    with replacing(files[1]) as temporary:
        temporary.write_text(text(findings_words.read_csv(files[0])), "utf-8")
    return files
