"""What moved a verdict: the part that is explained, a known reason that must be named, the check by hand."""

import dataclasses

import numpy as np
import pytest
import torch

import media
from ncdetect import audio
from ncdetect.labels import Label
from ncdetect.moments import Part, check, moments_of, most_regions, part_of, spectrogram
from ncdetect.predictor import Window
from test_ui import a_verdict
from whistle import RATE, WHISTLE_HZ, whistle_detector


def windows(*scores):
    """Of a clip, every 1.5 s; None is one that is not judged."""
    return tuple(
        Window(1.5 * i, 1.5 * i + 3, score is not None, score, None if score is None else 0.5)
        for i, score in enumerate(scores)
    )


def whistled(duration_s, start_s, end_s):
    """Speech with a whistle in one stretch."""
    wave = media.speech_like(duration_s)
    span = slice(round(start_s * RATE), round(end_s * RATE))
    wave[span] += media.tone(RATE, duration_s, WHISTLE_HZ, 0.1)[span]
    return wave


def judged(wave, detector, start_s=0.0, end_s=None):
    """The part of a clip that a detector judged, or all of it."""
    end_s = len(wave) / RATE if end_s is None else end_s
    cut = audio.windows(wave[round(start_s * RATE) : round(end_s * RATE)])[1]
    with torch.no_grad():
        score = float(detector(torch.from_numpy(np.ascontiguousarray(cut))).score.mean())
    whole = start_s == 0 and end_s == len(wave) / RATE
    return Part(Label.FAKE, start_s, end_s, score, (True,) * len(cut), whole)


def test_a_short_clip_is_explained_as_a_whole():
    part = part_of(a_verdict(windows=windows(1.0, None, 4.0), probability=0.9))
    assert part == Part(Label.FAKE, 0.0, 6.0, 2.5, (True, False, True), True)


@pytest.mark.parametrize(
    ("probability", "start_s", "score", "kept"),
    [(0.9, 3.0, 3.0, (True, True)), (0.1, 6.0, -4.0, (False, True))],
)
def test_of_a_long_clip_that_part_is_explained_that_speaks_most_for_its_class(
    probability, start_s, score, kept
):
    found = windows(0.0, -1.0, 3.0, 3.0, None, -4.0, 0.0)
    part = part_of(a_verdict(windows=found, probability=probability), most=2)
    assert (part.start_s, part.end_s, part.score) == (start_s, start_s + 4.5, score)
    assert part.judged == kept and not part.whole
    assert part.towards == Label(int(probability > 0.5))


def test_a_stretch_that_was_never_judged_is_not_explained():
    part = part_of(a_verdict(windows=windows(None, None, 2.0), probability=0.1), most=1)
    assert part.start_s == 3.0


@pytest.mark.parametrize(("duration_s", "start_s"), [(1.2, 0.6), (3.0, 2.0), (5.0, 3.6), (7.1, 6.4)])
def test_a_known_reason_is_named_and_passes_the_check(duration_s, start_s):
    detector, wave = whistle_detector(), whistled(duration_s, start_s, start_s + 0.4)
    part = judged(wave, detector)
    found = moments_of(detector, wave, part)
    assert len(found.explanation.curve) == round(duration_s / 0.02)
    start, end = found.regions[0]
    assert start == pytest.approx(start_s, abs=0.15) and end == pytest.approx(start_s + 0.4, abs=0.15)
    # Where no whistle is heard the detector says -0.5.
    one = dataclasses.replace(found, regions=((start_s, start_s + 0.4),))
    test = check(detector, one)
    assert test.named == pytest.approx(part.score + 0.5, rel=0.2)
    assert test.advantage > 0.4 * test.named
    assert not detector.training


def test_a_clip_that_is_repeated_in_its_window_is_explained_once():
    detector, wave = whistle_detector(), whistled(1.4, 0.2, 0.6)
    curve = moments_of(detector, wave, judged(wave, detector)).explanation.curve
    assert len(curve) == 70 and 10 <= curve.argmax() < 30
    assert np.abs(curve[-10:]).max() < 0.2 * curve.max()


def test_of_a_short_clip_fewer_moments_are_named():
    assert [most_regions(seconds) for seconds in (0.3, 2.3, 2.4, 3.5, 3.6, 9.0)] == [1, 1, 2, 2, 3, 3]
    detector, wave = whistle_detector(), whistled(1.2, 0.6, 1.0)
    assert len(moments_of(detector, wave, judged(wave, detector)).regions) == 1


def test_seconds_count_from_the_start_of_the_part():
    detector, wave = whistle_detector(), whistled(12.0, 5.0, 5.4)
    part = judged(wave, detector, 3.0, 9.0)
    found = moments_of(detector, wave, part)
    np.testing.assert_array_equal(found.wave, wave[3 * RATE : 9 * RATE])
    assert found.regions[0][0] == pytest.approx(2.0, abs=0.15)
    assert found.explanation.duration_s == 6.0


def test_a_window_without_a_part_in_the_verdict_has_none_in_the_check():
    detector, wave = whistle_detector(), whistled(4.5, 4.0, 4.4)
    part = dataclasses.replace(judged(wave, detector), judged=(True, False), score=-0.5)
    found = moments_of(detector, wave, part)
    # The first window ends before the whistle: what is covered does nothing there.
    test = check(detector, dataclasses.replace(found, regions=((0.5, 0.9),)))
    assert test.named == pytest.approx(0, abs=0.05)


def test_silence_is_not_named_and_a_flat_curve_names_nothing():
    detector = whistle_detector()
    wave = np.concatenate([whistled(3.0, 1.0, 1.4), np.zeros(3 * RATE, np.float32)])
    found = moments_of(detector, wave, judged(wave, detector))
    curve = found.explanation.curve
    np.testing.assert_allclose(curve[150:], curve[:150].mean(), rtol=1e-5)
    assert all(end <= 3.2 for _, end in found.regions)
    wave = wave[: 3 * RATE]
    assert moments_of(detector, wave, judged(wave, detector)).regions
    detector.head.weight.data *= 0.01
    assert moments_of(detector, wave, judged(wave, detector)).regions == ()


def test_a_tone_is_one_line_of_the_spectrogram():
    wave = media.tone(RATE, 1.0, 1_000, 0.5).astype(np.float32)
    levels = spectrogram(wave)
    assert levels.shape == (80, 101) and levels.min() >= 0 and levels.max() == 1
    inside = levels[:, 10:-10]
    # HTK mel bands evenly from 0 to 2840 mel (8 kHz); 1 kHz is 1000 mel.
    assert (inside.argmax(axis=0) == round(1000 / 2840 * 81) - 1).all()
    assert (inside[60:] == 0).all()
