import csv
import io
import re
from pathlib import Path

import pytest
import soundfile

from ncdetect import wording
from ncdetect.ui import model, several
from tests.browser.test_check_page import example

SLOW_MS = 120_000
EVIL = "=1+1 <img src=x onerror=alert(1)>.wav"


@pytest.fixture(scope="module")
def files(voice, tmp_path_factory):
    """Two voices, one with a name that attacks; a letter; and a file that is too large."""
    folder = tmp_path_factory.mktemp("several")
    other, rate = soundfile.read(example("headline", "real").file)
    soundfile.write(folder / EVIL, other[:40_000], rate)
    soundfile.write(folder / "voice.wav", voice[:40_000], 16_000)
    (folder / "letter.wav").write_bytes(b"This is a letter, not a recording. " * 200)
    with (folder / "large.wav").open("wb") as stream:
        stream.truncate(several.LARGEST_MB * 2**20 + 1)
    return [folder / name for name in (EVIL, "letter.wav", "large.wav", "voice.wav")]


def bring(page, files):
    page.locator("#several-box .label-wrap").click()
    page.locator("#several input").set_input_files(files)


def names(page):
    return page.locator("#several .nc-several-name").all_inner_texts()


def test_several_files_are_judged_sorted_and_saved(open_page, server, files):
    page = open_page()
    bring(page, files)
    page.locator("#several [data-csv]").wait_for(timeout=SLOW_MS)
    found = [model.predictor().check(files[0]), None, None, model.predictor().check(files[3])]
    assert names(page) == [file.name for file in files]
    assert not server.clips()  # gone as soon as each was judged
    rows = [several.Row("", one) for one in found]
    said = page.locator("#several .nc-several-bar p").first.inner_text()
    assert said == f"4 files: {several.tally(rows)}."
    assert page.locator("#several [role=status]").inner_text() == said
    text = page.locator("#several table").inner_text()
    assert "not a sound file" in text and "at most 25 MB" in text
    shown = page.locator("#several .nc-who").all_inner_texts()
    assert shown == [wording.headline(one.verdict) for one in found if one]

    reason = page.locator("#several .nc-several-more p").first
    assert not reason.is_visible()
    page.locator("#several tbody button").first.focus()
    page.keyboard.press("Enter")
    assert reason.inner_text() == found[0].reason
    page.locator("#several .nc-who").first.click()  # anywhere on the row
    reason.wait_for(state="hidden")

    head = page.locator("#several thead button[data-sort=name]")
    head.click()
    assert names(page) == [EVIL, "large.wav", "letter.wav", "voice.wav"]
    head.click()
    assert names(page) == ["voice.wav", "letter.wav", "large.wav", EVIL]
    assert page.locator("#several th[aria-sort=descending]").count() == 1
    page.locator("#several thead button[data-sort=share]").click()
    order = sorted((0, 3), key=lambda index: found[index].probability)
    assert names(page)[:2] == [files[index].name for index in order]  # those without a verdict are last

    with page.expect_download() as download:
        page.locator("#several [data-csv]").click()
    text = Path(download.value.path()).read_text("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["path"] for line in lines] == [f"'{EVIL}", *(file.name for file in files[1:])]
    assert float(lines[3]["score"]) == pytest.approx(found[3].score, abs=1e-5)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_can_be_stopped_on_a_dark_phone_in_german(open_page, server, files):
    page = open_page(390, "dark")
    page.goto(f"{server.url}de/")
    bring(page, [files[3], *files[:3], files[3]])
    stop = page.get_by_role("button", name="Anhalten")
    stop.focus()
    page.keyboard.press("Enter")
    page.locator("#several [data-csv]").wait_for(timeout=SLOW_MS)
    assert page.evaluate("document.activeElement.matches('[data-csv]')")
    said = page.locator("#several .nc-several-bar p").first.inner_text()
    assert re.match(r"Angehalten nach [1-4] von 5 Dateien: ", said)
    assert len(names(page)) == int(re.search(r"\d", said)[0])
    assert not server.clips()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#several input").is_enabled()
