"""The study of dropin and plasticity as a table and in plain sentences: `dropin.csv` and `dropin.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncdetect import metrics, tables
from ncdetect.dropin_study import AS_IS, FINE_TUNED, Arm, Result, Study
from ncdetect.findings_words import (
    MEAN,
    Difference,
    Row,
    capitalised,
    means,
    measured,
    number_of,
    place,
    read_csv,
    trainings,
)

WORDS = {
    "as-is": "the base as it is",
    "fine-tuned": "the base, fine-tuned",
    "dropin": "dropin: only the new neurons trained",
    "plasticity": "plasticity: grown, trained, pruned, trained",
    "same-size": "the widened size, from scratch",
}


def rows(study: Study, results: Mapping[Arm, Sequence[Result]]) -> list[Row]:
    """The table: a row an arm, seed and test set, then their mean over the seeds.

    The difference is that from `fine-tuned`, paired by seed and clip: negative is better. Intervals draw
    speakers and generators with replacement, those of a mean the seeds, too.
    """
    table = []
    for test in study.sets:
        measured = {arm: [_measured(result, test) for result in runs] for arm, runs in results.items()}
        reference = measured.get(Arm(FINE_TUNED), [])
        for arm, runs in results.items():
            own = measured[arm]
            # The base is one for every seed.
            others = [] if arm.name == FINE_TUNED else reference
            pairs = [(own[i % len(own)], other) for i, other in enumerate(others)]
            for index, result in enumerate(runs):
                table.append(_row(study, arm, str(index), test, [own[index]], pairs[index:][:1], [result]))
            table.append(_row(study, arm, MEAN, test, own, pairs, runs))
    return table


_Measured = tuple[float, NDArray[np.float64]]


def _measured(result: Result, test: tables.TestSet) -> _Measured:
    """EER, and that of each resample."""
    scores = np.array(result.scores)[test.rows]
    return metrics.eer_roc(scores, test.labels), metrics.eer_resampled(scores, test.labels, test.counts)


def _over_seeds(values: Sequence[_Measured]) -> metrics.Interval:
    drawn = np.random.default_rng(0).integers(len(values), size=(tables.ROUNDS, len(values)))
    resampled = np.stack([resamples for _, resamples in values])  # (seeds, ROUNDS)
    means = resampled[drawn, np.arange(tables.ROUNDS)[:, None]].mean(axis=1)
    return metrics.interval(float(np.mean([value for value, _ in values])), means)


def _row(
    study: Study,
    arm: Arm,
    seed: str,
    test: tables.TestSet,
    own: Sequence[_Measured],
    pairs: Sequence[tuple[_Measured, _Measured]],
    runs: Sequence[Result],
) -> Row:
    reals, fakes = np.bincount(test.labels, minlength=2).tolist()
    line: Row = {"model": study.name, "arm": arm.name, "layer": arm.layer, "share": study.share, "seed": seed}
    line |= {"corpus": test.name, "clips": len(test.labels), "reals": reals, "fakes": fakes}
    line |= zip(("eer", "eer_low", "eer_high"), _over_seeds(own), strict=True)
    differences = [(a[0] - b[0], a[1] - b[1]) for a, b in pairs]
    told = _over_seeds(differences) if differences else ("", "", "")
    line |= zip(("difference", "difference_low", "difference_high"), told, strict=True)
    for name in ("parameters", "trained_parameters", "epochs", "seconds", "dev_eer"):
        line[name] = float(np.mean([getattr(result, name) for result in runs]))
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}


def write(rows: Sequence[Row], folder: Path, command: str) -> list[Path]:
    """Write the table as CSV and Markdown; the command that made it is the Markdown's first line.

    Args:
        rows: Of one base or several: `dropin_study.rows`.
        folder: Made where it is not there.
        command: What made it.
    """
    files = [folder / "dropin.csv", folder / "dropin.md"]
    tables.write_csv(rows, files[0])
    files[1].write_text(markdown(read_csv(files[0]), command), "utf-8")
    return files


def markdown(rows: Sequence[Row], command: str) -> str:
    """Sentences and tables made of the study's rows."""
    parts = [
        f"Made by `{command}`.",
        "Dropin and plasticity (arXiv 2603.24343; sizes, rates and epochs are our choice), against "
        "fine-tuning for as many epochs and against a network of the widened size trained from scratch.",
    ]
    for model in dict.fromkeys(str(row["model"]) for row in rows):
        own = [row for row in rows if row["model"] == model]
        whole, sweep = ([row for row in means(own) if bool(row["layer"]) == alone] for alone in (False, True))
        sentences = [sentence for row in whole if (sentence := _sentence(row))]
        share = f"{100 * float(own[0]['share']):g} %"
        parts += [
            f"**{model}**: a layer that is widened gets {share} more neurons.",
            "\n".join(f"- {sentence}" for sentence in sentences),
            _table(whole, "arm"),
        ]
        if sweep:
            parts += ["Dropin into one layer alone (the paper's figure 5):", _table(sweep, "layer")]
        parts.append(trainings([row for row in own if row["arm"] != AS_IS]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _sentence(row: Row) -> str:
    """How an arm compares with fine-tuning; empty for fine-tuning itself."""
    difference = _difference(row)
    if difference is None:
        return ""
    name = WORDS[str(row["arm"])]
    return f"{capitalised(name)}, {place(str(row['corpus']))}, against fine-tuning: {difference.words}."


def _difference(row: Row) -> Difference | None:
    values = [number_of(row, f"difference{end}") for end in ("", "_low", "_high")]
    return None if None in values else Difference(*values)


def _table(rows: Sequence[Row], key: str) -> str:
    """A line an arm or layer: size, time, and of each test set the EER and the difference."""
    sets = list(dict.fromkeys(str(row["corpus"]) for row in rows))
    heads = [key, "parameters", "of them trained", "epochs", "seconds", "dev EER %"]
    for name in sets:
        heads += [f"{name}: EER %", f"from {FINE_TUNED}, points"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for value in dict.fromkeys(str(row[key]) for row in rows):
        found = {str(row["corpus"]): row for row in rows if row[key] == value}
        first = found[sets[0]]
        cells = [WORDS.get(value, f"`{value}`")]
        cells += [f"{float(first[name]):,.0f}" for name in ("parameters", "trained_parameters")]
        cells += [f"{float(first['epochs']):.1f}", f"{float(first['seconds']):,.0f}"]
        cells.append(f"{100 * float(first['dev_eer']):.1f}")
        for name in sets:
            difference = _difference(found[name])
            cells += [measured(found[name]), difference.cell if difference else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
