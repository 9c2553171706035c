"""The tab "Live" without a browser: what is told, how it ends, and that nothing of a recording stays."""

import base64
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import media
from ncdetect.labels import Label
from ncdetect.language import speaking
from ncdetect.predictor import Predictor
from ncdetect.service import Busy
from ncdetect.streaming import Reading, Rolling
from ncdetect.ui import microphone, microphone_layout, model, verdict
from ncdetect.ui.microphone import Streams, live_chunk, live_drop, live_start, live_stop


@pytest.fixture(scope="module")
def predictor():
    return Predictor.from_pretrained("tiny-resnet")


@pytest.fixture(autouse=True)
def page(predictor, monkeypatch):
    """A page with a small model and no recordings."""
    bands = {label.word: predictor.band(label) for label in Label}
    monkeypatch.setattr(model, "predictor", lambda: predictor)
    monkeypatch.setattr(model, "bands", lambda: bands)
    monkeypatch.setattr(model, "service", lambda: SimpleNamespace(check=predictor.check))
    monkeypatch.setattr(microphone, "streams", Streams())
    yield
    microphone.streams._streams.clear()  # or what waits to forget them keeps them


def samples(seconds, rate_hz=16_000):
    return np.round(32_000 * media.speech_like(seconds, rate_hz)).astype("<i2")


def pcm(part):
    return base64.b64encode(part.tobytes()).decode()


def listened(sound, rate_hz=16_000):
    """The id of a recording, and what came back for each of its half seconds."""
    begun = live_start({"rate": rate_hz})
    pieces = np.split(sound, range(rate_hz // 2, len(sound), rate_hz // 2))
    return begun["id"], [live_chunk({"id": begun["id"], "pcm": pcm(piece)}) for piece in pieces]


def reading(word="fake", probability=0.9):
    return Reading(word, "agree", "A reason.", probability, 9.0, 4.0, "fake", True, 3)


def rolling(**options):
    told = {"state": "judged", "until_s": 4.5, "wanted_s": 0.0, "preliminary": False, "level_dbfs": -20.0}
    return Rolling(**told | {"last": reading(), "so_far": reading(), "skipped": 0} | options)


def test_the_end_is_the_card_that_the_recording_would_get_as_a_file(predictor):
    sound = samples(5.2)
    name, found = listened(sound)
    assert [one.get("until") for one in found] == [0.5 * n for n in range(1, 11)] + [None]
    ended = live_stop({"id": name, "pcm": ""})
    offline = predictor.check((16_000, sound))
    assert ended["card"].startswith(
        verdict.card(offline, model.bands(), model.facts().get("agreement"), None)
    )
    assert "nc-timeline" in ended["card"] and ended["spoken"] == verdict.spoken(offline)
    assert not microphone.streams


def test_what_is_shown_of_a_rolling_verdict():
    bands = {"real": SimpleNamespace(low=2, high=8), "fake": SimpleNamespace(low=1, high=4)}
    found = microphone.shown(rolling(), bands)
    assert found["until"] == 4.5 and found["nearest"] == "fake"
    assert found["hint"] == "What the last 3 seconds sound like."
    assert (found["last"]["headline"], found["last"]["share"]) == ("Likely fake", 90)
    assert found["last"]["words"] == "90 % · fairly confident" and "<svg" in found["last"]["shape"]
    # The bars end at 1.25 times what 95 of 100 known clips do not exceed: 10.
    assert found["distances"] == {
        "real": {"value": "9.00", "width": 90},
        "fake": {"value": "4.00", "width": 40},
    }
    with speaking("de"):
        assert microphone.shown(rolling(), bands)["distances"]["real"]["value"] == "9,00"


def test_undecided_says_that_its_per_cent_settle_nothing():
    found = microphone.shown(rolling(last=reading("undecided", 0.6)), model.bands())["last"]
    assert (found["headline"], found["words"]) == ("Undecided", "60 % fake, which does not settle it")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"state": "listening", "until_s": 0.5}, "Listening: 1.0 s more until a first impression."),
        ({"state": "quiet"}, "Hardly any sound at the moment: speak, or come closer."),
        (
            {"preliminary": True, "wanted_s": 0.5},
            "A first impression: 0.5 s more until a whole stretch is there.",
        ),
    ],
)
def test_before_there_is_a_verdict_it_is_said_what_is_wanted(options, hint):
    assert microphone.shown(rolling(last=None, so_far=None, **options), model.bands())["hint"] == hint


def test_who_has_to_wait_for_another_visitor_gets_the_next_verdict(monkeypatch):
    monkeypatch.setattr(microphone, "SHARED_WAIT_S", 0.01)
    begun = live_start({"rate": 16_000})
    piece = pcm(samples(1.0))
    with microphone._turn:
        assert live_chunk({"id": begun["id"], "pcm": piece}) == {}
    assert live_chunk({"id": begun["id"], "pcm": piece})["until"] == 2.0


def test_a_recording_is_as_long_as_fits_into_the_first_tab():
    assert live_start({"rate": 48_000})["longest"] == 180
    assert live_start({"rate": 192_000})["longest"] == 65


def test_a_sentence_where_a_recording_cannot_be_judged(caplog):
    begun = live_start({"rate": 16_000})
    assert "silent" in live_stop({"id": begun["id"], "pcm": pcm(np.zeros(16_000, "<i2"))})["error"]
    begun = live_start({"rate": 16_000})
    assert "at least" in live_stop({"id": begun["id"], "pcm": pcm(samples(0.1))})["error"]
    assert not microphone.streams and not caplog.records


BAD = [None, [], {}, {"rate": "x"}, {"rate": 0}, {"rate": float("nan")}, {"rate": 100}, {"rate": 1e9}]


@pytest.mark.parametrize("request_", BAD, ids=str)
def test_nonsense_begins_nothing(request_):
    assert set(live_start(request_)) == {"error"} and not microphone.streams


@pytest.mark.parametrize("sent", [None, 3, "not base64!", ["AA=="]], ids=str)
def test_nonsense_ends_a_recording(sent):
    begun = live_start({"rate": 16_000})
    assert set(live_chunk({"id": begun["id"], "pcm": sent})) == {"error"}
    assert not microphone.streams


def test_a_recording_that_is_gone_is_told_of():
    for request in (None, {}, {"id": "x", "pcm": ""}, {"id": ["x"], "pcm": ""}):
        assert live_chunk(request)["error"] == live_stop(request)["error"] == str(microphone.Forgotten())


def test_who_leaves_is_forgotten():
    begun = live_start({"rate": 16_000})
    live_drop(None), live_drop({}), live_drop({"id": ["x"]})
    assert len(microphone.streams) == 1
    live_drop({"id": begun["id"]})
    assert not microphone.streams


def test_more_than_a_recording_may_hold_ends_it(monkeypatch):
    monkeypatch.setattr(microphone, "LONGEST_S", 1)
    begun = live_start({"rate": 16_000})
    assert "error" in live_chunk({"id": begun["id"], "pcm": pcm(samples(6.5))}) and not microphone.streams


def test_a_fault_of_ours_is_no_fault_of_the_microphone(monkeypatch, caplog):
    def broken(source):
        raise RuntimeError("/home/someone")

    begun = live_start({"rate": 16_000})
    monkeypatch.setattr(model, "service", lambda: SimpleNamespace(check=broken))
    told = live_stop({"id": begun["id"], "pcm": pcm(samples(1.0))})["error"]
    assert told.startswith("Something is wrong here") and caplog.records


def test_a_full_line_is_said(monkeypatch):
    def busy(source):
        raise Busy(3, 7)

    begun = live_start({"rate": 16_000})
    monkeypatch.setattr(model, "service", lambda: SimpleNamespace(check=busy))
    assert "number 3 in the line" in live_stop({"id": begun["id"], "pcm": pcm(samples(1.0))})["error"]


def test_so_many_at_once_and_no_more(monkeypatch):
    monkeypatch.setattr(microphone, "streams", Streams(most=1))
    begun = live_start({"rate": 16_000})
    assert live_start({"rate": 16_000})["error"].startswith("Too many people")
    live_drop({"id": begun["id"]})
    assert "id" in live_start({"rate": 16_000})


def test_a_recording_is_forgotten_some_time_after_its_last_sound():
    now = [0.0]
    streams = Streams(forget_s=30, clock=lambda: now[0])
    old, new = streams.open("one"), streams.open("other")
    now[0] = 20
    assert streams.get(new) == "other"
    now[0] = 31
    streams.sweep()
    assert streams.get(old) is None and streams.get(new) == "other"


def test_it_is_forgotten_without_anybody_asking():
    streams = Streams(forget_s=0.05)
    streams.open("one")
    ends = threading.Event()
    for _ in range(600):
        if not streams:
            return
        ends.wait(0.05)
    raise AssertionError("it is still there")


def test_the_tab_says_what_happens_to_the_sound():
    html = microphone_layout.page(3)
    assert "never on a disk" in html and "Live verdicts are rough" in html
    assert set(re.findall(r'class="nc-shape nc-(\w+)"', html)) == {"real", "fake", "undecided"}
    with speaking("de"):
        assert "nie auf einer Festplatte" in microphone_layout.page(3)
