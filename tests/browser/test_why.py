import re

import numpy as np
import pytest
import soundfile

from ncdetect import audio, moments
from ncdetect.ui import model, why
from tests.browser.test_check_page import example, upload, verdict_of

SLOW_MS = 120_000
"""Explaining takes seconds, and many of them on a busy machine."""
EAR = """() => {
  window.heard = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...given) {
    const { sampleRate, duration } = this.buffer;
    heard.push({ rate: sampleRate, duration, samples: Array.from(this.buffer.getChannelData(0)) });
    return start.apply(this, given);
  };
}"""


@pytest.fixture(scope="module")
def short(voice, tmp_path_factory):
    """A clip of 2.6 s: quickly explained."""
    file = tmp_path_factory.mktemp("short") / "short.wav"
    soundfile.write(file, voice[8_000:49_600], 16_000, subtype="PCM_16")
    return file


def found_in(file):
    """What is explained of a file, and the clip."""
    predictor, wave = model.predictor(), audio.load(file).wave
    return moments.moments_of(predictor.trained.detector, wave, moments.part_of(predictor.check(file)))


def ask(page):
    page.locator("#why [data-ask]").wait_for()
    page.locator("#why [data-ask]").focus()
    page.keyboard.press("Enter")


def shown(page):
    """The explanation, once it is there."""
    page.locator("#why img").wait_for(timeout=SLOW_MS)
    return page.locator("#why section")


def names(page) -> list[str]:
    return [text.split("\n")[-1] for text in page.locator(".nc-why-play").all_inner_texts()]


def test_an_upload_is_explained_and_its_moments_are_heard(open_page, server, short):
    page = open_page()
    page.evaluate(EAR)
    upload(page, short)
    verdict_of(page)
    before = server.clips()
    ask(page)
    page.get_by_text("Listening again").wait_for()
    assert page.evaluate("document.activeElement.matches('.nc-why-ghost')")
    shown(page)
    assert page.evaluate("document.activeElement.matches('#why section')")
    found = found_in(short)
    sounded = why.sounded(found.part.towards.word)
    assert names(page) == [f"{why.span_of(region, found.part)}: {sounded}" for region in found.regions]

    page.locator(".nc-why-play").first.focus()
    page.keyboard.press("Enter")
    button = page.locator('.nc-why-play[aria-pressed="true"]')
    button.wait_for()
    start, end = (round(16_000 * seconds) for seconds in found.regions[0])
    (heard,) = page.evaluate("heard")
    assert heard["rate"] == 16_000
    samples = np.array(heard["samples"])
    np.testing.assert_allclose(samples[80 : end - start - 80], found.wave[start + 80 : end - 80], atol=1e-3)
    assert heard["duration"] > (end - start) / 16_000 and not samples[end - start :].any()  # then a pause
    assert page.locator(".nc-why-mark.nc-playing").get_attribute("data-region") == "0"
    button.wait_for(state="detached")  # twice, and it stops by itself

    page.locator('.nc-why-mark[data-region="1"]').click()
    page.locator('.nc-why-play[data-region="1"][aria-pressed="true"]').click()
    button.wait_for(state="detached")
    assert len(page.evaluate("heard")) == 2
    # Explaining leaves no copy of the clip.
    assert server.clips() == before


def test_the_check_follows_and_an_example_is_explained_as_well(open_page):
    page = open_page(1280, "dark")
    clip = example("headline")
    page.locator(f'[data-clip="{clip.path}"]').click()
    page.locator("#verdict").get_by_text(clip.title).wait_for()
    ask(page)
    shown(page)
    height = page.locator("#why").bounding_box()["height"]
    page.locator("#why [data-checked]").wait_for(timeout=SLOW_MS)
    assert re.search(r"the model says \d+ % (real|fake) instead of \d+ %", page.locator("#why").inner_text())
    assert page.locator("#why").bounding_box()["height"] == height
    assert len(names(page)) == 3
    # Who listens to a moment does not hear the clip as well.
    page.locator("#clip").get_by_label("Play", exact=True).click()
    page.locator("#clip").get_by_label("Pause", exact=True).wait_for()
    page.locator(".nc-why-play").last.click()
    page.locator("#clip").get_by_label("Play", exact=True).wait_for()


def test_a_new_clip_takes_the_place_of_the_explanation(open_page, short):
    page = open_page()
    assert not page.locator("#why section").count()
    upload(page, short)
    verdict_of(page)
    ask(page)
    shown(page)
    clip = example("headline")
    page.locator(f'[data-clip="{clip.path}"]').click()
    page.locator("#verdict").get_by_text(clip.title).wait_for()
    page.locator("#why [data-ask]").wait_for()
    assert not page.locator("#why img").count()
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#why section").first.wait_for(state="detached")


def test_an_answer_for_an_earlier_clip_is_dropped(open_page, short):
    page = open_page()
    clip = example("headline")
    page.locator(f'[data-clip="{clip.path}"]').click()
    page.locator("#verdict").get_by_text(clip.title).wait_for()
    ask(page)
    page.locator("#clip").get_by_label("Clear").click()
    upload(page, short)
    ask(page)  # while the first is still being worked at
    shown(page)
    found = found_in(short)
    assert [name.split(":")[0] for name in names(page)] == [why.span_of(r, found.part) for r in found.regions]
    page.locator("#why [data-checked]").wait_for(timeout=SLOW_MS)
    assert page.locator("#why .nc-ends span").last.inner_text() == "2.6 s"


LATE = """() => {
  const element = document.createElement("div"), props = { value: { key: "a", state: "ready", html: "A" } };
  element.innerHTML = "<div></div>";
  let told = null;
  ncdetect.why(element, props, () => {}, (name, then) => { told = then; });
  const seen = [];
  const bring = (value) => { props.value = value; told(); seen.push(element.textContent); };
  const answer = (key, check) => ({ key, state: check ? "checked" : "shown", check, clear: false, sounds: [],
    html: `<section>${key} <p class="nc-why-check">wait</p></section>` });
  bring(answer("a", ""));
  bring({ key: "b", state: "ready", html: "B" });
  bring(answer("a", ""));
  bring(answer("a", "late"));
  bring(answer("b", "both at once"));
  bring(answer("b", "again"));
  return seen;
}"""


def test_every_order_of_answers_leaves_the_last_clip_on_the_page(open_page):
    page = open_page()
    assert page.evaluate(LATE) == ["a wait", "B", "B", "B", "b both at once", "b again"]


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
def test_nothing_is_cut_off_and_nothing_jumps(open_page, short, width, scheme):
    page = open_page(width, scheme)
    page.emulate_media(reduced_motion="reduce", color_scheme=scheme)
    upload(page, short)
    verdict_of(page)
    ask(page)
    page.get_by_text("Listening again").wait_for()
    waiting = page.locator("#why").bounding_box()
    assert page.evaluate("document.querySelector('#why').getAnimations({ subtree: true }).length") == 0
    shown(page)
    box = page.locator("#why").bounding_box()
    assert box["height"] == pytest.approx(waiting["height"], abs=2)
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".nc-why-play").first.click()
    page.locator(".nc-why-mark.nc-playing").wait_for()
    assert page.evaluate("document.querySelector('#why').getAnimations({ subtree: true }).length") == 0
    colours = page.locator("#why section").evaluate(
        "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e.querySelector('p')).color]"
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert (light[0] < light[1]) == (scheme == "dark")
