"""The embedding bank: known clips with their embeddings, maps and class means, in one Parquet file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from ncdetect import collapse, projection
from ncdetect.corpora import Clip
from ncdetect.files import replacing
from ncdetect.labels import Label

METADATA = ("path", "corpus", "split", "label", "generator", "kind", "speaker", "recording", "language")
MAPS = ("tsne", "umap")
RECORDS = ("el2n", "forgetting")
"""What training recorded of its clips (`dynamics.el2n_scores`, `forgetting_events`); a bank may lack them."""
EXAMPLES = "examples"
"""Corpus name of the clips of `assets/`: on the map and among the neighbours, never in means or quantiles."""


class BankError(ValueError):
    """A bank that is damaged or belongs to another model."""


@dataclass(frozen=True, eq=False)
class EmbeddingBank:
    """Known clips as one model sees them.

    Attributes:
        clips: A row a clip: the columns of METADATA (`label` as a word), `selected` (bool: in the new
            training database) and `score` (the model's logit).
        embeddings: Penultimate embeddings, float32, (N, D).
        maps: 2-D coordinates by name of MAPS, float32, (N, 2); may be empty.
        means: Class means (real, fake), float64, (2, D).
        model: Name of the architecture.
        model_sha256: Hash of the `model.safetensors` that made the embeddings.
    """

    clips: pd.DataFrame
    embeddings: NDArray[np.float32]
    means: NDArray[np.float64]
    model: str
    model_sha256: str
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        clips: Sequence[Clip],
        embeddings: ArrayLike,
        scores: ArrayLike,
        means: ArrayLike,
        model: str,
        model_sha256: str,
        selected: ArrayLike | None = None,
        maps: bool = True,
        records: Mapping[str, ArrayLike] | None = None,
    ) -> "EmbeddingBank":
        """Make a bank from a model's embeddings, fitting t-SNE and UMAP unless `maps` is False.

        `records` are of the first clips: those that the model was trained on come first.
        """
        # What is stored is what the maps are fitted on: half precision.
        embeddings = np.asarray(embeddings, np.float16).astype(np.float32)
        frame = pd.DataFrame({name: [getattr(clip, name) for clip in clips] for name in METADATA})
        frame["label"] = [clip.label.word for clip in clips]
        frame["selected"] = np.zeros(len(clips), bool) if selected is None else np.asarray(selected, bool)
        frame["score"] = np.asarray(scores, np.float32)
        for name, values in (records or {}).items():
            column = np.full(len(clips), np.nan, np.float32)
            column[: len(values)] = values
            frame[name] = column
        fitted = {"tsne": projection.fit_tsne, "umap": projection.fit_umap} if maps else {}
        return cls(
            frame, embeddings, np.asarray(means, np.float64), model, model_sha256,
            {name: fit(embeddings) for name, fit in fitted.items()},
        )  # fmt: skip

    def __len__(self) -> int:
        """Number of clips N."""
        return len(self.clips)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Values of `Label`, (N,)."""
        return (self.clips["label"] == Label.FAKE.word).to_numpy(np.int64)

    def clip(self, row: int) -> Clip:
        """What is known of a row's clip."""
        values = self.clips.iloc[row][list(METADATA)].to_dict()
        return Clip(**(values | {"label": Label.from_word(values["label"])}))

    def known(self) -> NDArray[np.bool_]:
        """Mask of the clips of the corpora, without the examples, (N,)."""
        return (self.clips["corpus"] != EXAMPLES).to_numpy()

    def nearest(
        self, embedding: ArrayLike, count: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows and distances of the nearest clips, nearest first, ties by row.

        Args:
            embedding: Shape (D,).
            count: How many at most.
            among: Mask of the clips to look among, (N,).
        """
        rows = np.arange(len(self)) if among is None else np.flatnonzero(among)
        distances = np.linalg.norm(self.embeddings[rows] - np.asarray(embedding, np.float32), axis=1)
        order = np.argsort(distances, kind="stable")[:count]
        return rows[order], distances[order].astype(np.float64)

    def place(self, embedding: ArrayLike, name: str) -> NDArray[np.float64]:
        """Where an embedding (D,) falls on the t-SNE or UMAP map, shape (2,)."""
        return projection.place(embedding, self.embeddings, self.maps[name])

    def mean_distances(self) -> NDArray[np.float64]:
        """Distances of all clips to the class means (real, fake), (N, 2)."""
        return collapse.distances_to(self.embeddings, self.means)

    def save(self, file: Path) -> None:
        """Write the Parquet file: whole or not at all."""
        columns = {name: pa.array(self.clips[name]) for name in self.clips.columns}
        flat = pa.array(self.embeddings.astype(np.float16).reshape(-1))
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, self.embeddings.shape[1])
        for name, coordinates in self.maps.items():
            for axis, values in zip("xy", coordinates.T, strict=True):
                columns[f"{name}_{axis}"] = pa.array(values.astype(np.float32))
        header = {
            "model": self.model,
            "model_sha256": self.model_sha256,
            "means": json.dumps(self.means.tolist()),
        }
        table = pa.table(columns).replace_schema_metadata(header)
        with replacing(file) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    @classmethod
    def load(cls, file: Path, model_sha256: str | None = None) -> "EmbeddingBank":
        """Read a bank.

        Args:
            file: The Parquet file.
            model_sha256: Hash of the model it must belong to; None does not ask.

        Raises:
            FileNotFoundError: If there is no such file.
            BankError: If the file is damaged or of another model.
        """
        if not file.is_file():
            raise FileNotFoundError(f"there is no bank at {file}")
        try:
            table = pq.read_table(file)
            header = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
            means = np.array(json.loads(header["means"]))
            bank = cls(
                clips=table.select(
                    [
                        *METADATA,
                        "selected",
                        "score",
                        *(name for name in RECORDS if name in table.column_names),
                    ]
                ).to_pandas(),
                embeddings=_vectors(table.column("embedding")),
                means=means,
                model=header["model"],
                model_sha256=header["model_sha256"],
                maps={
                    name: np.stack([table.column(f"{name}_{axis}").to_numpy() for axis in "xy"], axis=1)
                    for name in MAPS
                    if f"{name}_x" in table.column_names
                },
            )
        except (pa.ArrowException, OSError, KeyError, ValueError, UnicodeDecodeError) as error:
            raise BankError(f"{file} is damaged or no bank ({type(error).__name__}: {error})") from error
        if means.shape != (len(Label), bank.embeddings.shape[1]) or not np.isfinite(bank.embeddings).all():
            raise BankError(
                f"{file} is damaged: means {means.shape}, embeddings {bank.embeddings.shape}, "
                "or values that are not finite"
            )
        if model_sha256 is not None and bank.model_sha256 != model_sha256:
            raise BankError(
                f"{file} belongs to another model (its hash {bank.model_sha256[:12]}..., this model's "
                f"{model_sha256[:12]}...): build the bank again"
            )
        return bank


def _vectors(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A fixed-size list column as (N, D), without going through Python objects."""
    size = column.type.list_size
    flat = (
        pa.concat_arrays([chunk.flatten() for chunk in column.chunks]) if column.num_chunks else pa.array([])
    )
    return flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, size)
