"""The probe on the page: rows and sentences by hand, sounds, answers, and what goes wrong."""

import base64
import dataclasses
import io
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ncdetect import probe as rooms
from ncdetect.language import speaking
from ncdetect.predictor import Window
from ncdetect.probe import DAMAGES, Probed
from ncdetect.robustness import NONE
from ncdetect.ui import examples, model, probe, probe_words
from ncdetect.ui.checked import Checked
from ncdetect.ui.probe_words import Record

REAL, FAKE, OPEN = "real", "fake", "undecided"
TABLE = (
    "checkpoint,damage,decided_before,flipped_rate,undecided_rate\n"
    "{name},none,1386,0,0\n{name},noise 15 dB,1386,0.0078,0.5052\nother,8 kHz mu-law,9,0.5,0.5\n"
    "{name},mp3 64 kbit/s,0,,\n"
)


@pytest.fixture(scope="module")
def checked():
    file = next(one for one in examples.examples().values() if one.group == "headline").file
    return Checked(str(file), model.predictor().check(file))


@pytest.fixture
def probed(checked):
    def made(damage, word, probability, samples=100):
        verdict = dataclasses.replace(checked.verdict, verdict=word, probability=probability)
        return Probed(damage, np.zeros(samples, np.float32), verdict)

    return made


# -- words


def test_every_damage_has_words_in_its_order():
    assert list(probe_words.titles()) == [NONE, *DAMAGES]
    assert set(probe_words.changes()) == set(probe_words.MARKS)
    assert {NONE, rooms.FIRST, rooms.SECOND} == set(probe_words.UNMEASURED)


def test_the_summary_counts_what_held():
    said = probe_words.summary(FAKE, dict(zip(DAMAGES, [FAKE] * 5 + [OPEN, OPEN], strict=True)))
    assert said.startswith("<b>The verdict held in 5 of 7.</b> In 2 it became undecided:")
    assert "opposite" not in said and "may still be wrong" in said and "None of" not in said
    said = probe_words.summary(REAL, {"a": FAKE, "b": OPEN, "c": REAL})
    assert "held in 1 of 3" in said and "In 1 it became undecided" in said
    assert "<b>In 1 it turned into its opposite:</b> do not rely on this verdict." in said
    said = probe_words.summary(REAL, {"a": REAL, "b": REAL})
    assert "held in 2 of 2" in said and "None of these" in said and "undecided" not in said


def test_an_undecided_clip_is_told_how_often_it_stays_so():
    said = probe_words.summary(OPEN, {"a": OPEN, "b": FAKE, "c": REAL})
    assert (
        said.startswith("<b>It stays undecided in 1 of 3.</b> In 2 it becomes decided") and "held" not in said
    )
    said = probe_words.summary(OPEN, {"a": OPEN})
    assert "1 of 1" in said and "No everyday damage" in said


def test_a_damage_s_record_is_read_and_said(tmp_path):
    file = tmp_path / "robustness.csv"
    file.write_text(TABLE.format(name="tiny"))
    found = probe_words.records(file, "tiny")
    assert found == {"none": Record(1386, 0, 0), "noise 15 dB": Record(1386, 0.0078, 0.5052)}
    said = probe_words.recorded(found["noise 15 dB"])
    assert said == "On 1,386 test clips: 0.8 % flipped, 51 % undecided"
    with speaking("de"):
        assert "1.386 Testaufnahmen: 0,8 %" in probe_words.recorded(found["noise 15 dB"])


def test_a_missing_or_damaged_table_says_nothing(tmp_path):
    assert probe_words.records(tmp_path / "none.csv", "tiny") == {}
    file = tmp_path / "robustness.csv"
    file.write_bytes(b"\xff\xfe\x00garbage")
    assert probe_words.records(file, "tiny") == {}
    file.write_text("checkpoint\ntiny\n")
    assert probe_words.records(file, "tiny") == {}


def test_the_shipped_table_knows_the_page_s_model():
    known = probe_words.records(probe_words.FILE, model.NAME)
    assert set(DAMAGES) - set(known) == {rooms.FIRST, rooms.SECOND}


# -- rows


def test_a_row_shows_both_places_and_the_change(probed):
    before, after = probed(NONE, FAKE, 0.97), probed("noise 15 dB", OPEN, 0.6)
    html = probe.row(after, before, Record(386, 0.0078, 0.5052))
    assert 'aria-label="60 per cent fake; as it is, 97"' in html
    assert '<u style="left:97%"></u><i style="left:60%"></i>' in html
    assert "Becomes undecided" in html and "60 % fake" in html and "0.8 % flipped" in html
    assert 'data-verdict="undecided"' in html and "Hear it: With noise behind it" in html
    flipped = probe.row(probed("mp3 64 kbit/s", REAL, 0.0001), before, None)
    assert "Turns into its opposite" in flipped and "99 % real" in flipped and "left:1%" in flipped
    assert "<small>" not in flipped


def test_the_clip_as_it_is_is_not_compared_with_itself(probed):
    before = probed(NONE, FAKE, 0.97)
    assert "nc-probe-told" not in probe.row(before, before, Record(386, 0, 0))
    assert "test clips" not in probe.row(before, before, Record(386, 0, 0))


def test_what_was_measured_of_decided_verdicts_is_not_said_of_an_undecided_one(probed):
    html = probe.row(probed("noise 15 dB", FAKE, 0.9), probed(NONE, OPEN, 0.5), Record(386, 0.5, 0.5))
    assert "test clips" not in html and "Becomes decided" in html


def test_of_a_long_clip_the_page_says_which_part_is_tried(checked):
    assert "Tried on" not in probe.card(checked)
    windows = tuple(Window(1.5 * i, 1.5 * i + 3, True, float(i), 0.5) for i in range(11))  # mean 5: 2 to 8
    long = dataclasses.replace(checked, verdict=dataclasses.replace(checked.verdict, windows=windows))
    assert "Tried on 0:03 to 0:15" in probe.card(long)


# -- sounds


def test_the_loudest_stretch_is_heard():
    wave = np.zeros(110_000, np.float32)
    wave[60_000:90_000] = 0.5
    assert 46_800 <= probe.loudest(wave) <= 60_000
    assert probe.loudest(wave[:43_200]) == 0  # no longer than what is heard
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(probe.sound(wave, 60_000))))
    assert rate == 16_000 and len(heard) == 43_200
    np.testing.assert_allclose(heard[:81], 0.5 * np.arange(1, 82) / 81, atol=1e-4)
    np.testing.assert_allclose(heard[81:29_999], 0.5, atol=1e-4)


# -- answers


def test_a_clip_is_put_to_the_test_row_by_row(checked):
    steps = list(probe.hold(checked))
    assert [len(step["rows"]) for step in steps[:-1]] == list(range(1, len(steps)))
    assert {step["key"] for step in steps} == {checked.key}
    assert [step["state"] for step in steps] == ["trying"] * (len(steps) - 1) + ["done"]
    last, full = steps[-1], steps[-2]
    assert list(last["rows"]) == [NONE, *DAMAGES] and "held in" in last["end"] and last["sounds"] == {}
    assert set(full["sounds"]) == set(full["rows"]) and len(json.dumps(full)) < 1_000_000
    page = "".join(last["rows"].values())
    verdicts = re.findall(r'data-verdict="(\w+)"', page)
    held = verdicts[1:].count(verdicts[0])
    assert verdicts[0] == checked.verdict.verdict and f"held in {held} of {len(verdicts) - 1}" in last["end"]


def test_halves_that_are_too_short_have_a_row_that_says_so(checked, tmp_path):
    file = tmp_path / "short.wav"
    wave, rate = soundfile.read(checked.path)
    soundfile.write(file, wave[: 2 * rate], rate)
    *_, last = probe.hold(Checked(str(file), model.predictor().check(file)))
    assert "Not tried" in last["rows"][rooms.FIRST] and "<button" not in last["rows"][rooms.SECOND]
    assert " of 5." in last["end"]


def test_a_verdict_offers_to_be_tested(checked):
    offer = probe.ready(checked)
    assert "Put it to the test" in offer["html"] and offer["key"] == checked.key
    assert offer["html"].count("nc-probe-wait") == 8 and offer["rows"] == {}
    assert probe.ready(None)["html"] == ""
    assert list(probe.hold(None)) == []
    with speaking("de"):
        assert "Hält das Urteil stand?" in probe.ready(checked)["html"]


def test_a_clip_that_goes_ends_it(checked, tmp_path):
    file = tmp_path / "clip.flac"
    file.write_bytes(Path(checked.path).read_bytes())
    running = probe.hold(dataclasses.replace(checked, path=str(file)))
    assert next(running)["state"] == "trying"
    file.unlink()
    (gone,) = running
    assert gone["state"] == "failed" and "no longer here" in gone["html"] and "clip.flac" not in gone["html"]


def test_what_goes_wrong_is_a_sentence(checked, tmp_path, monkeypatch):
    file = tmp_path / "a.wav"
    file.write_bytes(b"garbage" * 100)
    (answer,) = probe.hold(dataclasses.replace(checked, path=str(file)))
    assert answer["state"] == "failed" and "not a sound file" in answer["html"]

    def broken():
        raise RuntimeError("<secret>")

    monkeypatch.setattr(model, "predictor", broken)
    (answer,) = probe.hold(checked)
    assert "Something is wrong here" in answer["html"] and "secret" not in answer["html"]


def test_testing_writes_nothing(checked, tmp_path, monkeypatch):
    file = tmp_path / "clip.flac"
    file.write_bytes(Path(checked.path).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    running = probe.hold(dataclasses.replace(checked, path=str(file)))
    for _ in range(4):  # as it is and three codecs
        next(running)
    assert [found.name for found in tmp_path.rglob("*")] == ["clip.flac"]
