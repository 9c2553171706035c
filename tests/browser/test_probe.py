import base64
import io
import re

import pytest
import soundfile

from ncdetect import probe as rooms
from ncdetect import wording
from ncdetect.robustness import NONE
from ncdetect.ui import model, probe, probe_words
from tests.browser.test_check_page import example

SLOW_MS = 120_000
"""Eight judgements take seconds, and many of them on a busy machine."""
EAR = """() => {
  window.heard = [];
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    if (this.src.startsWith("data:")) heard.push(this.src);
    return play.call(this);
  };
}"""


@pytest.fixture(scope="module")
def short(voice, tmp_path_factory):
    """A clip of 2.5 s: quickly judged, and too short to be cut in half."""
    file = tmp_path_factory.mktemp("short") / "short.wav"
    soundfile.write(file, voice[8_000:48_000], 16_000, subtype="PCM_16")
    return file


def bring(page, short):
    page.locator("#clip input[type=file]").set_input_files(short)
    page.locator("#probe [data-ask]").wait_for(timeout=SLOW_MS)


def ask(page):
    page.locator("#probe [data-ask]").focus()
    page.keyboard.press("Enter")
    page.locator("#probe .nc-probe-wait").first.wait_for()


def test_a_verdict_is_put_to_the_test_and_the_damages_are_heard(open_page, server, short):
    page = open_page()
    page.evaluate(EAR)
    bring(page, short)
    before = server.clips()
    ask(page)
    assert page.evaluate("document.activeElement.matches('#probe section')")
    height = page.locator("#probe").bounding_box()["height"]
    page.locator("#probe .nc-probe:not([aria-busy])").wait_for(timeout=SLOW_MS)
    assert page.locator("#probe").bounding_box()["height"] == pytest.approx(height, abs=2)

    found = list(rooms.probe(model.predictor(), soundfile.read(short, dtype="float32")[0]))
    words = [wording.headline(one.verdict.verdict) for one in found]
    assert page.locator("#probe .nc-probe-word b").all_inner_texts() == words
    assert page.locator("#probe li").count() == 1 + len(rooms.DAMAGES)
    assert page.locator("#probe .nc-probe-none").count() == 2
    held = words[1:].count(words[0])
    assert f"{held} of {len(words) - 1}." in page.locator("#probe .nc-probe-end").inner_text()

    button = page.get_by_role("button", name=f"Hear it: {probe_words.titles()['8 kHz mu-law'][0]}")
    button.focus()
    page.keyboard.press("Enter")
    page.locator('#probe [aria-pressed="true"]').wait_for()
    page.keyboard.press("Enter")
    page.locator('#probe [aria-pressed="true"]').wait_for(state="detached")
    (heard,) = page.evaluate("heard")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(heard.partition(",")[2])))
    assert rate == 16_000 and len(samples) == 40_000
    assert heard.endswith(probe.sound(found[1].wave, 0))
    assert server.clips() == before  # no copy of the clip is left

    clip = example("headline")
    page.locator(f'[data-clip="{clip.path}"]').click()
    page.locator("#verdict").get_by_text(clip.title).wait_for()
    page.locator("#probe [data-ask]").wait_for()
    assert not page.locator("#probe .nc-probe-play").count()


ORDERS = """() => {
  const element = document.createElement("div"), props = { value: { key: "a", state: "ready",
    html: '<li data-damage="x">A</li><p class="nc-probe-end"></p><p class="nc-probe"></p>' } };
  element.innerHTML = "<div></div>";
  let told = null;
  ncdetect.probe(element, props, () => {}, (name, then) => { told = then; });
  const seen = [];
  const bring = (value) => { props.value = { rows: {}, sounds: {}, ...value }; told();
    seen.push(element.textContent); };
  const row = (text) => ({ x: `<li data-damage="x">${text}</li>` });
  bring({ key: "b", state: "trying", rows: row("late") });
  bring({ key: "a", state: "trying", rows: row("1") });
  bring({ key: "a", state: "done", rows: row("2"), end: "end" });
  bring({ key: "b", state: "failed", html: "late" });
  bring({ key: "a", state: "failed", html: "gone" });
  return seen;
}"""


def test_it_stands_on_a_dark_phone_in_german_and_drops_late_answers(open_page, short, server):
    page = open_page(390, "dark")
    assert page.evaluate(ORDERS) == ["A", "1", "1end", "1end", "gone"]
    page.emulate_media(reduced_motion="reduce", color_scheme="dark")
    page.goto(f"{server.url}de/")
    bring(page, short)
    ask(page)
    assert page.evaluate("document.querySelector('#probe').getAnimations({ subtree: true }).length") == 0
    height = page.locator("#probe").bounding_box()["height"]
    page.locator("#probe .nc-probe:not([aria-busy])").wait_for(timeout=SLOW_MS)
    box = page.locator("#probe").bounding_box()
    assert box["height"] == pytest.approx(height, abs=2)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inner = "[...document.querySelectorAll('#probe li *')].every(e => e.getBoundingClientRect().right < 381)"
    assert page.evaluate(inner)
    text = page.locator("#probe").inner_text()
    assert "Hält das Urteil stand?" in text and "Nicht erprobt" in text
    assert not re.search(r"\b(Likely|Holds|the|clip)\b", text)
    assert page.locator(f'#probe li[data-damage="{NONE}"] .nc-probe-told').count() == 0
    colours = page.locator("#probe section:not([hidden])").evaluate(
        "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e.querySelector('p')).color]"
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert light[0] < light[1]
