"""Algorithm 2 over a bank in shards: clusters, radii, overlaps and groups as `clusters` finds them in memory.

k-means is fitted here, on the same seeded sample of the same fakes; workers assign and measure. Of each fake
of interest this machine keeps its cluster (2 bytes) and one or two distances (8 bytes each), no embedding.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncdetect import clusters, sampling
from ncdetect.cluster import each_block
from ncdetect.cluster_shards import ShardedBank
from ncdetect.clusters import ClusterParameters
from ncdetect.labels import Label
from ncdetect.sampling import Threshold

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Partition:
    """The fakes of interest of a bank in k clusters, the largest first, then that of the first path."""

    assignment: Numbers
    """Cluster of each, in the order of paths, shape (N,)."""
    sums: Floats
    """Sum of each cluster's members, shape (k, D)."""
    sizes: NDArray[np.int64]
    """Members of each, shape (k,)."""

    @property
    def centres(self) -> Floats:
        """Mean of each cluster's members, shape (k, D)."""
        return self.sums / np.maximum(1, self.sizes[:, None])


def slices(bank: ShardedBank, label: Label) -> list[slice]:
    """Where the samples of interest of each block stand among all of a class, in the order of paths."""
    ends = np.cumsum(bank.interest(label)).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def whole(bank: ShardedBank) -> Partition:
    """All fakes of interest in one cluster: Algorithm 1."""
    size = int(bank.interest(Label.FAKE).sum())
    sums = np.sum([facts.sums[Label.FAKE] for facts in bank.facts], axis=0)
    return Partition(np.zeros(size, np.uint16), sums[None], np.array([size]))


def partition(bank: ShardedBank, seed: int, parameters: ClusterParameters) -> Partition:
    """Divide the fakes of interest as `clusters.partition` does: a look at a sample, then one pass."""
    one = whole(bank)
    size = len(one.assignment)
    most = min(len({name for facts in bank.facts for name in facts.generators}), parameters.most_clusters)
    if most < 2:
        return one
    drawn = np.arange(size)
    if size > parameters.sample:
        drawn = np.sort(np.random.default_rng(seed).choice(size, parameters.sample, replace=False))
    points = _gather(bank, drawn)
    _, silhouettes = clusters.partition(points, np.arange(len(points)), most, seed, parameters)
    best = max(silhouettes, key=silhouettes.__getitem__, default=1)
    if best == 1 or silhouettes[best] < parameters.least_silhouette:
        return one
    return _assigned(bank, _centres(points, best, seed, parameters))


def _gather(bank: ShardedBank, places: NDArray[np.int64]) -> NDArray[np.float16]:
    """Embeddings of some fakes of interest, ascending, (M, D)."""
    shards = replace(bank)
    wanted = {
        block: places[(places >= where.start) & (places < where.stop)] - where.start
        for block, where in enumerate(slices(bank, Label.FAKE))
    }

    def read(item: dict[str, Any]) -> dict[str, Any]:
        shard = shards.shard(item["block"])
        rows = shard.interest(Label.FAKE)[np.frombuffer(item["given"], np.int64)]
        return {"block": item["block"], "embeddings": shard.embeddings(rows).tobytes()}

    blocks = [block for block, some in wanted.items() if len(some)]
    found = each_block(read, blocks, {block: wanted[block].tobytes() for block in blocks})
    parts = {row["block"]: np.frombuffer(row["embeddings"], np.float16) for row in found}
    return np.concatenate([parts[block] for block in blocks]).reshape(len(places), -1)


def _centres(points: NDArray[np.float16], k: int, seed: int, parameters: ClusterParameters) -> Floats:
    """The very k-means that `clusters.partition` found best, of which it returns no centres."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        fit = KMeans(k, init="k-means++", n_init=parameters.starts, random_state=seed)
        return fit.fit(points.astype(np.float64)).cluster_centers_


def _assigned(bank: ShardedBank, centres: Floats) -> Partition:
    """Every fake of interest goes to the nearest centre, (k, D)."""
    shards, k = replace(bank), len(centres)

    def assign(item: dict[str, Any]) -> dict[str, Any]:
        shard = shards.shard(item["block"])
        embeddings = shard.embeddings(shard.interest(Label.FAKE))
        rows = np.arange(len(embeddings))
        nearest = sampling.distances_to(embeddings, rows, centres).argmin(axis=1)
        sums = [embeddings[nearest == cluster].astype(np.float64).sum(axis=0) for cluster in range(k)]
        return {
            "block": item["block"],
            "nearest": nearest.astype(np.uint16).tobytes(),
            "sums": np.array(sums).tobytes(),
        }

    where = slices(bank, Label.FAKE)
    nearest = np.empty(where[-1].stop, np.uint16)
    sums = np.zeros((bank.blocks, *centres.shape))  # added in the order of blocks, whichever comes first
    for row in each_block(assign, range(bank.blocks)):
        nearest[where[row["block"]]] = np.frombuffer(row["nearest"], np.uint16)
        sums[row["block"]] = np.frombuffer(row["sums"]).reshape(centres.shape)
    sizes = np.bincount(nearest, minlength=k)
    first = {int(cluster): int(np.argmax(nearest == cluster)) for cluster in np.flatnonzero(sizes)}
    order = sorted(first, key=lambda cluster: (-sizes[cluster], first[cluster]))
    number = np.zeros(k, np.uint16)
    number[order] = np.arange(len(order))
    return Partition(number[nearest], sums.sum(axis=0)[order], sizes[order])


def groups(
    bank: ShardedBank, found: Partition, own: Floats, parameters: ClusterParameters
) -> tuple[tuple[int, ...], ...]:
    """Clusters in groups that overlap, directly or through others, by their first: one pass.

    Args:
        bank: The bank.
        found: Its clusters, one at least.
        own: Distance of each fake of interest to its own centre, shape (N,).
        parameters: Radius and overlap.
    """
    from scipy.sparse.csgraph import connected_components

    k = len(found.sizes)
    if k == 1:
        return ((0,),)
    shards, centres, where = replace(bank), found.centres, slices(bank, Label.FAKE)
    radii = np.array(
        [np.quantile(own[found.assignment == cluster], parameters.radius_quantile) for cluster in range(k)]
    )

    def count(item: dict[str, Any]) -> dict[str, Any]:
        shard = shards.shard(item["block"])
        embeddings = shard.embeddings(shard.interest(Label.FAKE))
        inside = sampling.distances_to(embeddings, np.arange(len(embeddings)), centres) <= radii
        cluster = np.frombuffer(item["given"], np.uint16)
        counts = np.array([inside[cluster == one].sum(axis=0) for one in range(k)], np.int64)
        return {"counts": counts.tobytes()}

    counts = np.zeros((k, k), np.int64)
    for row in each_block(count, range(bank.blocks), _given(found.assignment, where)):
        counts += np.frombuffer(row["counts"], np.int64).reshape(k, k)
    linked = counts / found.sizes[:, None] > parameters.overlap_share
    number, group_of = connected_components(linked | linked.T, directed=False)
    return tuple(sorted(tuple(np.flatnonzero(group_of == group).tolist()) for group in range(number)))


def own_distances(bank: ShardedBank, found: Partition) -> dict[Label, Floats]:
    """Of each sample of interest to its class mean (reals) or its own cluster's centre (fakes): one pass."""
    centres = {Label.REAL: bank.means()[:1], Label.FAKE: found.centres}
    return _distances(bank, centres, found.assignment)


def collective_distances(
    bank: ShardedBank, found: Partition, together: Sequence[Sequence[int]]
) -> Floats | None:
    """Distance of each fake of interest to its overlapping group's common centre, shape (N,): one pass.

    None where no clusters overlap; of a fake whose cluster is alone it is that to its own centre.
    """
    if max(map(len, together)) == 1:
        return None
    common = np.zeros_like(found.sums)
    for group in map(list, together):
        common[group] = found.sums[group].sum(axis=0) / found.sizes[group].sum()
    return _distances(bank, {Label.FAKE: common}, found.assignment)[Label.FAKE]


def _distances(bank: ShardedBank, centres: dict[Label, Floats], assignment: Numbers) -> dict[Label, Floats]:
    shards, where = replace(bank), {label: slices(bank, label) for label in Label}

    def measure(item: dict[str, Any]) -> dict[str, Any]:
        shard, measured = shards.shard(item["block"]), {"block": item["block"]}
        for label, of_class in centres.items():
            embeddings = shard.embeddings(shard.interest(label))
            cluster = np.zeros(len(embeddings), np.uint16)
            if label == Label.FAKE:
                cluster = np.frombuffer(item["given"], np.uint16)
            distances = np.empty(len(embeddings))
            for one in np.unique(cluster):
                rows = np.flatnonzero(cluster == one)
                distances[rows] = sampling.distances_to(embeddings, rows, of_class[one][None])[:, 0]
            measured[label.word] = distances.tobytes()
        return measured

    found = {label: np.empty(where[label][-1].stop) for label in centres}
    for row in each_block(measure, range(bank.blocks), _given(assignment, where[Label.FAKE])):
        for label, distances in found.items():
            distances[where[label][row["block"]]] = np.frombuffer(row[label.word])
    return found


def _given(assignment: Numbers, where: Sequence[slice]) -> dict[int, bytes]:
    return {block: assignment[part].tobytes() for block, part in enumerate(where)}


def nearest(distances: Floats, threshold: Threshold) -> Mask:
    """Which of a class, or of a cluster, Algorithm 1 keeps; ties in distance go by place, shape (N,)."""
    if threshold.distance is not None:
        return distances <= threshold.distance
    size = threshold.size(np.broadcast_to(0.0, len(distances)))
    if not 0 < size < len(distances):
        return np.full(len(distances), size > 0)
    last = np.partition(distances, size - 1)[size - 1]
    kept = distances < last
    kept[np.flatnonzero(distances == last)[: size - kept.sum()]] = True
    return kept


def kept(
    found: Partition,
    together: Sequence[Sequence[int]],
    own: Floats,
    collective: Floats | None,
    threshold: Threshold,
) -> Mask:
    """Which fakes of interest Algorithm 2 keeps, as `Clusters.select` does, shape (N,).

    Args:
        found: The clusters.
        together: The groups that overlap.
        own: Distances to the own centre, (N,).
        collective: Distances to the group's common centre, (N,); None where no clusters overlap.
        threshold: A distance holds for every centre, a rate in each cluster and group; a count raises one
            common rate until so many are kept.
    """
    parts = [(np.flatnonzero(found.assignment == one), own) for one in range(len(found.sizes))]
    for group in together:
        if len(group) > 1:
            parts.append((np.flatnonzero(np.isin(found.assignment, group)), collective))
    if threshold.count is None:
        inside = np.ones(len(own), bool)
        for places, distances in parts:
            inside[places] &= nearest(distances[places], threshold)
        return inside
    # Rank r of n is kept at every rate above (r - 1) / n.
    needed = np.zeros(len(own))
    for places, distances in parts:
        in_order = places[np.argsort(distances[places], kind="stable")]
        needed[in_order] = np.maximum(needed[in_order], np.arange(len(places)) / len(places))
    return nearest(needed, threshold)


@dataclass(frozen=True)
class Found:
    """What Algorithm 2 found and kept, for `database.describe`."""

    groups: tuple[tuple[int, ...], ...]
    kept_by_cluster: tuple[int, ...]
    total_by_cluster: tuple[int, ...]
    kept_by_generator: dict[str, int]
    total_by_generator: dict[str, int]

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.total_by_cluster)

    def counted(self, kept: Counter[str]) -> "Found":
        """The same with the kept clips of each generator."""
        return replace(self, kept_by_generator={name: kept[name] for name in self.total_by_generator})


def generators(bank: ShardedBank) -> dict[str, int]:
    """Fakes of interest of each generator, by name."""
    return dict(sorted(sum((Counter(facts.generators) for facts in bank.facts), Counter()).items()))
