import re
import time

import pytest

from banks import make_bank
from tests.browser.serving import serving

PAGE = """
import dataclasses, sys
from pathlib import Path
from ncdetect.ui import lab_corpora, lab_training
lab_corpora.CORPORA, lab_training.PRACTICE = Path(sys.argv[1]), Path(sys.argv[2])
whole = lab_training.make_task
def short(request):
    task, same = whole(request)
    return dataclasses.replace(task, epochs=3, epoch_clips=16, precision="32-true"), same
lab_training.make_task = short
import app
app.main()
"""


@pytest.fixture(scope="module")
def server(made_corpus, tmp_path_factory):
    """The page with the made corpora `ant` and `bee`, and `far`, whose audio is not there."""
    folder = tmp_path_factory.mktemp("lab")
    for seed, name in enumerate(("ant", "bee")):
        make_bank(made_corpus.select(corpus=name), folder / name / "bank.parquet", seed)
    make_bank(made_corpus.select(corpus="ant"), folder / "far" / "bank.parquet")
    with serving(tmp_path_factory.mktemp("server"), "-c", PAGE, str(folder), str(made_corpus.root)) as served:
        yield served


def open_lab(page, corpus: str = "Ant"):
    page.set_default_timeout(150_000)
    page.get_by_role("tab", name="Sampling lab").click()
    page.locator(".nc-lab[data-measured]").wait_for()
    page.get_by_role("radio", name=corpus, exact=True).click()
    page.locator(".nc-name", has_text=corpus).wait_for()
    page.get_by_label("Which clips to keep").select_option("farthest")
    page.locator('.nc-lab[data-measured="6,6"]').wait_for()
    page.get_by_role("radio", name="Number").click()
    for word in ("real", "fake"):
        page.locator(f".nc-slider[data-label={word}] input[type=number]").fill("9")
    page.locator('.nc-lab[data-measured="9,9"]').wait_for()
    return page


def folders(server) -> list:
    return list(server.temporary.glob("ncdetect-training-*"))


def start(page):
    button = page.locator("[data-train=start]")
    page.get_by_text("Your 9 real and 9 fake clips").wait_for()
    page.wait_for_function("!document.querySelector('[data-train=start]').disabled")
    button.click()


def test_both_models_train_and_are_compared(open_page, server):
    page = open_lab(open_page())
    start(page)
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_text(re.compile(r"Your choice: round \d of 3")).wait_for()
    page.locator(".nc-running[data-state=done]").wait_for()
    page.get_by_text("done: 18 clips of Ant, rule “Farthest from the class mean”.").wait_for()
    page.get_by_text("Error rate on 6 real and 6 fake test clips").wait_for()
    assert page.locator(".nc-eer b").all_inner_texts() and "%" in page.locator(".nc-eer b").first.inner_text()
    assert "One training of each proves little" in page.locator(".nc-outcome").inner_text()
    assert page.locator(".nc-stand").get_by_text("3 of 3").count() == 2
    assert page.locator(".nc-line").count() == 4
    assert page.get_by_role("progressbar", name="Training").get_attribute("aria-valuenow") == "100"
    assert page.get_by_role("button", name="Train both again").is_visible()
    assert not folders(server)


def test_cancel_stops_it_and_the_next_visitor_may_start(open_page, server):
    page, other = open_lab(open_page()), open_lab(open_page())
    start(page)
    page.wait_for_function("!document.querySelector('[data-train=cancel]').disabled")
    assert folders(server)
    start(other)
    other.get_by_text("Somebody else's training is running").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled. Nothing of it was kept.").wait_for()
    assert not folders(server)
    other.get_by_role("button", name="Try again").click()
    other.wait_for_function("!document.querySelector('[data-train=cancel]').disabled")
    other.get_by_role("button", name="Cancel").click()
    other.get_by_text("Cancelled. Nothing of it was kept.").wait_for()


def test_a_visitor_who_leaves_frees_the_place(open_page, server):
    page = open_lab(open_page())
    start(page)
    page.wait_for_function("!document.querySelector('[data-train=cancel]').disabled")
    page.close()
    until = time.monotonic() + 60
    while folders(server):
        assert time.monotonic() < until
        time.sleep(0.2)


def test_where_the_audio_is_not_here_the_page_offers_what_is(open_page):
    page = open_page()
    page.get_by_role("tab", name="Sampling lab").click()
    page.get_by_role("radio", name="Far").click()
    page.get_by_text("The audio of Far is not on this server").wait_for()
    assert page.locator("[data-train=start]").is_disabled()
    page.get_by_role("button", name="Open Ant instead").click()
    page.locator(".nc-name", has_text="Ant").wait_for()
    page.get_by_text("The audio of Far").wait_for(state="hidden")
    assert page.get_by_label("Ant", exact=True).is_checked()


def test_collections_can_be_learned_from_together(open_page):
    page = open_lab(open_page())
    page.get_by_text("Your 9 real and 9 fake clips").wait_for()
    page.get_by_label("Bee", exact=True).check()
    page.get_by_text("Your 15 real and 15 fake clips").wait_for()
    page.get_by_label("Ant", exact=True).uncheck()
    page.get_by_text("keep at least 8 real clips to train on").wait_for()
    assert page.locator("[data-train=start]").is_disabled()
