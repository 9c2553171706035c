from pathlib import Path

import pytest

from tests.browser.test_check_page import example, upload, verdict_of

SLOW_MS = 120_000


def save(page, form):
    """Ask for a report by keyboard, and take what the browser saves."""
    button = page.locator(f'#report [data-form="{form}"]')
    button.wait_for()
    with page.expect_download(timeout=SLOW_MS) as download:
        button.focus()
        page.keyboard.press("Enter")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_both_reports_are_saved_and_nothing_of_them_stays(open_page, browser, server, clips, tmp_path):
    page = open_page()
    assert not page.locator("#report section").is_visible()
    upload(page, clips["wav"])
    verdict = verdict_of(page)
    before, height = server.clips(), page.locator("#report").bounding_box()["height"]
    name, data = save(page, "pdf")
    assert name == "ncdetect-voice.pdf" and data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    name, data = save(page, "html")
    assert page.locator("#report [role=status] a").get_attribute("download") == name == "ncdetect-voice.html"
    assert page.locator("#report").bounding_box()["height"] == pytest.approx(height, abs=1)
    assert server.clips() == before

    # It stands by itself, and fits a phone.
    file = tmp_path / name
    file.write_bytes(data)
    alone = browser.new_page(viewport={"width": 390, "height": 850})
    heard = []
    alone.on("request", lambda request: heard.append(request.url))
    alone.goto(file.as_uri())
    assert alone.locator(".head strong").inner_text() == verdict
    assert alone.evaluate("document.fonts.ready.then(() => document.fonts.check('16px Report'))")
    assert alone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [url for url in heard if not url.startswith(("file:", "data:"))] == []
    alone.close()


def test_on_a_phone_in_the_dark_and_in_german(open_page, server):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = open_page(390, "dark")
    page.goto(f"{server.url}de")
    page.locator(f'[data-clip="{example("headline").path}"]').click()
    page.locator("#report section").wait_for(timeout=SLOW_MS)
    height = page.locator("#report").bounding_box()["height"]
    name, data = save(page, "html")
    assert "Ist diese Stimme echt?" in data.decode() and name.endswith(".html")
    box = page.locator("#report").bounding_box()
    assert box["height"] == pytest.approx(height, abs=1) and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = axe.Axe().run(page, context="#report").response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
