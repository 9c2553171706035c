"""The track record: rates, intervals and neighbours by hand; that it is the shipped checkpoint's own."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ncdetect import metrics, record
from ncdetect.checkpoint import CHECKPOINTS, DetectorConfig
from ncdetect.cli import app
from ncdetect.language import speaking
from ncdetect.predictor import Predictor
from ncdetect.record import COLUMNS, PARTS, TrackRecord, shares
from ncdetect.ui import examples

CONFIG = DetectorConfig("tiny-resnet", real_below=0.3, fake_above=0.7)  # +-0.85 in log-odds
SHIPPED = ("listener", "tiny")


def track(*rows, corpus="ant"):
    """A record of rows (label, score, and what else differs); each clip is a group of its own."""
    made = []
    for index, (label, score, *rest) in enumerate(rows):
        values = dict.fromkeys(COLUMNS, "") | {"corpus": corpus, "label": label, "score": float(score)}
        values |= {"group": f"clip {index}", "novelty": 0.5, "duration_s": 3.0}
        values |= {"nearest_mean": "fake" if score > 0 else "real"} | dict(*rest)
        values["probability"] = 1 / (1 + np.exp(-values["score"]))
        made.append(values)
    found = TrackRecord(pd.DataFrame(made), CONFIG)
    words = found.verdicts(*(found.rows[name] for name in ("score", "nearest_mean", "novelty")))
    return TrackRecord(found.rows.assign(verdict=words), CONFIG)


def verdict(word, score):
    return SimpleNamespace(verdict=word, score=score)


# -- what is said at an operating point


def test_an_offset_moves_the_odds_and_nothing_else():
    found = track(("real", 0))
    scores, nearest = [-2, -0.5, 0.5, 2, 2, 2], ["real", "real", "fake", "fake", "real", "fake"]
    novelties = [0, 0, 0, 0, 0, 1.1]
    said = {offset: found.verdicts(scores, nearest, novelties, offset).tolist() for offset in (-2, 0, 0.5, 3)}
    assert said[0] == ["real", "undecided", "undecided", "fake", "undecided", "undecided"]
    # Half a nat more: the third is at 1.0, above 0.85.
    assert said[0.5] == ["real", "undecided", "fake", "fake", "undecided", "undecided"]
    # The head now calls all fake; those nearer to the average real voice stay undecided.
    assert said[3] == ["undecided", "undecided", "fake", "fake", "undecided", "undecided"]
    # Two less: the fourth is at exactly a half, which leans to real, and its nearest mean is the fake one;
    # the fifth lies nearer to the real one, but a half decides nothing.
    assert said[-2] == ["real", "real", "undecided", "undecided", "undecided", "undecided"]


def test_rates_are_counted_among_all_clips_of_a_class():
    rows = [("real", score) for score in (-3, -2, -0.5, 2)]
    rows += [("fake", score) for score in (-2, 0.1, 0.2, 3, 3)]
    found = track(*rows).rates()
    assert (found.reals, found.fakes) == (4, 5)
    values = [found.reals_called_fake, found.reals_undecided, found.fakes_called_real, found.fakes_undecided]
    assert [one.value for one in values] == pytest.approx([0.25, 0.25, 0.2, 0.4])
    assert all(one.low <= one.value <= one.high for one in values)
    assert found.said.startswith("4 reals called fake 25 [") and "; 5 fakes called real 20 [" in found.said


def test_more_suspicion_accuses_more_and_misses_less():
    rng = np.random.default_rng(0)
    rows = [("real", score) for score in rng.normal(-1, 1.5, 60)]
    rows += [("fake", score) for score in rng.normal(1, 1.5, 60)]
    swept = track(*rows).sweep(np.linspace(-3, 3, 13))
    accused = [one.reals_called_fake.value for one in swept]
    missed = [one.fakes_called_real.value for one in swept]
    assert accused == sorted(accused) and missed == sorted(missed, reverse=True)
    assert swept[6] == track(*rows).rates()


def test_the_wild_is_a_part_of_its_own():
    home, wild = track(("real", -2), ("fake", 2)), track(("real", 2), ("fake", 2), corpus="wild")
    both = TrackRecord(pd.concat([home.rows, wild.rows]), CONFIG)
    assert [both.rates(part=part).reals_called_fake.value for part in PARTS] == [0, 1]
    assert home.rates(part="wild") is None and home.det("wild") is None
    assert track(("real", -2)).rates() is None


# -- intervals


def test_an_interval_has_the_wider_ends_of_two():
    # Wilson of 0 of 10: up to 3.8416 / 13.8416; a bootstrap alone would say that it cannot be more than 0.
    (none,) = shares(np.zeros((10, 1), bool), np.arange(10).astype(str))
    assert none == pytest.approx((0, 0, 0.27754), abs=1e-4)
    (every,) = shares(np.ones((10, 1), bool), np.arange(10).astype(str))
    assert every == pytest.approx((1, 0.72246, 1), abs=1e-4)
    # 3 of 4: Wilson 0.3006 to 0.9544; of the resamples of four, one in 20 has but one hit, a third has four.
    (most,) = shares(np.array([[1], [1], [1], [0]], bool), np.arange(4).astype(str))
    assert most == pytest.approx((0.75, 0.25, 1.0), abs=1e-4)


def test_clips_of_one_group_are_drawn_together():
    hits = np.repeat([[True], [False]], 50, axis=0)
    (alone,) = shares(hits, np.arange(100).astype(str))
    (grouped,) = shares(hits, np.repeat(["a", "b"], 50))
    assert alone.high - alone.low == pytest.approx(0.2, abs=0.02)
    assert (grouped.low, grouped.high) == (0, 1)


def test_a_group_is_a_generator_of_fakes_and_a_speaker_of_reals():
    rows = [("fake", 1, {"generator": "g", "group": "s"}), ("fake", 1, {"group": "s"})]
    rows += [("real", 1, {"generator": "g", "group": "s"})]
    assert record._groups(track(*rows).rows).tolist() == ["generator g", "speaker s", "speaker s"]


# -- clips like this one


def test_the_nearest_clips_with_the_same_verdict_count():
    rows = [("fake", 1 + 0.01 * index) for index in range(150)] + [("real", 1.005), ("real", 2.3)]
    rows += [("real", -2), ("fake", 0.1)]  # other verdicts
    found = track(*rows).like(verdict("fake", 1.0))
    assert (found.clips, found.right) == (100, 99)
    assert found.nearest == pytest.approx((1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-1.98))))
    assert found.low < 0.99 < found.high
    assert found.sentence.startswith(
        "Of 100 test clips judged likely fake about this surely, 99 were fake (95"
    )
    far = track(*rows).like(verdict("fake", 9.0))
    assert far.right == 99 and far.nearest[1] == pytest.approx(1 / (1 + np.exp(-2.49)))
    with speaking("de"):
        assert "waren 99 künstlich" in track(*rows).like(verdict("fake", 1.0)).sentence


def test_of_undecided_clips_both_kinds_are_told():
    rows = [("real", -0.1)] * 18 + [("fake", 0.2)] * 7
    found = track(*rows).like(verdict("undecided", 0.0))
    assert (found.clips, found.right) == (25, 7)
    assert found.sentence == "Of 25 undecided test clips with a similar score, 18 were real and 7 fake."
    wild = track(*rows, corpus="wild")
    assert wild.like(verdict("undecided", 0.0)) is None
    assert "18 were real and 7 fake" in wild.like(verdict("undecided", 0.0), "wild").sentence


def test_too_few_clips_say_nothing():
    rows = [("real", -2)] * (record.LEAST_LIKE - 1)
    assert track(*rows).like(verdict("real", -2)) is None
    assert track(*rows, ("real", -3)).like(verdict("real", -2)).right == record.LEAST_LIKE


# -- DET


def test_a_det_curve_of_few_clips_is_whole():
    found = track(("real", -1), ("real", 1), ("fake", 0), ("fake", 2)).det()
    assert list(zip(found.fpr, found.fnr, strict=True)) == [(1, 0), (0.5, 0), (0.5, 0.5), (0, 0.5), (0, 1)]


def test_a_long_det_curve_is_thinned_and_still_the_same():
    rng = np.random.default_rng(0)
    rows = [("real", score) for score in rng.normal(-1, 2, 600)]
    rows += [("fake", score) for score in rng.normal(1, 2, 600)]
    found, thin = track(*rows), track(*rows).det()
    labels = (found.rows["label"] == "fake").to_numpy(int)
    full = metrics.det_curve(found.rows["score"], labels)
    assert len(thin.fpr) == record.DET_POINTS < len(full.fpr)
    assert (thin.fpr[0], thin.fnr[0], thin.fpr[-1], thin.fnr[-1]) == (1, 0, 0, 1)
    near = np.abs(thin.fpr - thin.fnr).argmin()
    eer = metrics.eer_roc(found.rows["score"], labels)
    assert (thin.fpr[near] + thin.fnr[near]) / 2 == pytest.approx(eer, abs=0.01)


# -- files


@pytest.fixture
def checkpoint(made_checkpoint, tmp_path):
    return shutil.copytree(made_checkpoint, tmp_path / "made")


def test_the_command_keeps_what_is_said_of_test_clips_and_no_path(made_corpus, checkpoint):
    assert TrackRecord.load(checkpoint) is None
    answer = CliRunner().invoke(
        app, ["record", "--data", str(made_corpus.root), "--checkpoint", str(checkpoint)]
    )
    assert answer.exit_code == 0, answer.output
    found, tests = TrackRecord.load(checkpoint), made_corpus.select(split="eval")
    assert list(found.rows) == list(COLUMNS) and len(found.rows) == len(tests)
    assert set(found.rows["split"]) == {"eval"}
    predictor = Predictor.from_pretrained(checkpoint)
    first = predictor.check(tests.file(tests.clips[0]))
    assert found.rows["score"][0] == first.score and found.rows["verdict"][0] == first.verdict
    assert ".flac" not in found.rows.to_csv() and str(made_corpus.root) not in found.rows.to_csv()


def test_a_record_of_other_weights_or_a_damaged_one_is_not_used(checkpoint, caplog):
    rows = track(("real", -2), ("fake", 2)).rows
    TrackRecord(rows, CONFIG).save(checkpoint, "0" * 64)
    assert TrackRecord.load(checkpoint) is None and "of other weights" in caplog.text
    (checkpoint / record.FILE).write_bytes(b"PAR1 torn")
    assert TrackRecord.load(checkpoint) is None and caplog.text.count("cannot be used") == 2


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_record_agrees_with_the_predictor(name):
    found = TrackRecord.load(CHECKPOINTS / name)
    rows = found.rows
    assert set(rows["split"]) == {"eval"} and {part: len(found.part(part)) for part in PARTS} == {
        "eval": 694,
        "wild": 484,
    }
    said = found.verdicts(rows["score"], rows["nearest_mean"], rows["novelty"])
    assert said.tolist() == rows["verdict"].tolist()
    predictor = Predictor.from_pretrained(name)
    for example in [*examples.examples().values()][:4]:
        told = predictor.check(example.file)
        again = found.verdicts([told.score], [told.nearest_mean], [told.novelty])
        assert again.tolist() == [told.verdict]
        assert all(found.like(told, part) for part in PARTS)
