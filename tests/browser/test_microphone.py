"""The tab "Live" with Chromium's fake microphone, which speaks an example clip over and over."""

import base64

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from ncdetect import audio, wording
from ncdetect.ui import model

SLOW_MS = 120_000
"""Twelve windows are judged while others use the machine, too."""
WATCH = """window.tracks = [];
const asked = MediaDevices.prototype.getUserMedia;
MediaDevices.prototype.getUserMedia = async function (wish) {
  window.wish = wish;
  const stream = await asked.call(this, wish);
  window.tracks.push(...stream.getTracks());
  return stream;
};"""
ENDED = "window.tracks.length > 0 && window.tracks.every((track) => track.readyState === 'ended')"
HEARD = "parseFloat(document.querySelector('[data-clock]').textContent.split(':')[1]) >= {}"


@pytest.fixture
def live(open_page):
    """Opens the tab; what it sends to the server is kept beside it."""

    def opened(width=1280, scheme="light", language=""):
        page = open_page(width, scheme)
        page.set_default_timeout(SLOW_MS)
        page.add_init_script(WATCH)
        if language:
            page.goto(page.url + language)
        else:
            page.reload()
        calls = []

        def keep(request):
            if "component_server" in request.url:
                sent = request.post_data_json
                calls.append((sent["fn_name"], sent["data"]))

        page.on("request", keep)
        page.get_by_role("tab", name="Live").click()
        page.locator(".nc-mic").wait_for()
        return page, calls

    return opened


def listen(page):
    page.locator(".nc-mic-button").click()
    page.locator(".nc-mic[data-state=listening]").wait_for()


def samples_of(calls):
    """Rate in Hz, and all samples that were sent."""
    rate = next(data["rate"] for name, data in calls if name == "live_start")
    sent = [base64.b64decode(data["pcm"]) for name, data in calls if name in ("live_chunk", "live_stop")]
    return int(rate), np.frombuffer(b"".join(sent), "<i2")


def likeness(piece, wave):
    """Largest correlation coefficient of a piece with any stretch of a waveform as long as it."""
    squares = np.concatenate([[0], np.cumsum(wave.astype(np.float64) ** 2)])
    norms = np.sqrt(squares[len(piece) :] - squares[: -len(piece)]) * np.linalg.norm(piece) + 1e-6
    return (np.correlate(wave, piece, "valid") / norms).max()


def assert_accessible(page):
    found = Axe().run(page, context="#live").response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_voice_is_judged_live_and_at_the_end_as_the_file_it_would_be(live, server, voice):
    page, calls = live()
    before = server.clips()
    height = page.locator(".nc-mic-stage").bounding_box()["height"]
    listen(page)
    page.locator(".nc-mic-sofar .nc-shape").wait_for()
    assert page.locator("[data-now] h3").inner_text() in (
        *map(wording.headline, ("real", "fake", "undecided")),
    )
    page.wait_for_function(HEARD.format(4))
    assert page.evaluate("wish.audio.noiseSuppression") is False
    assert page.locator(".nc-mic-stage").bounding_box()["height"] == pytest.approx(height, abs=2)
    assert_accessible(page)
    page.keyboard.press("Enter")  # the button still has the focus
    card = page.locator(".nc-mic-result .nc-verdict")
    card.wait_for()
    assert page.evaluate(ENDED)
    assert server.clips() == before  # nothing of it ever was on the disk

    rate, samples = samples_of(calls)
    # What was sent is the voice that the microphone plays, from some place on.
    pieces = np.split(audio.load((rate, samples)).wave[:48_000], 12)
    assert max(likeness(piece, np.concatenate([voice, voice])) for piece in pieces) > 0.8
    offline = model.predictor().check((rate, samples))
    assert card.get_attribute("data-verdict") == offline.verdict
    assert f"{wording.confidence(offline).percent} %" in card.locator(".nc-confidence").inner_text()
    distances = card.locator("output").all_inner_texts()
    assert distances == [f"{offline.distance_real:.2f}", f"{offline.distance_fake:.2f}"]

    for _ in range(2):  # also where a clip lies there already
        page.get_by_role("tab", name="Live").click()
        page.get_by_role("button", name="Check this recording").click()
        page.locator("#verdict [data-verdict]:not([data-old])").wait_for()
        page.evaluate("document.querySelector('#verdict .nc-verdict').dataset.old = true")
        assert page.locator("#verdict output").all_inner_texts() == distances


def test_on_a_phone_in_the_dark_and_in_german(live):
    page, _ = live(390, "dark", "de")
    listen(page)
    page.locator(".nc-mic-sofar .nc-shape").wait_for()
    assert page.locator("[data-label]").inner_text() == "Aufhören und das Ganze beurteilen"
    assert_accessible(page)
    page.locator(".nc-mic-button").click()
    page.locator(".nc-mic-result .nc-verdict").wait_for()
    assert_accessible(page)


def test_who_leaves_the_tab_is_not_listened_to_any_more(live):
    page, calls = live()
    listen(page)
    page.get_by_role("tab", name="About").click()
    page.wait_for_function(ENDED)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("alert").get_by_text("Listening has stopped").wait_for()
    (dropped,) = [data for name, data in calls if name == "live_drop"]
    assert dropped["id"]


def test_a_microphone_that_is_refused_is_no_disaster(live):
    page, calls = live(390, "light")
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', "
        "'NotAllowedError'); }; }"
    )
    page.locator(".nc-mic-button").click()
    page.get_by_role("alert").get_by_text("The microphone was not allowed").wait_for()
    assert page.locator(".nc-mic").get_attribute("data-state") == "idle"
    assert "live_start" not in dict(calls)
    assert_accessible(page)
