"""The About tab: its numbers come from what ships, its pictures have words."""

import csv
import json
import re

import numpy as np
import pytest

from ncdetect.language import speaking
from ncdetect.ui import about, about_facts, check_words, compared, method_picture, model


def plain(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_every_collection_is_counted_as_its_training_says():
    facts, known = model.facts(), about_facts.collections()
    assert [one.name for one in known] == [*facts["corpora"], "wild"]
    assert about_facts.total([one.trained for one in known]) == (facts["reals"], facts["fakes"])
    home = about_facts.total([one.tested for one in known if one.name != "wild"])
    with compared.FILE.open(encoding="utf-8") as stream:
        rows = {(row["system"], row["set"], row["generator"]): row for row in csv.DictReader(stream)}
    pooled = rows[model.NAME, "all", ""]
    assert home == (int(pooled["reals"]), int(pooled["fakes"]))
    assert sum(map(sum, [known[-1].trained, known[-1].chosen_by])) == 0  # wild is for tests alone


def test_figures_and_intervals_are_those_of_the_table():
    with compared.FILE.open(encoding="utf-8") as stream:
        rows = {(row["system"], row["set"], row["generator"]): row for row in csv.DictReader(stream)}
    told = plain(about.figures())
    for name in about.SHOWN:
        for where in ("all", "wild"):
            row = rows[name, where, ""]
            eer, low, high = (100 * float(row[key]) for key in ("eer", "eer_low", "eer_high"))
            assert re.search(rf"{eer:.1f}\s+\[{low:.1f}, {high:.1f}\]", told), (name, where, told)
    own = rows[model.NAME, "all", ""]
    assert f"it decides {100 * float(own['decided']):.0f} of 100" in told
    assert f"right in {100 * float(own['accuracy']):.0f} % of those" in told


def test_without_a_table_nothing_is_claimed(monkeypatch, tmp_path):
    monkeypatch.setattr(compared, "FILE", tmp_path / "none.csv")
    assert plain(about.figures()).strip() == "Nothing has been measured here yet."


def test_half_of_the_clips_is_told_only_where_it_was_measured(monkeypatch, tmp_path):
    one, two, blind = (f"{100 * rate:.1f}" for rate in about_facts.halves())
    assert f"of {one} or {two} % in validation; half drawn blindly gave {blind} %" in method_picture.picture()
    about_facts.halves.cache_clear()
    monkeypatch.setattr(about_facts, "DETECTOR", tmp_path / "none.csv")
    assert about_facts.halves() is None and "drawn blindly" not in method_picture.picture()
    about_facts.halves.cache_clear()


def test_a_cloud_keeps_the_half_nearest_to_its_mean():
    cloud = about_facts.cloud("neural")
    assert cloud.places.shape == (len(cloud.labels), 2) and cloud.means.shape == (2, 2)
    for label in (0, 1):
        own = cloud.labels == label
        assert 0.4 < cloud.kept[own].mean() < 0.6
        away = np.linalg.norm(cloud.places[own] - cloud.means[label], axis=1)
        assert away[cloud.kept[own]].mean() < away[~cloud.kept[own]].mean()
    assert cloud.means[0, 0] < cloud.means[1, 0]  # fakes to the right


@pytest.mark.parametrize("code", ["en", "de"])
def test_every_picture_has_a_title_and_a_description(code):
    with speaking(code):
        html = method_picture.picture()
    pictures = re.findall(r'<svg viewBox="0 0 200 130".*?</desc>', html)
    assert len(pictures) == 14
    for drawn in pictures:
        assert re.search(r"<title id=[^>]+>\S.*?</title><desc id=[^>]+>\S.*?</desc>", drawn)
    identifiers = re.findall(r' id="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    assert "NaN" not in html and "nan" not in re.findall(r'd="[^"]*"', html)


def test_marks_are_as_many_as_clips_and_the_dropped_are_pale():
    drawn = method_picture._marks((100, 60), (40, 60))
    assert drawn.count("<circle") == 5 and drawn.count("<path") == 3
    assert drawn.count("nc-m-pale") == 3  # 5 - 2 reals


def test_it_says_that_the_model_was_trained_another_way_and_is_no_evidence():
    html = about.page()
    told = plain(html)
    assert f"“{model.NAME}”, was trained another way" in told and "not evidence" in told
    nc = json.loads((model.CHECKPOINTS / about_facts.NC_MODEL / "config.json").read_text())["training"]
    assert f"{nc['reals']} of 1,061 real and {nc['fakes']} of 1,261 fake clips are left" in told
    assert check_words.privacy() in html and check_words.limits() in html
    assert "@misc{yousif2024enhancing" in told and "2404.13008" in told
    assert about.about_page() == {"html": html}


def test_licences_are_those_of_the_tables():
    with (about_facts.ASSETS / "examples" / "examples.csv").open(encoding="utf-8") as stream:
        names = {row["license"] for row in csv.DictReader(stream)}
    assert all(name in about.licences() for name in names)
