import pytest

from ncdetect.language import speaking
from ncdetect.tables import write_csv
from ncdetect.ui import papers


def a_row(place="all", eer=0.25, **changes):
    row = {"what": "LFCC <b>", "trained_on": "a b", "set": place, "eer": eer, "eer_low": 0.2, "eer_high": 0.3}
    return row | changes


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        write_csv(rows, tmp_path / "made.csv")
        return tmp_path / "made.csv"

    return write


def test_a_system_has_one_line_with_both_places(file):
    html = papers.table(file(a_row(), a_row("wild", 0.5), a_row("dev", 0.1)), "caption", papers.system)
    assert html.count("<tr>") == 2  # heads and one line
    assert "LFCC &lt;b&gt; (2 collections)" in html and "<b>25.0</b><br>[20.0, 30.0]" in html
    assert "<b>50.0</b>" in html and "<b>10.0</b>" not in html


def test_what_was_not_measured_has_a_dash(file):
    assert "<td>-</td>" in papers.table(file(a_row(trained_on="a")), "caption", papers.system)


def test_of_the_arms_only_means_of_whole_models_are_shown(file):
    rows = [
        {"model": "m", "arm": arm, "layer": layer, "seed": seed, "corpus": "all", "eer": eer}
        for arm, layer, seed, eer in (
            ("dropin", "", "0", 0.1), ("dropin", "", "mean", 0.2), ("dropin", "stage-1", "mean", 0.3),
        )
    ]  # fmt: skip
    html = papers.table(file(*rows), "caption", papers.arm)
    assert "m: dropin" in html and "<b>20.0</b>" in html and html.count('<th scope="row"') == 1


def test_missing_and_damaged_files_show_nothing(file, tmp_path):
    assert papers.table(tmp_path / "none.csv", "caption", papers.system) == ""
    assert papers.table(file({"a": 1}), "caption", papers.system) == ""


def test_what_ships_is_shown_in_both_languages():
    assert papers.section().count("<table>") == 2 and "trained here" in papers.section()
    with speaking("de"):
        assert "hier trainiert" in papers.section()
