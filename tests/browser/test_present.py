import pytest
from axe_playwright_python.sync_playwright import Axe

from ncdetect.ui import examples, present

SLOW_MS = 120_000


@pytest.fixture
def presenting(open_page, server):
    """Opens the page in presenter mode."""

    def opened(width=1280, scheme="light", path=""):
        page = open_page(width, scheme)
        page.set_default_timeout(SLOW_MS)
        page.goto(f"{server.url}{path}?present&__theme={scheme}")
        page.locator(".nc-present").wait_for()
        page.locator("#map .nc-plot canvas").first.wait_for()
        return page

    return opened


def place(page) -> str:
    return page.locator(".nc-present-place").inner_text()


def violations(page) -> list[str]:
    found = Axe().run(page, context=".nc-present").response["violations"]
    return [one["id"] for one in found if one["impact"] in ("serious", "critical")]


def test_the_keys_lead_through_the_talk_and_escape_gives_the_page_back(presenting):
    page = presenting()
    points = present.talk()
    zoom = "getComputedStyle(document.querySelector('#tabs')).zoom"
    assert page.locator(".nc-present-talk").inner_text() == points[0].says
    assert place(page) == f"1 of {len(points)}" and page.evaluate(zoom) == "1.25"
    assert page.locator(".nc-present [data-turn='-1']").is_disabled()
    assert (
        not page.locator(".nc-foot").is_visible() and not page.locator(".nc-examples .nc-note").is_visible()
    )
    assert violations(page) == []

    page.keyboard.press("n")
    page.locator("#verdict").get_by_text(examples.examples()[present.REAL].title).wait_for()
    assert "Likely real" in page.locator("#verdict").inner_text()
    page.wait_for_function(
        "Math.abs(document.querySelector('#verdict').getBoundingClientRect().top - 16) < 4"
    )
    assert page.locator(".nc-present-talk").inner_text() == points[1].says
    # What lies at the foot of the page can be brought above the bar.
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    ends = page.evaluate(
        "['#tabs', '.nc-present'].map((part) => document.querySelector(part).getBoundingClientRect())"
    )
    assert ends[0]["bottom"] <= ends[1]["top"] + 1

    page.keyboard.press("3")  # behind the closed "More clips"
    page.locator("#verdict").get_by_text("0:13").wait_for()
    assert page.locator('.nc-present [aria-pressed="true"]').get_attribute("data-run") == present.SPLICED
    page.keyboard.press("b")
    assert place(page) == f"1 of {len(points)}"

    page.locator("#tab-lab-button").click()
    page.locator(".nc-lab .nc-number input").first.focus()
    page.keyboard.press("n")
    page.keyboard.press("1")
    assert place(page) == f"1 of {len(points)}", "who types a number does not lead on"

    page.keyboard.press("Escape")
    assert not page.locator(".nc-present").is_visible() and page.evaluate(zoom) == "1"
    assert "present" not in page.url and page.locator(".nc-lab .nc-note").first.is_visible()
    page.keyboard.press("n")
    assert not page.locator(".nc-present").is_visible()


def test_it_speaks_german_on_a_phone_and_opens_the_tabs(presenting):
    page = presenting(390, "dark", "de")
    assert page.locator(".nc-present-talk").inner_text().startswith("Ist diese Stimme echt?")
    assert violations(page) == []
    bar = page.locator(".nc-present").bounding_box()
    assert (bar["x"], bar["width"]) == (0, 390) and bar["height"] < 300
    points = present.talk()
    onward = page.locator(".nc-present [data-turn='1']")
    for _ in range([point.key for point in points].index("lab")):
        onward.click()
    assert place(page) == f"{[point.key for point in points].index('lab') + 1} von {len(points)}"
    page.locator(".nc-lab-grid").first.wait_for()
    page.wait_for_function(
        "Math.abs(document.querySelector('.nc-lab-grid').getBoundingClientRect().top - 16) < 40"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".nc-present [data-end]").click()
    assert not page.locator(".nc-present").is_visible()


def test_nobody_meets_it_unasked(open_page):
    page = open_page()
    page.keyboard.press("n")
    assert not page.locator(".nc-present").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('#tabs')).zoom") == "1"
