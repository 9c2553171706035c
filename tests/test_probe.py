"""The probe: what is done to a clip, which part of a long one, and what a change is called."""

import numpy as np
import pytest

import media
from ncdetect import audio, probe
from ncdetect.predictor import Predictor, Window
from ncdetect.robustness import NONE, as_audio, damages

RATE = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def tiny():
    return Predictor.from_pretrained("tiny")


def test_a_clip_is_judged_as_it_is_and_after_each_damage(tiny):
    wave = media.speech_like(4.0, seed=3)
    found = list(probe.probe(tiny, wave))
    assert [one.damage for one in found] == [NONE, *probe.DAMAGES]
    for one in found:
        assert one.verdict == tiny.judge(as_audio(one.wave)), one.damage
        if one.damage in damages():
            wanted = damages()[one.damage](wave, probe.SEED)
            np.testing.assert_array_equal(one.wave, wanted / max(1, np.abs(wanted).max()), one.damage)
    assert found[0].verdict == tiny.check((RATE, wave))
    np.testing.assert_array_equal(np.concatenate([one.wave for one in found[-2:]]), wave)


def test_the_first_answer_does_not_wait_for_the_last(tiny, monkeypatch):
    judged = []
    judge = tiny.judge
    monkeypatch.setattr(tiny, "judge", lambda clip: judged.append(clip) or judge(clip))
    assert next(probe.probe(tiny, media.speech_like(1.0, seed=3))).damage == NONE and len(judged) == 1


def test_every_damage_is_one_that_was_measured():
    assert set(probe.DAMAGES) - {probe.FIRST, probe.SECOND} < set(damages())


def test_only_halves_with_enough_sound_are_judged(tiny):
    tone = media.tone(RATE, 3.0, 440, 0.5)
    assert list(probe.halves_of(tone)) == [probe.FIRST, probe.SECOND]
    assert list(probe.halves_of(tone[:-640])) == []  # 20 ms less in each half
    # 36 dB below the loudest is not sound, whatever fills the second half.
    quiet = np.concatenate([tone, tone * np.float32(10 ** (-36 / 20))])
    assert list(probe.halves_of(quiet)) == [probe.FIRST]
    short = [one.damage for one in probe.probe(tiny, media.speech_like(2.0, seed=3))]
    assert short == [NONE, *probe.DAMAGES[:5]]


def windows(*scores):
    return [Window(1.5 * i, 1.5 * i + 3, s is not None, s, None) for i, s in enumerate(scores)]


def test_of_a_long_clip_the_part_nearest_to_the_whole_is_probed():
    # The mean of all is 1. Runs of two have the means 0.5, 2.5, 2 and -1: the first is nearest.
    assert probe.part_of(windows(0, 1, 4, 0, -2, 3), most=2) == (0, 4.5)
    # The mean of the judged is 2; of runs of two: 4, 4, nothing, 0, 1.
    assert probe.part_of(windows(4, None, None, 0, 2), most=2) == (4.5, 9)
    assert probe.part_of(windows(*[1] * 8)) == (0, 12)  # of equal ones the first
    assert probe.part_of(windows(*[1] * 7)) is None and probe.part_of(windows(1)) is None


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("real", "real", "holds"),
        ("undecided", "undecided", "holds"),
        ("fake", "undecided", "opens"),
        ("fake", "real", "flips"),
        ("real", "fake", "flips"),
        ("undecided", "real", "decides"),
    ],
)
def test_a_change_to_undecided_is_no_flip(before, after, what):
    assert probe.change(before, after) == what
