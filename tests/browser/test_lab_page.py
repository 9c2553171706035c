import pytest

from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.ui import lab


@pytest.fixture
def lab_page(open_page):
    page = open_page()
    page.get_by_role("tab", name="Sampling lab").click()
    page.locator(".nc-lab[data-measured]").wait_for()
    return page


def kept(page, word: str) -> int:
    return int(page.locator(f".nc-slider[data-label={word}] .nc-kept").inner_text())


def total(page, word: str) -> int:
    return int(page.locator(f".nc-slider[data-label={word}] .nc-total").inner_text())


def type_threshold(page, word: str, value: object) -> None:
    page.locator(f".nc-slider[data-label={word}] input[type=number]").fill(str(value))


def test_the_slider_changes_counts_map_and_measures(lab_page):
    page = lab_page
    before = kept(page, "fake")
    nc1 = page.locator("[data-of=after][data-what=nc1]").inner_text()
    slider = page.get_by_label("Keep fake clips", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert 0 < kept(page, "fake") < before
    drawn = f"{kept(page, 'real')},{kept(page, 'fake')}"
    page.locator(f'.nc-lab[data-drawn="{drawn}"][data-measured="{drawn}"]').wait_for()
    on_map = page.evaluate("document.querySelector('#lab .nc-plot').data[4].x.length")
    assert on_map == kept(page, "fake")
    assert page.locator("[data-of=after][data-what=nc1]").inner_text() != nc1


def test_browser_and_library_keep_the_same_clips(lab_page):
    page, name = lab_page, lab.corpus_names()[-1]
    page.get_by_role("radio", name=name.capitalize()).click()
    page.locator(".nc-name", has_text=name).wait_for()
    chosen = lab.corpus(name)
    everything = lab.measures({"corpus": name, "kind": "rate", "real": 1, "fake": 1})["thresholds"]
    cases = {
        "rate": ("Share", [0, 0.1, 33.3, 50, 99.9, 100], 100),
        "count": ("Number", [0, 1, 17, 100_000], 1),
        "distance": ("Distance", [0, everything["fake"] / 3, everything["fake"] * 2], 1),
    }
    for kind, (button, values, factor) in cases.items():
        page.get_by_role("radio", name=button).click()
        for value in values:
            for word in ("real", "fake"):
                type_threshold(page, word, value)
            seen = page.evaluate("({real: [...ncdetect.kept.real], fake: [...ncdetect.kept.fake]})")
            largest = {word: page.locator(f"#keep-{word}").get_attribute("max") for word in ("real", "fake")}
            limited = {word: min(value, float(largest[word])) / factor for word in ("real", "fake")}
            found = chosen.select(*lab.thresholds({"kind": kind} | limited))
            for label in Label:
                assert seen[label.word] == found[label].rows.tolist(), (kind, value, label)


def test_turning_the_kind_of_threshold_keeps_the_selection(lab_page):
    page = lab_page
    before = kept(page, "real")
    page.get_by_role("radio", name="Number").click()
    assert kept(page, "real") == before
    assert page.locator("#keep-real").input_value() == str(before)


@pytest.mark.parametrize("whole", [False, True])
def test_the_downloaded_database_is_what_is_shown(lab_page, tmp_path, whole):
    page = lab_page
    page.get_by_role("radio", name="Number").click()
    type_threshold(page, "real", 11)
    type_threshold(page, "fake", 13)
    with page.expect_download() as download:
        page.get_by_role("button", name="All collections merged" if whole else "This collection").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    manifest = Manifest.read(file)
    first = lab.corpus_names()[0]
    counts = {label: len(manifest.select(corpus=first, label=label)) for label in Label}
    assert counts[Label.FAKE] == 13
    assert counts[Label.REAL] == 11 if not whole else counts[Label.REAL] <= 11
    assert {clip.corpus for clip in manifest} == (set(lab.corpus_names()) if whole else {first})
    page.get_by_text(f"{len(manifest)} clips").first.wait_for()


def test_every_corpus_opens_in_every_view(lab_page):
    page = lab_page
    for name in lab.corpus_names():
        page.get_by_role("radio", name=name.capitalize()).click()
        page.locator(".nc-name", has_text=name).wait_for()
        assert total(page, "real") > 0 and total(page, "fake") > 0
    page.locator("#lab").get_by_role("radio", name="Exact").click()
    page.locator('#lab .nc-plot[data-view="exact"]').wait_for()
    page.locator("#lab").get_by_text("distance to the average real voice").wait_for()
