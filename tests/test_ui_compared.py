"""The comparison of all systems on the page: from the table, in words, escaped, or not at all."""

import pytest

from ncdetect.tables import write_csv
from ncdetect.ui import compared, model, results, shipped


def row(system, name, eer, **changes):
    made = {"system": system, "set": name, "generator": "", "eer": eer, "eer_low": eer - 0.05}
    return made | {"eer_high": eer + 0.05, "parameters": 774003, "megabytes": 3.12} | changes


ROWS = [
    row("tiny", "all", 0.2), row("tiny", "cloned", 0.21), row("tiny", "wild", 0.3),
    row("listener", "all", 0.25), row("listener", "wild", 0.22), row("listener", "engines", 0.01),
]  # fmt: skip


def test_each_system_is_told_with_its_interval_and_size():
    html = compared.section(ROWS)
    assert html.count('<th scope="row">') == 2 and html.index(">Tiny<") < html.index(">Listener<")
    assert "<b>20.0</b><br>[15.0, 25.0]" in html and html.count("<td>3.1 MB</td>") == 2
    assert html.count("judges on this page") == 1 and model.NAME == "listener"
    assert html.count("<td>-</td>") == 1  # listener on cloned was not measured
    for words in shipped.sets().values():
        assert words in html
    assert "<b>1.0</b>" not in html  # other sets have their own table in compare.md


def test_the_sentence_names_the_best_of_each_place():
    assert compared.said(ROWS).startswith(
        "Of 2 models the fewest mistakes are made by “Tiny” on new clips of the training collections "
        "(20.0 % [15.0, 25.0]) and by “Listener” in the wild (22.0 % [17.0, 27.0])."
    )
    assert "fewest" not in compared.said(ROWS[:3])


def test_rates_of_a_system_in_words():
    assert compared.rates(ROWS, "listener") == (
        "25.0 % [20.0, 30.0] on new clips of the training collections and 22.0 % [17.0, 27.0] in the wild"
    )
    assert compared.rates(ROWS, "nobody") == "" == compared.rates([], "tiny")


def test_names_are_escaped_and_unknown_sizes_left_out():
    html = compared.section([row("<b>evil", "all", 0.2, parameters="", megabytes="")])
    assert "<b>evil" not in html and "&lt;b&gt;evil" in html and "<td>-</td>" in html


def test_what_is_written_is_read_without_the_generators(tmp_path):
    file = tmp_path / "compare.csv"
    write_csv([*ROWS, row("tiny", "wild", 0.5, generator="vits")], file)
    assert compared.read(file) == ROWS


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "system,set,generator,eer\ntiny,all,,x\n", "\xff\n\x00"])
def test_a_damaged_table_is_not_shown(tmp_path, text):
    file = tmp_path / "compare.csv"
    file.write_bytes(text.encode("latin-1"))
    assert compared.read(file) == []


def test_without_a_table_nothing_is_shown(tmp_path):
    assert compared.read(tmp_path / "compare.csv") == [] and compared.section([]) == ""


def test_the_shipped_table_can_be_shown():
    rows = compared.read(results.FOLDER / "compare.csv")
    if not rows:
        pytest.skip("assets/results/compare.csv was not made yet: python -m ncdetect compare makes it")
    assert "All models on the same clips" in compared.section(rows)
