"""Neural-collapse sampling (Yousif et al. 2024, Algorithm 1): pure functions on arrays."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect.labels import Label

BLOCK_VALUES = 2**17
"""Numbers converted to double precision at a time: 1 MB, which stays in the cache."""


@dataclass(frozen=True)
class Threshold:
    """How much of a class to keep: a distance, a keep-rate or a count; exactly one is given."""

    distance: float | None = None
    """Keep clips at most this far from the class mean (the unit of the embedding)."""
    rate: float | None = None
    """Keep this share of the class, nearest first; 0 to 1, rounded up to whole clips."""
    count: int | None = None
    """Keep this many clips, nearest first; all, if there are fewer."""

    def __post_init__(self) -> None:
        """Check that one way is given, within its range."""
        given = {k: v for k, v in vars(self).items() if v is not None}
        if len(given) != 1:
            raise ValueError(f"give one of distance, rate and count, got {given or 'none'}")
        if self.rate is not None and not 0 <= self.rate <= 1:
            raise ValueError(f"rate must lie between 0 and 1, got {self.rate}")
        if self.count is not None and self.count < 0:
            raise ValueError(f"count must not be negative, got {self.count}")
        if self.distance is not None and not self.distance >= 0:
            raise ValueError(f"distance must not be negative, got {self.distance}")

    def __str__(self) -> str:
        """`rate 0.5`, `count 30` or `distance 1.25`."""
        name, value = next((k, v) for k, v in vars(self).items() if v is not None)
        return f"{name} {value:g}"

    def size(self, distances: NDArray[np.float64]) -> int:
        """Number of clips kept of those at these sorted distances."""
        if self.count is not None:
            return min(self.count, len(distances))
        if self.rate is not None:
            # Rounding first keeps 0.1 * 30 at 3, where floating point says a little more.
            return math.ceil(round(self.rate * len(distances), 9))
        return int(np.searchsorted(distances, self.distance, side="right"))


@dataclass(frozen=True)
class Selection:
    """The kept clips of one class."""

    rows: NDArray[np.int64]
    """Rows of the input that are kept, nearest first, shape (M,)."""
    distances: NDArray[np.float64]
    """Their distances to the class mean, shape (M,)."""
    mean: NDArray[np.float64]
    """The class mean, shape (D,)."""
    threshold: float
    """The distance that gives this selection: that of the last kept clip, 0 if none is."""


def samples_of_interest(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Mask of the clips that the model classifies correctly, shape (N,) (section 2 of the paper)."""
    return (np.asarray(scores) > 0) == (np.asarray(labels) == Label.FAKE)


def path_order(paths: Sequence[str]) -> NDArray[np.int64]:
    """Rows in the order of their clips' paths, shape (N,): the order in which every rule goes through them.

    Raises:
        ValueError: If a path occurs twice, so that ties would be open.
    """
    names = list(paths)
    order = sorted(range(len(names)), key=names.__getitem__)
    if len(set(names)) < len(names):
        raise ValueError("a clip occurs twice")
    return np.array(order, np.int64)


def mean_of(embeddings: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of some rows, summed in their order in double precision, shape (D,).

    Args:
        embeddings: Shape (N, D).
        rows: At least one, shape (M,).

    Raises:
        ValueError: If an embedding is not finite.
    """
    total = np.zeros(embeddings.shape[1])
    for _, block in _blocks(embeddings, rows):
        if not np.isfinite(block).all():
            raise ValueError("an embedding is not finite")
        total += block.sum(axis=0)
    return total / len(rows)


def distances_to(
    embeddings: NDArray[np.floating], rows: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Euclidean distances of some rows to each centre, in double precision.

    Taken from differences, not from inner products: equal clips get equal distances on every machine.

    Args:
        embeddings: Shape (N, D).
        rows: Shape (M,).
        centres: Shape (K, D).

    Returns:
        Shape (M, K).
    """
    distances = np.empty((len(rows), len(centres)))
    for place, block in _blocks(embeddings, rows):
        difference = np.empty_like(block)
        for column, centre in enumerate(centres):
            np.subtract(block, centre, out=difference)
            np.multiply(difference, difference, out=difference)
            distances[place, column] = np.sqrt(difference.sum(axis=1))
    return distances


def _blocks(
    embeddings: NDArray[np.floating], rows: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Places in `rows` and those rows in double precision, so few at a time that no whole copy is made."""
    step = max(1, BLOCK_VALUES // max(1, embeddings.shape[1]))
    for start in range(0, len(rows), step):
        place = slice(start, start + step)
        yield place, embeddings[rows[place]].astype(np.float64)


def as_matrix(embeddings: ArrayLike, paths: Sequence[str]) -> NDArray[np.floating]:
    """Embeddings as an array of floats of whatever width they have, not copied, shape (N, D).

    Raises:
        ValueError: If it is no matrix with a row for each path.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.dtype.kind != "f":
        embeddings = embeddings.astype(np.float64)
    if embeddings.ndim != 2 or len(paths) != len(embeddings):
        raise ValueError(f"embeddings {embeddings.shape} and {len(paths)} paths must be (N, D) and N")
    return embeddings


def algorithm_1(embeddings: ArrayLike, paths: Sequence[str], threshold: Threshold) -> Selection:
    """Keep the clips of one class that lie nearest to the class mean (Algorithm 1).

    Args:
        embeddings: Samples of interest of one class, shape (N, D).
        paths: Clip of each row, distinct: ties in distance go by them, and so does the order of summation, so
            that the order of the rows cannot matter.
        threshold: How much to keep.

    Raises:
        ValueError: If shapes differ, a path occurs twice, or an embedding is not finite.
    """
    embeddings = as_matrix(embeddings, paths)
    by_path = path_order(paths)
    if not len(embeddings):
        return Selection(by_path, np.zeros(0), np.zeros(embeddings.shape[1]), 0.0)
    mean = mean_of(embeddings, by_path)
    distances = distances_to(embeddings, by_path, mean[None])[:, 0]
    nearest = np.argsort(distances, kind="stable")  # stable: ties stay in the order of their paths
    kept = nearest[: threshold.size(distances[nearest])]
    return Selection(by_path[kept], distances[kept], mean, float(distances[kept[-1]]) if len(kept) else 0.0)


def random_rows(paths: Sequence[str], count: int, seed: int | Sequence[int]) -> NDArray[np.int64]:
    """A random draw of clips, the same for every order of the rows, shape (count,), ascending.

    Raises:
        ValueError: If there are fewer clips than asked for, or a path occurs twice.
    """
    if count > len(paths):
        raise ValueError(f"cannot draw {count} of {len(paths)} clips")
    drawn = np.random.default_rng(seed).choice(len(paths), count, replace=False)
    return np.sort(path_order(paths)[drawn])
