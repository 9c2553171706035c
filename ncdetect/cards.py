"""Model cards: plain text made from what was measured, the command beside each figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.detector_words import COMMAND, final, told_sentence
from ncdetect.labels import Label
from ncdetect.pipeline import Figures

if TYPE_CHECKING:
    from ncdetect.detector_build import Shipped

_FRONT_MATTER = """---
license: mit
library_name: ncdetect
pipeline_tag: audio-classification
tags: [audio, deepfake-detection, anti-spoofing, neural-collapse]
---
"""

Table = Mapping[str, Sequence[Figures]]
Counts = Mapping[str, Mapping[str, int]]


def figures_table(table: Table) -> str:
    """EER in per cent with its 95 % interval: a row a model, a column a set of clips."""
    columns = [entry.clips for entry in next(iter(table.values()))]
    sizes = {entry.clips: f"{entry.reals} + {entry.fakes}" for row in table.values() for entry in row}
    lines = [
        "| model | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
        "| *clips, real + fake* | " + " | ".join(f"*{sizes[name]}*" for name in columns) + " |",
    ]
    for name, row in table.items():
        cells = {entry.clips: _percent(entry) for entry in row}
        lines.append(f"| {name} | " + " | ".join(cells.get(column, "-") for column in columns) + " |")
    return "\n".join(lines)


def _percent(entry: Figures) -> str:
    value, low, high = (f"{100 * x:.1f}" for x in entry.eer)
    return f"{value} [{low}, {high}]"


def counts_table(counts: Counts, corpora: Sequence[str]) -> str:
    """Clips of each class by corpus in each training database."""
    lines = ["| database | " + " | ".join(corpora) + " | together |", "|---|" + "---|" * (len(corpora) + 1)]
    for name, count in counts.items():
        cells = [f"{count.get(f'{c} real', 0)} + {count.get(f'{c} fake', 0)}" for c in corpora]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {count['real']} + {count['fake']} |")
    return "\n".join(lines)


def losses_table(losses: Mapping[str, float]) -> str:
    """Dev loss of each rule and budget, least first."""
    lines = ["| rule and budget | dev loss |", "|---|---|"]
    lines += [f"| {name} | {loss:.3f} |" for name, loss in sorted(losses.items(), key=lambda entry: entry[1])]
    return "\n".join(lines)


def tiny_card(
    shipped: TrainedDetector,
    name: str,
    run: str,
    figures: Table,
    counts: Counts,
    losses: Mapping[str, float],
    seeds: int,
    findings: Sequence[str],
    manifest: Manifest,
) -> str:
    """The card of a detector that ships.

    Args:
        shipped: With calibration, bank and training facts.
        name: That of its checkpoint.
        run: That of its training; the rule and budget which chose its clips.
        figures: On eval and wild, by model; a small model's name ends in that of its training.
        counts: Clips of the databases, by training.
        losses: Dev loss of each rule and budget of experiment 4, the mean over the seeds.
        seeds: Trainings of each.
        findings: Sentences on what experiment 4 says.
        manifest: All clips that trained, chose and measured.
    """
    facts, config = shipped.config.training, shipped.config
    agreement, recipe = facts["agreement"], facts["recipe"]
    own = next(row for model, row in figures.items() if model.endswith(f" {run}"))
    known = [entry for entry in own if entry.clips in facts["corpora"]]
    worst = max(known, key=lambda entry: entry.eer.value)
    wild = next((entry for entry in own if entry.clips == "wild"), None)
    best = min(losses, key=losses.__getitem__)
    wild_line = (
        f"- On clips from the wild (scraped and unlike all training data) it is wrong about one time in "
        f"{1 / wild.eer.value:.1f} at the operating point where both errors are equal: EER {_percent(wild)} %.\n"
        if wild and wild.eer.value
        else ""
    )
    return f"""{_FRONT_MATTER}
# ncdetect {name}: is this voice real or synthetic?

A ResNet with 9 residual blocks on log-mel spectrograms ({sum(p.numel() for p in shipped.parameters()):,} parameters)
that looks at 3 s windows of speech at 16 kHz and gives one logit, higher = more fake. The rule that chose its training
clips: **{run}**, {counts[run]["real"]} real and {counts[run]["fake"]} fake.

## Use

    from ncdetect.predictor import Predictor

    verdict = Predictor.from_pretrained("{name}").check("clip.mp3")

## What it is bad at

{wild_line}- Of the corpora it knows, `{worst.clips}` is its worst: EER {_percent(worst)} %.
- It says nothing about who speaks, nor whether the words are true. Music, singing, several voices at once and clips
  under 1.5 s are outside what it learned. Telephone lines, strong noise reduction and heavy compression may mislead it (not measured).
- A clip with a short synthetic passage in real speech is judged by its average; the timeline shows the passage.
- A verdict is an opinion with the error rates below. It is no proof.

## Equal error rate on clips that neither trained nor chose it, in %

{figures_table(figures)}

`all` pools the eval clips of the training corpora; `wild` is no part of it. In brackets the 95 % bootstrap interval
(1,000 rounds, reals drawn by speaker, fakes by generator). One seed ({recipe["seed"]}) each: differences of a few
points between rows are within what another seed would change.

This model's row: `python -m ncdetect evaluate --data DATA --checkpoint {name}`. The other rows are printed by
`python -m ncdetect build --data DATA`.

## How its clips were chosen

Experiment 4 trained this architecture {seeds} times for every rule and budget with the same number of optimiser steps
(`python -m ncdetect experiment 4 --data DATA`, table in assets/results/experiment-4.md). The class-balanced
cross-entropy on the dev split decided, and `{best}` had the least:

{losses_table(losses)}

{chr(10).join(f"- {sentence}" for sentence in findings)}

Of the trainings at length, plain and augmented, the one with the lower dev loss ships. Clips that they were trained
on, real + fake:

{counts_table(counts, facts["corpora"])}

Training: binary cross-entropy, Adam with a peak rate of {recipe["learning_rate"]:g} on a cosine schedule, batches of
{recipe["batch_size"]}, {recipe["epochs"]} epochs of {recipe["epoch_clips"]} draws, the epoch with the lowest dev loss
(epoch {facts["best_epoch"]}: {facts["dev_loss"]:.3f}), dropout 0.3, {recipe["precision"]}, classes balanced within each
corpus, {"with" if recipe["augment"] else "without"} augmentation. Command: `python -m ncdetect build --data DATA`.

## Calibration and "undecided"

The probability is calibrated on {facts["calibrated_on"]} for equal priors: log-likelihood ratio = {config.calibration_scale:.3f} x score
{config.calibration_offset:+.3f}. A clip is undecided when the nearest class mean and the classifier disagree, when
the probability lies between {config.real_below:.2g} and {config.fake_above:.2g}, or when it lies farther from the training clips
than 99 % of the dev clips do. On the {agreement["clips"]} eval clips both readings agree in
{100 * agreement["agree"]:.1f} % of cases and are right in {100 * agreement["right_when_agreeing"]:.1f} % of those
(where they disagree, the classifier is right in {100 * agreement["right_when_disagreeing"]:.1f} %). They are two
readings of one embedding, not two witnesses.

## Data

{len(manifest):,} clips from {len({clip.generator for clip in manifest if clip.label == Label.FAKE}):,} generators:
corpora {", ".join(facts["corpora"])} for training, and those that stand in the table only for evaluation. The audio
itself is not part of this project; the bank holds embeddings and 2-D coordinates.
"""


def corpus_card(corpus: str, model: str, bank_clips: int, row: Sequence[Figures]) -> str:
    """The card of one corpus's bank; the model behind it is not kept in the repository."""
    return f"""# {corpus}: the bank of its own pre-trained model

{bank_clips} clips (train and dev) of corpus `{corpus}` in the embedding of `{model}`,
trained on its train split alone: what the Sampling lab samples from. The weights (25 MB) are not in the repository;
`python -m ncdetect build --data DATA` makes them again (`build/experiments/runs/1-{model}-{corpus}-seed0/checkpoint`).

EER in %, with its 95 % interval, of that model (`python -m ncdetect evaluate --data DATA --checkpoint FOLDER` with
that folder):

{figures_table({f"{model} on {corpus}": row})}
"""


def listener_card(entry: "Shipped", validation: float, manifest: Manifest) -> str:
    """The card of a detector on pretrained encoders.

    Args:
        entry: What ships, with its figures.
        validation: EER of its training by validation.
        manifest: All clips that trained, chose and measured.
    """
    trained, facts, config = entry.trained, entry.trained.config.training, entry.trained.config
    own = entry.figures[entry.seed]
    worst = max((f for f in own if f.clips in facts["corpora"]), key=lambda f: f.eer.value)
    encoders = {
        "listener": "four layers of the Whisper base encoder (Radford et al. 2022) and DistillMOS",
        "light-listener": "three layers of the Whisper tiny.en encoder (Radford et al. 2022) and DistillMOS",
        "small-listener": "four layers of DistillMOS",
    }[config.model]
    agreement = facts["agreement"]
    generators = len({clip.generator for clip in manifest if clip.label == Label.FAKE})
    return f"""{_FRONT_MATTER}
# ncdetect {entry.name}: is this voice real or synthetic?

Hears 3 s windows of speech at 16 kHz through {encoders} (Stahl and Gamper 2025), both published under the MIT
licence{", the upper layers trained further here" if entry.change.tuning else ", frozen"}; mean and deviation of every layer are projected to a 128-d embedding, and a linear head gives one
logit, higher = more fake. {sum(p.numel() for p in trained.parameters()):,} parameters, stored as
{trained.detector.stored}. Trained on {facts["reals"]} real and {facts["fakes"]} fake clips ({entry.change.what}).

## Use

    from ncdetect.predictor import Predictor

    verdict = Predictor.from_pretrained("{entry.name}").check("clip.mp3")

## What it is bad at

- Of the corpora it knows, `{worst.clips}` is its worst: EER {_percent(worst)} %.
{chr(10).join(f"- {told_sentence(clips, report)}" for clips, report in entry.told.items())}
- What MP3, a telephone, noise and rooms do to its verdicts: `python -m ncdetect robustness --data DATA --checkpoint
  {entry.name}`; of the default it is in assets/results/robustness.md.
- It says nothing about who speaks, nor whether the words are true. Music, singing, several voices at once and clips
  under 1.5 s are outside what it learned.
- A clip with a short synthetic passage in real speech is judged by its average; the timeline shows the passage.
- A verdict is an opinion with the error rates below. It is not evidence.

## Equal error rate on clips that neither trained nor chose it, in %

{chr(10).join(final(entry))}

`all` pools the eval clips of the training corpora; `wild` is no part of it. In brackets the 95 % bootstrap interval
(1,000 rounds, reals drawn by speaker, fakes by generator). This model's row: `python -m ncdetect evaluate --data DATA
--checkpoint {entry.name}`; everything: `{COMMAND}`.

## How it was chosen

By the mean EER on clips unlike those of the training ({100 * validation:.1f} %), over the series of changes in
assets/results/detector.md; of the seeds, by the least dev loss.

## Calibration and "undecided"

The probability is calibrated on {facts["calibrated_on"]} for equal priors: log-likelihood ratio =
{config.calibration_scale:.3f} x score {config.calibration_offset:+.3f}. A clip is undecided when the nearest class
mean and the classifier disagree, when the probability lies between {config.real_below:.2f} and
{config.fake_above:.2f}, or when it lies farther from the training clips than 99 % of the dev clips do. On the
{agreement["clips"]} eval clips both readings agree in {100 * agreement["agree"]:.1f} % of cases and are right in
{100 * agreement["right_when_agreeing"]:.1f} % of those. They are two readings of one embedding, not two witnesses.

## Data

{len(manifest):,} clips from {generators:,} generators: corpora {", ".join(facts["corpora"])} for training, and those
that stand in the table only for evaluation. The audio itself is not part of this project; the bank holds embeddings
and 2-D coordinates.
"""
