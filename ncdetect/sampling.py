"""Neural-collapse sampling (Yousif et al. 2024, Algorithm 1): pure functions on arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect.labels import Label


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
    embeddings = np.asarray(embeddings, np.float64)
    if embeddings.ndim != 2 or len(paths) != len(embeddings):
        raise ValueError(f"embeddings {embeddings.shape} and {len(paths)} paths must be (N, D) and N")
    if not np.isfinite(embeddings).all():
        raise ValueError("an embedding is not finite")
    names = np.asarray(paths, dtype=object)
    by_path = np.argsort(names, kind="stable").astype(np.int64)
    if (names[by_path][1:] == names[by_path][:-1]).any():
        raise ValueError("a clip occurs twice")
    if not len(embeddings):
        return Selection(by_path, np.zeros(0), np.zeros(embeddings.shape[1]), 0.0)
    ordered = embeddings[by_path]
    mean = ordered.mean(axis=0)
    distances = np.linalg.norm(ordered - mean, axis=1)
    nearest = np.argsort(distances, kind="stable")  # stable: ties stay in the order of their paths
    kept = nearest[: threshold.size(distances[nearest])]
    return Selection(by_path[kept], distances[kept], mean, float(distances[kept[-1]]) if len(kept) else 0.0)


def sample_corpus(
    embeddings: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike,
    paths: Sequence[str],
    real: Threshold,
    fake: Threshold,
) -> dict[Label, Selection]:
    """Sample one corpus in its own model's embedding: samples of interest, then Algorithm 1 for each class.

    Args:
        embeddings: Train clips, shape (N, D).
        scores: Logits of the same model, shape (N,).
        labels: Values of `Label`, shape (N,).
        paths: Clip of each row, distinct.
        real: How much of the reals to keep.
        fake: How much of the fakes to keep.

    Returns:
        Per class, the selection with rows counted in the given arrays.
    """
    embeddings, labels = np.asarray(embeddings, np.float64), np.asarray(labels)
    interest = samples_of_interest(scores, labels)
    selections = {}
    for label, threshold in ((Label.REAL, real), (Label.FAKE, fake)):
        rows = np.flatnonzero(interest & (labels == label))
        chosen = algorithm_1(embeddings[rows], [paths[row] for row in rows], threshold)
        selections[label] = Selection(rows[chosen.rows], chosen.distances, chosen.mean, chosen.threshold)
    return selections


def random_rows(paths: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """A random draw of clips, the same for every order of the rows, shape (count,), ascending.

    Raises:
        ValueError: If there are fewer clips than asked for.
    """
    if count > len(paths):
        raise ValueError(f"cannot draw {count} of {len(paths)} clips")
    by_path = np.argsort(np.asarray(paths, dtype=object), kind="stable")
    drawn = np.random.default_rng(seed).choice(len(paths), count, replace=False)
    return np.sort(by_path[drawn]).astype(np.int64)
