"""Comparison with a known recording: sentences and pairs by hand; answers, and what goes wrong."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from ncdetect.audio import QualityWarning
from ncdetect.language import speaking
from ncdetect.ui import examples, model, pair, pair_words
from ncdetect.ui.checked import Checked
from ncdetect.ui.pair_words import Heard, Pairs


def heard(word="real", score=0.0, seconds=5.0, band=-20.0, codes=(), place=0.0):
    warnings = tuple(QualityWarning(code, f"It is {code}.") for code in codes)
    verdict = SimpleNamespace(
        verdict=word, score=score, probability=1 / (1 + np.exp(-score)), duration_s=seconds,
        warnings=warnings, distance_real=2.0, distance_fake=4.0,
    )  # fmt: skip
    return Heard(verdict, np.array([place, 0.0], np.float32), band)


def real_example():
    return next(one for one in examples.examples().values() if one.label == "real")


@pytest.fixture(scope="module")
def checked():
    clip = next(one for one in examples.examples().values() if one.label == "fake").file
    return Checked(str(clip), model.predictor().check(clip))


# -- words


@pytest.mark.parametrize(
    ("clip", "known", "sentence"),
    [
        (("real", -3), ("real", -5), "Both sound real to the model."),
        (("fake", 2), ("real", -1), "far more synthetic"),
        (("fake", 1), ("real", -1), "somewhat more synthetic"),
        (("undecided", 0.5), ("real", 0), "about as synthetic"),
        (("undecided", 0.5), ("undecided", 2), "less synthetic"),
        (("fake", 5), ("undecided", 0), "unsure even of the recording that you know"),
        (("real", -3), ("fake", 2), "counts for little"),
        (("fake", 3), ("fake", 2), "counts for little"),
    ],
)
def test_both_verdicts_are_told_in_one_sentence(clip, known, sentence):
    assert sentence in pair_words.together(heard(*clip), heard(*known), 1.0)


def test_a_known_recording_that_passes_makes_a_fake_verdict_weigh_more():
    assert "weighs more" in pair_words.together(heard("fake", 3), heard("real", -3), 1.0)
    assert "weighs more" not in pair_words.together(heard("undecided", 0), heard("real", -3), 1.0)


def test_scores_differ_by_a_factor_of_the_odds():
    # Half a unit of log-odds a unit of score: e^1, e^3, and never more than 1,000.
    assert "2.7 times as high for the clip" in pair_words.odds(heard(score=1), heard(score=-1), 0.5)
    assert "20 times as high for the recording" in pair_words.odds(heard(score=-3), heard(score=3), 0.5)
    assert "1,000 times" in pair_words.odds(heard(score=99), heard(score=0), 0.5)


def test_what_differs_besides_the_voice_is_told_once():
    assert pair_words.unfair(heard(), heard()) == []
    (told,) = pair_words.unfair(heard(seconds=1.5), heard(seconds=6))
    assert told.startswith("The clip lasts 1.5 s, the recording that you know 6.0 s")
    assert pair_words.unfair(heard(seconds=20), heard(seconds=200)) == []  # enough of both
    (told,) = pair_words.unfair(heard(band=-50, codes=["narrow_band"]), heard(band=-20))
    assert told.startswith("The clip has far fewer high tones")
    (told,) = pair_words.unfair(heard(band=-20), heard(band=-36))
    assert told.startswith("The recording that you know has far fewer")
    told = pair_words.unfair(heard(codes=["clipped", "quiet"]), heard(codes=["quiet", "mixed"]))
    assert told == ["Only of the clip: It is clipped.", "Only of the recording that you know: It is mixed."]


# -- pairs


def bank(rows):
    """Of rows (speaker, source, recording, place); all real and known."""
    clips = pd.DataFrame(
        [(speaker, source, recording, "real") for speaker, source, recording, _ in rows],
        columns=["speaker", "generator", "recording", "label"],
    )
    places = np.array([[place, 0.0] for *_, place in rows], np.float32)
    return SimpleNamespace(clips=clips, embeddings=places, known=lambda: np.ones(len(rows), bool))


def test_pairs_are_of_one_speaker_and_of_two_of_one_source():
    known = bank(
        [
            ("ann", "s", "r1", 0.0), ("ann", "s", "r2", 1.0), ("ann", "s", "r2", 9.0),  # r2 twice: no pair
            ("bob", "s", "", 4.0), ("eve", "t", "", 100.0), ("", "s", "", 50.0),
        ]
    )  # fmt: skip
    found = Pairs.of(known, 10)
    assert found.one.tolist() == [1.0, 9.0] and found.two.tolist() == [4.0, 4.0]
    assert found.told_apart == 0.5 and found.nearer(5.0) == (50, 100)
    assert len(Pairs.of(known, 1).one) == 1


def test_without_pairs_only_the_distance_is_told():
    none = Pairs.of(bank([("ann", "s", "", 0.0)]), 10)
    assert np.isnan(none.told_apart)
    assert "The two lie 3.00 apart" in pair_words.distance(3.0, none)


def test_a_pair_never_tells_who_it_is():
    some = Pairs(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.5, 5.0]))
    told = pair_words.distance(2.2, some)
    assert "by one speaker, 50 lie nearer to each other; of 100 pairs by two" in told
    assert "not one person from another" in told and "in about 75 of 100 cases" in told
    assert pair_words.distance(0.0, some) == "To the model these are one and the same recording."


def test_the_shipped_bank_has_pairs():
    found = pair.pairs(model.NAME)
    assert len(found.one) > 300 and len(found.two) > 300
    assert 0.5 < found.told_apart < 0.9 and (np.diff(found.one) >= 0).all()


# -- answers


def test_a_known_recording_is_compared_and_heard_as_by_the_predictor(checked):
    known, sentence = pair.take(str(real_example().file))
    assert sentence == "" and known.verdict.score == model.predictor().check(real_example().file).score
    wanted = np.linalg.norm(model.predictor().bank.means - known.embedding, axis=1)
    assert wanted == pytest.approx([known.verdict.distance_real, known.verdict.distance_fake], abs=1e-3)
    html = pair.compare(known, checked)
    assert "Is it the same person? This does not tell." in html and html.count("nc-distance ") == 4
    assert f'data-verdict="{checked.verdict.verdict}"' in html
    with speaking("de"):
        assert "Die Aufnahme, die Sie kennen" in pair.compare(known, checked)


def test_the_same_recording_is_recognised():
    path = str(real_example().file)
    known, _ = pair.take(path)
    assert "one and the same recording" in pair.compare(known, Checked(path, known.verdict))


def test_nothing_is_compared_where_one_is_missing(checked, tmp_path):
    known, _ = pair.take(str(real_example().file))
    assert pair.take(None) == (None, "")
    assert pair.compare(None, checked) == "" == pair.compare(known, None)
    gone = dataclasses.replace(checked, path=str(tmp_path / "gone.wav"))
    assert "removed here already" in pair.compare(known, gone)
    assert pair.ready(None) == "" and "Compare" in pair.ready(checked)


def test_what_goes_wrong_is_a_sentence(tmp_path, checked, monkeypatch):
    garbage, silent = tmp_path / "<b>.wav", tmp_path / "silent.wav"
    garbage.write_bytes(b"garbage" * 100)
    soundfile.write(silent, np.zeros(32_000), 16_000)
    for file in (garbage, silent):
        found, sentence = pair.take(str(file))
        assert found is None and "nc-pair-note" in sentence and "<b>" not in sentence
    known, _ = pair.take(str(real_example().file))

    def broken():
        raise RuntimeError("<secret>")

    monkeypatch.setattr(model, "predictor", broken)
    for sentence in (pair.take(str(real_example().file))[1], pair.compare(known, checked)):
        assert pair.failed() in sentence and "secret" not in sentence


def test_only_real_voices_are_offered_as_known():
    table = examples.examples()
    assert len(pair.choices()) >= 4
    assert all(table[path].label == "real" for _, path in pair.choices())
