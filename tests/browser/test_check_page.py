import re
import time

import pytest

from ncdetect import wording
from ncdetect.ui import examples, model
from tests.browser.serving import VERDICTS

ANY_VERDICT = re.compile("|".join(VERDICTS))


def upload(page, file):
    page.locator("#clip input[type=file]").set_input_files(file)


def verdict_of(page) -> str:
    """The words a person sees, once the star is on the map as well."""
    page.locator("#verdict h2", has_text=ANY_VERDICT).wait_for()
    page.locator("#map .nc-plot[data-star]").wait_for()
    return page.locator("#verdict h2").inner_text()


def star_of(page) -> list[float]:
    """Coordinates of the star that plotly draws."""
    page.locator("#map .nc-plot[data-star]").wait_for()
    last = "document.querySelector('#map .nc-plot').data.at(-1)"
    return page.evaluate(f"[{last}.x[0], {last}.y[0]]")


def example(group: str, label: str = "fake"):
    return next(e for e in examples.examples().values() if e.group == group and e.label == label)


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a", "webm"])
def test_an_uploaded_clip_gets_a_verdict_and_a_star(open_page, clips, kind):
    page = open_page()
    page.get_by_text("Your verdict appears here").wait_for()
    upload(page, clips[kind])
    found = model.predictor().check(clips[kind])
    assert verdict_of(page) == wording.headline(found.verdict)
    assert found.reason in page.locator("#verdict").inner_text()
    assert f"{found.distance_real:.2f}" in page.locator("#verdict").inner_text()
    assert star_of(page) == pytest.approx(found.maps["tsne"], abs=1e-3)


def test_a_recording_gets_a_verdict(open_page):
    page = open_page()
    page.locator("#clip").get_by_label("Record audio").click()
    page.locator("#clip").get_by_role("button", name="Record", exact=True).click()
    page.get_by_text("0:03").first.wait_for()
    page.locator("#clip").get_by_role("button", name="Stop").first.click()
    assert verdict_of(page) in VERDICTS


def test_an_example_gets_its_verdict_and_then_its_truth(open_page):
    clip, page = example("headline"), open_page()
    card = page.locator(f'[data-clip="{clip.path}"]')
    assert "truth" not in card.inner_text()
    card.focus()
    page.keyboard.press("Enter")
    found = model.predictor().check(clip.file)
    assert verdict_of(page) == wording.headline(found.verdict)
    assert "The truth:" in page.locator("#verdict").inner_text()
    card.get_by_text("truth: fake").wait_for()
    assert star_of(page) == pytest.approx(found.maps["tsne"], abs=1e-3)
    assert "this very clip" in page.locator("#details").inner_text()

    other = example("headline", "real")
    page.locator(f'[data-clip="{other.path}"]').click()
    page.locator("#verdict").get_by_text(other.title).wait_for()
    assert page.locator(".nc-example.nc-picked").get_attribute("data-clip") == other.path


def test_an_example_sounds_at_once_and_one_thing_at_a_time(open_page):
    page = open_page()
    page.evaluate(
        """() => {
          window.sounding = new Set();
          const { play, pause } = HTMLMediaElement.prototype;
          HTMLMediaElement.prototype.play = function () { sounding.add(this); return play.call(this); };
          HTMLMediaElement.prototype.pause = function () { sounding.delete(this); return pause.call(this); };
        }"""
    )
    page.locator(".nc-example").first.click()
    page.wait_for_function("sounding.size === 1")
    page.locator(".nc-truth").wait_for()
    page.locator("#clip .play-pause-button").click()
    page.wait_for_function("![...sounding].some((player) => player.src.includes('examples'))")
    page.locator(".nc-example").nth(1).click()
    page.wait_for_function("[...sounding].filter((player) => player.src.includes('examples')).length === 1")


def test_the_map_has_three_views_and_the_star_follows(open_page):
    clip, page = example("headline"), open_page()
    page.locator(f'[data-clip="{clip.path}"]').click()
    found = model.predictor().check(clip.file)
    verdict_of(page)
    for button, view in (("Exact", "exact"), ("UMAP", "umap"), ("t-SNE", "tsne")):
        page.locator("#map").get_by_role("radio", name=button).click()
        page.locator(f'#map .nc-plot[data-view="{view}"]').wait_for()
        assert star_of(page) == pytest.approx(found.maps[view], abs=1e-3)
        assert "average real voice" in page.locator("#map .nc-plot").inner_text()
        if view == "exact":
            assert "distance to the average fake voice" in page.locator("#map .nc-plot").inner_text()
            assert "Not a sketch" in page.locator("#map .nc-map-note").inner_text()


def test_a_click_plays_an_example_and_no_other_clip(open_page):
    page, bank = open_page(), model.predictor().bank
    page.locator("#map .nc-plot[data-view]").wait_for()
    clip = example("headline")
    row = int((bank.clips["path"] == clip.path).to_numpy().nonzero()[0][0])
    point = "{points: [{customdata: row}]}"
    press = f"(row) => {{ document.querySelector('#map .nc-plot').emit('plotly_click', {point}) }}"
    page.evaluate(press, row)
    page.get_by_text(f"Playing: {clip.title}").wait_for()
    assert clip.path in page.locator("#map audio").evaluate("player => player.src")
    page.evaluate(press, 0)
    page.get_by_text("Its licence does not let us play it here").wait_for()
    assert not page.locator("#map audio").is_visible()


def test_a_long_clip_has_a_timeline(open_page):
    page = open_page()
    page.get_by_role("button", name="More clips").click()
    page.locator(f'[data-clip="{example("spliced").path}"]').click()
    page.get_by_text("How it sounds over time").wait_for()
    assert page.locator(".nc-window").count() > 10
    assert page.locator(".nc-mark span").is_visible()
    page.evaluate(
        """() => {
          window.heard = [];
          const { play } = HTMLMediaElement.prototype;
          HTMLMediaElement.prototype.play = function () { heard.push(this); return play.call(this); };
        }"""
    )
    button = page.locator(".nc-hear")
    start, end = (float(button.get_attribute(name)) for name in ("data-from", "data-to"))
    assert 10 < start < end < 24  # the computer speaks from 13.9 to 21.0 s
    button.click()
    page.wait_for_function(
        "heard.length === 1 && heard[0].paused && heard[0].currentTime > 0", timeout=60_000
    )
    assert start < page.evaluate("heard[0].currentTime") < end + 1
    page.locator(".nc-window[data-from]").first.click()
    page.wait_for_function("heard.length === 2 && !heard[1].paused && heard[1].currentTime < 4")


def test_a_file_that_is_no_sound_gets_a_sentence_and_the_page_goes_on(open_page, clips):
    page = open_page(allow=("Waveform load error", "EncodingError"))
    upload(page, clips["garbage"])
    page.get_by_text("This clip cannot be checked").wait_for()
    assert "not a sound file that can be read" in page.locator("#verdict").inner_text()
    assert "Traceback" not in page.content()
    page.locator("#clip").get_by_label("Clear").click()
    page.get_by_text("Your verdict appears here").wait_for()
    upload(page, clips["silent"])
    page.locator("#verdict h2 + p", has_text="The sound is silent").wait_for()
    page.locator(f'[data-clip="{example("headline").path}"]').click()
    assert verdict_of(page) in VERDICTS


def test_a_clip_is_gone_when_its_visitor_leaves(open_page, server, clips):
    page = open_page()
    upload(page, clips["mp3"])
    verdict_of(page)
    assert [file.name for file in server.clips()] == ["voice.mp3"]
    page.context.close()
    deadline = time.monotonic() + 20
    while server.clips() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not server.clips()


def test_the_api_gives_the_same_answer_and_keeps_nothing(server, clips):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(server.url, verbose=False)
    answer = client.predict(handle_file(clips["wav"]), api_name="/check")
    expected = model.predictor().check(clips["wav"]).to_dict()
    assert set(answer) == set(expected)
    assert [set(n) for n in answer["neighbours"]] == [set(n) for n in expected["neighbours"]]
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-4)
    assert (answer["verdict"], answer["reason"]) == (expected["verdict"], expected["reason"])
    with pytest.raises(AppError, match="not a sound file"):
        client.predict(handle_file(clips["garbage"]), api_name="/check")
    assert not [file for file in server.clips() if file.name in ("voice.wav", "garbage.wav")]
    assert [name for name in client.view_api(return_format="dict")["named_endpoints"]] == ["/check"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off(open_page, width, scheme):
    page = open_page(width, scheme)
    page.locator(f'[data-clip="{example("headline").path}"]').click()
    verdict_of(page)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # On a phone the verdict has come into sight by itself.
    page.wait_for_function("document.querySelector('#verdict h2').getBoundingClientRect().top < innerHeight")
    # A click while the page still glides would meet something else.
    page.wait_for_function(
        "new Promise((say) => { const y = scrollY; setTimeout(() => say(y === scrollY), 400) })"
    )
    page.get_by_role("tab", name="Sampling lab").click()
    page.locator(".nc-lab[data-drawn]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
