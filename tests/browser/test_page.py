"""The page as a whole: access, languages, what the browser shows of every tab."""

import re

import pytest

from ncdetect.language import NAMES, say, speaking
from ncdetect.ui import document, examples, page
from tests.browser.test_check_page import example

SLOW_MS = 120_000
READY = {"Check a clip": "#verdict", "Sampling lab": ".nc-lab[data-measured]"}
"""By its name, what stands in a tab once it is filled; the others are filled at once."""
ENGLISH = re.compile(
    r"\b(the|and|of|is|are|clip|clips|voice|fake|real|likely|undecided|distance|known|nearest|average|with"
    r"|your|this|that|which|why|show|hear|try|sounds?|fewer|kept|loading|upload|record)\b",
    re.IGNORECASE,
)
SAID = """() => {
  const words = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const foreign = ".nc-quote, .nc-languages, [lang]:not(html), script, style, .nc-neighbours td:nth-child(3)";
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (element.closest(foreign) || !element.checkVisibility()) continue;
    words.push(node.textContent.trim());
  }
  for (const element of document.querySelectorAll("[class*=nc-]")) {
    if (!element.closest(foreign)) words.push(element.ariaLabel, element.title, element.alt);
  }
  return words.filter(Boolean);
}"""


@pytest.fixture(scope="session")
def axe():
    """Runs axe-core on a page, and names what hinders people seriously."""
    api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

    def hindrances(opened):
        found = api.Axe().run(opened).response["violations"]
        return [
            (rule["id"], [node["target"] for node in rule["nodes"]])
            for rule in found
            if rule["impact"] in ("serious", "critical")
        ]

    return hindrances


def judged(opened, clip):
    """The page once it has judged an example and offers what follows."""
    opened.set_default_timeout(SLOW_MS)
    opened.locator(f'[data-clip="{clip.path}"]').click()
    opened.locator("#verdict .nc-truth").wait_for()
    opened.locator("#map .nc-plot[data-star]").wait_for()
    opened.locator("#why [data-ask]").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_tab_is_open_to_everybody(open_page, axe, width, scheme):
    opened = open_page(width, scheme)
    judged(opened, example("headline"))
    tabs = opened.locator("#tabs").first.get_by_role("tab")
    assert tabs.all_inner_texts() == list(page.tabs())
    for place, name in enumerate(page.tabs()):
        tabs.nth(place).focus()
        opened.keyboard.press("Enter")
        opened.locator(READY.get(name, f"#tabs [role=tab].selected:has-text('{name}')")).first.wait_for()
        box = tabs.nth(place).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, "a tab beyond the edge of the screen"
        assert axe(opened) == [], name
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_the_german_page_speaks_german(open_page, server):
    opened = open_page()
    opened.goto(f"{server.url}de?seen=1")
    with speaking("de"):
        title, heading, tabs = document.title(), say("Is this voice real?"), list(page.tabs())
    opened.get_by_role("heading", name=heading).wait_for()
    assert opened.title() == title != "ncdetect: is this voice real?"
    assert opened.evaluate("document.documentElement.lang") == "de"
    assert opened.locator("#tabs").first.get_by_role("tab").all_inner_texts() == tabs
    clip = example("headline")
    judged(opened, clip)
    titles = {each.title for each in examples.examples().values()}
    told = [text for text in opened.evaluate(SAID) if not any(title in text for title in titles)]
    assert len(told) > 100
    assert [text for text in told if ENGLISH.search(text)] == []

    english = opened.locator(".nc-languages").get_by_text(NAMES["en"])
    assert opened.locator(".nc-languages [aria-current]").inner_text() == NAMES["de"]
    english.click()
    opened.get_by_role("heading", name="Is this voice real?").wait_for()
    assert opened.url == f"{server.url}?seen=1"
    assert opened.title() == "ncdetect: is this voice real?"


def test_what_only_offers_itself_stands_two_in_a_row(open_page):
    opened = open_page()
    judged(opened, example("headline"))

    def box(name):
        return opened.locator(f"#{name}").bounding_box()

    why, probe, whole = box("why"), box("probe"), box("details")
    assert why["y"] == probe["y"] and why["width"] + probe["width"] < whole["width"]
    assert why["height"] == probe["height"]
    opened.locator("#why [data-ask]").click()
    opened.locator("#why .nc-why-ghost").wait_for()
    opened.wait_for_function(
        "document.querySelector('#why').offsetWidth === document.querySelector('#details').offsetWidth"
    )
    edges = "['why', 'probe'].map((name) => document.getElementById(name).offsetTop)"
    assert opened.evaluate(f"({edges}).reduce((above, below) => below > above)")
