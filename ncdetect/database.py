"""New training databases: what sampling chose from each corpus, merged, and why each clip is there."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncdetect import sampling
from ncdetect.bank import EmbeddingBank
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.sampling import Threshold


@dataclass(frozen=True)
class Chosen:
    """A clip of a new training database."""

    clip: Clip
    distance: float | None
    """To its class mean in its corpus's own model; None where no distance chose it."""
    rule: str
    """What chose it: `algorithm-1 rate 0.5`, `random seed 0`, `all`."""


def sample_bank(bank: EmbeddingBank, real: Threshold, fake: Threshold) -> list[Chosen]:
    """Sample the train clips of one corpus by Algorithm 1, reals before fakes, nearest first.

    Args:
        bank: The corpus in its own pre-trained model.
        real: How much of the real samples of interest to keep.
        fake: Likewise of the fakes.
    """
    rows = np.flatnonzero(bank.clips["split"] == "train")
    selections = sampling.sample_corpus(
        bank.embeddings[rows],
        bank.clips["score"].to_numpy()[rows],
        bank.labels[rows],
        bank.clips["path"].to_numpy()[rows],
        real,
        fake,
    )
    return [
        Chosen(bank.clip(int(rows[row])), float(distance), f"algorithm-1 {threshold}")
        for label, threshold in ((Label.REAL, real), (Label.FAKE, fake))
        for row, distance in zip(selections[label].rows, selections[label].distances, strict=True)
    ]


def merge(parts: Iterable[Iterable[Chosen]]) -> list[Chosen]:
    """The union over corpora, by path.

    Of a real recording that stands there several times (LJSpeech is in several corpora), the clip nearest to
    its class mean is kept.
    """
    entries = [entry for part in parts for entry in part]
    entries.sort(key=lambda entry: (entry.distance is None, entry.distance, entry.clip.path))
    once: dict[str, Chosen] = {}
    for entry in entries:
        recording = entry.clip.recording if entry.clip.label == Label.REAL else ""
        once.setdefault(recording or entry.clip.path, entry)
    return sorted(once.values(), key=lambda entry: entry.clip.path)


def random_like(train: Manifest, like: Sequence[Chosen], seed: int) -> list[Chosen]:
    """A random draw with as many clips of each corpus and class as another database has."""
    drawn = []
    for corpus in sorted({clip.corpus for clip in train}):
        for label in Label:
            clips = train.select(corpus=corpus, label=label).clips
            wanted = sum(entry.clip.corpus == corpus and entry.clip.label == label for entry in like)
            rows = sampling.random_rows([clip.path for clip in clips], wanted, seed)
            drawn += [Chosen(clips[row], None, f"random seed {seed}") for row in rows]
    return sorted(drawn, key=lambda entry: entry.clip.path)


def write(database: Sequence[Chosen], root: Path, file: Path) -> Manifest:
    """Write a database as a manifest that says of each clip why it was chosen."""
    manifest = Manifest(root, tuple(entry.clip for entry in database))
    file.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(file, extra={name: [getattr(e, name) for e in database] for name in ("distance", "rule")})
    return manifest


def count(clips: Iterable[Clip]) -> Counter[str]:
    """Clips by class (`real`, `fake`) and by corpus and class (`neural real`)."""
    counts: Counter[str] = Counter()
    for clip in clips:
        counts[clip.label.word] += 1
        counts[f"{clip.corpus} {clip.label.word}"] += 1
    return counts
