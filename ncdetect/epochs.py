"""What a network learns, moment by moment: what is recorded of a training, and how it is kept.

A `Story` holds two maps of all clips at each moment, a plane common to all moments and the distances to the
class means, with measures of collapse; the embeddings themselves are not kept. `epochs_training` makes it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ncdetect import collapse, metrics
from ncdetect.corpora import Manifest
from ncdetect.files import replacing
from ncdetect.labels import Label

if TYPE_CHECKING:
    from ncdetect.training import Embedded

Floats = NDArray[np.float64]

VIEWS = ("plane", "exact")
COLUMNS = ("corpus", "split", "label", "generator", "language")
SIDES = ("train", "dev")


@dataclass(frozen=True, eq=False)
class Moment:
    """A detector between two steps of its training."""

    epoch: float
    """Epochs done, a fraction."""
    seen: "Embedded"
    """All clips, those of train first."""
    head: NDArray[np.float32]
    """Weight of the single-logit head, (D,)."""


def measures(moment: Moment, train: int) -> dict[str, float]:
    """Collapse on the first `train` clips and on the others, as `training.Epoch` has it, and error rates.

    Args:
        moment: All clips, those of train first.
        train: How many are train clips.
    """
    seen, found = moment.seen, {"epoch": moment.epoch}
    means = collapse.class_means(seen.embeddings[:train], seen.labels[:train])
    for side, part in zip(SIDES, (slice(None, train), slice(train, None)), strict=True):
        embeddings, labels, scores = seen.embeddings[part], seen.labels[part], seen.scores[part]
        own = collapse.class_means(embeddings, labels)
        found |= {
            f"nc1_{side}": collapse.nc1_variability(embeddings, labels),
            f"cdnv_{side}": collapse.cdnv(embeddings, labels),
            f"nc3_{side}": collapse.nc3_self_duality(own, moment.head),
            f"nc4_{side}": collapse.nc4_agreement(embeddings, scores, means),
            f"eer_{side}": metrics.eer_roc(scores, labels),
        }
    return found


def common_plane(embeddings: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The plane in which the embeddings of all moments together differ most (PCA, Pearson 1901).

    Args:
        embeddings: Of M moments, (M, N, D).

    Returns:
        Centre, (D,), and two orthonormal directions, (D, 2), each with its largest entry positive.
    """
    flat = np.asarray(embeddings, np.float64).reshape(-1, embeddings.shape[-1])
    centre = flat.mean(axis=0)
    _, vectors = np.linalg.eigh((flat - centre).T @ (flat - centre))
    axes = vectors[:, :-3:-1]
    largest = np.abs(axes).argmax(axis=0)
    return centre, axes * np.sign(axes[largest, [0, 1]])


@dataclass(frozen=True, eq=False)
class Story:
    """How a training went, clip by clip: what the page shows."""

    clips: pd.DataFrame
    """A row a clip, COLUMNS, labels as words; those of train first."""
    places: dict[str, NDArray[np.float32]]
    """By view, (M, N, 2); `exact` has the distances to the real and the fake mean of the train clips."""
    means: dict[str, NDArray[np.float32]]
    """By view, the class means (real, fake) of the train clips, (M, 2, 2)."""
    moments: list[dict[str, float]]
    """Of each moment `measures`, and `shown`, the share of the variance that the plane shows."""
    kept: float
    """Epochs done when the weights were taken that were kept."""

    @classmethod
    def of(cls, clips: Manifest, moments: Sequence[Moment], kept: float) -> "Story":
        """From embeddings.

        Args:
            clips: Train clips first.
            moments: At least one.
            kept: See above.
        """
        train = sum(clip.split == "train" for clip in clips)
        frame = pd.DataFrame({name: [getattr(clip, name) for clip in clips] for name in COLUMNS})
        frame["label"] = [clip.label.word for clip in clips]
        labels = clips.labels[:train]
        embeddings = np.stack([moment.seen.embeddings for moment in moments]).astype(np.float64)
        means = np.stack([collapse.class_means(one[:train], labels) for one in embeddings])
        centre, axes = common_plane(embeddings)
        if ((means[-1, Label.FAKE] - means[-1, Label.REAL]) @ axes)[0] < 0:
            axes = axes * [-1, 1]  # reals on the left
        plane = (embeddings - centre) @ axes
        shown = plane.var(axis=1).sum(axis=1) / embeddings.var(axis=1).sum(axis=1)
        exact = [collapse.distances_to(one, mean) for one, mean in zip(embeddings, means, strict=True)]
        exact_means = [collapse.distances_to(mean, mean) for mean in means]
        told = [
            measures(moment, train) | {"shown": float(share)}
            for moment, share in zip(moments, shown, strict=True)
        ]
        places = {"plane": plane.astype(np.float32), "exact": np.stack(exact).astype(np.float32)}
        at = {"plane": (means - centre) @ axes, "exact": np.stack(exact_means)}
        return cls(
            frame, places, {name: values.astype(np.float32) for name, values in at.items()}, told, kept
        )

    @property
    def train(self) -> int:
        """Number of train clips."""
        return int((self.clips["split"] == "train").sum())

    def save(self, file: Path) -> None:
        """Write it as Parquet, places in half precision: whole or not at all."""
        columns = {name: pa.array(self.clips[name]) for name in COLUMNS}
        for name, places in self.places.items():
            flat = places.transpose(1, 0, 2).reshape(-1).astype(np.float16)  # (M, N, 2) -> (N, M, 2)
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat), 2 * len(self.moments))
        header = {
            "moments": json.dumps([{key: round(v, 6) for key, v in one.items()} for one in self.moments]),
            "means": json.dumps({name: at.round(4).tolist() for name, at in self.means.items()}),
            "kept": json.dumps(self.kept),
        }
        with replacing(file) as temporary:
            pq.write_table(pa.table(columns).replace_schema_metadata(header), temporary, compression="zstd")

    @classmethod
    def load(cls, file: Path) -> "Story":
        """Read it.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged.
        """
        if not file.is_file():
            raise FileNotFoundError(f"there is no story of a training at {file}")
        try:
            table = pq.read_table(file)
            header = {key.decode(): json.loads(value) for key, value in (table.schema.metadata or {}).items()}
            places = {}
            for name in VIEWS:
                flat = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
                shape = (len(table), len(header["moments"]), 2)
                places[name] = flat.astype(np.float32).reshape(shape).transpose(1, 0, 2)
            means = {name: np.array(header["means"][name], np.float32) for name in VIEWS}
            return cls(
                table.select(list(COLUMNS)).to_pandas(), places, means, header["moments"], header["kept"]
            )
        except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({type(error).__name__}: {error})") from error
