"""Maps in two dimensions: fitted when a bank is built; a new clip is placed among its neighbours.

The page imports neither openTSNE nor umap: only the `fit_` functions do, and only the build calls them.
Distances are never measured in these maps.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEIGHBOURS = 10


def fit_tsne(embeddings: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
    """t-SNE coordinates (van der Maaten and Hinton 2008, by openTSNE), (N, D) -> (N, 2), unit deviation."""
    from openTSNE import TSNE

    embeddings = np.asarray(embeddings, np.float64)
    perplexity = min(30.0, max(2.0, (len(embeddings) - 1) / 3))
    return _scaled(TSNE(perplexity=perplexity, random_state=seed, n_jobs=2).fit(embeddings))


def fit_umap(embeddings: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
    """UMAP coordinates (McInnes et al. 2018, by umap-learn), (N, D) -> (N, 2), unit deviation."""
    from umap import UMAP

    embeddings = np.asarray(embeddings, np.float32)
    neighbours = max(2, min(15, len(embeddings) - 1))
    return _scaled(UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(embeddings))


def _scaled(coordinates: ArrayLike) -> NDArray[np.float32]:
    coordinates = np.asarray(coordinates, np.float64)
    centred = coordinates - coordinates.mean(axis=0)
    return (centred / max(centred.std(), 1e-12)).astype(np.float32)


def place(
    embedding: ArrayLike, known: ArrayLike, coordinates: ArrayLike, neighbours: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """Place a new embedding on a map: the mean of its nearest clips' places, weighted by 1 / d^2.

    Deterministic and under a millisecond for thousands of clips; an embedding that is known falls on its own.

    Args:
        embedding: Shape (D,).
        known: Embeddings of the map's clips, (N, D).
        coordinates: Their places, (N, 2).
        neighbours: How many clips share in the place.

    Returns:
        Shape (2,), inside the hull of the neighbours.
    """
    known, coordinates = np.asarray(known), np.asarray(coordinates, np.float64)
    squared = ((known - np.asarray(embedding, known.dtype)) ** 2).sum(axis=1)
    count = min(neighbours, len(known))
    nearest = np.argpartition(squared, count - 1)[:count]
    weights = 1 / np.maximum(squared[nearest].astype(np.float64), 1e-12)
    return weights @ coordinates[nearest] / weights.sum()
