"""The section on the detectors that ship: from the table, in words, escaped."""

import pytest

from ncdetect.ui import results, shipped


def final(what="shipped as listener: damaged", wild=0.25):
    row = {"change": "listener-seed0", "what": what, "why": "final"}
    for name, value in zip(shipped.sets(), (0.1, 0.12, wild), strict=True):
        row |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
    return row


def tried(what="both"):
    return {"change": "both", "what": what, "why": "<b>why"} | dict.fromkeys(shipped.tried(), 0.3)


def test_only_what_ships_is_told_with_its_interval():
    html = shipped.section([tried(), final(), final("damaged")])
    assert html.count("<b>25.0</b>") == 1 and "[20.0, 30.0]" in html
    assert "one real in 4.0 for fake in the wild" in html and "one in 10.0" in html
    assert "both" in html and "<b>why" not in html and "&lt;b&gt;why" in html


@pytest.mark.parametrize("rows", [None, [], [tried()]])
def test_without_figures_there_is_no_section(rows):
    assert shipped.section(rows) == ""


def test_the_shipped_table_can_be_shown():
    rows = results.detectors()
    assert rows and "“Listener”" in shipped.section(rows)


def test_a_missing_table_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    assert results.detectors() is None
