"""Comparison with a known recording on the page: brought, chosen, kept for the next clip, and removed."""

import re

import pytest
import soundfile

from ncdetect import wording
from ncdetect.ui import model, pair
from tests.browser.test_check_page import example, upload
from tests.browser.test_operating import SLOW_MS, grave


def open_room(page, clip):
    page.locator(f'[data-clip="{clip.path}"]').first.click()
    page.locator("#pair-offer button").wait_for(timeout=SLOW_MS)
    assert page.locator("#pair-room").is_hidden()
    page.locator("#pair-offer button").focus()
    page.keyboard.press("Enter")
    page.locator("#pair-choice input").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


def choose(page, title):
    page.locator("#pair-choice input").click()
    page.get_by_role("option", name=title).click()


def test_a_known_recording_is_compared_with_this_clip_and_the_next(open_page, server, voice, tmp_path):
    # A file that no other test brings: the same one, brought twice, stays until both have left.
    recording = tmp_path / "known.wav"
    soundfile.write(recording, 0.5 * voice, 16_000, subtype="PCM_16")
    clip, page, before = example("headline"), open_page(), set(server.clips())
    open_room(page, clip)
    page.locator("#pair-clip input[type=file]").set_input_files(recording)
    answer = page.locator(".nc-pair-card")
    answer.wait_for(timeout=SLOW_MS)
    known, own = (model.predictor().check(path) for path in (recording, clip.file))
    heads = page.locator(".nc-pair-head b")
    assert heads.all_inner_texts() == [wording.headline(own.verdict), wording.headline(known.verdict)]
    values = page.locator(".nc-pair-card output").all_inner_texts()
    wanted = (own.distance_real, own.distance_fake, known.distance_real, known.distance_fake)
    assert values == [f"{value:.2f}" for value in wanted]
    assert "Is it the same person? This does not tell." in answer.inner_text()
    brought = {file for file in set(server.clips()) - before if file.name == recording.name}
    assert len(brought) == 1
    assert grave(page, "#pair") == []

    # The next clip is compared with the same recording.
    other = example("headline", "real")
    page.locator(f'[data-clip="{other.path}"]').first.click()
    said = f"{model.predictor().check(other.file).distance_real:.2f}"
    page.locator(".nc-pair-card output", has_text=said).first.wait_for(timeout=SLOW_MS)
    assert page.locator("#pair-room").is_visible()

    # An example takes the recording's place, and it is removed.
    title, path = pair.choices()[0]
    choose(page, title)
    chosen = pair.hear(str(example_file(path))).verdict
    page.locator(".nc-pair-card output", has_text=f"{chosen.distance_fake:.2f}").first.wait_for(
        timeout=SLOW_MS
    )
    assert not brought & set(server.clips())


def example_file(path):
    from ncdetect.ui import examples

    return examples.examples()[path].file


def test_on_a_dark_phone_a_file_that_is_none_gets_a_sentence(open_page, clips):
    page = open_page(390, "dark", allow=["Failed to load"])
    open_room(page, example("headline"))
    page.locator("#pair-clip input[type=file]").set_input_files(clips["silent"])
    note = page.locator(".nc-pair-note")
    note.wait_for(timeout=SLOW_MS)
    assert "silent" in note.inner_text()
    choose(page, pair.choices()[0][0])
    page.locator(".nc-pair-card").wait_for(timeout=SLOW_MS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert grave(page, "#pair") == []
    box = page.locator("#pair-clip").bounding_box()
    assert box["width"] > 300  # the two fields stand below each other
    page.locator("#pair-offer button").click()
    page.locator("#pair-room").wait_for(state="hidden")
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#pair-offer section").wait_for(state="detached", timeout=SLOW_MS)
    upload(page, clips["wav"])
    page.locator("#pair-offer button").wait_for(timeout=SLOW_MS)
    assert re.match("Compare", page.locator("#pair-offer button").inner_text()) or pytest.fail("still open")
