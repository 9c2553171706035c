"""Do explanations hold? The deletion test of every method on eval clips: `assets/results/explanations.md`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ncdetect import audio, tables
from ncdetect.corpora import Manifest
from ncdetect.deletion import Faithfulness, faithfulness
from ncdetect.experiments import training_corpora
from ncdetect.explain import METHODS, REGION_S
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.models import Detector
from ncdetect.pipeline import group_of, no_progress
from ncdetect.tables import Row
from ncdetect.training import Progress

REGIONS = 3
CHANCE = 0.5


@dataclass(frozen=True)
class Held:
    """How one method did on one detector."""

    checkpoint: str
    method: str
    """A key of METHODS."""
    found: Faithfulness

    def row(self) -> Row:
        """As in the table."""
        share, advantage = self.found.share, self.found.advantage
        return {
            "checkpoint": self.checkpoint,
            "method": self.method,
            "clips": self.found.clips,
            "share": round(share.value, 4),
            "share_low": round(share.low, 4),
            "share_high": round(share.high, 4),
            "advantage": round(advantage.value, 3),
            "advantage_low": round(advantage.low, 3),
            "advantage_high": round(advantage.high, 3),
        }

    def sentence(self) -> str:
        """What the figures say."""
        share, advantage = self.found.share, self.found.advantage
        if share.low > CHANCE and advantage.low > 0:
            word = "holds"
        elif share.high < CHANCE or advantage.high < 0:
            word = "misleads"
        else:
            word = "is not shown to hold"
        return (
            f"{self.checkpoint}, {self.method}: {word}. On {100 * share.value:.0f} % of {self.found.clips} "
            "clips what it names matters more than random moments, by "
            f"{advantage.value:+.2f} logits on average."
        )


def sample(manifest: Manifest, clips: int, seed: int = 0) -> Manifest:
    """Eval clips of the corpora that can be trained on, drawn blindly, half of them of each class.

    Raises:
        ValueError: If there are not so many.
    """
    tests = manifest.select(corpus=training_corpora(manifest), split="eval")
    rng, drawn = np.random.default_rng(seed), []
    for label in Label:
        rows = np.flatnonzero(tests.labels == label)
        if len(rows) < clips // 2:
            raise ValueError(f"there are {len(rows)} {label.word} eval clips, {clips // 2} were asked for")
        drawn.append(rng.permutation(rows)[: clips // 2])
    return Manifest(tests.root, tuple(tests.clips[row] for row in np.sort(np.concatenate(drawn))))


def methods(detector: Detector) -> list[str]:
    """Those that a detector can be explained by: Grad-CAM needs 2-D convolutions."""
    seen = any(isinstance(module, nn.Conv2d) for module in detector.modules())
    return [name for name in METHODS if seen or name != "grad-cam"]


def study(name: str, detector: Detector, clips: Manifest, progress: Progress = no_progress) -> list[Held]:
    """The test of every method on the first window of each clip.

    Args:
        name: Of the checkpoint.
        detector: Its detector, in eval mode.
        clips: As `sample` draws them.
        progress: Wraps the clips.
    """
    waves, groups = Waves(clips), np.array([group_of(clip) for clip in clips])
    found = []
    for method in methods(detector):

        def windows(method: str = method) -> Iterable[np.ndarray]:
            rows = progress(range(len(clips)), f"{name}, {method}")
            return (audio.windows(waves[row])[1][0] for row in rows)

        held = faithfulness(detector, windows(), METHODS[method], REGIONS, groups=groups)
        found.append(Held(name, method, held))
    return found


def write(entries: Sequence[Held], folder: Path, command: str) -> list[Path]:
    """Write `explanations.csv` and, in words, `explanations.md`.

    Args:
        entries: Of all checkpoints.
        folder: Made where it is not there.
        command: What made them: the first line of the Markdown.

    Returns:
        The files.
    """
    lines = [
        f"Made by `{command}`: the first window of eval clips, half of them real.",
        f"Each method names up to {REGIONS} stretches of {REGION_S:g} s. They are covered by noise with the "
        "clip's own spectrum, then as many random ones of the same length: `share` is on how many clips the "
        "score falls further for the named ones (chance: 50 %), `advantage` by how much, in logits; with "
        "95 % intervals, drawn by generator and speaker.",
        "\n".join(f"- {entry.sentence()}" for entry in entries),
        "| checkpoint | method | clips | share in % | advantage |\n|---|---|---|---|---|\n"
        + "\n".join(map(_line, entries)),
    ]
    table = [entry.row() for entry in entries]
    return tables.write_both(table, folder, "explanations", lambda _: "\n\n".join(lines) + "\n")


def _line(entry: Held) -> str:
    share, advantage = entry.found.share, entry.found.advantage
    shares = f"{100 * share.value:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    advantages = f"{advantage.value:+.2f} [{advantage.low:+.2f}, {advantage.high:+.2f}]"
    return f"| {entry.checkpoint} | {entry.method} | {entry.found.clips} | {shares} | {advantages} |"
