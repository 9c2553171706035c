"""Tab "Inside the model": places, curves and rows by hand, words, and what happens without data."""

import base64
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ncdetect.checkpoint import DetectorConfig
from ncdetect.labels import Label
from ncdetect.language import speaking
from ncdetect.record import COLUMNS, TrackRecord
from ncdetect.ui import inside, inside_errors, inside_picture, model

NAMES = [f"{name}_{side}" for name in ("nc1", "cdnv", "nc3", "nc4") for side in ("train", "dev")]
MOMENTS = [{"epoch": e} | dict.fromkeys(NAMES, v) for e, v in ((0.0, 4.0), (1.0, 2.0), (2.0, 1.0))]


def row(label, generator, verdict, probability=0.5, **more):
    values = dict.fromkeys(COLUMNS, "") | {"corpus": "cloned", "split": "eval", "duration_s": 3.0}
    values |= {"novelty": 0.1, "nearest_mean": "real", "kind": "tts" if label == "fake" else "real-read"}
    score = float(np.log(probability / (1 - probability)))
    return values | {"label": label, "generator": generator, "group": f"{generator}-{verdict}",
                     "verdict": verdict, "probability": probability, "score": score} | more  # fmt: skip


def a_record(rows) -> TrackRecord:
    return TrackRecord(
        pd.DataFrame(rows, columns=list(COLUMNS)),
        DetectorConfig("listener", real_below=0.3, fake_above=0.8),
    )


def some_rows():
    """Of `b` 6 of 8 fakes pass, of `a` 1 of 1, of <c> none."""
    found = [row("fake", "b", "real", 0.1) for _ in range(6)] + [row("fake", "b", "fake", 0.9)] * 2
    found += [row("fake", "a", "real", 0.2)] + [row("fake", "<c>", "undecided", 0.6)] * 3
    return found + [row("real", "room", "real", 0.1)] * 9 + [row("real", "room", "fake", 0.85)]


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), "<i2")


# -- the animation


def test_places_are_whole_numbers_of_a_unit():
    story = inside.story()
    for view in ("plane", "exact"):
        answer = inside.places({"view": view})
        at = unpacked(answer["at"]).reshape(story.places[view].shape) * answer["unit"]
        np.testing.assert_allclose(at, story.places[view], atol=answer["unit"])
        left, right, low, high = answer["box"]
        x, y = story.places[view][..., 0], story.places[view][..., 1]
        inside_box = (x >= left) & (x <= right) & (y >= low) & (y <= high)
        assert 0.985 < inside_box.mean() < 1
        assert (left, low) == (0, 0) or view == "plane"
    assert len(json.dumps(answer)) < 400_000


@pytest.mark.parametrize("junk", [None, 3, "x", [], {"view": ["plane"]}, {"view": "umap", "part": 4}])
def test_odd_requests_get_the_first_view(junk):
    assert inside.places(junk)["view"] == "plane"
    assert "groups" in inside.errors(junk)


def test_what_the_animation_needs_fits_the_story():
    answer, story = inside.learning(None), inside.story()
    count = len(story.moments)
    assert unpacked(answer["fake"]).tolist() == (story.clips["label"] == "fake").astype(int).tolist()
    assert answer["train"] + answer["held"] == len(story.clips)
    assert {len(answer[name]) for name in ("names", "tales")} == {count}
    assert len(answer["notes"]["plane"]) == count and answer["names"][answer["kept"]] == "after 2 epochs"
    assert answer["names"][0] == "before training" and "after 1 epoch" in answer["names"]
    assert all(text.startswith(("Real: from ", "Fake: ", "Real: ")) for text in answer["texts"]["words"])


def test_a_tale_says_what_is_to_be_seen():
    story = inside.story()
    kept = [one["epoch"] for one in story.moments].index(story.kept)
    told = [inside.tale(story, index, kept) for index in range(len(story.moments))]
    assert told[0].startswith("Nothing is learned yet") and told[kept].startswith(
        "Here the weights were kept"
    )
    assert all("huddle on" in one for one in told[kept + 1 :]) and "huddle on" not in " ".join(
        told[: kept + 1]
    )
    first = story.moments[0]
    assert f"{100 * first['eer_train']:.0f} of 100 clips it learns from" in told[0]
    assert "<1 of 100 clips it learns from" in told[-1]


def test_the_lesson_follows_the_measures():
    falls = inside.lesson(MOMENTS, 1)
    assert "NC1 falls from 4.00 to 1.00" in falls and "follow to the end" in falls
    rises = [*MOMENTS[:2], MOMENTS[2] | {"cdnv_dev": 3.0}]
    assert "after 1 epoch CDNV is 2.00, at the end 3.00" in inside.lesson(rises, 1)


def test_heights_run_from_the_largest_to_the_smallest():
    pad = inside_picture.PAD / inside_picture.HEIGHT
    linear, logs = (inside_picture.scale([1, 2, 4], one) for one in (False, True))
    assert [linear(4), linear(1), logs(4), logs(1)] == pytest.approx([pad, 1 - pad, pad, 1 - pad])
    assert linear(2) == pytest.approx(pad + (1 - 2 * pad) * 2 / 3) and logs(2) == pytest.approx(0.5)
    assert inside_picture.scale([3, 3], True)(3) == pytest.approx(0.5)


def test_curves_have_ticks_values_and_the_kept_moment():
    found = inside_picture.measures(MOMENTS, 1)
    assert found["ticks"] == [(0.0, "0"), (0.5, "1"), (1.0, "2")]
    assert found["values"]["nc4"]["dev"] == ["4.000", "2.000", "1.000"]
    assert found["heights"]["nc1"]["train"][1] == pytest.approx(0.5, abs=1e-3)
    assert found["html"].count("M150.0 0V76") == 4 and found["html"].count("<polyline") == 8
    assert 'class="nc-inside-dev" points="0.0,7.0 150.0,38.0 300.0,69.0"' in found["html"]


# -- errors


def test_an_axis_of_normal_deviates():
    # The deviates of 0.005, 0.5 and 0.9 are -2.5758, 0 and 1.2816.
    assert inside_picture.at_rate(0.5) == pytest.approx(2.5758 / (2.5758 + 1.2816), abs=1e-4)
    ends = [inside_picture.at_rate(rate) for rate in (0.0, 0.005, 0.9, 1.0)]
    assert ends == pytest.approx([0, 0, 1, 1])


def test_error_curves_say_what_is_marked():
    # Reals: 9 at 0.1 and one at 0.85. Fakes: 6 at 0.1, 1 at 0.2, 3 at 0.6, 2 at 0.9.
    html = inside_errors.curves(a_record(some_rows()))
    text = re.sub(r"<[^>]+>", "", html)
    assert "On new clips of the collections both mistakes" in text and "In the wild" not in text
    assert "10 real clips, 12 fakes" in text
    assert "10 of 100 real voices are beyond the sign of “likely fake”" in text
    assert "58 of 100 fakes below the sign of “likely real”" in text
    assert html.count("<circle") == 1 and html.count("<polyline") == 1


def test_a_record_of_one_class_has_no_curve():
    rows = [one for one in some_rows() if one["label"] == "fake"]
    assert "no test clips of both classes" in inside_errors.curves(a_record(rows))


def test_groups_stand_by_the_mistakes_that_they_prove():
    found = inside_errors.grouped(a_record(some_rows()).rows, Label.FAKE, "generator")
    # Wilson's lower ends: 6 of 8 gives 0.41, 1 of 1 gives 0.21.
    counts = [(group.name, group.counts) for group in found]
    assert counts == [("b", (6, 0, 2)), ("a", (1, 0, 0)), ("<c>", (0, 3, 0))]
    assert [round(group.wrong.low, 2) for group in found] == [0.41, 0.21, 0.0]
    (reals,) = inside_errors.grouped(a_record(some_rows()).rows, Label.REAL, "generator")
    assert reals.counts == (9, 0, 1) and reals.wrong.value == pytest.approx(0.1)


def test_rows_are_bars_with_counts_and_foreign_names_are_escaped():
    html = inside_errors.groups(a_record(some_rows()), "eval", "generator")
    assert "<c>" not in html and 'data-name="&lt;c&gt;"' in html
    bar = '<i class="nc-real" style="flex:6">6</i><i class="nc-fake" style="flex:2">2</i>'
    assert bar in html and "6 called real, 0 undecided, 2 called fake; wrong: 75 of 100" in html
    assert "7 of 12 pass as real" in html and "1 of 10 are called fake" in html
    assert "100 % <small>[21-100]" in html
    kinds = inside_errors.groups(a_record(some_rows()), "eval", "kind")
    assert "Text-to-speech" in kinds and "Read aloud" in kinds


@pytest.mark.parametrize(("passing", "settled"), [(24, True), (9, False)])
def test_what_the_worst_have_in_common_is_said_only_where_it_is_settled(passing, settled):
    rows = [
        row("fake", f"{kind}{n}", "real" if n < passed else "fake", kind=kind)
        for kind, passed in (("vc", passing), ("tts", 6))
        for n in range(30)
    ]
    (said,) = inside_errors.in_common(a_record(rows).rows)
    if settled:
        worst, _, best = said.partition(";")
        assert worst == "Kind of fake that passes most often: Voice conversion (80 of 100)"
        assert best == " most rarely: Text-to-speech (20)."
    else:
        assert said == "Which kind of fake passes most often, these clips do not settle."


def test_the_wild_is_never_pooled_with_the_collections(monkeypatch):
    rows = [
        *some_rows(),
        row("fake", "wolf", "real", corpus="wild"),
        row("real", "wood", "real", corpus="wild"),
    ]
    monkeypatch.setattr(model, "record", lambda: a_record(rows))
    wild, own = (inside.errors({"part": part, "again": True})["groups"] for part in ("wild", "eval"))
    assert "wolf" in wild and "room" not in wild and "wolf" not in own and "room" in own


# -- without data, and in German


def test_without_a_record_or_a_story_a_sentence_is_the_answer(monkeypatch, tmp_path):
    monkeypatch.setattr(model, "record", lambda: None)
    assert inside.errors({})["error"] == "What this model said of test clips was not recorded here."
    monkeypatch.setattr(inside, "FILE", tmp_path / "<gone>.parquet")
    inside.story.cache_clear()
    for answer in (inside.learning(None), inside.places(None)):
        assert "missing or damaged" in answer["error"] and "gone" not in answer["error"]
    inside.story.cache_clear()


def test_the_tab_speaks_german():
    with speaking("de"):
        html, answer = inside.template(), inside.learning(None)
        groups = inside_errors.groups(a_record(some_rows()), "eval", "language")
        assert inside.epoch_name(0.5) == "nach 0,5 Epochen"
    assert "Aus einem Haufen werden zwei" in html and "Held back" not in html
    assert answer["tales"][0].startswith("Noch ist nichts gelernt") and "nicht bekannt" in groups


def test_nothing_heavy_is_imported_to_lay_it_out():
    code = (
        "import sys; from ncdetect.ui import inside; inside.template(); "
        "print({*sys.modules} & {'torch', 'sklearn', 'scipy'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_thresholds_are_counted_as_the_predictor_does():
    """At the limits themselves: a probability of fake_above is called fake, one of real_below real."""
    rows = [row("real", "r", "fake", 0.8), row("real", "s", "real", 0.3)]
    rows += [row("fake", "f", "real", 0.3), row("fake", "g", "fake", 0.8)]
    text = re.sub(r"<[^>]+>", "", inside_errors.curves(a_record(rows)))
    assert "50 of 100 real voices are beyond" in text and "50 of 100 fakes below" in text
