"""The operating point on the page: moved by keyboard, kept for the visit, told to other scripts."""

import pytest

from ncdetect.ui import model, operating
from ncdetect.ui.checked import Checked
from tests.browser.test_check_page import example

SLOW_MS = 120_000
STEPS = operating.STEPS
AFRESH = """(value) => {
  const element = document.createElement("div");
  element.innerHTML = "<div></div>";
  ncdetect.operating(element, { value }, () => {});
  return ncdetect.operatingPoint.offset;
}"""


def show(page, clip):
    page.locator(f'[data-clip="{clip.path}"]').first.click()
    page.locator("#operating section").wait_for(timeout=SLOW_MS)


def wanted(clip):
    return operating.ready(Checked(str(clip.file), model.predictor().check(clip.file)))


def grave(page, place):
    """What axe-core calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, context={"include": [[place]]}).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


def test_the_slider_tells_at_once_what_a_setting_does(open_page):
    clip, page = example("headline"), open_page()
    assert page.evaluate("ncdetect.operatingPoint") == {"offset": 0, "sentence": ""}
    show(page, clip)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    found, panel = wanted(clip), page.locator("#operating")
    panel.locator("input").focus()
    for step in range(1, 6):
        page.keyboard.press("ArrowRight")
        wrong, _, _, undecided, *_ = found["sets"]["eval"][STEPS + step]
        told = f"about {wrong} would be called fake and {undecided} left undecided"
        panel.get_by_text(told).wait_for()
    said = panel.locator("input").get_attribute("aria-valuetext")
    assert said == "5 of 20 steps towards accusing a real voice"
    word = found["words"][STEPS + 5]
    called = "undecided" if word == "undecided" else f"likely {word}"
    assert f"this clip is {called}." in panel.locator(".nc-op-clip").inner_text()
    point = page.evaluate("ncdetect.operatingPoint")
    assert point["offset"] == pytest.approx(5 * operating.STEP) and told in point["sentence"]
    widths = panel.locator('[data-label="real"] .nc-op-hundred i').evaluate_all(
        "all => all.map(i => i.style.width)"
    )
    assert widths == [f"{100 - wrong - undecided}%", f"{undecided}%", f"{wrong}%"]

    page.get_by_role("radio", name="Unfamiliar sources").click()
    wild = found["sets"]["wild"][STEPS + 5]
    panel.get_by_text(f"about {wild[6]} would pass as real and {wild[9]} be left undecided").wait_for()
    assert not [url for url in asked if "queue/join" in url], "moving the slider asks the server"
    assert grave(page, "#operating") == []

    # The setting outlasts the page, and one press takes it back.
    assert page.evaluate(AFRESH, found) == pytest.approx(5 * operating.STEP)
    page.get_by_role("button", name="Back to as shipped").click()
    assert page.evaluate("ncdetect.operatingPoint.offset") == 0
    assert page.evaluate("document.activeElement.value") == "0"
    assert page.get_by_role("button", name="Back to as shipped").is_disabled()


def test_on_a_dark_phone_nothing_jumps_or_is_cut_off(open_page):
    page = open_page(390, "dark")
    page.emulate_media(reduced_motion="reduce", color_scheme="dark")
    show(page, example("headline", "real"))
    panel = page.locator("#operating section")
    heights = []
    for step in (-STEPS, -3, 0, 3, STEPS):
        panel.locator("input").evaluate(
            "(e, step) => { e.value = step; e.dispatchEvent(new Event('input')); }", step
        )
        heights.append(panel.bounding_box()["height"])
    assert max(heights) - min(heights) <= 48  # two lines of text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('#operating').getAnimations({ subtree: true }).length") == 0
    assert grave(page, "#operating") == []
    page.locator("#clip").get_by_label("Clear").click()
    panel.wait_for(state="detached", timeout=SLOW_MS)
