"""Neural-collapse measures and the nearest-class-mean rule: pure functions on arrays.

With two classes NC2 (the means form a simplex) holds by construction: it is for three groups or more, such as
the reals and each generator's fakes. The global mean is that of the class means, unweighted, so that class
sizes do not enter (Papyan et al. 2020; DESIGN: section 2.9).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def _checked(embeddings: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    embeddings, labels = np.asarray(embeddings, np.float64), np.asarray(labels, np.int64)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings {embeddings.shape} and labels {labels.shape} must be (N, D) and (N,)")
    classes = np.arange(max(2, labels.max(initial=0) + 1))
    empty = [int(c) for c in classes if not (labels == c).any()]
    if empty:
        raise ValueError(f"class {empty[0]} has no rows among {len(labels)}")
    return embeddings, labels, classes


def class_means(embeddings: ArrayLike, labels: ArrayLike) -> Floats:
    """Mean embedding of each class (Yousif et al. 2024, Eq. 1).

    Args:
        embeddings: Penultimate embeddings, shape (N, D), not normalised.
        labels: Class of each row, shape (N,), counted from 0.

    Returns:
        Shape (C, D), row k the mean of class k.

    Raises:
        ValueError: If a class has no rows.
    """
    embeddings, labels, classes = _checked(embeddings, labels)
    return np.stack([embeddings[labels == c].mean(axis=0) for c in classes])


def distances_to(embeddings: ArrayLike, means: ArrayLike) -> Floats:
    """Euclidean distances of embeddings (N, D) to means (C, D), shape (N, C)."""
    embeddings, means = np.asarray(embeddings, np.float64), np.asarray(means, np.float64)
    return np.stack([np.linalg.norm(embeddings - mean, axis=1) for mean in means], axis=1)


def nearest_class_mean(embeddings: ArrayLike, means: ArrayLike) -> NDArray[np.int64]:
    """Class whose mean is nearest, shape (N,); a tie goes to the lower class."""
    return distances_to(embeddings, means).argmin(axis=1)


def nc1_variability(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Within-class spread relative to the spread of the class means (NC1, Papyan et al. 2020).

    Classes are averaged equally in the within-class covariance.

    Args:
        embeddings: Penultimate embeddings, shape (N, D), not normalised.
        labels: Class of each row, shape (N,).

    Returns:
        tr(S_W @ pinv(S_B)) / C: no unit, >= 0, zero at full collapse, infinite if the means coincide.

    Raises:
        ValueError: If a class has no rows.
    """
    embeddings, labels, classes = _checked(embeddings, labels)
    means = class_means(embeddings, labels)
    # S_B has rank C - 1 at most: work in the span of the centred means, not in D x D.
    centred = means - means.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    kept = singular > 1e-10 * max(1.0, singular.max())
    if not kept.any():
        return float("inf")
    between = singular[kept] ** 2 / len(classes)
    within = np.mean(
        [(((embeddings[labels == c] - means[c]) @ directions[kept].T) ** 2).mean(axis=0) for c in classes],
        axis=0,
    )
    return float((within / between).sum() / len(classes))


def cdnv(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Class-distance normalised variance, averaged over pairs of classes (Galanti et al. 2022, Eq. 1).

    Returns:
        Mean of (var_i + var_j) / (2 ||mu_i - mu_j||^2): no unit, >= 0, zero at full collapse, infinite if two
        means coincide.
    """
    embeddings, labels, classes = _checked(embeddings, labels)
    means = class_means(embeddings, labels)
    variances = [((embeddings[labels == c] - means[c]) ** 2).sum(axis=1).mean() for c in classes]
    pairs = [(i, j) for i in classes for j in classes if i < j]
    with np.errstate(divide="ignore"):
        ratios = [(variances[i] + variances[j]) / (2 * ((means[i] - means[j]) ** 2).sum()) for i, j in pairs]
    return float(np.mean(ratios))


def nc2_simplex(embeddings: ArrayLike, groups: ArrayLike) -> float:
    """How far the centred group means are from a simplex of equal norms and angles (NC2).

    Args:
        embeddings: Penultimate embeddings, shape (N, D).
        groups: Group of each row, shape (N,), any integers; only those that occur count.

    Returns:
        || G / ||G||_F - E / ||E||_F ||_F with G the Gram matrix of the centred means and E = I - 1/C that of
        a simplex (Zhu et al. 2021, section 5), in [0, 2]; zero for a simplex, so for any two groups; 1 where
        all means coincide.

    Raises:
        ValueError: If there are fewer than two groups.
    """
    found, numbered = np.unique(np.asarray(groups), return_inverse=True)
    if len(found) < 2:
        raise ValueError(f"NC2 needs two groups or more, got {len(found)}")
    means = class_means(embeddings, numbered)
    centred = means - means.mean(axis=0)
    gram = centred @ centred.T
    simplex = np.eye(len(found)) - 1 / len(found)
    norm = np.linalg.norm(gram)
    return float(np.linalg.norm(gram / (norm or 1.0) - simplex / np.linalg.norm(simplex)))


def nc3_self_duality(means: ArrayLike, weight: ArrayLike) -> float:
    """How far the classifier's rows are from the centred class means (NC3, Papyan et al. 2020).

    Args:
        means: Class means (real, fake), shape (2, D).
        weight: Weight of the single-logit head, shape (D,): the two classes' rows are (-w, w).

    Returns:
        || W / ||W||_F - M / ||M||_F ||_F^2, in [0, 4]; zero when self-dual.
    """
    means, weight = np.asarray(means, np.float64), np.asarray(weight, np.float64).reshape(-1)
    rows = np.stack([-weight, weight])
    centred = means - means.mean(axis=0)
    return float(((rows / np.linalg.norm(rows) - centred / np.linalg.norm(centred)) ** 2).sum())


def nc4_agreement(embeddings: ArrayLike, scores: ArrayLike, means: ArrayLike) -> float:
    """Share of clips for which nearest class mean and linear head (bias included) agree (NC4).

    Args:
        embeddings: Shape (N, D).
        scores: Logits of the same clips, shape (N,); fake if above 0.
        means: Class means (real, fake), shape (2, D).
    """
    return float((nearest_class_mean(embeddings, means) == (np.asarray(scores) > 0)).mean())
