"""Algorithms 1 and 2 over banks in shards, and the new training database: the clips that `sample` keeps.

The same clips, since everything in between is the same: embeddings in half precision, sums in double that are
exact, the order of paths for ties. Distances are gathered here, 8 bytes a sample of interest.
"""

import csv
import hashlib
import heapq
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncdetect import cluster_kmeans, database
from ncdetect.cluster_kmeans import Found, Mask, Numbers
from ncdetect.cluster_manifest import row_of
from ncdetect.cluster_shards import ShardedBank
from ncdetect.clusters import ClusterParameters
from ncdetect.corpora import COLUMNS, Clip
from ncdetect.database import Chosen
from ncdetect.files import replacing
from ncdetect.labels import Label
from ncdetect.rules import Budget

RULES = ("algorithm-1", "algorithm-2")
"""Of `rules.RULES` those that need no more than a few passes."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a rule keeps of one bank; arrays are over the samples of interest, in the order of paths."""

    bank: ShardedBank
    kept: dict[Label, Mask]
    """Which, (N,) each."""
    distances: dict[Label, NDArray[np.float64]]
    """To the class mean or to the own cluster's centre, (N,) each."""
    rules: dict[Label, str]
    """What chose them, as in `Chosen`."""
    clusters: Numbers | None = None
    """Cluster of each fake, (N,); None without Algorithm 2."""
    found: Found | None = None
    """What Algorithm 2 found; what it keeps of each generator is counted by `write`."""


@dataclass(frozen=True)
class Written:
    """A new training database that was written."""

    counts: Counter[str]
    """Clips by class, and by corpus and class, as `database.count`."""
    found: tuple[Found | None, ...]
    """What Algorithm 2 found in each bank."""


def choose(
    bank: ShardedBank,
    budget: Budget,
    rule: str = "algorithm-1",
    seed: int = 0,
    parameters: ClusterParameters | None = None,
) -> Sampled:
    """Choose train clips of one finished bank.

    Algorithm 1 goes through the embeddings once. Algorithm 2 does three times, a fourth where clusters
    overlap, and takes a look at the sample that k-means is fitted on.

    Args:
        bank: A corpus in its own pre-trained model.
        budget: How much of each class to keep.
        rule: One of RULES.
        seed: Of k-means and its sample.
        parameters: What Algorithm 2 leaves open; None takes the defaults.

    Raises:
        ValueError: If the rule is another, or the bank is unfinished or empty.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; allowed at scale: {', '.join(RULES)}")
    parameters = parameters or ClusterParameters()
    by_cluster = rule == "algorithm-2"
    parts = cluster_kmeans.partition(bank, seed, parameters) if by_cluster else cluster_kmeans.whole(bank)
    own = cluster_kmeans.own_distances(bank, parts)
    together = cluster_kmeans.groups(bank, parts, own[Label.FAKE], parameters)
    collective = cluster_kmeans.collective_distances(bank, parts, together)
    fakes = cluster_kmeans.kept(parts, together, own[Label.FAKE], collective, budget.fake)
    sampled = Sampled(
        bank,
        {Label.REAL: cluster_kmeans.nearest(own[Label.REAL], budget.real), Label.FAKE: fakes},
        own,
        {Label.REAL: f"algorithm-1 {budget.real}", Label.FAKE: f"{rule} {budget.fake}"},
    )
    if not by_cluster:
        return sampled
    kept_of_cluster = np.bincount(parts.assignment[fakes], minlength=len(parts.sizes))
    return replace(
        sampled,
        rules=sampled.rules | {Label.FAKE: f"{rule} {budget.fake} seed {seed}"},
        clusters=parts.assignment,
        found=Found(
            together, tuple(kept_of_cluster.tolist()), tuple(parts.sizes.tolist()), {},
            cluster_kmeans.generators(bank),
        ),
    )  # fmt: skip


def entries(part: Sampled) -> Iterator[Chosen]:
    """The clips that are kept of one bank, in the order of paths; a block at a time is in memory."""
    where = {label: cluster_kmeans.slices(part.bank, label) for label in Label}
    for block in range(part.bank.blocks):
        kept = {label: np.flatnonzero(part.kept[label][where[label][block]]) for label in Label}
        if not any(map(len, kept.values())):
            continue
        shard, found = part.bank.shard(block), []
        for label, places in kept.items():
            if not len(places):
                continue
            first = where[label][block].start
            for place, clip in zip(places, shard.clips(shard.interest(label)[places]), strict=True):
                cluster = part.clusters if label == Label.FAKE else None
                found.append(
                    Chosen(
                        clip,
                        float(part.distances[label][first + place]),
                        part.rules[label],
                        None if cluster is None else int(cluster[first + place]),
                    )
                )
        yield from sorted(found, key=lambda entry: entry.clip.path)


def write(parts: Sequence[Sampled], file: Path) -> Written:
    """Write the union over banks as `database.merge` makes it: whole or not at all.

    Memory: some 50 bytes a kept clip, beside what the parts hold.

    Returns:
        What was written, and what Algorithm 2 found and kept.
    """
    wanted, generators = _once(parts)
    extra = ("distance", "cluster", "rule")
    with replacing(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*COLUMNS, *extra))

        def written() -> Iterator[Clip]:
            for keep, (_, entry) in zip(wanted, _merged(parts), strict=True):
                if keep:
                    values = (getattr(entry, name) for name in extra)
                    writer.writerow((*row_of(entry.clip).values(), *values))
                    yield entry.clip

        counts = database.count(written())
    pairs = zip(parts, generators, strict=True)
    found = tuple(part.found and part.found.counted(kept) for part, kept in pairs)
    return Written(counts, found)


def _merged(parts: Sequence[Sampled]) -> Iterator[tuple[int, Chosen]]:
    """Number of the bank and clip, all kept ones in the order of paths."""

    def numbered(number: int, part: Sampled) -> Iterator[tuple[int, Chosen]]:
        return ((number, entry) for entry in entries(part))

    streams = [numbered(number, part) for number, part in enumerate(parts)]
    return heapq.merge(*streams, key=lambda entry: entry[1].clip.path)


def _once(parts: Sequence[Sampled]) -> tuple[Mask, list[Counter[str]]]:
    """Which of the merged clips stay, each recording once; and the kept fakes of each bank by generator."""
    digests, distances = bytearray(), array("d")
    generators: list[Counter[str]] = [Counter() for _ in parts]
    for bank, entry in _merged(parts):
        clip = entry.clip
        recording = clip.recording if clip.label == Label.REAL else ""
        digests += hashlib.blake2b((recording or clip.path).encode(), digest_size=16).digest()
        distances.append(entry.distance)
        if clip.label == Label.FAKE:
            generators[bank][clip.generator] += 1
    keys = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((distances, keys[:, 1], keys[:, 0]))  # stable: ties go by path
    sorted_keys = keys[order]
    first = np.ones(len(order), bool)
    first[1:] = (sorted_keys[1:] != sorted_keys[:-1]).any(axis=1)
    wanted = np.zeros(len(order), bool)
    wanted[order[first]] = True
    return wanted, generators
