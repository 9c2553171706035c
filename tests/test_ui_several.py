"""Several files: rows, tallies and CSV by hand; damaged files, names that attack, files that are gone."""

import csv
import dataclasses
import io
from types import SimpleNamespace

import gradio as gr
import pytest

from ncdetect.audio import MAX_BYTES
from ncdetect.language import speaking
from ncdetect.scoring import SCORE_COLUMNS, score_manifest
from ncdetect.ui import examples, model, several
from ncdetect.ui.private import Uploads
from ncdetect.ui.several import Row


@pytest.fixture(scope="module")
def clip():
    return next(one for one in examples.examples().values() if one.group == "headline").file


@pytest.fixture(scope="module")
def found(clip):
    return model.predictor().check(clip)


def rows_of(found, words):
    """A row a letter: f, r, u, and e for an error."""
    names = {"f": "fake", "r": "real", "u": "undecided"}
    return [
        Row(f"{i}.wav", error="Broken.")
        if letter == "e"
        else Row(f"{i}.wav", dataclasses.replace(found, verdict=names[letter]))
        for i, letter in enumerate(words)
    ]


def test_files_are_tallied(found):
    assert several.tally(rows_of(found, "frfue")) == (
        "2 likely fake, 1 likely real, 1 undecided, 1 could not be judged"
    )
    assert several.tally(rows_of(found, "rr")) == "2 likely real"


def test_the_page_is_told_how_far_it_is(found):
    going = several.answer(rows_of(found, "fr"), 12)
    assert going["said"] == "2 of 12 files: 1 likely fake, 1 likely real."
    assert going["stopped"] == "Stopped after 2 of 12 files: 1 likely fake, 1 likely real."
    assert "1.wav" in going["row"] and "0.wav" not in going["row"]
    assert several.answer(rows_of(found, "fr"), 2)["said"] == "2 files: 1 likely fake, 1 likely real."
    assert several.answer(rows_of(found, "f"), 1)["said"] == "One file: 1 likely fake."
    assert going["key"] != several.answer(rows_of(found, "fr"), 12)["key"]
    with speaking("de"):
        assert (
            several.answer(rows_of(found, "f"), 2)["said"] == "1 von 2 Dateien: 1 wahrscheinlich künstlich."
        )


def test_a_row_holds_the_verdict_and_its_reason(found):
    html = several.row(Row("a.wav", dataclasses.replace(found, verdict="fake", probability=0.97)))
    assert "Likely fake" in html and "97 % fake" in html and 'class="nc-shape nc-fake"' in html
    assert found.reason in html and 'data-share="0.97"' in html and 'aria-expanded="false"' in html
    broken = several.row(Row("b.wav", error="It is <broken>."))
    assert "It is &lt;broken&gt;." in broken and "button" not in broken and "data-share" not in broken


def test_a_name_is_never_markup(found):
    name = '"><img src=x onerror=alert(1)>.wav'
    for html in (several.row(Row(name, found)), several.row(Row(name, error="Broken."))):
        assert "<img" not in html and "&lt;img" in html


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+2.wav", "'=1+2.wav"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("@a", "'@a"),
        ("\ta", "'\ta"),
        ("a=b.wav", "a=b.wav"),
        ('a,"b".wav', 'a,"b".wav'),
        ("Größe.wav", "Größe.wav"),
    ],
)
def test_a_name_is_never_a_formula(found, name, cell):
    text = several.as_csv([Row(name, found), Row(name, error="Broken, alas.")])
    assert text.startswith("\ufeffpath,score,")
    lines = list(csv.DictReader(io.StringIO(text[1:], newline="")))
    assert [line["path"] for line in lines] == [cell, cell]
    assert [line["error"] for line in lines] == ["", "Broken, alas."] and lines[1]["score"] == ""


def test_the_csv_is_that_of_the_score_command(clip, tmp_path, found):
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"path\n{clip.name}\n")
    score_manifest(model.predictor(), manifest, clip.parent, tmp_path / "s.csv")
    assert several.as_csv([Row(clip.name, found)])[1:] == (tmp_path / "s.csv").read_text()
    assert several.as_csv([])[1:].strip() == ",".join(["path", *SCORE_COLUMNS])


def test_what_cannot_be_judged_is_a_sentence(tmp_path, monkeypatch):
    letter = tmp_path / "letter.wav"
    letter.write_bytes(b"This is a letter. " * 99)
    assert "not a sound file" in several.judge("a", str(letter), 99).error
    assert "27.0 MB, and at most 25 MB" in several.judge("a", "", 27 * 2**20).error
    assert "did not arrive" in several.judge("a", "", 9).error
    assert several.LARGEST_MB * 2**20 == MAX_BYTES

    def broken():
        raise RuntimeError("secret")

    monkeypatch.setattr(model, "service", broken)
    row = several.judge("a", str(letter), 9)
    assert row.verdict is None and "went wrong here" in row.error and "secret" not in row.error


@pytest.fixture
def handler(tmp_path):
    """The event's function as the page calls it, its uploads, and a way to make one."""
    uploads = Uploads(tmp_path)
    with gr.Blocks() as demo:
        several.build(uploads)
    (event,) = [fn for fn in demo.fns.values() if fn.name == "on_judge"]
    assert event.concurrency_id == "several" and event.concurrency_limit == 1

    def upload(name, data):
        file = tmp_path / name / "clip.flac"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        uploads.update([str(file)])
        return file

    def call(file, before=(), index=0, session="anna"):
        sent = SimpleNamespace(file=str(file), name="mine.flac", size=9, index=index, total=3)
        return event.fn(before, sent, SimpleNamespace(session_hash=session))

    return call, uploads, upload


def test_a_file_is_gone_once_it_is_judged_and_a_damaged_one_stops_nothing(handler, clip):
    call, uploads, upload = handler
    first = upload("a", b"garbage" * 99)
    answer, rows = call(first)
    assert not first.exists() and rows[0].error and answer["said"].startswith("1 of 3 files")
    second = upload("b", clip.read_bytes())
    answer, rows = call(second, rows, index=1)
    assert not second.exists() and not uploads and [bool(row.verdict) for row in rows] == [False, True]
    _, rows = call("", rows, index=0)
    assert len(rows) == 1, "a new batch begins"


def test_a_file_that_another_visitor_has_too_stays(handler, clip):
    call, uploads, upload = handler
    file = upload("a", clip.read_bytes())
    upload("a", clip.read_bytes())
    uploads.keep_for("ben", str(file))
    call(file)
    assert file.exists()
    uploads.leave("ben")
    assert not file.exists()


def test_nothing_but_uploads_is_opened(handler, clip):
    call, _, _ = handler
    _, rows = call(clip)
    assert clip.exists() and rows[0].verdict is None and "did not arrive" in rows[0].error
