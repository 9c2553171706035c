"""A bank in shards: what one model makes of a manifest's blocks, a Parquet file each.

Which block a shard is of stands in its name, whoever made it. What its footer says (`Facts`) spares a pass
over the embeddings.
"""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ncdetect import sampling
from ncdetect.bank import METADATA
from ncdetect.cluster_manifest import LARGEST_BLOCK, ShardError
from ncdetect.corpora import Clip
from ncdetect.files import replacing
from ncdetect.labels import Label

Rows = NDArray[np.int64]

READ_CLIPS = 256
"""Clips of a shard that are read at a time: Algorithm 2 wants a few of each."""
DESCRIPTION, MEANS = "bank.json", "means.json"
_FACTS = b"facts"


@dataclass(frozen=True)
class Facts:
    """What the footer of a shard says of it."""

    clips: int
    """Clips that could be embedded."""
    first: str
    """First path of the block, read or not."""
    last: str
    """Last path of the block."""
    interest: tuple[int, int]
    """Samples of interest among its train clips: reals, fakes."""
    sums: tuple[tuple[float, ...], tuple[float, ...]]
    """Of their embeddings, in double precision: reals, fakes, D numbers each."""
    generators: dict[str, int]
    """Fakes of interest by generator."""
    failed: tuple[tuple[str, str], ...]
    """Path and reason of each clip that could not be embedded."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What an embedder makes of some clips."""

    embeddings: NDArray[np.floating]
    """Shape (N, D)."""
    scores: NDArray[np.floating]
    """Logits, shape (N,)."""
    failed: dict[int, str]
    """Reason by row of each clip that could not be read; its embedding and score count for nothing."""


def write_shard(file: Path, clips: Sequence[Clip], made: Embeddings) -> Facts:
    """Write the shard of one block: whole or not at all. Embeddings are kept in half precision, as in a bank.

    Sums of halves in double precision are exact while those of their magnitudes stay below 2**29, for all
    are whole multiples of 2**-24: they then do not depend on how clips lie in blocks.
    """
    with np.errstate(over="ignore"):
        embeddings = np.asarray(made.embeddings, np.float16)
    failed = dict(made.failed)
    for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1)).tolist():
        failed.setdefault(row, "its embedding is no number, or too large for half precision")
    rows = np.array([row for row in range(len(clips)) if row not in failed], np.int64)
    kept, embeddings = [clips[row] for row in rows], embeddings[rows]
    scores = np.asarray(made.scores, np.float32)[rows]
    columns = {name: pa.array([getattr(clip, name) for clip in kept], pa.string()) for name in METADATA[:3]}
    columns["label"] = pa.array([clip.label.word for clip in kept], pa.string())
    columns |= {name: pa.array([getattr(clip, name) for clip in kept], pa.string()) for name in METADATA[4:]}
    columns["score"] = pa.array(scores)
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(
        pa.array(embeddings.reshape(-1)), embeddings.shape[1]
    )
    table = pa.table(columns)
    wanted = {label: _interest(table, label) for label in Label}
    facts = Facts(
        clips=len(kept),
        first=clips[0].path,
        last=clips[-1].path,
        interest=tuple(len(wanted[label]) for label in Label),
        sums=tuple(tuple(embeddings[wanted[label]].astype(np.float64).sum(axis=0)) for label in Label),
        generators=dict(Counter(kept[row].generator for row in wanted[Label.FAKE])),
        failed=tuple((clips[row].path, reason) for row, reason in sorted(failed.items())),
    )
    table = table.replace_schema_metadata({_FACTS: json.dumps(asdict(facts))})
    # A name of its own: a worker whose driver was killed may still be at the block that another has taken up.
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.writing")
    try:
        pq.write_table(table, temporary, row_group_size=READ_CLIPS, compression="zstd")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return facts


def _interest(table: pa.Table, label: Label) -> Rows:
    """Rows of the train clips of a class that the model classifies correctly."""
    is_fake = pc.equal(table.column("label"), Label.FAKE.word).to_numpy()
    train = pc.equal(table.column("split"), "train").to_numpy()
    right = sampling.samples_of_interest(table.column("score").to_numpy(), is_fake.astype(np.int64))
    return np.flatnonzero(train & right & (is_fake == (label == Label.FAKE)))


class Shard:
    """A finished shard; of its columns only those asked for are read."""

    def __init__(self, file: Path):
        """Open a shard; the footer is read.

        Raises:
            ShardError: If it is damaged.
        """
        try:
            self._parquet = pq.ParquetFile(file)
            self.facts = Facts(**json.loads(self._parquet.schema_arrow.metadata[_FACTS]))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ShardError(f"{file} is damaged: {error}") from error

    @cached_property
    def _labelled(self) -> pa.Table:
        return self._parquet.read(["label", "split", "score"])

    def interest(self, label: Label) -> Rows:
        """Rows of the samples of interest of a class, in the order of their paths."""
        return _interest(self._labelled, label)

    def embeddings(self, rows: Rows) -> NDArray[np.float16]:
        """Embeddings of some rows, (M, D); only the row groups that hold them are read."""
        column, places = self._read(["embedding"], rows)
        vectors = column.column("embedding").combine_chunks()
        return vectors.flatten().to_numpy().reshape(-1, vectors.type.list_size)[places]

    def clips(self, rows: Rows) -> list[Clip]:
        """What is known of some rows' clips."""
        table, places = self._read(list(METADATA), rows)
        found = table.take(places).to_pylist()
        return [Clip(**row | {"label": Label.from_word(row["label"])}) for row in found]

    def _read(self, columns: list[str], rows: Rows) -> tuple[pa.Table, Rows]:
        """The row groups that hold some rows, and the places of these in what is read."""
        groups, group_of_row = np.unique(rows // READ_CLIPS, return_inverse=True)
        table = self._parquet.read_row_groups(groups.tolist(), columns)
        return table, group_of_row * READ_CLIPS + rows % READ_CLIPS


def sha256_of(file: Path) -> str:
    """Hash of a file's content, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, eq=False)
class ShardedBank:
    """A folder of shards, as one model sees the clips of one manifest.

    Attributes:
        folder: Holds `bank.json` and a Parquet file a block.
        blocks: How many there are.
        model: Name of the architecture.
        model_sha256: Hash of the weights that made the embeddings.
        manifest_sha256: Hash of the manifest's file.
    """

    folder: Path
    blocks: int
    model: str
    model_sha256: str
    manifest_sha256: str

    @classmethod
    def create(cls, folder: Path, manifest: Path, model: str, model_sha256: str) -> "ShardedBank":
        """Begin a bank, or go on with the one that lies there.

        Raises:
            FileNotFoundError: If there is no such manifest.
            ShardError: If it is no Parquet file or has blocks too large, or the folder holds a bank of
                another manifest or model.
        """
        if not manifest.is_file():
            raise FileNotFoundError(f"there is no manifest at {manifest}")
        try:
            layout = pq.ParquetFile(manifest).metadata
        except pa.ArrowException as error:
            raise ShardError(f"{manifest} is no Parquet file: {error}") from error
        blocks = layout.num_row_groups
        sizes = [layout.row_group(block).num_rows for block in range(blocks)] or [0]
        if not (min(sizes) >= 1 and max(sizes) <= LARGEST_BLOCK):
            raise ShardError(
                f"{manifest} has row groups of {min(sizes)} to {max(sizes)} clips; allowed: 1 to "
                f"{LARGEST_BLOCK}"
            )
        bank = cls(folder, blocks, model, model_sha256, sha256_of(manifest))
        if (folder / DESCRIPTION).exists():
            found = cls.open(folder)
            if found._described() != bank._described():
                raise ShardError(
                    f"{folder} holds a bank of another manifest or model ({found._described()}); asked for "
                    f"{bank._described()}: use another folder or remove it"
                )
        with replacing(folder / DESCRIPTION) as temporary:
            temporary.write_text(json.dumps(bank._described(), indent=2) + "\n", "utf-8")
        return bank

    @classmethod
    def open(cls, folder: Path) -> "ShardedBank":
        """A bank that was begun.

        Raises:
            FileNotFoundError: If there is none.
            ShardError: If its description is damaged.
        """
        file = folder / DESCRIPTION
        if not file.is_file():
            raise FileNotFoundError(f"there is no bank in {folder}: no {DESCRIPTION}")
        try:
            return cls(folder, **json.loads(file.read_text("utf-8")))
        except (TypeError, ValueError) as error:
            raise ShardError(f"{file} is damaged: {error}") from error

    def _described(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("folder", "facts")}

    def file(self, block: int) -> Path:
        """Where the shard of a block lies: a name that only the block decides."""
        return self.folder / f"part-{block:06}.parquet"

    def shard(self, block: int) -> Shard:
        """The finished shard of a block."""
        return Shard(self.file(block))

    def unfinished(self) -> list[int]:
        """Blocks whose shard is not there, or torn by a power cut."""
        found = []
        for block in range(self.blocks):
            try:
                self.shard(block)
            except ShardError:
                found.append(block)
        return found

    def tidy(self) -> None:
        """Remove what killed workers left half-written; for when every block is finished."""
        for leftover in self.folder.glob(".part-*.writing"):
            leftover.unlink(missing_ok=True)

    @cached_property
    def facts(self) -> tuple[Facts, ...]:
        """Of every block.

        Raises:
            ShardError: If a block is unfinished, none has a clip, or paths of two blocks overlap.
        """
        missing = self.unfinished()
        if missing:
            raise ShardError(f"{len(missing)} of {self.blocks} blocks of {self.folder} are not embedded yet")
        found = tuple(self.shard(block).facts for block in range(self.blocks))
        for before, after in zip(found, found[1:], strict=False):
            if before.last >= after.first:
                raise ShardError(
                    f"{self.folder}: a block begins with {after.first!r} after {before.last!r}; paths must "
                    "ascend through the whole manifest"
                )
        if not any(facts.clips for facts in found):
            raise ShardError(f"no clip of {self.folder} could be embedded")
        return found

    def interest(self, label: Label) -> NDArray[np.int64]:
        """Samples of interest of a class in each block, (blocks,)."""
        return np.array([facts.interest[label] for facts in self.facts], np.int64)

    def means(self) -> NDArray[np.float64]:
        """Class means over the samples of interest (Eq. 1), shape (2, D); zero where a class has none."""
        sums = np.sum([facts.sums for facts in self.facts], axis=0)
        return sums / np.maximum(1, [[self.interest(label).sum()] for label in Label])

    def write_means(self) -> Path:
        """Write the class means and how many clips they are of, as JSON."""
        means = dict(zip((label.word for label in Label), self.means().tolist(), strict=True))
        clips = {label.word: int(self.interest(label).sum()) for label in Label}
        with replacing(self.folder / MEANS) as temporary:
            temporary.write_text(json.dumps({"clips": clips, "means": means}) + "\n", "utf-8")
        return self.folder / MEANS
