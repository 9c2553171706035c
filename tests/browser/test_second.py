import re

import pytest

from ncdetect import wording
from ncdetect.predictor import Predictor
from ncdetect.ui import examples, model, second
from tests.browser.test_check_page import example, upload, verdict_of

OTHER = "tiny"


def ask(page, name=OTHER):
    """Choose a model by keyboard alone."""
    page.get_by_label("Ask another model").focus()  # which opens the list
    page.get_by_role("option").first.wait_for()
    for _ in range(list(second.others()).index(name) + 1):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def heading(found) -> str:
    return f"Tiny: {wording.headline(found.verdict)}"


def test_another_model_judges_the_same_clip(open_page, server, clips):
    page = open_page()
    upload(page, clips["mp3"])
    verdict_of(page)
    before = server.clips()
    ask(page)
    own, found = (
        judge.check(clips["mp3"]) for judge in (model.predictor(), Predictor.from_pretrained(OTHER))
    )
    answer = page.locator("#second-answer .nc-second")
    answer.get_by_role("heading", name=heading(found)).wait_for()
    text = answer.inner_text()
    assert second.together(OTHER, found.verdict, own.verdict) in text and found.reason in text
    assert f"{wording.confidence(found).percent} %" in text
    # Asking leaves no copy of the clip, and the page's own verdict alone.
    assert server.clips() == before and len(before) == 1
    assert page.locator("#verdict h2").inner_text() == wording.headline(own.verdict)


def test_whoever_is_asked_judges_the_next_clip_as_well(open_page):
    page = open_page()
    ask(page)
    page.locator("#second-answer").get_by_text("pick an example").wait_for()
    other = Predictor.from_pretrained(OTHER)
    for label in ("fake", "real"):
        clip = example("headline", label)
        page.locator(f'[data-clip="{clip.path}"]').click()
        page.locator("#verdict").get_by_text(clip.title).wait_for()
        found = other.check(clip.file)
        page.locator("#second-answer").get_by_text(found.reason).wait_for()
        page.locator("#second-answer").get_by_role("heading", name=heading(found)).wait_for()
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#second-answer").get_by_text("pick an example").wait_for()


def test_nobody_is_asked_at_first(open_page):
    page = open_page()
    clip = next(iter(examples.examples().values()))
    page.locator(f'[data-clip="{clip.path}"]').first.click()
    verdict_of(page)
    assert page.locator("#second-answer").inner_text().strip() == ""
    ask(page)
    page.locator("section.nc-second").wait_for()
    page.get_by_label("Ask another model").focus()
    page.get_by_role("option", name=re.compile("nobody else")).click()
    page.locator("section.nc-second").wait_for(state="detached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(open_page, scheme):
    page = open_page(390, scheme)
    page.locator(f'[data-clip="{example("headline").path}"]').click()
    verdict_of(page)
    ask(page)
    answer = page.locator("section.nc-second")
    answer.wait_for()
    box = answer.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    colours = answer.evaluate("e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]")
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert (light[0] < light[1]) == (scheme == "dark")
