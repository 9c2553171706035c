import pytest

from ncdetect.ui import about

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright is not installed")


def opened(page):
    page.set_default_timeout(120_000)
    page.locator("#tab-about-button").click()
    page.locator(".nc-about-cite").wait_for()
    return page.locator("#about")


@pytest.mark.parametrize(("width", "scheme", "code"), [(1280, "light", ""), (390, "dark", "de")])
def test_the_pictures_reflow_and_nothing_is_cut_off(open_page, server, width, scheme, code):
    page = open_page(width, scheme)
    if code:
        page.goto(server.url + code)
    tab = opened(page)
    drawn = tab.locator(".nc-way-sampling li > svg")
    boxes = [drawn.nth(place).bounding_box() for place in range(6)]
    along = "x" if width > 700 else "y"
    assert all(one[along] + 50 < two[along] for one, two in zip(boxes, boxes[1:], strict=False))
    assert tab.locator("li > svg").count() == 14
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = axe.Axe().run(page, context={"include": [["#about"]]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_citation_is_copied(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = opened(page)
    tab.locator(".nc-about-cite [data-copy]").click()
    tab.locator(".nc-about-cite").get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == about.BIBTEX
