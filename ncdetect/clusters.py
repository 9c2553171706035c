"""Algorithm 2 of neural-collapse sampling (Yousif et al. 2024) for fakes: clusters, and the nearest of each.

The paper leaves open how the number of clusters is found and when clusters overlap; `ClusterParameters` says
what is done here. Pure functions on arrays.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect import sampling
from ncdetect.sampling import Threshold

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ClusterParameters:
    """What Algorithm 2 leaves open."""

    sample: int = 5_000
    """k-means is fitted, and the silhouette taken, on so many clips at most, drawn with the seed."""
    most_clusters: int = 20
    """No more clusters than this, however many generators there are."""
    starts: int = 5
    """Starts of k-means (k-means++) for each number of clusters; the tightest result counts."""
    least_silhouette: float = 0.05
    """With a mean silhouette below this (of -1 to 1) there is no structure: one cluster."""
    radius_quantile: float = 0.9
    """A cluster's radius is this quantile of its members' distances (linear between two of them)."""
    overlap_share: float = 0.1
    """Two clusters overlap when more than this share of either's members lies in the other's radius."""

    def __post_init__(self) -> None:
        """Refuse what no clustering can be made with."""
        if min(self.sample, self.most_clusters, self.starts) < 1:
            raise ValueError(f"sample, most_clusters and starts must be at least 1, got {self}")
        if not (0 <= self.radius_quantile <= 1 and 0 <= self.overlap_share <= 1):
            raise ValueError(f"radius_quantile and overlap_share must lie between 0 and 1, got {self}")


@dataclass(frozen=True, eq=False)
class Clusters:
    """The fakes of one corpus in k clusters, and how much must be kept for each clip to be among the kept.

    Clusters are numbered by size, largest first, then by their first path. `find_clusters` takes seconds;
    `select` is then immediate for any threshold.
    """

    assignment: Rows
    """Cluster of each row, shape (N,)."""
    centres: Floats
    """Mean of each cluster's members, shape (k, D)."""
    radii: Floats
    """Radius of each cluster, in the unit of the embedding, shape (k,)."""
    silhouettes: dict[int, float]
    """Mean silhouette of each k that was tried; empty where there was nothing to choose."""
    overlap: Floats
    """[i, j]: share of the members of i that lie within the radius of j about its centre, shape (k, k)."""
    groups: tuple[tuple[int, ...], ...]
    """The clusters in groups that overlap, directly or through others; one that is alone is its own group."""
    own_distances: Floats
    """Distance of each row to its own cluster's centre, shape (N,)."""
    reach: Floats
    """Least distance threshold that keeps the row, shape (N,).

    The distance to the own centre; in an overlapping group the greater of that and the distance to the
    group's common centre.
    """
    ranks: Rows
    """Place of each row, from 1, nearest first, in its cluster and in its overlapping group, shape (N, 2).

    Where the cluster overlaps with none, both are the place in the cluster.
    """
    sizes: Rows
    """How many the ranks are among, shape (N, 2)."""
    order: Rows
    """All rows in the order in which a rising rate admits them, ties by path, shape (N,)."""
    generators: tuple[str, ...]
    """Generator of each row, N."""

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centres)

    @property
    def needed_rates(self) -> Floats:
        """A row is kept at every rate above this, shape (N,)."""
        return _needed(self.ranks, self.sizes)

    @property
    def total_by_cluster(self) -> tuple[int, ...]:
        """Members of each cluster, k numbers."""
        return tuple(np.bincount(self.assignment, minlength=self.k).tolist())

    @property
    def total_by_generator(self) -> dict[str, int]:
        """Clips of each generator, by name."""
        return dict(sorted(Counter(self.generators).items()))

    def select(self, threshold: Threshold) -> "ClusterSelection":
        """Apply Algorithm 1 in each cluster; in overlapping groups about the common centre as well.

        Args:
            threshold: A distance holds for every centre. A rate is a quantile in each cluster, and in each
                overlapping group. A count raises one common rate until so many are kept.
        """
        if threshold.count is not None:
            kept = self.order[: threshold.count]
        else:
            if threshold.distance is not None:
                inside = self.reach <= threshold.distance
            else:
                places = {int(n): threshold.size(np.broadcast_to(0.0, n)) for n in np.unique(self.sizes)}
                inside = (self.ranks <= _mapped(places, self.sizes)).all(axis=1)
            kept = self.order[inside[self.order]]
        found = {field.name: getattr(self, field.name) for field in fields(Clusters)}
        return ClusterSelection(
            **found, rows=kept, distances=self.own_distances[kept], clusters=self.assignment[kept]
        )


@dataclass(frozen=True, eq=False)
class ClusterSelection(Clusters):
    """What Algorithm 2 keeps, with the clusters that it was kept from."""

    rows: Rows
    """Rows of the input that are kept, those that the least rate would keep first, shape (M,)."""
    distances: Floats
    """Their distances to the centre of their own cluster, shape (M,)."""
    clusters: Rows
    """Their clusters, shape (M,)."""

    @property
    def kept_by_cluster(self) -> tuple[int, ...]:
        """Kept members of each cluster, k numbers."""
        return tuple(np.bincount(self.clusters, minlength=self.k).tolist())

    @property
    def kept_by_generator(self) -> dict[str, int]:
        """Kept clips of each generator, by name; 0 for one of which none is kept."""
        kept = Counter(self.generators[row] for row in self.rows)
        return {generator: kept[generator] for generator in self.total_by_generator}


def algorithm_2(
    embeddings: ArrayLike,
    paths: Sequence[str],
    generators: Sequence[str],
    threshold: Threshold,
    seed: int = 0,
    parameters: ClusterParameters | None = None,
) -> ClusterSelection:
    """Keep the fakes that lie nearest to the centre of their own cluster (Algorithm 2).

    Args:
        embeddings: Samples of interest of the class, shape (N, D).
        paths: Clip of each row, distinct; as in Algorithm 1 the order of the rows cannot matter.
        generators: What made each clip, N; there are at most as many clusters as generators.
        threshold: How much to keep, see `Clusters.select`.
        seed: Of k-means and of the sample that it is fitted on.
        parameters: What the paper leaves open; None takes the defaults.

    Raises:
        ValueError: If shapes differ, a path occurs twice, or an embedding is not finite.
    """
    return find_clusters(embeddings, paths, generators, seed, parameters).select(threshold)


def find_clusters(
    embeddings: ArrayLike,
    paths: Sequence[str],
    generators: Sequence[str],
    seed: int = 0,
    parameters: ClusterParameters | None = None,
) -> Clusters:
    """All of Algorithm 2 that does not depend on the threshold; arguments and errors as there."""
    parameters = parameters or ClusterParameters()
    embeddings = sampling.as_matrix(embeddings, paths)
    if len(generators) != len(embeddings):
        raise ValueError(f"{len(generators)} generators and {len(embeddings)} embeddings must be as many")
    by_path = sampling.path_order(paths)
    if len(by_path):
        sampling.mean_of(embeddings, by_path)  # before anything else: are all finite?
    members, silhouettes = partition(embeddings, by_path, len(set(generators)), seed, parameters)
    return measure(embeddings, by_path, members, silhouettes, tuple(generators), parameters)


def measure(
    embeddings: NDArray[np.floating],
    by_path: Rows,
    members: Sequence[Rows],
    silhouettes: dict[int, float],
    generators: tuple[str, ...],
    parameters: ClusterParameters,
) -> Clusters:
    """Centres, radii, overlaps, groups and ranks of given clusters.

    Args:
        embeddings: Shape (N, D), finite.
        by_path: All rows, in the order of their paths, shape (N,).
        members: Places in `by_path` of each cluster, ascending, k arrays that hold every place once.
        silhouettes: Passed through.
        generators: Of each row, N; passed through.
        parameters: Radius and overlap.
    """
    k = len(members)
    # From here to the end places count in the order of paths, so that stable sorts break ties by path.
    assignment = np.zeros(len(by_path), np.int64)
    for cluster, places in enumerate(members):
        assignment[places] = cluster
    centres = np.array([sampling.mean_of(embeddings, by_path[places]) for places in members])
    centres = centres.reshape(k, embeddings.shape[1])
    distances = sampling.distances_to(embeddings, by_path, centres)  # (N, k)
    own = distances[np.arange(len(by_path)), assignment]
    radii = np.array([np.quantile(own[places], parameters.radius_quantile) for places in members])
    overlap = np.array([(distances[places] <= radii).mean(axis=0) for places in members]).reshape(k, k)
    linked = overlap > parameters.overlap_share
    groups = _connected(linked | linked.T)

    ranks = np.ones((len(by_path), 2), np.int64)
    sizes, reach = ranks.copy(), own.copy()
    for places in members:
        ranks[places], sizes[places] = _ranks(own[places])[:, None], len(places)
    for group in groups:
        if len(group) > 1:
            places = np.flatnonzero(np.isin(assignment, group))
            common = sampling.mean_of(embeddings, by_path[places])
            collective = sampling.distances_to(embeddings, by_path[places], common[None])[:, 0]
            ranks[places, 1], sizes[places, 1] = _ranks(collective), len(places)
            reach[places] = np.maximum(own[places], collective)

    admitted = np.argsort(_needed(ranks, sizes), kind="stable")
    row_of_place = np.argsort(by_path)  # its inverse: indexing with it goes from places back to rows
    return Clusters(
        assignment=assignment[row_of_place],
        centres=centres,
        radii=radii,
        silhouettes=silhouettes,
        overlap=overlap,
        groups=groups,
        own_distances=own[row_of_place],
        reach=reach[row_of_place],
        ranks=ranks[row_of_place],
        sizes=sizes[row_of_place],
        order=by_path[admitted],
        generators=generators,
    )


def partition(
    embeddings: NDArray[np.floating], rows: Rows, most: int, seed: int, parameters: ClusterParameters
) -> tuple[list[Rows], dict[int, float]]:
    """Divide rows by k-means into the number of clusters, from 2 to `most`, with the best mean silhouette.

    k-means is fitted on a sample; then every row goes to the nearest centre.

    Args:
        embeddings: Shape (N, D), finite.
        rows: Those to divide, in the order of their paths, shape (M,).
        most: No more clusters than this, and fewer than there are distinct points.
        seed: Of the sample and of k-means.
        parameters: Sample, starts, limits.

    Returns:
        Places in `rows` of each cluster, ascending, the largest first, then that of the first path; and the
        silhouette of each number of clusters that was tried.
    """
    if not len(rows):
        return [], {}
    whole = [np.arange(len(rows))]
    most = min(most, parameters.most_clusters)
    if most < 2:
        return whole, {}
    sampled = rows
    if len(rows) > parameters.sample:
        drawn = np.random.default_rng(seed).choice(len(rows), parameters.sample, replace=False)
        sampled = rows[np.sort(drawn)]
    points = embeddings[sampled].astype(np.float64)
    # Adding zero makes -0 and 0 the same bytes. The silhouette needs a cluster of two at least.
    most = min(most, len({point.tobytes() for point in points + 0.0}) - 1)
    if most < 2:
        return whole, {}

    from sklearn.cluster import KMeans
    from sklearn.metrics import euclidean_distances, silhouette_score
    from threadpoolctl import threadpool_limits

    fits, silhouettes = {}, {}
    # One thread: sums come out the same everywhere, and where other work holds a core, k-means on two threads
    # spends its time waiting (measured: 34 times slower).
    with threadpool_limits(1):
        # Single precision halves the one large array, 5,000 x 5,000; a silhouette needs no more.
        between = euclidean_distances(points.astype(np.float32))
        for k in range(2, most + 1):
            fits[k] = KMeans(k, init="k-means++", n_init=parameters.starts, random_state=seed).fit(points)
            silhouettes[k] = float(silhouette_score(between, fits[k].labels_, metric="precomputed"))
    best = max(silhouettes, key=silhouettes.__getitem__)  # the fewest clusters, if several are as good
    if silhouettes[best] < parameters.least_silhouette:
        return whole, silhouettes
    nearest = sampling.distances_to(embeddings, rows, fits[best].cluster_centers_).argmin(axis=1)
    members = [np.flatnonzero(nearest == cluster) for cluster in np.unique(nearest)]
    return sorted(members, key=lambda places: (-len(places), places[0])), silhouettes


def _ranks(distances: Floats) -> Rows:
    """Place of each, from 1, nearest first, ties in the given order."""
    ranks = np.empty(len(distances), np.int64)
    ranks[np.argsort(distances, kind="stable")] = np.arange(1, len(distances) + 1)
    return ranks


def _needed(ranks: Rows, sizes: Rows) -> Floats:
    """Rank r of n is kept when r <= ceil(rate n), at every rate above (r - 1) / n; here by each rank."""
    return ((ranks - 1) / sizes).max(axis=1)


def _mapped(values: dict[int, int], keys: Rows) -> Rows:
    found, inverse = np.unique(keys, return_inverse=True)
    return np.array([values[int(key)] for key in found], np.int64)[inverse].reshape(keys.shape)


def _connected(linked: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    """Connected components of a symmetric matrix of links, each ascending, by their first."""
    groups: list[tuple[int, ...]] = []
    left = set(range(len(linked)))
    while left:
        group, border = set(), {min(left)}
        while border:
            group |= border
            border = set(np.flatnonzero(linked[list(border)].any(axis=0)).tolist()) - group
        groups.append(tuple(sorted(group)))
        left -= group
    return tuple(groups)
