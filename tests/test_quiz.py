"""Rounds of the quiz: what is drawn, how it is scored, and what the model is said to have met."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from ncdetect import quiz
from ncdetect.labels import Label
from ncdetect.quiz import EXAMPLES, KINDS, PRACTICE, Answer, Clip, Round
from ncdetect.ui import model

ASSETS = Path(quiz.__file__).parents[1] / "assets"
REAL, FAKE = Label.REAL, Label.FAKE


def a_clip(name, label=REAL, met=(False, False), **values):
    standard = {
        "source": PRACTICE, "kind": "voices", "generator": "g", "speaker": "s", "recording": name,
        "language": "en", "credit": "c", "license": "l",
    }  # fmt: skip
    return Clip(Path(name), label, **(standard | values), speaker_met=met[0], generator_met=met[1])


@pytest.fixture(scope="module")
def clips():
    return quiz.read_clips(ASSETS, model.CHECKPOINTS / model.NAME / "bank.parquet")


# -- luck and score, by hand


@pytest.mark.parametrize(
    ("right", "of", "share"),
    [(6, 6, 1 / 64), (5, 6, 7 / 64), (0, 6, 1), (3, 6, 42 / 64), (0, 0, 1), (8, 8, 1 / 256)],
)
def test_luck_is_the_share_of_coins_that_do_as_well(right, of, share):
    assert quiz.luck(right, of) == pytest.approx(share)


def test_more_right_than_clips_is_refused():
    with pytest.raises(ValueError, match="3 of 2"):
        quiz.luck(3, 2)


def test_the_model_is_judged_on_what_it_never_met_alone():
    clips = (
        a_clip("new real"), a_clip("met speaker", met=(True, False)),
        a_clip("met maker", FAKE, (False, True)), a_clip("new fake", FAKE), a_clip("another"),
        a_clip("failed", FAKE),
    )  # fmt: skip
    game = Round("warm-up", clips)
    given = [
        (REAL, Answer("fake", 0.9)),  # the visitor right, the model wrong
        (FAKE, Answer("fake", 0.9)),  # both wrong, but the model knew the speaker
        (FAKE, Answer("fake", 0.9)),  # both right, but it knew the maker
        (REAL, Answer("fake", 0.8)),  # wrong, right
        (REAL, Answer("undecided", 0.6)),
        (FAKE, None),
    ]
    for at, (visitor, said) in enumerate(given):
        assert not game.over
        game.answer(at, visitor, said)
    assert game.over
    score = game.score()
    assert (score.answered, score.right) == (6, 4)
    assert (score.fair, score.fair_right) == (3, 2)
    assert (score.model_right, score.model_wrong, score.model_undecided) == (1, 1, 1)


def test_the_first_answer_stays_and_others_are_refused():
    game = Round("hard", (a_clip("a"),))
    game.answer(0, REAL, None)
    game.answer(0, FAKE, Answer("fake", 0.9))
    assert game.visitor == {0: REAL} and game.model == {0: None}
    for number in (1, -1):
        with pytest.raises(IndexError, match="has 1 clips"):
            game.answer(number, REAL, None)


# -- drawing


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_is_balanced_and_nothing_but_the_voice_tells(clips, kind):
    for seed in range(40):
        drawn = quiz.draw(clips, kind, seed).clips
        assert len(drawn) == 2 * KINDS[kind].pairs == len({clip.file for clip in drawn})
        assert len({clip.recording for clip in drawn}) == len(drawn)
        cells = [(clip.source, clip.language, clip.speaker if kind == "hard" else "") for clip in drawn]
        by_label = [
            Counter(c for c, clip in zip(cells, drawn, strict=True) if clip.label is label) for label in Label
        ]
        assert by_label[REAL] == by_label[FAKE] and set(by_label[REAL].values()) == {1}
        assert any(clip.source == EXAMPLES for clip in drawn)
        assert {clip.kind for clip in drawn if clip.label is FAKE} == set(KINDS[kind].kinds)


def test_a_seed_gives_one_round_and_seeds_give_many(clips):
    assert quiz.draw(clips, "hard", 7) == quiz.draw(clips[::-1], "hard", 7)
    orders = {tuple(clip.label for clip in quiz.draw(clips, "warm-up", seed).clips) for seed in range(40)}
    assert len(orders) > 10  # of 20: the order tells nothing


def test_heard_clips_do_not_come_again(clips):
    heard = set()
    for seed in range(8):
        drawn = {clip.file for clip in quiz.draw(clips, "hard", seed, heard).clips}
        assert not drawn & heard
        heard |= drawn


def test_clips_come_again_where_there_are_no_others():
    pool = [
        a_clip(f"{language}-{label.word}", label, language=language) for language in "abc" for label in Label
    ]
    drawn = quiz.draw(pool, "warm-up", 0)
    again = quiz.draw(pool, "warm-up", 1, [clip.file for clip in drawn.clips])
    assert {clip.file for clip in again.clips} == {clip.file for clip in pool}


def test_too_few_pairs_and_unknown_kinds_are_refused():
    pool = [a_clip("a"), a_clip("b", FAKE), a_clip("c", language="de"), a_clip("c", FAKE, language="de")]
    with pytest.raises(ValueError, match="for 1 pairs, 3 are needed"):  # the German ones say the same
        quiz.draw(pool, "warm-up", 0)
    with pytest.raises(ValueError, match="unknown kind of round 'x'; allowed: warm-up, hard"):
        quiz.draw(pool, "x", 0)


# -- what the clips are


def test_the_pool_says_what_the_model_has_met(clips):
    by_maker = {clip.generator: clip.generator_met for clip in clips}
    assert by_maker["piper-vits-joe"] is by_maker["world-dio"] is by_maker["rhvoice"] is False
    assert by_maker["espeak-ng"] is by_maker["griffinlim-mel80"] is True
    assert by_maker["festival-clunits"] is by_maker["lpc-pulse"] is True  # by their family's name
    by_speaker = {clip.speaker: clip.speaker_met for clip in clips if clip.label is REAL}
    assert by_speaker["allison-smith"] and not by_speaker["june-wallack"] and not by_speaker["carlo-flora"]
    assert all(clip.file.is_file() and clip.license and clip.credit for clip in clips)
    with (ASSETS / "examples" / "examples.csv").open(encoding="utf-8") as stream:
        spliced = {row["path"] for row in csv.DictReader(stream) if row["group"] == "spliced"}
    assert spliced and not spliced & {clip.file.name for clip in clips}
    assert not [clip for clip in clips if clip.source == PRACTICE and clip.generator in quiz.LEFT_OUT]


def test_folders_that_are_not_there_have_no_clips(tmp_path):
    assert quiz.read_clips(tmp_path, model.CHECKPOINTS / model.NAME / "bank.parquet") == []
