"""What the quiz tells and what it keeps to itself."""

import base64
import json
import re

import numpy as np
import pytest

from ncdetect import audio, quiz
from ncdetect.labels import Label
from ncdetect.language import speaking
from ncdetect.quiz import Answer, Round
from ncdetect.ui import quiz as room
from ncdetect.ui import quiz_hints, quiz_told
from tests.test_quiz import FAKE, REAL, a_clip

CLUES = re.compile(r"real|fake|vocod|synth|piper|espeak|june|carlo|allison|flac|opus|\d{4}", re.I)


@pytest.fixture
def judged(monkeypatch):
    """The model says fake of everything, surely; no model is loaded."""
    monkeypatch.setattr(room, "judge", lambda file: Answer("fake", 0.87))


@pytest.fixture
def started(judged):
    return room.quiz_start({"kind": "hard", "before": None})


def clip_at(started, at):
    return room._rounds[started["round"]].round.clips[at]


def test_a_start_tells_nothing_but_a_token_and_a_number(started):
    assert set(started) == {"round", "clips", "board"} and started["clips"] == 8
    words = re.sub(r"<[^>]+>", " ", started["board"])
    assert not CLUES.search(words)
    boards = {room.quiz_start({"kind": "hard"})["board"] for _ in range(5)}
    assert boards == {started["board"]}  # the same for every round


def test_a_clip_is_its_samples_and_nothing_else(started):
    answer = room.quiz_clip({"round": started["round"], "number": 3})
    assert set(answer) == {"sound"}
    heard = np.frombuffer(base64.b64decode(answer["sound"]), "<i2") / 32_767
    np.testing.assert_allclose(heard, audio.load(clip_at(started, 3).file).wave, atol=1e-4)


def test_the_stage_is_the_same_for_every_clip():
    assert room.page() == room.page()
    assert not re.search(r"flac|opus|assets|june|carlo", room.page(), re.I)


def test_an_answer_tells_the_truth_and_the_last_one_ends_the_round(started):
    for at in range(8):
        label = clip_at(started, at).label
        told = room.quiz_answer({"round": started["round"], "number": at, "answer": "fake"})
        assert ("A real person" in told["reveal"]) == (label is REAL)
        assert ("You said fake: right" in told["reveal"]) == (label is FAKE)
        assert "The model said fake (87 %)" in told["reveal"] and "Licence:" in told["reveal"]
        assert bool(told["end"]) == (at == 7)
        json.dumps(told)
    assert "You recognised 4 of 8" in told["end"] and "in 64 of 100 rounds" in told["end"]


def test_a_second_answer_changes_nothing(started):
    request = {"round": started["round"], "number": 0}
    first = room.quiz_answer(request | {"answer": "real"})
    assert room.quiz_answer(request | {"answer": "fake"}) == first


def test_what_goes_wrong_is_a_sentence(judged, monkeypatch):
    assert room.quiz_clip({"round": "none", "number": 0}) == {
        "error": "This round is no longer here. Start a new one."
    }
    assert room.quiz_start({"kind": "none"}) == {"error": "Something went wrong here. Start a new round."}
    started = room.quiz_start({"kind": "warm-up"})
    for number in (6, -1, "x"):
        assert "error" in room.quiz_answer({"round": started["round"], "number": number, "answer": "real"})
    monkeypatch.setattr(room, "ROUNDS_KEPT", 1)
    room.quiz_start({"kind": "warm-up"})
    assert "no longer here" in room.quiz_clip({"round": started["round"], "number": 0})["error"]


def test_the_next_round_has_other_clips(started):
    again = room.quiz_start({"kind": "hard", "before": started["round"]})
    first, second = (
        {clip.file for clip in room._rounds[one["round"]].round.clips} for one in (started, again)
    )
    assert not first & second


def test_a_clip_that_the_model_cannot_judge_does_not_end_the_round(monkeypatch):
    room.judge.cache_clear()
    monkeypatch.setattr(room.model, "predictor", lambda: 1 / 0)
    assert room.judge(quiz.Path("x.flac")) is None
    room.judge.cache_clear()
    game = Round("hard", (a_clip("a"),))
    game.answer(0, REAL, None)
    assert "could not judge" in quiz_told.reveal(game, 0) and "?" in quiz_told.board(game)


# -- sentences


def ended(answers):
    """A round that is over: whether each clip counts, the visitor's answer, the model's; all are real."""
    game = Round(
        "warm-up", tuple(a_clip(str(at), met=(not fair, False)) for at, (fair, _, _) in enumerate(answers))
    )
    for at, (_, visitor, verdict) in enumerate(answers):
        game.answer(at, visitor, Answer(verdict, 0.6))
    return game


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([(True, REAL, "real"), (True, FAKE, "undecided")], "That is a draw."),
        ([(True, REAL, "fake"), (False, FAKE, "real")], "You are ahead."),
        ([(True, FAKE, "real"), (False, REAL, "fake"), (False, REAL, "fake")], "The model is ahead."),
        ([(False, REAL, "real")], "no clip counts for the model"),
    ],
)
def test_who_is_ahead_is_counted_on_fair_clips(answers, told):
    assert told in quiz_told.against(ended(answers).score())


@pytest.mark.parametrize(
    ("right", "clips", "told"),
    [
        (8, 8, "fewer than 1 of 100 rounds. That was hardly luck"),
        (7, 8, "in 4 of 100 rounds. That was hardly luck"),
        (5, 6, "in 11 of 100 rounds. So it may have been luck"),
        (3, 6, "in 66 of 100 rounds. That is no better than guessing"),
    ],
)
def test_luck_is_said(right, clips, told):
    answers = [(True, REAL if at < right else FAKE, "real") for at in range(clips)]
    assert told in quiz_told.lucky(ended(answers).score())


def test_the_percentage_is_of_the_word_that_is_said():
    real = a_clip("a")
    assert quiz_told.model_said(real, Answer("real", 0.1)) == "The model said real (90 %): right"
    assert quiz_told.model_said(real, Answer("fake", 1.0)) == "The model said fake (99 %): wrong"
    assert "undecided, leaning to fake (62 %)" in quiz_told.model_said(real, Answer("undecided", 0.62))


def test_every_generator_has_its_own_advice_in_both_languages():
    makers = {clip.generator: clip for clip in room.clips() if clip.label is Label.FAKE}
    for language in ("en", "de"):
        with speaking(language):
            said = {name: quiz_hints.hint(clip) for name, clip in makers.items()}
            assert len(set(said.values())) == len(said) - 1  # WORLD goes by two names
            other = quiz_hints.hint(a_clip("a", FAKE, generator="unheard-of"))
            assert other not in said.values()


def test_foreign_text_is_escaped():
    game = Round("hard", (a_clip("a", credit="<b>x</b>", license="<i>"),))
    game.answer(0, REAL, None)
    assert (
        "&lt;b&gt;x" in quiz_told.reveal(game, 0)
        and "<i>" not in quiz_told.reveal(game, 0).split("Credit")[1]
    )
