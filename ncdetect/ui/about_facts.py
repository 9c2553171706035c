"""What the About tab tells in numbers, read from what ships: banks, configurations, tables."""

import csv
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncdetect.findings_words import read_csv
from ncdetect.labels import Label
from ncdetect.ui import compared, lab_corpora, model

ASSETS = Path(__file__).resolve().parents[2] / "assets"
DETECTOR = ASSETS / "results" / "detector.csv"
NC_MODEL = "tiny-nc"
"""The shipped model that was trained on what neural-collapse sampling chose."""
WILD = "wild"


@dataclass(frozen=True)
class Collection:
    """How many clips of a collection the page's model has met, and how many it was tested on."""

    name: str
    trained: tuple[int, int]
    """Real and fake, of train."""
    chosen_by: tuple[int, int]
    """Of dev, which decided when to stop and which model to ship."""
    tested: tuple[int, int]


@dataclass(frozen=True)
class Cloud:
    """Some train clips of a collection as its own pre-trained model sees them, pressed flat (PCA).

    Attributes:
        places: In [0, 1], (N, 2).
        labels: Values of `Label`, (N,).
        kept: Whether Algorithm 1 keeps them at one half, (N,).
        means: Class means (real, fake), placed in the same way, (2, 2).
    """

    places: NDArray[np.float64]
    labels: NDArray[np.int64]
    kept: NDArray[np.bool_]
    means: NDArray[np.float64]


@functools.cache
def collections() -> tuple[Collection, ...]:
    """The collections of the page's bank, then those it was only tested on."""
    import pyarrow.parquet as pq

    table = pq.read_table(
        model.CHECKPOINTS / model.NAME / "bank.parquet", columns=["corpus", "split", "label"]
    )
    counts = Counter((row["corpus"], row["split"], row["label"]) for row in table.to_pylist())
    tested = {
        str(row["set"]): (int(row["reals"]), int(row["fakes"]))
        for row in compared.read(compared.FILE)
        if row["system"] == model.NAME
    }

    def of(name: str, split: str) -> tuple[int, int]:
        return counts[name, split, "real"], counts[name, split, "fake"]

    names = [*model.facts().get("corpora", ()), *(name for name in (WILD,) if name in tested)]
    return tuple(
        Collection(name, of(name, "train"), of(name, "dev"), tested.get(name, (0, 0))) for name in names
    )


def total(counts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Sums of real and of fake clips."""
    return sum(real for real, _ in counts), sum(fake for _, fake in counts)


@functools.cache
def cloud(name: str, most: int = 44) -> Cloud:
    """Train clips of a collection that its model classifies correctly, some of each class.

    Args:
        name: Of the collection.
        most: So many of a class, evenly spread over their distances to its mean.
    """
    import pyarrow.parquet as pq

    columns = ["split", "label", "score", "embedding"]
    table = pq.read_table(lab_corpora.CORPORA / name / "bank.parquet", columns=columns)
    flat = table["embedding"].combine_chunks().flatten()
    embeddings = flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(table), -1)
    labels = np.array([Label.from_word(word) for word in table["label"].to_pylist()])
    train = np.array(table["split"].to_pylist()) == "train"
    right = (np.array(table["score"].to_pylist()) > 0) == (labels == Label.FAKE)
    embeddings, labels = embeddings[train & right], labels[train & right]
    means = np.stack([embeddings[labels == label].mean(axis=0) for label in Label])
    distances = np.linalg.norm(embeddings - means[labels], axis=1)
    picked, kept = [], []
    for label in Label:
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        some = np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))
        picked.extend(rows[some])
        kept.extend(some < len(rows) / 2)
    centre = embeddings.mean(axis=0)
    _, _, axes = np.linalg.svd(embeddings - centre, full_matrices=False)
    axes = axes[:2] * np.sign((means[1] - means[0]) @ axes[:2].T)[:, None]  # fakes to the right
    places = (embeddings[picked] - centre) @ axes.T
    low, high = np.quantile(places, (0.02, 0.98), axis=0)

    def placed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip((values - low) / np.maximum(high - low, 1e-9), -0.04, 1.04)

    return Cloud(placed(places), labels[picked], np.array(kept), placed((means - centre) @ axes.T))


@functools.cache
def halves() -> tuple[float, float, float] | None:
    """EERs in validation after training on half of the clips: Algorithm 1, 2, drawn blindly; or None."""
    wanted = ("algorithm-1-half", "algorithm-2-half", "random-half")
    try:
        found = {row["change"]: row["eer_validation"] for row in read_csv(DETECTOR)}
        return tuple(float(found[name]) for name in wanted)
    except (OSError, ValueError, LookupError):
        return None


@functools.cache
def licences() -> dict[str, tuple[str, ...]]:
    """Licences of the clips in `assets/examples` and `assets/practice`, as their tables name them."""
    files = {"examples": "examples.csv", "practice": "manifest.csv"}
    found = {}
    for folder, name in files.items():
        file = ASSETS / folder / name
        if file.is_file():
            with file.open(encoding="utf-8", newline="") as stream:
                rows = [row["license"] for row in csv.DictReader(stream)]
            found[folder] = tuple(name for name, _ in Counter(rows).most_common())
    return found
