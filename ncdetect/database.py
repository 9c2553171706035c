"""New training databases: what sampling chose from each corpus, merged, and why each clip is there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncdetect import rules, sampling
from ncdetect.bank import EmbeddingBank
from ncdetect.clusters import ClusterSelection
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.rules import Budget, Picked, Pool

GENERATORS_SHOWN = 20
"""In one line of text."""


@dataclass(frozen=True)
class Chosen:
    """A clip of a new training database."""

    clip: Clip
    distance: float | None
    """To its class mean, or its cluster's centre, in its corpus's model; None where no distance chose it."""
    rule: str
    """What chose it: `algorithm-1 rate 0.5`, `random rate 0.25 seed 3`, `all`."""
    cluster: int | None = None
    """Its cluster among its corpus's fakes, or its stratum in its class; None where the rule has none."""


def sample_bank(
    bank: EmbeddingBank, budget: Budget, rule: str = "algorithm-1", seed: int = 0
) -> list[Chosen]:
    """Choose train clips of one corpus, reals before fakes, in the order of the rule.

    Args:
        bank: The corpus in its own pre-trained model.
        budget: How much of each class to keep.
        rule: Name in `rules.RULES`.
        seed: For rules that draw or cluster.

    Raises:
        ValueError: As `rules.choose`.
    """
    pool = Pool.of(bank)
    return entries(bank, pool, rules.choose(pool, rule, budget, seed), budget, rule, seed)


def entries(
    bank: EmbeddingBank, pool: Pool, picked: Mapping[Label, Picked], budget: Budget, rule: str, seed: int
) -> list[Chosen]:
    """What `rules.choose` picked from a bank's pool, as clips with the reason why they were chosen."""
    chosen = []
    for label in Label:
        # Algorithm 2 is about fakes; its reals are chosen by Algorithm 1.
        name = "algorithm-1" if rule == "algorithm-2" and label == Label.REAL else rule
        reason = f"{name} {budget.of(label)}" + (f" seed {seed}" if rules.named(name).seeded else "")
        kept = picked[label]
        for place, row in enumerate(pool.rows[kept.rows]):
            distance = None if kept.distances is None else float(kept.distances[place])
            cluster = None if kept.clusters is None else int(kept.clusters[place])
            chosen.append(Chosen(bank.clip(int(row)), distance, reason, cluster))
    return chosen


def merge(parts: Iterable[Iterable[Chosen]]) -> list[Chosen]:
    """The union over corpora, by path.

    Of a real recording that stands there several times (LJSpeech is in several corpora), the clip nearest to
    its class mean is kept; where no distance chose it, the first by path.
    """
    entries = [entry for part in parts for entry in part]
    entries.sort(key=lambda entry: (entry.distance is None, entry.distance, entry.clip.path))
    once: dict[str, Chosen] = {}
    for entry in entries:
        recording = entry.clip.recording if entry.clip.label == Label.REAL else ""
        once.setdefault(recording or entry.clip.path, entry)
    return sorted(once.values(), key=lambda entry: entry.clip.path)


def draw(corpus: Manifest, budget: Budget, seed: int) -> list[Chosen]:
    """A random draw of one corpus's clips: the rule `random` where there is no bank."""
    drawn = []
    for label in Label:
        clips, threshold = corpus.select(label=label).clips, budget.of(label)
        count = threshold.size(np.zeros(len(clips)))
        rows = sampling.random_rows([clip.path for clip in clips], count, [seed, int(label)])
        drawn += [Chosen(clips[row], None, f"random {threshold} seed {seed}") for row in rows]
    return drawn


def random_like(train: Manifest, like: Sequence[Chosen], seed: int) -> list[Chosen]:
    """A random draw with as many clips of each corpus and class as another database has."""
    wanted = count(entry.clip for entry in like)
    drawn = []
    for corpus in sorted({clip.corpus for clip in train}):
        budget = Budget.counts(*(wanted[f"{corpus} {label.word}"] for label in Label))
        drawn += draw(train.select(corpus=corpus), budget, seed)
    return sorted(drawn, key=lambda entry: entry.clip.path)


def write(database: Sequence[Chosen], root: Path, file: Path) -> Manifest:
    """Write a database as a manifest that says of each clip why it was chosen."""
    manifest = Manifest(root, tuple(entry.clip for entry in database))
    file.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(
        file, extra={name: [getattr(e, name) for e in database] for name in ("distance", "cluster", "rule")}
    )
    return manifest


def count(clips: Iterable[Clip]) -> Counter[str]:
    """Clips by class (`real`, `fake`) and by corpus and class (`neural real`)."""
    counts: Counter[str] = Counter()
    for clip in clips:
        counts[clip.label.word] += 1
        counts[f"{clip.corpus} {clip.label.word}"] += 1
    return counts


def describe(found: ClusterSelection) -> str:
    """What Algorithm 2 found and kept in one corpus: a line on the clusters, one on the generators."""
    grouped = ["+".join(map(str, group)) for group in found.groups if len(group) > 1]
    by_cluster = zip(found.kept_by_cluster, found.total_by_cluster, strict=True)
    kept, total = found.kept_by_generator, found.total_by_generator
    largest = sorted(total, key=lambda name: -total[name])[:GENERATORS_SHOWN]
    more = len(total) - len(largest)
    return (
        f"{found.k} clusters, {'overlapping: ' + ', '.join(grouped) if grouped else 'none overlap'}; "
        f"kept {', '.join(f'{some} of {all_}' for some, all_ in by_cluster)}\n"
        f"{sum(map(bool, kept.values()))} of {len(total)} generators kept: "
        + ", ".join(f"{name or 'unnamed'} {kept[name]} of {total[name]}" for name in largest)
        + (f" and {more} more" if more else "")
    )
