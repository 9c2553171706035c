"""Clips and manifests: which files a corpus holds, of which class, and what is known about each."""

import csv
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path

import numpy as np

from ncdetect.files import replacing
from ncdetect.labels import Label

SPLITS = ("train", "dev", "eval")
COLUMNS = (
    "path",
    "dataset",
    "split",
    "label",
    "generator",
    "kind",
    "speaker",
    "recording",
    "language",
    "source",
    "license",
    "original_format",
    "original_rate",
    "seconds",
)
_REQUIRED = ("path", "label")
# A row stays one line in every tool, and can be written as UTF-8.
_UNWRITABLE = re.compile(r"[\x00\r\n\ud800-\udfff]")
_NAMES_SHOWN = 30


class ManifestError(ValueError):
    """A list of clips that cannot be read; its text begins with `file:line:`."""

    def __init__(self, file: Path, line: int, message: str):
        """Keep the place, so that a caller may point at it.

        Args:
            file: The manifest, protocol or table.
            line: Line in it, counted from 1.
            message: What is wrong, with the value met and the values allowed.
        """
        super().__init__(file, line, message)
        self.file = file
        self.line = line
        self.message = message

    def __str__(self) -> str:
        """`file:line: message`."""
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Clip:
    """One audio file and what is known about it; unknown is an empty string or None.

    Attributes:
        path: Relative to the manifest's root, POSIX slashes; `.` and inner `..` are resolved.
        label: Real or fake.
        corpus: Name of the corpus (`dataset` in files).
        split: One of `SPLITS`, or empty where the corpus has no splits.
        generator: What made a fake (attack A07, melgan); for a real, where it comes from, if anything.
        kind: Family of the generator in the corpus's own words (tts, vc, vocoder, replay).
        speaker: Speaker's name in the corpus.
        recording: Name that all clips of one recording share; a vocoded clip has its original's.
        language: Language code, such as `en`.
        source: Collection the clip was taken from.
        license: Licence of the audio.
        original_format: Container or codec before distribution (mp3, low_m4a).
        original_rate: Sampling rate before distribution, in Hz.
        seconds: Duration.

    Raises:
        ValueError: If the path is empty, absolute, leaves the root or has backslashes, if the split or a
            number is impossible, or if a text could not stand in one line of UTF-8.
    """

    path: str
    label: Label
    corpus: str = ""
    split: str = ""
    generator: str = ""
    kind: str = ""
    speaker: str = ""
    recording: str = ""
    language: str = ""
    source: str = ""
    license: str = ""
    original_format: str = ""
    original_rate: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be trained on, found on disk, or written again."""
        object.__setattr__(self, "path", _safe_path(self.path))
        if self.split and self.split not in SPLITS:
            raise ValueError(f"unknown split {self.split!r}; allowed: {', '.join(SPLITS)}, or empty")
        if self.seconds is not None and not (isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"seconds is {self.seconds}; it must be finite and not negative")
        if self.original_rate is not None and self.original_rate <= 0:
            raise ValueError(f"original_rate is {self.original_rate}; it must be positive")
        text = "\t".join(
            (self.path, self.corpus, self.generator, self.kind, self.speaker, self.recording)
            + (self.language, self.source, self.license, self.original_format)
        )
        if _UNWRITABLE.search(text):
            raise ValueError(f"line break, NUL or undecodable character in {text!r}")


@dataclass(frozen=True, repr=False)
class Manifest:
    """The clips of one or more corpora below one folder.

    Attributes:
        root: Folder that the clips' paths start from.
        clips: In the order of the file they were read from; no path twice.

    Raises:
        ValueError: If a path stands there twice.
    """

    root: Path
    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        """Refuse a path that stands there twice: ties go by path, so it must name one clip."""
        seen: set[str] = set()
        for clip in self.clips:
            if clip.path in seen:
                raise ValueError(f"{clip.path!r} stands in the manifest twice")
            seen.add(clip.path)

    def __repr__(self) -> str:
        """Short: a manifest may hold a million clips."""
        return f"Manifest(root={str(self.root)!r}, {len(self)} clips)"

    def __len__(self) -> int:
        """Number of clips N."""
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        """Clips in order."""
        return iter(self.clips)

    @property
    def labels(self) -> np.ndarray:
        """Class of each clip, shape (N,), int64, values of `Label`."""
        return np.fromiter((clip.label for clip in self.clips), dtype=np.int64, count=len(self.clips))

    def file(self, clip: Clip) -> Path:
        """Where the clip's audio lies."""
        return self.root / clip.path

    def select(
        self,
        *,
        corpus: str | Iterable[str] | None = None,
        split: str | Iterable[str] | None = None,
        label: Label | str | Iterable[Label | str] | None = None,
        generator: str | Iterable[str] | None = None,
    ) -> "Manifest":
        """Keep the clips that satisfy every condition; each is one value or several.

        Args:
            corpus: Names of corpora.
            split: Of `SPLITS`, or an empty string for clips without one.
            label: `Label` or a word for it.
            generator: Names of generators.

        Returns:
            The clips in their order, on the same root; none where known values never meet.

        Raises:
            ValueError: If no clip at all has the corpus, split or generator asked for, naming those there
                are; or if the label is unknown.
        """
        clips = self.clips
        for name, wanted in (("corpus", corpus), ("split", split), ("generator", generator)):
            if wanted is None:
                continue
            values = {wanted} if isinstance(wanted, str) else set(wanted)
            known = {getattr(clip, name) for clip in self.clips}
            if not values <= known:
                raise ValueError(
                    f"no clip has {name} {_listed(values - known)}; the manifest has: {_listed(known)}"
                )
            clips = tuple(clip for clip in clips if getattr(clip, name) in values)
        if label is not None:
            words = [label] if isinstance(label, str | Label) else label
            labels = {Label.from_word(word) if isinstance(word, str) else Label(word) for word in words}
            clips = tuple(clip for clip in clips if clip.label in labels)
        return Manifest(self.root, clips)

    @classmethod
    def read(
        cls, csv_path: Path | str, root: Path | str | None = None, *, check_files: bool = False
    ) -> "Manifest":
        """Read a manifest in the CSV format that `write` writes.

        Comma-separated UTF-8 with a header. `path` and `label` are required, the other `COLUMNS` are
        optional, further ones are ignored. Without a column `dataset` the corpus is called after the root;
        without `split` no clip has one.

        Args:
            csv_path: The file.
            root: Folder that paths start from; by default the file's own.
            check_files: Whether every clip's audio must exist.

        Raises:
            ManifestError: If the file is empty, not UTF-8, has no header, a torn line, an unknown label or
                split, a bad number, a path twice, absolute or outside the root, or (`check_files`) a missing
                file.
            FileNotFoundError: If there is no such file.
        """
        file = Path(csv_path)
        folder = file.parent if root is None else Path(root)
        rows = table_rows(file, _REQUIRED)
        _, header = next(rows)
        column = {name: header.index(name) for name in COLUMNS if name in header}
        # (index of the column, field of Clip); the three that are not plain text are read apart
        texts = [
            (index, "corpus" if name == "dataset" else name)
            for name, index in column.items()
            if name not in ("path", "label", "original_rate", "seconds")
        ]
        i_path, i_label = column["path"], column["label"]
        i_rate, i_seconds = column.get("original_rate"), column.get("seconds")
        corpus = {} if "dataset" in column else {"corpus": folder.resolve().name}
        listing = Listing(file, folder)
        for line, row in rows:
            fields: dict = {name: row[index] for index, name in texts}
            fields.update(corpus)
            if i_rate is not None and row[i_rate]:
                fields["original_rate"] = listing.number(line, "original_rate", row[i_rate], int)
            if i_seconds is not None and row[i_seconds]:
                fields["seconds"] = listing.number(line, "seconds", row[i_seconds], float)
            listing.add(line, row[i_path], row[i_label], **fields)
        if check_files:
            listing.check_files()
        return cls(folder, tuple(listing.clips))

    def write(self, csv_path: Path | str, extra: Mapping[str, Sequence[object]] | None = None) -> None:
        """Write the CSV that `read` reads: `read(path, root=manifest.root) == manifest`.

        The file appears whole or not at all.

        Args:
            csv_path: The file, replaced if there.
            extra: Further columns by name, a value per clip; None is an empty cell. Reading ignores them.

        Raises:
            ValueError: If an extra column is one of `COLUMNS` or has not one value per clip.
        """
        extra = dict(extra or {})
        for name, values in extra.items():
            if name in COLUMNS:
                raise ValueError(f"extra column {name!r} is one of the manifest's own: {', '.join(COLUMNS)}")
            if len(values) != len(self):
                raise ValueError(f"extra column {name!r} has {len(values)} values for {len(self)} clips")
        with (
            replacing(Path(csv_path)) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as stream,
        ):
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow((*COLUMNS, *extra))
            for clip, *values in zip(self.clips, *extra.values(), strict=True):
                writer.writerow(
                    (clip.path, clip.corpus, clip.split, clip.label.word, clip.generator, clip.kind)
                    + (clip.speaker, clip.recording, clip.language, clip.source, clip.license)
                    + (clip.original_format, clip.original_rate, clip.seconds, *values)
                )

    @classmethod
    def union(cls, *manifests: "Manifest") -> "Manifest":
        """Join manifests, which may lie on different roots.

        Files are kept apart by where they lie: the union's root is the folder that all roots have in common,
        and paths are rewritten to start there. A clip that stands in several manifests with the same facts is
        kept once; equal content under different paths is the business of `duplicates`.

        Raises:
            ValueError: If there is no manifest, no common folder, or one file with two descriptions.
        """
        if not manifests:
            raise ValueError("union of no manifests")
        roots = [os.path.abspath(manifest.root) for manifest in manifests]
        common = roots[0] if len(set(roots)) == 1 else os.path.commonpath(roots)
        joined: dict[str, Clip] = {}
        for root, manifest in zip(roots, manifests, strict=True):
            prefix = "" if root == common else Path(os.path.relpath(root, common)).as_posix() + "/"
            for clip in manifest:
                moved = replace(clip, path=prefix + clip.path) if prefix else clip
                if joined.setdefault(moved.path, moved) != moved:
                    raise ValueError(f"{moved.path!r} is described twice: {joined[moved.path]} and {moved}")
        same = all(manifest.root == manifests[0].root for manifest in manifests)
        return cls(manifests[0].root if same else Path(common), tuple(joined.values()))


@dataclass
class Listing:
    """Clips gathered from one list file; whatever is wrong with one is said with file and line.

    Attributes:
        file: The list: manifest, protocol or table.
        root: Folder that the clips' paths start from.
        clips: Those gathered.
    """

    file: Path
    root: Path
    clips: list[Clip] = field(default_factory=list)
    _line_of: dict[str, int] = field(default_factory=dict)
    # One string object per distinct value: at a million rows this is most of the memory.
    _shared: dict[str, str] = field(default_factory=dict)

    def add(self, line: int, path: str, label: str, **fields: str | int | float | None) -> None:
        """Add the clip of one line.

        Args:
            line: Line in the file.
            path: As in `Clip`.
            label: Word for the class.
            **fields: Of `Clip`.

        Raises:
            ManifestError: If label, path or a field is impossible, or the path stood there before.
        """
        share = self._shared
        for name, value in fields.items():
            if type(value) is str:
                fields[name] = share.setdefault(value, value)
        try:
            clip = Clip(path, Label.from_word(label), **fields)
        except ValueError as error:
            raise ManifestError(self.file, line, str(error)) from None
        before = self._line_of.setdefault(clip.path, line)
        if before != line:
            raise ManifestError(self.file, line, f"{clip.path!r} stands in line {before} already")
        self.clips.append(clip)

    def number(self, line: int, name: str, text: str, kind: type[int] | type[float]) -> int | float:
        """Read a number.

        Raises:
            ManifestError: If the text is none.
        """
        try:
            return kind(text)
        except ValueError:
            word = "a whole number" if kind is int else "a number"
            raise ManifestError(self.file, line, f"{name} is {text!r}, not {word}") from None

    def check_files(self) -> None:
        """Look every clip up on disk.

        Raises:
            ManifestError: With the line of the first clip that is missing and how many are.
        """
        missing = [clip.path for clip in self.clips if not os.path.isfile(os.path.join(self.root, clip.path))]
        if missing:
            raise ManifestError(
                self.file,
                self._line_of[missing[0]],
                f"no file {missing[0]!r} in {self.root}; {len(missing)} of {len(self.clips)} are missing",
            )


def table_rows(file: Path, required: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Read a comma-separated table with a header, checking its shape.

    Args:
        file: UTF-8, with or without a byte order mark, any line ends.
        required: Columns that the header must have.

    Yields:
        Line number and cells: first the header's names, then each row, as many cells as the header has. Empty
        lines are passed over.

    Raises:
        ManifestError: If the file is empty or not UTF-8, the header lacks a column or has one twice, or a row
            is torn.
        FileNotFoundError: If there is no such file.
    """
    header: list[str] = []
    line = 1
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            for row in reader:
                if not row:
                    pass
                elif not header:
                    header = [name.strip() for name in row]
                    _check_header(file, line, header, required)
                    yield line, header
                elif len(row) != len(header):
                    raise ManifestError(
                        file,
                        line,
                        f"{len(row)} columns where the header has {len(header)}{_separator_hint(row)}",
                    )
                else:
                    yield line, row
                # a quoted cell may hold line breaks: the next row starts after the last line read
                line = reader.line_num + 1
        except csv.Error as error:
            raise ManifestError(file, line, f"not CSV from here on: {error}") from None
        except UnicodeDecodeError as error:
            raise ManifestError(file, undecodable_line(file), f"not UTF-8: {error.reason}") from None
    if not header:
        raise ManifestError(file, 1, f"empty; a header with {_listed(required)} is needed")


def undecodable_line(file: Path) -> int:
    """Line of the first bytes that are not UTF-8; the last line if all are."""
    last = 1
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            last = number
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                break
    return last


def _check_header(file: Path, line: int, header: list[str], required: Sequence[str]) -> None:
    lacking = [name for name in required if name not in header]
    if lacking:
        raise ManifestError(
            file,
            line,
            f"no column {_listed(lacking)} in the header; it has {_listed(header)}{_separator_hint(header)}",
        )
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise ManifestError(file, line, f"column {_listed(twice)} stands in the header twice")


def _separator_hint(row: list[str]) -> str:
    for name, separator in (("semicolons", ";"), ("tabs", "\t")):
        if any(separator in cell for cell in row):
            return f"; are the columns separated by {name}? They must be by commas"
    return ""


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name) for name in sorted(names)]
    more = f" and {len(shown) - _NAMES_SHOWN} more" if len(shown) > _NAMES_SHOWN else ""
    return (", ".join(shown[:_NAMES_SHOWN]) + more) or "none"


def _safe_path(path: str) -> str:
    if "\\" in path:
        raise ValueError(f"path {path!r} has backslashes; write it with /")
    if path.startswith("/") or path[1:2] == ":":
        raise ValueError(f"path {path!r} is absolute; it must be relative to the manifest's root")
    # posixpath, so that a manifest reads alike on every system
    normal = posixpath.normpath(path)
    if normal == ".":
        raise ValueError(f"path {path!r} names no file")
    if normal == ".." or normal.startswith("../"):
        raise ValueError(f"path {path!r} leaves the manifest's root")
    return normal
