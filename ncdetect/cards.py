"""Model cards: plain text made from what was measured, the command beside each figure."""

from collections.abc import Mapping, Sequence

from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.pipeline import Figures

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


def tiny_card(
    shipped: TrainedDetector,
    runs: Sequence[str],
    figures: Table,
    counts: Counts,
    losses: Mapping[str, float],
    manifest: Manifest,
) -> str:
    """The card of the shipped detector.

    Args:
        shipped: With calibration, bank and training facts.
        runs: Names of its own training and of those it is compared with.
        figures: On eval and wild, by model; a small model's name ends in that of its run.
        counts: Clips of the databases, by run.
        losses: Dev loss of each run of the grid.
        manifest: All clips that trained, chose and measured.
    """
    facts, config = shipped.config.training, shipped.config
    agreement, recipe = facts["agreement"], facts["recipe"]
    own = next(row for name, row in figures.items() if name.endswith(f" {runs[0]}"))
    worst = max(
        (entry for entry in own if entry.clips not in ("all", "wild")), key=lambda entry: entry.eer.value
    )
    wild = next((entry for entry in own if entry.clips == "wild"), None)
    grid = "\n".join(
        f"| {name} | {counts[name]['real']} + {counts[name]['fake']} | {loss:.3f} |"
        for name, loss in losses.items()
    )
    wild_line = (
        f"- On clips from the wild (scraped and unlike all training data) it is wrong about one time in "
        f"{1 / wild.eer.value:.1f} at the operating point where both errors are equal: EER {_percent(wild)} %.\n"
        if wild
        else ""
    )
    return f"""{_FRONT_MATTER}
# ncdetect tiny: is this voice real or synthetic?

A ResNet with 9 residual blocks on log-mel spectrograms ({sum(p.numel() for p in shipped.parameters()):,} parameters)
that looks at 3 s windows of speech at 16 kHz and gives one logit, higher = more fake. It was trained by
neural-collapse sampling (Yousif et al. 2024): of each corpus, the clips nearest to their class mean in the embedding
of a larger model trained on that corpus, merged into one small training database.

## Use

    from ncdetect.predictor import Predictor

    verdict = Predictor.from_pretrained("tiny").check("clip.mp3")

## What it is bad at

{wild_line}- Of the corpora it knows, `{worst.clips}` is its worst: EER {_percent(worst)} %.
- It says nothing about who speaks, nor whether the words are true. Music, singing, several voices at once and clips
  under 1.5 s are outside what it learned. Telephone lines, strong noise reduction and heavy compression may mislead it (not measured).
- A clip with a short synthetic passage in real speech is judged by its average; the timeline shows the passage.
- A verdict is an opinion with the error rates below. It is no proof.

## Equal error rate on clips that neither trained nor chose it, in %

{figures_table(figures)}

`all` pools the eval clips of the four corpora; `wild` is no part of it. In brackets the 95 % bootstrap interval
(1,000 rounds, reals drawn by speaker, fakes by generator). One seed ({recipe["seed"]}) each: differences of a few
points between rows are within what another seed would change.

{_what_sampling_gained(figures, runs)}

The shipped model's row: `python -m ncdetect evaluate --data DATA --checkpoint tiny`. The other rows are printed by
`python -m ncdetect build --data DATA`, which leaves every model under `build/`; for one of them:
`python -m ncdetect evaluate --data DATA --checkpoint build/pretrained/vocoded` or `... build/small/all`.

## How it was chosen

Keep-rates (reals, fakes) of the grid, by the class-balanced cross-entropy on the dev split; the least one ships.

| keep-rates | clips, real + fake | dev loss |
|---|---|---|
{grid}

Clips after sampling (`{runs[0]}` ships), before it (`all`), and in a random draw of the same size (`random`), real +
fake. What to compare with `all` and `random`, which were trained without augmentation, is the row without it:

{counts_table({name: counts[name] for name in runs}, facts["corpora"])}

Training: binary cross-entropy, Adam {recipe["learning_rate"]:g}, batches of {recipe["batch_size"]}, at most
{recipe["epochs"]} epochs of {recipe["epoch_clips"]} draws, stopped {recipe["patience"]} epochs after the lowest dev
loss (epoch {facts["best_epoch"]} of {facts["epochs"]}), dropout 0.3, {recipe["precision"]}, classes balanced within
each corpus, {"with" if recipe["augment"] else "without"} augmentation. Command:
`python -m ncdetect build --data DATA`.

## Calibration and "undecided"

The probability is calibrated on dev for equal priors: log-likelihood ratio = {config.calibration_scale:.3f} x score
{config.calibration_offset:+.3f}. A clip is undecided when the nearest class mean and the classifier disagree, when
the probability lies within {config.undecided_margin:g} of a half, or when it lies farther from the training clips
than 99 % of the dev clips do. On the {agreement["clips"]} eval clips both readings agree in
{100 * agreement["agree"]:.1f} % of cases and are right in {100 * agreement["right_when_agreeing"]:.1f} % of those
(where they disagree, the classifier is right in {100 * agreement["right_when_disagreeing"]:.1f} %). They are two
readings of one embedding, not two witnesses.

## Data

{len(manifest):,} clips from {len({clip.generator for clip in manifest if clip.label == Label.FAKE}):,} generators:
corpora {", ".join(facts["corpora"])} for training, and those that stand in the table only for evaluation. The audio
itself is not part of this project; the bank holds embeddings and 2-D coordinates.
"""


def _what_sampling_gained(figures: Table, runs: Sequence[str]) -> str:
    """In plain words, from the numbers: the sampled database against a random draw and against everything."""
    rows = {run: row for run in runs for name, row in figures.items() if name.endswith(f" {run}")}
    sampled = next(run for run in runs if not run.endswith("-augmented"))
    sentences = []
    for rival, what in (("random", "a random draw of the same size"), ("all", "training on everything")):
        parts = []
        for own, other in zip(rows[sampled], rows[rival], strict=True):
            if own.clips not in ("all", "wild"):
                continue
            apart = own.eer.high < other.eer.low or other.eer.high < own.eer.low
            better = "better" if own.eer.value < other.eer.value else "worse"
            verdict = better if apart else f"{better}, but within the intervals"
            where = "eval" if own.clips == "all" else "wild"
            parts.append(f"{where} {100 * own.eer.value:.1f} against {100 * other.eer.value:.1f} ({verdict})")
        sentences.append(f"Against {what}: {', '.join(parts)}.")
    return f"**What sampling gained** (`{sampled}`, EER in %). " + " ".join(sentences)


def corpus_card(corpus: str, bank_clips: int, row: Sequence[Figures]) -> str:
    """The card of one corpus's bank; the model behind it is not kept in the repository."""
    return f"""# {corpus}: the bank of its own pre-trained model

{bank_clips} clips (train and dev) of corpus `{corpus}` in the 256-d embedding of a ResNet with 18 residual blocks
trained on its train split alone: what the Sampling lab samples from. The weights (25 MB) are not in the repository;
`python -m ncdetect build --data DATA` makes them again (`build/pretrained/{corpus}`).

EER in %, with its 95 % interval, of that model (`python -m ncdetect evaluate --data DATA --checkpoint
build/pretrained/{corpus}`):

{figures_table({f"resnet18b on {corpus}": row})}
"""
