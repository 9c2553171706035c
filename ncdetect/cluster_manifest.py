"""A manifest of any size: one Parquet file with the columns of `corpora.COLUMNS`, in the order of paths.

Its row groups are the blocks that workers take. Every rule goes through clips in the order of their paths;
with the rows in that order, nobody who reads blocks ever has to sort.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ncdetect.corpora import COLUMNS, Clip, Manifest
from ncdetect.files import replacing
from ncdetect.labels import Label

BLOCK_CLIPS = 4096
"""Clips of a block: lost at most when a worker dies. At 256 numbers a clip its shard takes 2 MB."""
LARGEST_BLOCK = 2**16
"""Clips that a worker may be asked to hold the embeddings of."""
_NUMBERS = {"original_rate": pa.int64(), "seconds": pa.float64()}
_SCHEMA = pa.schema([(name, _NUMBERS.get(name, pa.string())) for name in COLUMNS])


class ShardError(ValueError):
    """A manifest or bank of the scale-out that cannot be used."""


def write_manifest(manifest: Manifest, file: Path, block_clips: int = BLOCK_CLIPS) -> int:
    """Write a manifest in the order of paths, a row group a block; whole or not at all.

    Returns:
        Number of blocks.

    Raises:
        ValueError: If it has no clips, or a block has none or more than LARGEST_BLOCK.
    """
    if not (len(manifest) and 1 <= block_clips <= LARGEST_BLOCK):
        raise ValueError(
            f"{len(manifest)} clips in blocks of {block_clips}; allowed: 1 or more in 1 to {LARGEST_BLOCK}"
        )
    clips = sorted(manifest.clips, key=lambda clip: clip.path)
    starts = range(0, len(clips), block_clips)
    with replacing(file) as temporary, pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
        for start in starts:
            rows = [row_of(clip) for clip in clips[start : start + block_clips]]
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
    return len(starts)


def row_of(clip: Clip) -> dict[str, object]:
    """A clip as a row of a manifest: a value for each of COLUMNS, in their order."""
    names = {name: "corpus" if name == "dataset" else name for name in COLUMNS}
    return {name: getattr(clip, of) for name, of in names.items()} | {"label": clip.label.word}


def read_block(file: Path, block: int) -> tuple[Clip, ...]:
    """The clips of one block of a manifest.

    Raises:
        ShardError: If a row is no clip, or the paths do not ascend; the text names file and block.
    """
    table = pq.ParquetFile(file).read_row_group(block)
    known = [name for name in COLUMNS if name in table.column_names]
    clips = []
    try:
        for row in table.select(known).to_pylist():
            fields = {name: value for name, value in row.items() if value is not None}
            fields["corpus"] = fields.pop("dataset", "")
            clips.append(Clip(**fields | {"label": Label.from_word(row["label"])}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ShardError(f"{file}, block {block}, row {len(clips)}: {error}") from error
    for before, clip in zip(clips, clips[1:], strict=False):
        if before.path >= clip.path:
            raise ShardError(
                f"{file}, block {block}: {clip.path!r} after {before.path!r}; paths must ascend, each once"
            )
    return tuple(clips)
