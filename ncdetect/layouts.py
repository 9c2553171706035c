"""Corpora as distributed: a parser each turns the unpacked folders into a `Manifest`.

A parser takes the folder into which a corpus was unpacked, or the corpus's own. Where its corpus does not lie
it raises `LayoutError` with what it looked for; every other error means that the corpus lies there damaged. A
new corpus is one parser and one line in `LAYOUTS`.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from ncdetect.corpora import Clip, Listing, Manifest, ManifestError, table_rows, undecodable_line
from ncdetect.labels import Label

AUDIO_SUFFIXES = frozenset(
    (".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav")
    + (".webm", ".wma")
)
DEV_PERCENT = EVAL_PERCENT = 10  # of the recordings, where a corpus has no split of its own
ODC_BY = "ODC-By 1.0"

_SPLIT_OF_FOLDER = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "validation"), "dev"),
    **dict.fromkeys(("eval", "test", "testing"), "eval"),
}
# Table 1 of Wang et al. 2020 (ASVspoof 2019). A13 to A15 convert a synthetic voice: the last stage counts.
_CONVERSIONS = frozenset(("A05", "A06", "A13", "A14", "A15", "A17", "A18", "A19"))
_FOR_VERSIONS = {
    "for-original": "for-original",
    "for-norm": "for-norm",
    "for-2sec": "for-2sec",
    "for-2seconds": "for-2sec",
    "for-rerec": "for-rerec",
    "for-rerecorded": "for-rerec",
}
_WAVEFAKE_FOLDER = re.compile(
    r"(?P<source>ljspeech|jsut)_(?P<vocoder>.+)|common_voices_prompts_from_(?P<tts>.+)_ljspeech"
)
_WAVEFAKE_REALS = (
    ("wavs", "ljspeech"),
    ("LJSpeech-1.1/wavs", "ljspeech"),
    ("jsut_ver1.1/basic5000/wav", "jsut"),
)
_WAVEFAKE_SOURCES = {
    "ljspeech": {"speaker": "lj", "language": "en", "source": "LJSpeech"},
    "jsut": {"speaker": "jsut", "language": "ja", "source": "JSUT"},
}

logger = logging.getLogger(__name__)


class LayoutError(ValueError):
    """A folder does not hold the corpus; the text says what was looked for."""


def open_corpus(root: Path | str, layout: str | None = None) -> Manifest:
    """Read a corpus from its folder.

    Args:
        root: Folder into which the corpus was unpacked, or a manifest's CSV file.
        layout: Name in `LAYOUTS`; without one it is recognised by what lies there: a manifest.csv first, then
            the corpora as distributed, then folders real/ and fake/.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If the layout is unknown, or several fit.
        LayoutError: If none fits.
        ManifestError: If a list in it cannot be read, or names files that are missing.
    """
    # absolute, as the folder's own name may tell the corpus
    root = Path(os.path.abspath(root))
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; allowed: {', '.join(LAYOUTS)}")
    if not root.exists():
        raise FileNotFoundError(f"no folder {root}")
    if layout is not None:
        try:
            return LAYOUTS[layout](root)
        except LayoutError as error:
            raise LayoutError(f"{root} does not hold {layout}: looked for {error}") from None
    if root.is_file():
        return Manifest.read(root)
    first, *distributed, last = LAYOUTS
    sought = []
    for group in ((first,), distributed, (last,)):
        found = {}
        for name in group:
            try:
                found[name] = LAYOUTS[name](root)
            except LayoutError as error:
                sought.append(f"  {name}: {error}")
        if len(found) > 1:
            raise ValueError(f"{root} fits several layouts, say which: {', '.join(found)}")
        if found:
            return found.popitem()[1]
    raise LayoutError("\n".join((f"{root} holds no corpus that is known here. Looked for", *sought)))


def _manifest(root: Path) -> Manifest:
    file = root / "manifest.csv"
    if not file.is_file():
        raise LayoutError("manifest.csv")
    return Manifest.read(file)


def _asvspoof2019(track: str, root: Path) -> Manifest:
    """ASVspoof 2019: `LA/` or `PA/` with protocols and flac folders; a track may miss whole splits."""
    protocols = f"ASVspoof2019_{track}_cm_protocols"
    base = _first_folder((root / track, root, root / track / track), protocols)
    if base is None:
        raise LayoutError(f"{track}/{protocols}/ASVspoof2019.{track}.cm.train.trn.txt and the like")
    clips: list[Clip] = []
    for split, suffix in (("train", "trn"), ("dev", "trl"), ("eval", "trl")):
        audio = base / f"ASVspoof2019_{track}_{split}" / "flac"
        if not audio.is_dir():
            logger.warning("no folder %s: the corpus is read without its %s split", audio, split)
            continue
        listing = Listing(base / protocols / f"ASVspoof2019.{track}.cm.{split}.{suffix}.txt", root)
        folder = _below(root, audio)
        # LA: speaker, file, -, system, key. PA: speaker, file, environment, attack, key.
        for line, (speaker, name, third, attack, key) in _protocol_lines(listing.file, 5):
            generator = _unless_dash(attack)
            family = "replay" if track == "PA" else _attack_kind(generator)
            listing.add(
                line,
                f"{folder}/{name}.flac",
                key,
                corpus=f"asvspoof2019-{track.lower()}",
                split=split,
                generator=generator,
                kind=family if generator else "",
                speaker=speaker,
                language="en",
                source=f"environment {third}" if track == "PA" else "VCTK",
                license=ODC_BY,
            )
        listing.check_files()
        clips += listing.clips
    if not clips:
        raise LayoutError(f"{base}/ASVspoof2019_{track}_train/flac, or that of dev or eval")
    return Manifest(root, tuple(clips))


def _asvspoof2021_df(root: Path) -> Manifest:
    """ASVspoof 2021 DF: four audio parts, in one folder or each in its own, and the separate keys."""
    inner = Path("ASVspoof2021_DF_eval", "flac")
    parts = [root / f"ASVspoof2021_DF_eval_part{part:02}" / inner for part in range(4)]
    folders = [folder for folder in (root / inner, *parts) if folder.is_dir()]
    keys = Path("keys", "DF", "CM", "trial_metadata.txt")
    places = [root / keys, root / "DF-keys-full" / keys, root / "ASVspoof2021_DF_eval" / keys]
    protocol = next((place for place in places if place.is_file()), None)
    if protocol is None or not folders:
        raise LayoutError(f"{inner.as_posix()} with the audio and {keys.as_posix()} with the labels")
    folder_of = {name: _below(root, folder) for folder in folders for name in os.listdir(folder)}
    listing = Listing(protocol, root)
    for line, cells in _protocol_lines(protocol, 13):
        # then the subset (progress, eval, hidden: all of it evaluation) and what differs by source
        speaker, name, compression, source, attack, key, _, _, vocoder, *_ = cells
        listing.add(
            line,
            f"{folder_of.get(f'{name}.flac', inner.as_posix())}/{name}.flac",
            key,
            corpus="asvspoof2021-df",
            split="eval",
            generator=_unless_dash(attack),
            kind="" if vocoder == "bonafide" else vocoder,
            speaker=speaker,
            language="en" if source == "asvspoof" else "",
            source=source,
            license=ODC_BY,
            original_format="" if compression == "nocodec" else compression,
        )
    listing.check_files()
    return Manifest(root, tuple(listing.clips))


def _in_the_wild(root: Path) -> Manifest:
    """In-the-Wild: `release_in_the_wild/meta.csv` and the clips beside it; all of it evaluation."""
    base = next((b for b in (root / "release_in_the_wild", root) if (b / "meta.csv").is_file()), None)
    if base is None:
        raise LayoutError("release_in_the_wild/meta.csv")
    listing = Listing(base / "meta.csv", root)
    rows = table_rows(listing.file, ("file", "speaker", "label"))
    try:
        _, header = next(rows)
    except ManifestError as error:
        if base.name == "release_in_the_wild":
            raise
        # anybody's folder may hold a meta.csv
        raise LayoutError(f"release_in_the_wild/meta.csv ({error})") from None
    folder = _below(root, base)
    for line, cells in rows:
        row = dict(zip(header, cells, strict=True))
        listing.add(
            line,
            f"{folder}/{row['file']}",
            row["label"],
            corpus="in-the-wild",
            split="eval",
            speaker=row["speaker"],
            language="en",
        )
    listing.check_files()
    return Manifest(root, tuple(listing.clips))


def _wavefake(root: Path) -> Manifest:
    """WaveFake: `generated_audio/<source>_<vocoder>/`, with LJSpeech's and JSUT's reals beside it if there.

    It has no split of its own. Clips are split 80/10/10 by a hash of the recording (LJ001-0001), so that a
    recording and all its vocoded versions are in one split, the same on every machine.
    """
    base = next((b for b in (root / "generated_audio", root) if _wavefake_folders(b)), None)
    if base is None:
        raise LayoutError("generated_audio/ljspeech_melgan and the like")
    clips = []
    for folder, named in _wavefake_folders(base):
        for path in _audio_files(folder):
            # three conventions: LJ001-0001_gen.wav, _generated.wav (HiFi-GAN) and LJ001-0001.wav (WaveGlow)
            recording = re.sub(r"_gen(erated)?$", "", path.stem)
            clips.append(
                Clip(
                    _below(root, path),
                    Label.FAKE,
                    corpus="wavefake",
                    split=_split_by_hash(recording),
                    generator=named["vocoder"] or named["tts"],
                    kind="vocoder" if named["vocoder"] else "tts",
                    recording=recording if named["vocoder"] else "",
                    **_WAVEFAKE_SOURCES[named["source"] or "ljspeech"],
                )
            )
    if not clips:
        raise LayoutError("audio in generated_audio/ljspeech_melgan and the like")
    reals = {source: root / folder for folder, source in _WAVEFAKE_REALS if (root / folder).is_dir()}
    if not reals:
        logger.warning("WaveFake without reals: unpack LJSpeech-1.1 in %s too", root)
    for source, folder in reals.items():
        for path in _audio_files(folder):
            clips.append(
                Clip(
                    _below(root, path),
                    Label.REAL,
                    corpus="wavefake",
                    split=_split_by_hash(path.stem),
                    recording=path.stem,
                    **_WAVEFAKE_SOURCES[source],
                )
            )
    return Manifest(root, tuple(clips))


def _fake_or_real(root: Path) -> Manifest:
    """FoR: `for-norm/{training,validation,testing}/{real,fake}/`, and its other versions, each a corpus.

    The versions hold the same utterances; select one, or ask `duplicates`. Each may be nested once more, as
    in `for-rerec/for-rerecorded/`.
    """
    clips: list[Clip] = []
    outer = [folder for folder in (root, *_folders(root)) if folder.name.lower() in _FOR_VERSIONS]
    inner = [folder for place in outer for folder in _folders(place) if folder.name.lower() in _FOR_VERSIONS]
    for base in dict.fromkeys((*outer, *inner)):
        corpus = _FOR_VERSIONS[base.name.lower()]
        clips += _class_folders(root, base, corpus=corpus, language="en", fake_kind="tts")
    if not clips:
        raise LayoutError("for-norm/training/real, or another version of FoR")
    return Manifest(root, tuple(clips))


def _real_and_fake(root: Path) -> Manifest:
    """Plain folders `real/` and `fake/` or `fake/<generator>/`, perhaps below `train/`, `dev/`, `eval/`."""
    clips = _class_folders(root, root, corpus=root.name)
    if not clips:
        raise LayoutError("audio below real/ and fake/, perhaps in train/, dev/ and eval/")
    return Manifest(root, tuple(clips))


# The first is tried before all others and the last after them; of those between only one may fit.
LAYOUTS: dict[str, Callable[[Path], Manifest]] = {
    "manifest": _manifest,
    "asvspoof2019-la": partial(_asvspoof2019, "LA"),
    "asvspoof2019-pa": partial(_asvspoof2019, "PA"),
    "asvspoof2021-df": _asvspoof2021_df,
    "for": _fake_or_real,
    "in-the-wild": _in_the_wild,
    "wavefake": _wavefake,
    "folders": _real_and_fake,
}


def _class_folders(
    root: Path, base: Path, *, corpus: str, language: str = "", fake_kind: str = ""
) -> list[Clip]:
    clips = []
    for outer in (base, *_folders(base)):
        split = "" if outer == base else _SPLIT_OF_FOLDER.get(outer.name.lower())
        if split is None:
            continue
        for folder in _folders(outer):
            if folder.name.lower() not in ("real", "fake"):
                continue
            label = Label.from_word(folder.name)
            for path in _audio_files(folder):
                nested = path.relative_to(folder).parts[:-1]
                fake = label == Label.FAKE
                clips.append(
                    Clip(
                        _below(root, path),
                        label,
                        corpus=corpus,
                        split=split,
                        generator=nested[0] if fake and nested else "",
                        kind=fake_kind if fake else "",
                        language=language,
                    )
                )
    return clips


def _wavefake_folders(base: Path) -> list[tuple[Path, re.Match[str]]]:
    matches = [(folder, _WAVEFAKE_FOLDER.fullmatch(folder.name)) for folder in _folders(base)]
    return [(folder, match) for folder, match in matches if match]


def _protocol_lines(file: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Lines of blank-separated columns, numbered from 1.

    Raises:
        ManifestError: If a line has not that many columns, or the file is not UTF-8.
    """
    try:
        with file.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                cells = line.split()
                if cells and len(cells) != columns:
                    raise ManifestError(
                        file, number, f"{len(cells)} columns, not {columns}: {line.strip()!r}"
                    )
                if cells:
                    yield number, cells
    except UnicodeDecodeError as error:
        raise ManifestError(file, undecodable_line(file), f"not UTF-8: {error.reason}") from None


def _audio_files(folder: Path) -> Iterator[Path]:
    """Audio anywhere below, sorted, links followed, without hidden files such as macOS's `._` twins."""
    entered = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True):
        # a link may lead back up
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".")
            and (real := os.path.realpath(os.path.join(place, name))) not in entered
            and not entered.add(real)
        ]
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield Path(place, name)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # scandir knows folders without asking for each of a corpus's files
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir())


def _first_folder(places: Iterable[Path], inner: str) -> Path | None:
    return next((place for place in places if (place / inner).is_dir()), None)


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _unless_dash(cell: str) -> str:
    return "" if cell == "-" else cell


def _attack_kind(attack: str) -> str:
    return "vc" if attack in _CONVERSIONS else "tts"


def _split_by_hash(recording: str) -> str:
    """Split of a recording; hashlib, as `hash` differs from run to run."""
    percent = int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8], "big") % 100
    if percent >= 100 - EVAL_PERCENT:
        return "eval"
    return "dev" if percent >= 100 - EVAL_PERCENT - DEV_PERCENT else "train"
