"""The operating point: every position by hand, and that the middle is what ships."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ncdetect.checkpoint import DetectorConfig
from ncdetect.language import speaking
from ncdetect.record import COLUMNS, PARTS, TrackRecord
from ncdetect.ui import examples, model, operating
from ncdetect.ui.checked import Checked

MIDDLE = operating.STEPS


@pytest.fixture
def checked():
    clip = next(one for one in examples.examples().values() if one.group == "headline").file
    return Checked(str(clip), model.predictor().check(clip))


def made(rows):
    values = [
        dict.fromkeys(COLUMNS, "")
        | {"corpus": corpus, "label": label, "score": score, "nearest_mean": near, "verdict": near}
        | {"novelty": 0.0, "group": str(index), "duration_s": 3.0, "probability": 0.5}
        for index, (corpus, label, score, near) in enumerate(rows)
    ]
    return TrackRecord(pd.DataFrame(values), DetectorConfig("tiny-resnet", real_below=0.3, fake_above=0.7))


def test_positions_lie_evenly_about_the_shipped_one():
    assert len(operating.OFFSETS) == 41 and operating.OFFSETS[MIDDLE] == 0
    assert np.diff(operating.OFFSETS) == pytest.approx(operating.STEP)
    assert operating.OFFSETS[0] == -operating.OFFSETS[-1]


def test_the_middle_is_what_ships_and_each_end_goes_its_way(checked):
    found = operating.ready(checked)
    assert found["words"][MIDDLE] == checked.verdict.verdict
    record = TrackRecord.load(model.CHECKPOINTS / model.NAME)
    for part in PARTS:
        rows, swept = record.part(part), found["sets"][part]
        reals = rows[rows["label"] == "real"]
        shipped = round(100 * (reals["verdict"] == "fake").mean())
        assert swept[MIDDLE][0] == shipped and found["clips"][part][0] == len(reals)
        assert swept[0][0] <= shipped <= swept[-1][0] and swept[0][6] >= swept[MIDDLE][6] >= swept[-1][6]
        fakes = rows[rows["label"] == "fake"]["verdict"]
        said = [round(100 * (fakes == word).mean()) for word in ("real", "undecided")]
        assert [swept[MIDDLE][6], swept[MIDDLE][9]] == said
        for row in swept:
            triples = [row[place : place + 3] for place in range(0, 12, 3)]
            assert all(0 <= low <= value <= high <= 100 for value, low, high in triples)
            assert row[0] + row[3] <= 101 and row[6] + row[9] <= 101


def test_what_travels_is_small_and_plain_json(checked):
    assert len(json.dumps(operating.ready(checked))) < 20_000


def test_a_clip_is_called_by_the_rule_of_the_record(checked, monkeypatch):
    # Log-odds of 0.1: undecided as shipped, fake from 0.85 on, and real only if its nearest mean were.
    verdict = SimpleNamespace(verdict="undecided", score=0.1, nearest_mean="fake", novelty=0.0)
    record = made([("ant", "real", -2.0, "real"), ("ant", "fake", 2.0, "fake")])
    monkeypatch.setattr(model, "record", lambda: record)
    found = operating.ready(Checked(checked.path, verdict))
    # 0.8473 is the logit of 0.7: the tenth position above the middle adds 0.75, the ninth 0.675.
    assert found["words"] == ["undecided"] * (MIDDLE + 10) + ["fake"] * 11
    assert list(found["sets"]) == ["eval"] and found["clips"] == {"eval": (1, 1)}
    assert "Clips like this one" not in found["html"]  # two are too few


def test_nothing_is_shown_without_a_clip_or_a_record(checked, monkeypatch, tmp_path):
    assert operating.ready(None) == operating.NOTHING
    (tmp_path / model.NAME).mkdir()
    monkeypatch.setattr(model, "CHECKPOINTS", tmp_path)
    assert operating.ready(checked) == operating.NOTHING


def test_the_card_tells_of_clips_like_this_one_in_the_page_s_language(checked):
    like = TrackRecord.load(model.CHECKPOINTS / model.NAME).like(checked.verdict)
    html = operating.ready(checked)["html"]
    assert like.sentence in html and "319 real and 375 fake clips" in html
    with speaking("de"):
        german = operating.ready(checked)["html"]
    assert "Wie oft irrt es sich?" in german and "How often" not in german
