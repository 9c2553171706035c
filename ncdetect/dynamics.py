"""What a training saw of each clip: error norms and forgetting events, from the sequence of its draws."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect import sampling
from ncdetect.labels import Label

FIRST_DRAWS = 10
"""Draws of a clip that its EL2N score is the mean of."""


def el2n_scores(
    rows: ArrayLike, scores: ArrayLike, labels: ArrayLike, clips: int, first: int = FIRST_DRAWS
) -> NDArray[np.float32]:
    """Error norm of each clip early in training (EL2N, Paul et al. 2021).

    The paper takes ||p - y||_2 after a few epochs and averages it over networks; here it is averaged over the
    clip's first draws in one training. With two classes it is sqrt(2) |sigmoid(score) - y|.

    Args:
        rows: Clip of each training draw, in the order of training, shape (S,).
        scores: Logit of the clip at that step, shape (S,).
        labels: Class of each clip, values of `Label`, shape (N,).
        clips: Number of clips N.
        first: How many draws of a clip count.

    Returns:
        0 to sqrt(2), NaN for a clip that was never drawn, shape (N,).

    Raises:
        ValueError: If shapes differ, a row is no clip, or `first` is below 1.
    """
    if first < 1:
        raise ValueError(f"first must be at least 1, got {first}")
    rows, scores, fake = _by_clip(rows, scores, labels, clips)
    # |sigmoid(s) - y|: the probability that the network gives to the wrong class.
    wrong = np.where(fake, -scores, scores)
    errors = np.sqrt(2) * np.exp(-np.logaddexp(0, -wrong))
    early = np.arange(len(rows)) - np.searchsorted(rows, rows) < first
    drawn = np.bincount(rows[early], minlength=clips)
    totals = np.bincount(rows[early], weights=errors[early], minlength=clips)
    return np.where(drawn > 0, totals / np.maximum(drawn, 1), np.nan).astype(np.float32)


def forgetting_events(
    rows: ArrayLike, scores: ArrayLike, labels: ArrayLike, clips: int
) -> NDArray[np.float32]:
    """How often each clip was right at one draw and wrong at its next (Toneva et al. 2019).

    Args:
        rows: Clip of each training draw, in the order of training, shape (S,).
        scores: Logit of the clip at that step, shape (S,).
        labels: Class of each clip, values of `Label`, shape (N,).
        clips: Number of clips N.

    Returns:
        Counts; infinity for a clip that was never right, NaN for one that was never drawn, shape (N,).

    Raises:
        ValueError: If shapes differ or a row is no clip.
    """
    rows, scores, fake = _by_clip(rows, scores, labels, clips)
    right = sampling.samples_of_interest(scores, np.where(fake, Label.FAKE, Label.REAL))
    forgotten = (rows[1:] == rows[:-1]) & right[:-1] & ~right[1:]
    events = np.bincount(rows[1:][forgotten], minlength=clips).astype(np.float32)
    events[np.bincount(rows[right], minlength=clips) == 0] = np.inf
    events[np.bincount(rows, minlength=clips) == 0] = np.nan
    return events


def _by_clip(
    rows: ArrayLike, scores: ArrayLike, labels: ArrayLike, clips: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Draws sorted by clip, then in the order of training: rows, scores, whether fake; each (S,)."""
    rows, scores, labels = np.asarray(rows, np.int64), np.asarray(scores, np.float64), np.asarray(labels)
    if rows.ndim != 1 or rows.shape != scores.shape or labels.shape != (clips,):
        raise ValueError(
            f"rows {rows.shape} and scores {scores.shape} must be (S,), labels {labels.shape} ({clips},)"
        )
    if len(rows) and (rows.min() < 0 or rows.max() >= clips):
        raise ValueError(f"rows must lie between 0 and {clips - 1}, got {rows.min()} to {rows.max()}")
    order = np.argsort(rows, kind="stable")
    return rows[order], scores[order], labels[rows[order]] == Label.FAKE
