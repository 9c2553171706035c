import csv
import os
import random
import re
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniatures import touch, write_lines
from ncdetect.corpora import COLUMNS, SPLITS, Clip, Manifest, ManifestError
from ncdetect.labels import Label

SHARED = Path(__file__).parents[2] / "shared" / "corpora"
HEADER = "path,label"


def clip(path="a.wav", label=Label.REAL, **fields) -> Clip:
    return Clip(path, label, **fields)


def manifest(*clips: Clip, root: str = "corpus") -> Manifest:
    return Manifest(Path(root), clips)


def located(file: Path, line: int, *words: str) -> str:
    """A pattern for an error at a line that says all the words in this order."""
    return "^" + re.escape(f"{file}:{line}: ") + ".*" + ".*".join(map(re.escape, words))


# --- reading


def test_a_full_row_is_read_into_every_field(tmp_path):
    file = write_lines(
        tmp_path / "m.csv",
        "path,dataset,split,label,generator,kind,speaker,recording,language,source,license,original_format,"
        "original_rate,seconds",
        "x/1.flac,vocoded,dev,fake,melgan,vocoder,lj,LJ001-0001,en,WaveFake,CC BY-SA 4.0,wav,22050,2.54",
    )
    assert Manifest.read(file) == Manifest(
        tmp_path,
        (
            Clip(
                "x/1.flac",
                Label.FAKE,
                corpus="vocoded",
                split="dev",
                generator="melgan",
                kind="vocoder",
                speaker="lj",
                recording="LJ001-0001",
                language="en",
                source="WaveFake",
                license="CC BY-SA 4.0",
                original_format="wav",
                original_rate=22050,
                seconds=2.54,
            ),
        ),
    )


def test_path_and_label_suffice_and_further_columns_are_ignored(tmp_path):
    file = write_lines(tmp_path / "m.csv", "label,mood,path", "spoof,glad,b.wav", "Real,sad,a.wav")
    read = Manifest.read(file)
    assert read.clips == (
        Clip("b.wav", Label.FAKE, corpus=tmp_path.name),
        Clip("a.wav", Label.REAL, corpus=tmp_path.name),
    )
    assert Manifest.read(file, root=tmp_path / "elsewhere").clips[0].corpus == "elsewhere"
    assert read.file(read.clips[0]) == tmp_path / "b.wav"


def test_empty_cells_are_unknown(tmp_path):
    file = write_lines(tmp_path / "m.csv", ",".join(COLUMNS), "a.wav,,,real" + "," * 10)
    assert Manifest.read(file).clips == (Clip("a.wav", Label.REAL),)


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_byte_order_mark_line_ends_and_quoted_commas(tmp_path, start, end):
    file = write_lines(
        tmp_path / "m.csv",
        start + "path,label,source",
        '"a, b.wav",real,"said ""x, y"""',
        "",
        "ü.wav,fake,",
        end=end,
    )
    assert [(c.path, c.source) for c in Manifest.read(file)] == [("a, b.wav", 'said "x, y"'), ("ü.wav", "")]


def test_a_header_alone_is_a_manifest_of_no_clips(tmp_path):
    assert len(Manifest.read(write_lines(tmp_path / "m.csv", HEADER))) == 0


def test_paths_are_normal(tmp_path):
    file = write_lines(tmp_path / "m.csv", HEADER, "./a//b/../c.wav,real")
    assert Manifest.read(file).clips[0].path == "a/c.wav"


BAD = {
    "empty file": ([], 1, ["empty", "'label', 'path'"]),
    "blank file": (["", ""], 1, ["empty"]),
    "no header": (["a.wav,real", "b.wav,fake"], 1, ["no column 'label', 'path'", "'a.wav'"]),
    "no label column": (["path,split", "a.wav,train"], 1, ["no column 'label'", "'path', 'split'"]),
    "column twice": (["path,label,path", "a,real,b"], 1, ["'path'", "twice"]),
    "semicolons": (["path;label", "a.wav;real"], 1, ["no column", "semicolons"]),
    "tabs": (["path\tlabel", "a.wav\treal"], 1, ["no column", "tabs"]),
    "one row in semicolons": ([HEADER, "a.wav,real", "b.wav;fake"], 3, ["1 columns", "2", "semicolons"]),
    "torn line": (["path,split,label", "a.wav,train,real", "b.wav,tra"], 3, ["2 columns", "3"]),
    "comma not quoted": ([HEADER, "a, b.wav,real"], 2, ["3 columns", "2"]),
    "open quote": ([HEADER, "a.wav,real", '"b.wav,real', "c.wav,fake"], 3, ["not CSV"]),
    "unknown label": ([HEADER, "a.wav,real", "b.wav,maybe"], 3, ["'maybe'", "fake", "real"]),
    "label missing": ([HEADER, "a.wav,"], 2, ["label ''"]),
    "bad split": (["path,label,split", "a.wav,real,test"], 2, ["'test'", "train, dev, eval"]),
    "seconds no number": (["path,label,seconds", "a.wav,real,long"], 2, ["seconds", "'long'"]),
    "seconds negative": (["path,label,seconds", "a.wav,real,-1"], 2, ["seconds", "-1"]),
    "seconds NaN": (["path,label,seconds", "a.wav,real,nan"], 2, ["seconds", "nan"]),
    "rate no number": (["path,label,original_rate", "a.wav,real,16k"], 2, ["original_rate", "'16k'"]),
    "rate zero": (["path,label,original_rate", "a.wav,real,0"], 2, ["original_rate", "0"]),
    "path twice": ([HEADER, "a.wav,real", "b.wav,real", "./a.wav,fake"], 4, ["'a.wav'", "line 2"]),
    "path empty": ([HEADER, ",real"], 2, ["path ''"]),
    "path a folder": ([HEADER, "a/..,real"], 2, ["'a/..'", "no file"]),
    "path absolute": ([HEADER, "/etc/passwd,real"], 2, ["'/etc/passwd'", "absolute"]),
    "path with a drive": ([HEADER, "C:/a.wav,real"], 2, ["absolute"]),
    "path leaves the root": ([HEADER, "x.wav,real", "a/../../b.wav,real"], 3, ["'a/../../b.wav'", "leaves"]),
    "backslashes": ([HEADER, "a\\b.wav,real"], 2, ["backslashes"]),
    "line break in a cell": (["path,label,source", 'a.wav,real,"x', 'y"'], 2, ["line break"]),
    "after a line break in an ignored cell": (["path,label,x", 'a,real,"1', '2"', "b,huh,3"], 4, ["'huh'"]),
    "NUL": ([HEADER, "a\0.wav,real"], 2, ["NUL"]),
}  # fmt: skip


@pytest.mark.parametrize("lines, line, words", BAD.values(), ids=BAD)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, lines, line, words, end):
    file = write_lines(tmp_path / "m.csv", *lines, end=end)
    with pytest.raises(ManifestError, match=located(file, line, *words)) as caught:
        Manifest.read(file)
    assert (caught.value.file, caught.value.line) == (file, line)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("rows", [1, 5000], ids=["first block", "beyond the read buffer"])
def test_undecodable_bytes_are_located(tmp_path, rows):
    file = tmp_path / "m.csv"
    good = "".join(f"clip-{n}.wav,real\n" for n in range(rows))
    file.write_bytes(f"{HEADER}\n{good}".encode() + "é.wav,real\n".encode("latin-1"))
    with pytest.raises(ManifestError, match=located(file, rows + 2, "UTF-8")):
        Manifest.read(file)
    file.write_bytes(f"{HEADER}\na.wav,real\n".encode("utf-16"))
    with pytest.raises(ManifestError, match=located(file, 1, "UTF-8")):
        Manifest.read(file)


def test_missing_files_are_said_with_the_first_ones_line(tmp_path):
    file = write_lines(tmp_path / "m.csv", HEADER, "a.wav,real", "b.wav,real", "folder,fake")
    touch(tmp_path / "a.wav", tmp_path / "folder/x")
    assert len(Manifest.read(file)) == 3
    with pytest.raises(ManifestError, match=located(file, 3, "'b.wav'", "2 of 3")):
        Manifest.read(file, check_files=True)
    touch(tmp_path / "b.wav")
    (tmp_path / "folder/x").unlink()
    (tmp_path / "folder").rmdir()
    touch(tmp_path / "folder")
    assert len(Manifest.read(file, check_files=True)) == 3
    with pytest.raises(FileNotFoundError):
        Manifest.read(tmp_path / "none.csv")


def test_an_error_survives_a_process_boundary(tmp_path):
    import pickle

    error = ManifestError(tmp_path / "m.csv", 3, "torn")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == f"{tmp_path}/m.csv:3: torn"


# --- writing

PRINTABLE = "".join(sorted({*string.printable, *"äß中\u2028\u0085\x1c\ufeff\x7f😀"} - {"\r", "\n"}))
TEXT = st.text(PRINTABLE, max_size=8) | st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\0"), max_size=6
)
NAMES = st.text(PRINTABLE.replace("\\", "").replace("/", "").replace(":", ""), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
CLIPS = st.builds(
    Clip,
    path=st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    label=st.sampled_from(Label),
    split=st.sampled_from(("", *SPLITS)),
    original_rate=st.none() | st.integers(1, 10**6),
    seconds=st.none() | st.floats(0, allow_infinity=False, allow_nan=False),
    **dict.fromkeys(
        (
            "corpus",
            "generator",
            "kind",
            "speaker",
            "recording",
            "language",
            "source",
            "license",
            "original_format",
        ),
        TEXT,
    ),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clips=st.lists(CLIPS, max_size=4, unique_by=lambda c: c.path))
def test_what_is_written_is_read_again(tmp_path, clips):
    before = Manifest(tmp_path, tuple(clips))
    before.write(tmp_path / "m.csv")
    assert Manifest.read(tmp_path / "m.csv") == before


def test_written_columns_are_those_of_the_shared_corpora(tmp_path):
    manifest(clip(corpus="x", seconds=1.5)).write(tmp_path / "m.csv", {"distance": [0.25], "rule": [None]})
    with (tmp_path / "m.csv").open(encoding="utf-8", newline="") as stream:
        header, row = csv.reader(stream)
    assert tuple(header) == (*COLUMNS, "distance", "rule")
    assert row == ["a.wav", "x", "", "real", *[""] * 9, "1.5", "0.25", ""]
    assert Manifest.read(tmp_path / "m.csv", root="corpus") == manifest(clip(corpus="x", seconds=1.5))


def test_bad_extra_columns_leave_the_old_file_alone(tmp_path):
    file = tmp_path / "m.csv"
    manifest(clip()).write(file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="'speaker'"):
        manifest(clip()).write(file, {"speaker": ["x"]})
    with pytest.raises(ValueError, match="2 values for 1 clips"):
        manifest(clip()).write(file, {"distance": [1, 2]})
    with pytest.raises(UnicodeEncodeError):
        manifest(clip("b.wav")).write(file, {"rule": ["\ud800"]})
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.csv"]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"path": "../a.wav"}, "leaves"),
        ({"path": "/a.wav"}, "absolute"),
        ({"split": "test"}, "'test'"),
        ({"seconds": float("inf")}, "seconds"),
        ({"original_rate": -1}, "original_rate"),
        ({"speaker": "a\nb"}, "line break"),
        ({"path": "\udcff.wav"}, "undecodable"),
    ],
)
def test_an_impossible_clip_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        clip(**fields)


# --- selecting, joining


THREE = manifest(
    clip("a.wav", corpus="la", split="train"),
    clip("b.wav", Label.FAKE, corpus="la", split="eval", generator="A07"),
    clip("c.wav", Label.FAKE, corpus="for", split="train", generator="A08"),
)


@pytest.mark.parametrize(
    "conditions, paths",
    [
        ({}, "abc"),
        ({"corpus": "la"}, "ab"),
        ({"corpus": ["la", "for"]}, "abc"),
        ({"split": "train", "label": Label.FAKE}, "c"),
        ({"label": "real"}, "a"),
        ({"label": ["real", Label.FAKE]}, "abc"),
        ({"generator": ("A07", "A08")}, "bc"),
        ({"generator": ""}, "a"),
        ({"corpus": "for", "split": "eval"}, ""),
        ({"corpus": []}, ""),
    ],
)
def test_select(conditions, paths):
    assert [c.path for c in THREE.select(**conditions)] == [f"{p}.wav" for p in paths]
    assert THREE.select(**conditions).root == THREE.root


@pytest.mark.parametrize(
    "conditions, words",
    [
        ({"corpus": "asv"}, "corpus 'asv'; the manifest has: 'for', 'la'"),
        ({"corpus": ["la", "asv"]}, "corpus 'asv'; "),
        ({"split": "test"}, "split 'test'; the manifest has: 'eval', 'train'"),
        ({"split": "dev"}, "split 'dev'; the manifest has: 'eval', 'train'"),
        ({"generator": "A09"}, "generator 'A09'; the manifest has: '', 'A07', 'A08'"),
        ({"label": "spooky"}, "'spooky'"),
        # what is asked for is judged by the whole manifest, whatever the other conditions leave
        ({"corpus": "for", "generator": "A09"}, "'', 'A07', 'A08'"),
    ],
)
def test_select_names_what_is_there(conditions, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        THREE.select(**conditions)


def test_labels_and_iteration():
    labels = THREE.labels
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 1]
    assert list(THREE) == list(THREE.clips)
    assert len(THREE) == 3
    assert manifest().labels.shape == (0,)


def test_a_path_twice_is_refused():
    with pytest.raises(ValueError, match=r"'a\.wav'.*twice"):
        manifest(clip("a.wav"), clip("./a.wav", Label.FAKE))


def test_union_keeps_files_apart_by_where_they_lie(tmp_path):
    one = Manifest(tmp_path / "one", (clip("a.wav"), clip("b.wav")))
    two = Manifest(tmp_path / "two/deep", (clip("a.wav", Label.FAKE),))
    joined = Manifest.union(one, two)
    assert joined.root == tmp_path
    assert [c.path for c in joined] == ["one/a.wav", "one/b.wav", "two/deep/a.wav"]
    assert [joined.file(c) for c in joined] == [one.file(c) for c in one] + [two.file(c) for c in two]
    assert joined.labels.tolist() == [0, 0, 1]
    inside = Manifest.union(Manifest(tmp_path, (clip("one/a.wav"),)), one)
    assert [c.path for c in inside] == ["one/a.wav", "one/b.wav"]


def test_union_on_one_root_keeps_it_as_written_and_equal_clips_once():
    joined = Manifest.union(THREE, THREE, manifest(clip("d.wav")))
    assert joined.root == THREE.root
    assert [c.path for c in joined] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    with pytest.raises(ValueError, match=r"'a\.wav' is described twice"):
        Manifest.union(THREE, manifest(clip("a.wav", Label.FAKE)))
    with pytest.raises(ValueError, match="no manifests"):
        Manifest.union()


def test_union_of_relative_and_absolute_roots(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    joined = Manifest.union(Manifest(Path("one"), (clip(),)), Manifest(tmp_path / "two", (clip(),)))
    assert joined.root == tmp_path
    assert [c.path for c in joined] == ["one/a.wav", "two/a.wav"]


# --- size and the shared corpora


def test_reading_takes_time_in_proportion_to_the_rows(tmp_path):
    """Counted in calls, not seconds: a step that looks at all earlier rows would show."""
    import cProfile
    import pstats

    calls = []
    for rows in (500, 4000):
        lines = (f"{n}.wav,{random.Random(n).choice(['real', 'fake'])},g{n % 7}" for n in range(rows))
        file = write_lines(tmp_path / "m.csv", "path,label,generator", *lines)
        profile = cProfile.Profile()
        profile.runcall(Manifest.read, file)
        calls.append(pstats.Stats(profile).total_calls)
    assert calls[1] < 8.2 * calls[0]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared corpora are not beside the checkout")
def test_the_shared_corpora_are_read_whole():
    corpora = Manifest.read(SHARED / "manifest.csv", check_files=True)
    assert len(corpora) == 4006
    assert len(corpora.select(corpus="wild")) == len(corpora.select(corpus="wild", split="eval")) == 484
    assert len(corpora.select(split="train", label="fake")) == 1261
    assert {c.original_rate for c in corpora} >= {8000, 16000, 22050}
