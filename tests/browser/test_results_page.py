import csv
import os
import re

import pytest

from ncdetect import findings
from ncdetect.ui import document, model, page, results
from ncdetect.ui.private import Uploads
from tests.browser.serving import Server

RULES = ("random", "algorithm-1", "herding")
TESTS = {"all": 0.25, "ant": 0.2, "wild": 0.4}
FACTS = {"train_reals": 100, "train_fakes": 100, "dev_loss": 0.5, "dev_eer": 0.2, "seconds": 60.0}


def made_study() -> list[dict]:
    """Experiment 4, in which Algorithm 1 loses to random and herding wins by too little to tell."""
    rows = []
    for rule, budget, off in (
        ("all", 1.0, 0.0),
        *(
            (rule, budget, off)
            for rule, off in zip(RULES, (0.0, 0.06, -0.01), strict=True)
            for budget in (0.1, 0.25)
        ),
    ):
        for corpus, eer in TESTS.items():
            for seed in (0, 1, "mean"):
                row = {"rule": rule, "budget": budget, "seed": seed, "corpus": corpus, "split": "eval"}
                row |= {"clips": 40, "reals": 20, "fakes": 20}
                row |= {"eer": eer + off, "eer_low": eer + off - 0.05, "eer_high": eer + off + 0.05}
                row |= {f"difference{name}": "" for name in ("_from_random", "_low", "_high")}
                if rule not in ("all", "random"):
                    row |= {
                        "difference_from_random": off,
                        "difference_low": off - 0.03,
                        "difference_high": off + 0.03,
                    }
                row |= {
                    "difference_from_all": off,
                    "difference_all_low": off - 0.03,
                    "difference_all_high": off + 0.03,
                }
                rows.append(row | FACTS | {"dev_loss": 0.5 + off})
    return rows


def history() -> list[dict]:
    """Epochs of a training in which the classes gather."""
    names = [f"{name}_{side}" for name in ("nc1", "cdnv", "nc3", "nc4") for side in ("train", "dev")]
    return [{"epoch": e, "nc2_train": None} | {name: 2.0 / (e + 1) for name in names} for e in range(6)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The Results tab alone, with the table of experiment 4 only, in this process."""
    import gradio as gr

    folder, patch = tmp_path_factory.mktemp("results"), pytest.MonkeyPatch()
    rows = made_study()
    with (folder / "experiment-4.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    patch.setattr(results, "FOLDER", folder)
    patch.setattr(model, "facts", lambda: {"history": history(), "best_epoch": 5})
    gr.set_static_paths([page.plotly_script()])
    with gr.Blocks(title=document.title(), analytics_enabled=False) as demo:
        gr.HTML("<h1>Is this voice real?</h1>")
        results.build(Uploads(folder))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **page.launch_options())
    yield Server(url, folder, 0.0)
    demo.close()
    patch.undo()


def test_the_results_are_told_first_and_worked_out_from_the_table(open_page, server):
    opened = open_page()
    opened.get_by_role("heading", name="What the measurements say").wait_for()
    first = opened.locator(".nc-say").inner_text()
    assert first == findings.sentences(4, made_study())[0]
    assert (
        "was worse in 4 (2 on new clips of the training collections and 2 in the wild), never better" in first
    )
    text = opened.locator("#results").inner_text().replace("\xa0", " ")
    assert "Keeping the average" in text and "worst in the wild: 39.0 %" in text
    assert not re.search(r"(?<![\d.])(0|0\.0|100|100\.0) %", text)
    for number in (1, 2, 3):
        missing = opened.locator(f"[data-experiment='{number}'] .nc-missing").inner_text()
        assert f"python -m ncdetect experiment {number} --data DIR" in missing
    assert opened.locator("[data-experiment='4'] .nc-missing").count() == 0


def test_tables_have_headings_and_the_papers_numbers(open_page):
    opened = open_page()
    table = opened.get_by_role("table", name="In the wild: EER")
    table.wait_for()
    cell = table.get_by_role("row", name="Nearest to the class mean").get_by_role("cell").nth(1)
    assert cell.inner_text().split() == ["46.0", "[41.0,", "51.0]", "+6.0", "[+3.0,", "+9.0]"]
    assert table.get_by_role("columnheader").all_inner_texts() == [
        "rule",
        "10 % of the clips",
        "25 % of the clips",
    ]
    for number in results.NUMBERS:
        paper = opened.locator(f"[data-experiment='{number}'] table", has_text="The paper's own numbers")
        assert paper.count() == 1
    assert "In-the-Wild" in opened.locator("[data-experiment='1']").inner_text()


def test_the_figure_shows_what_is_clear_and_what_is_not(open_page):
    opened = open_page()
    opened.locator(".nc-dots").wait_for()
    lost, close = (
        opened.locator(".nc-dots-rule", has_text=words).first
        for words in ("Nearest to the class mean", "Keeping")
    )
    assert (lost.locator(".nc-dots-clear").count(), close.locator(".nc-dots-clear").count()) == (2, 0)
    zero = opened.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.nc-dots')).getPropertyValue('--zero'))"
    )
    left = "mark => parseFloat(mark.style.left)"
    assert lost.locator(".nc-dots-mark").first.evaluate(left) > zero
    assert close.locator(".nc-dots-mark").first.evaluate(left) < zero
    label = opened.locator(".nc-dots-panel [role=img]").last.get_attribute("aria-label")
    assert label.startswith(
        "Difference from random in the wild: of 4 comparisons 0 better, 2 worse, 2 too close"
    )


def test_folds_open_by_keyboard_and_the_table_downloads(open_page, server):
    opened = open_page()
    fold = opened.locator("summary", has_text="The findings in words")
    fold.focus()
    assert not opened.get_by_text("flatters them").is_visible()
    opened.keyboard.press("Enter")
    opened.get_by_text("flatters them").wait_for()
    with opened.expect_download() as download:
        opened.get_by_role("link", name="Download experiment-4.csv").click()
    assert download.value.suggested_filename == "experiment-4.csv"
    assert os.stat(download.value.path()).st_size == os.stat(server.temporary / "experiment-4.csv").st_size
