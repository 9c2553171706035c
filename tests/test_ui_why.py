"""The explanation on the page: pictures, times and sentences by hand; answers, and what goes wrong."""

import base64
import dataclasses
import json
import re
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from ncdetect import wording
from ncdetect.deletion import Deletion
from ncdetect.explain import Explanation
from ncdetect.labels import Label
from ncdetect.moments import Moments, Part
from ncdetect.ui import check, examples, model, why, why_picture
from ncdetect.ui.checked import Checked


def some_moments(towards=Label.FAKE, regions=((0.2, 0.6), (1.0, 1.4)), start_s=0.0, curve=None, score=2.0):
    curve = np.zeros(100, np.float32) if curve is None else np.asarray(curve, np.float32)
    wave = np.random.default_rng(0).uniform(-1, 1, 32_000).astype(np.float32)
    part = Part(towards, start_s, start_s + 2.0, score, (True,), start_s == 0)
    return Moments(part, wave, Explanation("occlusion", towards, score, 2.0, curve), regions)


def levels(frames=201):
    return np.random.default_rng(0).random((80, frames))


@pytest.fixture
def clip():
    return next(one for one in examples.examples().values() if one.group == "headline").file


# -- pictures


def pixels(uri):
    """Values of a PNG of 4 bits with a palette, (F, L), and the opacity of each."""
    data, parts = base64.b64decode(uri.removeprefix("data:image/png;base64,")), {}
    at = 8
    while at < len(data):
        (length,), name = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        parts[name] = data[at + 8 : at + 8 + length]
        (told,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert told == zlib.crc32(name + parts[name])
        at += 12 + length
    width, height, bits, kind = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    assert (bits, kind) == (4, 3)
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 0).all()
    values = np.stack([rows[:, 1:] >> 4, rows[:, 1:] & 15], axis=2).reshape(height, -1)[:, :width]
    return values, parts[b"tRNS"], parts[b"PLTE"]


def test_a_spectrogram_is_black_of_varying_opacity_with_low_bands_below():
    values, opacity, palette = pixels(why_picture.spectrogram(np.array([[0, 1 / 15, 1], [0.5, 0, 0]])))
    assert values.tolist() == [[8, 0, 0], [0, 1, 15]]
    assert list(opacity) == [17 * level for level in range(16)] and set(palette) == {0}


def test_even_noise_of_nine_seconds_stays_small():
    assert len(why_picture.spectrogram(levels(901))) < 60_000


def test_each_step_is_compared_with_the_average_moment():
    curve = np.repeat([1, 3, 1, -1], 25)  # four half seconds
    steps = why.steps(some_moments(curve=curve), 0.5)
    np.testing.assert_allclose(steps, [0, 2, 0, -2], atol=1e-6)
    steps = why.steps(some_moments(Label.REAL, curve=curve), 0.5)
    np.testing.assert_allclose(steps, [0, -2, 0, 2], atol=1e-6)
    assert len(why.steps(some_moments())) == 20


def test_a_curve_goes_up_towards_fake_and_down_towards_real():
    drawn = why_picture.curve([2, -1], "<told>")
    fake, real = re.findall(r'class="nc-(?:fake|real)" points="([^"]+)"', drawn)
    # Half the height less a margin is 46: the largest value fills it.
    assert fake == "0,50 0.0,4.0 250.0,4.0 750.0,50.0 1000.0,50.0 1000,50"
    assert real == "0,50 0.0,50.0 250.0,50.0 750.0,73.0 1000.0,73.0 1000,50"
    assert "&lt;told&gt;" in drawn
    assert "0.0,40.8" in why_picture.curve([0.1, -0.1], "")  # a flat one stays flat: 46 x 0.1 / 0.5


def test_the_veil_is_as_strong_as_the_moment():
    fake, real = re.findall(r"<linearGradient.*?</linearGradient>", why_picture.veil([2, -1]))
    assert re.findall(r'offset="([\d.]+)" stop-opacity="([\d.]+)"', fake) == [
        ("0.250", "1.00"),
        ("0.750", "0.00"),
    ]
    assert re.findall(r'stop-opacity="([\d.]+)"', real) == ["0.00", "0.50"]


# -- words


def test_moments_are_told_in_seconds_of_the_clip():
    assert [why.moment(seconds) for seconds in (0, 1.24, 59.96, 65.2)] == [
        "0.0 s",
        "1.2 s",
        "1:00.0",
        "1:05.2",
    ]
    part = some_moments().part
    assert why.span_of((0.2, 0.6), part) == "0.2 to 0.6 s"
    assert why.span_of((0.2, 0.6), dataclasses.replace(part, start_s=64.5)) == "1:04.7 to 1:05.1"


@pytest.mark.parametrize(("towards", "word"), [(Label.FAKE, "synthetic"), (Label.REAL, "real")])
def test_each_region_has_a_button_and_a_place(towards, word):
    html = why.card(some_moments(towards, start_s=1.5), levels())
    assert f"1.7 to 2.1 s: sounded {word}" in html and f"2.5 to 2.9 s: sounded {word}" in html
    assert re.findall(r'data-region="(\d)" style="([^"]+)"', html) == [
        ("0", "left:10.00%;width:20.00%"),
        ("1", "left:50.00%;width:20.00%"),
    ]
    assert html.count("<button") == 2 and "Checking" in html
    assert "Explained are 0:01 to 0:03" in html
    assert "<span>1.5 s</span><span>2.5 s</span><span>3.5 s</span>" in html


def test_a_whole_clip_is_not_called_a_part_and_a_flat_one_has_no_buttons():
    html = why.card(some_moments(regions=()), levels())
    assert "Nothing stands out" in html and "<button" not in html and "Checking" not in html
    assert "Explained are" not in html


@pytest.mark.parametrize(("towards", "score"), [(Label.FAKE, 2.0), (Label.REAL, -2.0)])
def test_the_check_says_what_covering_does(towards, score):
    found = some_moments(towards, score=score)
    # Logits for the class 2, 0 and 1: 88 %, 50 % and 73 %.
    text, clear = why.outcome(found, Deletion(2.0, 1.0, 0.5), expit)
    assert f"with these moments covered, the model says 50 % {towards.word} instead of 88 %" in text
    assert "with as much covered elsewhere, 73 %. So these moments matter more than the rest." in text
    assert clear


@pytest.mark.parametrize(
    ("test", "why_not"),
    [
        (Deletion(2.0, 1.0, 1.1), "within what random places differ by"),
        (Deletion(-0.5, 1.0, 0.1), "less than random ones"),
        (Deletion(-2.0, -2.3, 0.1), "98 and 99 per cent are the same to people"),
    ],
)
def test_moments_that_matter_no_more_than_others_are_said_not_to(test, why_not):
    text, clear = why.outcome(some_moments(regions=((0.2, 0.6),)), test, expit)
    assert not clear, why_not
    assert "this moment hardly matters more than others: nothing stands out" in text
    assert "100 %" not in text


# -- sounds and answers


def test_a_region_sounds_as_in_the_clip():
    found = some_moments(regions=((0.5, 0.9),))
    (text,) = why.sounds(found, fade=3)
    heard = np.frombuffer(base64.b64decode(text), "<i2") / 32_767
    wanted = found.wave[8_000:14_400].copy()
    wanted[:3] *= [0.25, 0.5, 0.75]
    wanted[-3:] *= [0.75, 0.5, 0.25]
    np.testing.assert_allclose(heard, wanted, atol=2 / 32_767)


def test_a_verdict_offers_to_be_explained():
    shown = check.show_example(next(iter(examples.examples())))
    found = model.predictor().check(shown.checked.path)
    assert shown.checked.verdict.score == pytest.approx(found.score)
    offer = why.ready(shown.checked)
    assert "Show why" in offer["html"] and offer["key"] == shown.checked.key
    assert why.ready(check.nothing().checked)["html"] == ""
    assert Checked(shown.checked.path, found).key != shown.checked.key


def test_an_example_is_explained_and_then_checked(clip):
    found = model.predictor().check(clip)
    asked = Checked(str(clip), found)
    first, last = why.explain(asked)
    assert first["key"] == last["key"] == asked.key
    assert (first["state"], first["check"], last["state"]) == ("shown", "", "checked")
    assert len(first["sounds"]) == first["html"].count("<button") == 3
    assert f"instead of {wording.confidence(found).percent} %" in last["check"]
    assert len(json.dumps(last)) < 200_000


def test_nothing_is_explained_without_a_clip(tmp_path, clip):
    assert list(why.explain(None)) == []
    asked = Checked(str(clip), model.predictor().check(clip))
    gone = dataclasses.replace(asked, path=str(tmp_path / "gone.wav"))
    (answer,) = why.explain(gone)
    assert why.gone() in answer["html"] and "gone.wav" not in answer["html"]


def test_what_goes_wrong_is_a_sentence(tmp_path, clip, monkeypatch):
    asked = Checked(str(clip), model.predictor().check(clip))
    garbage = tmp_path / "a.wav"
    garbage.write_bytes(b"garbage" * 100)
    (answer,) = why.explain(dataclasses.replace(asked, path=str(garbage)))
    assert "not a sound file" in answer["html"]

    def broken():
        raise RuntimeError("<secret>")

    monkeypatch.setattr(model, "predictor", broken)
    (answer,) = why.explain(asked)
    assert why.failed() in answer["html"] and "secret" not in answer["html"] and answer["key"] == asked.key


def test_explaining_writes_nothing(clip, tmp_path, monkeypatch):
    copy = tmp_path / "clip.flac"
    copy.write_bytes(Path(clip).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    asked = Checked(str(copy), model.predictor().check(copy))
    next(why.explain(asked))
    assert [file.name for file in tmp_path.rglob("*")] == ["clip.flac"]
