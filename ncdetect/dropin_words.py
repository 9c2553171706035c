"""The study of dropin and plasticity as a table and in plain sentences: `dropin.csv` and `dropin.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncdetect import metrics, tables
from ncdetect.dropin_study import AS_IS, DROPIN, FINE_TUNED, PLASTICITY, SAME_SIZE, Arm, Result, Study
from ncdetect.findings_words import (
    MEAN,
    Difference,
    Row,
    capitalised,
    eer_words,
    means,
    measured,
    number_of,
    place,
    trainings,
)

WORDS = {
    AS_IS: "the base as it is",
    FINE_TUNED: "the base, fine-tuned",
    DROPIN: "dropin: only the new neurons trained",
    PLASTICITY: "plasticity: grown, trained, pruned, trained",
    SAME_SIZE: "the widened size, from scratch",
}
REFERENCES = {
    AS_IS: "the base as it is",
    FINE_TUNED: "fine-tuning it for as many epochs",
    SAME_SIZE: "a network of the widened size from scratch",
}
"""What the arms are compared with."""


def rows(study: Study, results: Mapping[Arm, Sequence[Result]]) -> list[Row]:
    """The table: a row an arm, seed and test set, then their mean over the seeds.

    The differences are those from each of REFERENCES, paired by seed and clip: negative is better. Intervals
    draw speakers and generators with replacement, those of a mean the seeds, too. `sd` is that of the equal
    error rate over the seeds.
    """
    table = []
    for test in study.sets:
        measured = {arm: [_measured(result, test) for result in runs] for arm, runs in results.items()}
        for arm, runs in results.items():
            own = measured[arm]
            # The base as it is is one for every seed, and a sweep may have fewer seeds than the others.
            pairs = {
                name: [
                    (own[seed % len(own)], found[seed % len(found)])
                    for seed in range(len(own) if arm.layer else max(len(own), len(found)))
                ]
                for name in REFERENCES
                if name != arm.name and (found := measured.get(Arm(name)))
            }
            for index, result in enumerate(runs):
                first = {name: found[index : index + 1] for name, found in pairs.items()}
                table.append(_row(study, arm, str(index), test, [own[index]], first, [result]))
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
    pairs: Mapping[str, Sequence[tuple[_Measured, _Measured]]],
    runs: Sequence[Result],
) -> Row:
    reals, fakes = np.bincount(test.labels, minlength=2).tolist()
    recipe = study.from_scratch if arm.name == SAME_SIZE else study.recipe
    line: Row = {"model": study.name, "arm": arm.name, "layer": arm.layer, "share": study.share, "seed": seed}
    line |= {"corpus": test.name, "clips": len(test.labels), "reals": reals, "fakes": fakes}
    line |= zip(("eer", "eer_low", "eer_high"), _over_seeds(own), strict=True)
    line["sd"] = float(np.std([value for value, _ in own], ddof=1)) if len(own) > 1 else ""
    for name in REFERENCES:
        differences = [(a[0] - b[0], a[1] - b[1]) for a, b in pairs.get(name, ())]
        told = _over_seeds(differences) if differences else ("", "", "")
        line |= zip((f"from_{name}{end}" for end in ("", "_low", "_high")), told, strict=True)
    for name in ("parameters", "trained_parameters", "epochs", "seconds", "dev_eer"):
        line[name] = float(np.mean([getattr(result, name) for result in runs]))
    line = {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
    if arm.name == AS_IS:
        return line | {"most_epochs": 0, "epoch_clips": 0, "learning_rate": "", "pretrained_rate": ""}
    drawn = {"most_epochs": recipe.epochs, "epoch_clips": study.data.epoch_clips or ""}
    return line | drawn | {name: getattr(recipe, name) for name in ("learning_rate", "pretrained_rate")}


def write(rows: Sequence[Row], folder: Path, command: str, seen: str = "") -> list[Path]:
    """Write the table as CSV and Markdown; the command that made it is the Markdown's first line.

    Args:
        rows: Of one base or several: `dropin_study.rows`.
        folder: Made where it is not there.
        command: What made it.
        seen: What a picture beside it shows.
    """
    return tables.write_both(rows, folder, "dropin", lambda read: markdown(read, command, seen))


def markdown(rows: Sequence[Row], command: str, seen: str = "") -> str:
    """Sentences and tables made of the study's rows."""
    parts = [
        f"Made by `{command}`.",
        "Dropin and plasticity (arXiv 2603.24343; sizes, rates and epochs are our choice), against the base "
        "as it is, against fine-tuning it for as many epochs, and against a network of the widened size "
        "trained from scratch. The paper has neither of the last two. Every training ends with the epoch of "
        "the lowest dev loss. An equal error rate has its 95 % interval in brackets, and the standard "
        "deviation over the seeds behind it.",
    ]
    for model in dict.fromkeys(str(row["model"]) for row in rows):
        own = [row for row in rows if row["model"] == model]
        whole, sweep = ([row for row in means(own) if bool(row["layer"]) == alone] for alone in (False, True))
        share = f"{100 * float(own[0]['share']):g} %"
        parts += [
            f"**{model}**: a layer that is widened gets {share} more neurons. {_schedule(whole)}".strip(),
            "\n".join(f"- {sentence}" for sentence in _claims(whole) + _layers(sweep)),
            _table(whole, "arm"),
            trainings([row for row in own if row["arm"] != AS_IS and not row["layer"]]),
        ]
        if sweep:
            parts += ["Dropin into one layer alone (the paper's figure 5):", _table(sweep, "layer")]
            parts.append(trainings([row for row in own if row["layer"]]))
    return "\n\n".join(part for part in [*parts, seen] if part) + "\n"


def _schedule(rows: Sequence[Row]) -> str:
    """How long was trained, in words."""
    told = {str(row["arm"]): row for row in rows if row["arm"] != AS_IS}
    first = next((row for name, row in told.items() if name != SAME_SIZE), None)
    if first is None or not first["epoch_clips"]:
        return ""
    text = (
        f"Trained for at most {first['most_epochs']} epochs of {first['epoch_clips']:,} clips at a rate of "
        f"{first['learning_rate']}"
    )
    if first["pretrained_rate"] != 1:
        text += f" (the pretrained layers at {first['pretrained_rate']} of it)"
    if SAME_SIZE in told:
        long = told[SAME_SIZE]
        text += f", from scratch for at most {long['most_epochs']} at {long['learning_rate']}"
    return text + "."


def _claims(rows: Sequence[Row]) -> list[str]:
    """Whether dropin and plasticity help here, and what dropin saves."""
    found = []
    for arm, name in ((DROPIN, "Dropin"), (PLASTICITY, "Plasticity")):
        own = [row for row in rows if row["arm"] == arm]
        told = [
            (str(row["corpus"]), reference, difference)
            for row in own
            for reference in REFERENCES
            if (difference := _difference(row, reference))
        ]
        if not told:
            continue
        better = [entry for entry in told if entry[2].verdict == "better"]
        worse = [entry for entry in told if entry[2].verdict == "worse"]
        verdict = (
            "holds here" if len(better) == len(told)
            else "does not hold here" if not better
            else "holds here in part"
        )  # fmt: skip
        found.append(
            f"{name} helps, says the paper. That {verdict}: of {len(told)} comparisons {len(better)} are in "
            f"its favour, {len(worse)} against it, and {len(told) - len(better) - len(worse)} open."
        )
        found += [
            f"{name} {place(corpus)}, against {REFERENCES[reference]}: {difference.words}."
            for corpus, reference, difference in told
        ]
    return found + _saved(rows)


def _saved(rows: Sequence[Row]) -> list[str]:
    """What dropin costs beside fine-tuning, in parameters and time."""
    first = {str(row["arm"]): row for row in reversed(rows)}
    if not {DROPIN, FINE_TUNED} <= first.keys():
        return []
    trained, seconds = (
        float(first[DROPIN][name]) / float(first[FINE_TUNED][name])
        for name in ("trained_parameters", "seconds")
    )
    return [
        f"Dropin trains {100 * trained:.0f} % as many parameters as fine-tuning, in {100 * seconds:.0f} % of "
        f"its time; its detector has {float(first[DROPIN]['parameters']):,.0f} parameters instead of "
        f"{float(first[FINE_TUNED]['parameters']):,.0f}."
    ]


def _layers(rows: Sequence[Row]) -> list[str]:
    """Which layer is the one to widen, chosen on dev, and whether the others are told from it."""
    if not rows:
        return []
    best = min(rows, key=lambda row: float(row["dev_eer"]))["layer"]
    found = []
    for corpus in dict.fromkeys(str(row["corpus"]) for row in rows):
        own = {str(row["layer"]): row for row in rows if row["corpus"] == corpus}
        low = max(float(row["eer_low"]) for row in own.values())
        high = min(float(row["eer_high"]) for row in own.values())
        first = min(own, key=lambda name: float(own[name]["eer"]))
        found.append(
            f"{capitalised(place(corpus))} the lowest EER of a single layer is that of `{first}` "
            f"({eer_words(own[first])}), that of `{best}`, the one with the lowest EER on dev, is "
            f"{eer_words(own[best])}; "
            + (
                "the intervals of all layers overlap, so which one is best stays open."
                if low <= high
                else "the intervals of some layers lie apart."
            )
        )
    return found


def _difference(row: Row, reference: str) -> Difference | None:
    values = [number_of(row, f"from_{reference}{end}") for end in ("", "_low", "_high")]
    return None if None in values else Difference(*values)


def _table(rows: Sequence[Row], key: str) -> str:
    """A line an arm or layer: size, time, and of each test set the EER and the differences."""
    sets = list(dict.fromkeys(str(row["corpus"]) for row in rows))
    references = [name for name in REFERENCES if any(_difference(row, name) for row in rows)]
    heads = [key, "parameters", "of them trained", "epochs", "seconds", "dev EER %"]
    for name in sets:
        heads += [f"{name}: EER %", *(f"from {reference}, points" for reference in references)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for value in dict.fromkeys(str(row[key]) for row in rows):
        found = {str(row["corpus"]): row for row in rows if row[key] == value}
        first = found[sets[0]]
        cells = [WORDS.get(value, f"`{value}`")]
        cells += [f"{float(first[name]):,.0f}" for name in ("parameters", "trained_parameters")]
        cells += [f"{float(first['epochs']):.1f}", f"{float(first['seconds']):,.0f}"]
        cells.append(f"{100 * float(first['dev_eer']):.1f}")
        for name in sets:
            deviation = number_of(found[name], "sd")
            cells.append(
                measured(found[name]) + (f" ± {100 * deviation:.1f}" if deviation is not None else "")
            )
            differences = [_difference(found[name], reference) for reference in references]
            cells += [difference.cell if difference else "" for difference in differences]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
