"""Sound that is still coming: the final verdict is the offline one, the rolling ones are of its windows."""

import json
import threading

import numpy as np
import pytest

import media
from ncdetect import audio, streaming
from ncdetect.audio import AudioError
from ncdetect.predictor import Predictor
from ncdetect.streaming import StreamingChecker


@pytest.fixture(scope="module")
def predictor():
    return Predictor.from_pretrained("tiny-resnet")


class Counted:
    """A predictor that remembers what it was asked to judge."""

    def __init__(self, predictor):
        self.predictor, self.asked = predictor, []

    def __getattr__(self, name):
        return getattr(self.predictor, name)

    def embed_windows(self, windows):
        self.asked.append(windows)
        return self.predictor.embed_windows(windows)


def steady(seconds, rate_hz=16_000, seed=0):
    """Sound without pauses, so that every window is judged."""
    wave = np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate_hz)) + media.tone(
        rate_hz, seconds, 300, 0.2
    )
    return np.round(32_000 * np.clip(wave, -1, 1)).astype("<i2")


def chunks(samples, *sizes):
    """Pieces of these sizes in turn."""
    start, turn = 0, 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        yield samples[start : start + size]
        start, turn = start + size, turn + 1


def rolled(checker, pieces):
    found = []
    for piece in pieces:
        checker.add(piece)
        if update := checker.update():
            found.append(update)
    return found


@pytest.mark.parametrize(
    ("rate_hz", "channels", "sample_type"),
    [(48_000, 1, "s16le"), (44_100, 2, "s16le"), (16_000, 1, "f32le"), (8_000, 1, "s16le")],
)
def test_the_final_verdict_is_the_offline_one(predictor, rate_hz, channels, sample_type):
    wave = np.stack([media.speech_like(6.3, rate_hz, seed) for seed in range(channels)], axis=1)
    samples = wave if sample_type == "f32le" else np.round(32_000 * wave).astype("<i2")
    checker = StreamingChecker(predictor, rate_hz, channels, sample_type)
    for piece in chunks(samples.tobytes(), 1, 4097, 30_000):  # within samples and frames, too
        checker.add(piece)
        checker.update()
    assert checker.heard_s == pytest.approx(6.3)
    assert checker.finish() == predictor.check((rate_hz, samples))


def test_before_the_first_window_it_says_how_much_is_wanted(predictor):
    counted = Counted(predictor)
    found = rolled(StreamingChecker(counted, 16_000), chunks(steady(3.0), 1_000))
    assert [one.until_s for one in found] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [one.wanted_s for one in found] == [2.5, 2.0, 1.5, 1.0, 0.5, 0.0]
    assert [one.state for one in found] == ["listening"] * 2 + ["judged"] * 4
    assert [one.preliminary for one in found] == [True] * 5 + [False]
    assert found[0].last is None and found[0].so_far is None
    # What is too short is repeated, as offline.
    expected = np.resize(steady(3.0)[:24_000] / np.float32(32_768), 48_000)
    np.testing.assert_array_equal(counted.asked[0], [expected])


def test_rolling_verdicts_are_those_of_the_sound_so_far_and_no_window_is_judged_twice(predictor):
    samples, counted = steady(8.2), Counted(predictor)
    found = rolled(StreamingChecker(counted, 16_000), chunks(samples, 777))
    windows = np.concatenate(counted.asked)
    assert len(np.unique(windows, axis=0)) == len(windows)
    for one in found:
        so_far = samples[: round(16_000 * one.until_s)]
        last = samples[max(0, len(so_far) - 48_000) : len(so_far)]
        assert one.state == "judged" or one.until_s < 1.5
        for reading, part in ((one.last, last), (one.so_far, so_far)):
            if reading is None:
                continue
            offline = predictor.check((16_000, part))
            assert reading.verdict == offline.verdict and reading.reason == offline.reason
            assert reading.probability == pytest.approx(offline.probability, abs=1e-5)
            assert reading.distance_real == pytest.approx(offline.distance_real, abs=1e-4)
            assert reading.distance_fake == pytest.approx(offline.distance_fake, abs=1e-4)
            assert (reading.nearest_mean, reading.agreement) == (offline.nearest_mean, offline.agreement)
            assert reading.windows == len(offline.windows)
    assert [one.so_far.windows for one in found[5:]] == [1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5]


def test_who_judges_too_slowly_leaves_out_and_never_queues(predictor):
    counted = Counted(predictor)
    checker = StreamingChecker(counted, 16_000)
    checker.add(steady(60.2))
    found = checker.update()
    assert (found.until_s, found.skipped, found.so_far.windows) == (60.0, 119, 1)
    assert checker.update() is None and sum(map(len, counted.asked)) == 1
    checker.add(steady(0.5))
    found = checker.update()
    assert (found.until_s, found.skipped, found.so_far.windows) == (60.5, 119, 2)


def test_one_thread_judges_while_others_add(predictor):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Counted):
        def embed_windows(self, windows):
            begun.set()
            assert go_on.wait(60)
            return super().embed_windows(windows)

    checker, found = StreamingChecker(Slow(predictor), 16_000), []
    checker.add(steady(3.0))
    thread = threading.Thread(target=lambda: found.append(checker.update()))
    thread.start()
    assert begun.wait(60)
    checker.add(steady(2.0))
    assert checker.update() is None and checker.rolling.due
    go_on.set()
    thread.join(60)
    assert (found[0].until_s, found[0].skipped) == (3.0, 5)
    assert (checker.update().until_s, checker.heard_s) == (5.0, 5.0)


def test_a_pause_is_no_verdict_and_has_no_part_in_that_on_all(predictor):
    speech, pause = steady(4.5), np.round(3 * np.random.default_rng(1).normal(size=16_000 * 6)).astype("<i2")
    found = rolled(StreamingChecker(predictor, 16_000), chunks(np.concatenate([speech, pause]), 8_000))
    by_end = {one.until_s: one for one in found}
    assert by_end[4.5].state == "judged" and by_end[8.0].state == "quiet" and by_end[8.0].last is None
    assert by_end[8.0].level_dbfs < -60 < -20 < by_end[4.5].level_dbfs
    # The window from 3 s still holds 1.5 s of speech; those behind it do not.
    assert by_end[10.5].so_far.windows == 3


def test_noise_that_was_judged_before_anybody_spoke_is_forgotten_when_somebody_does(predictor):
    room = np.round(230 * np.random.default_rng(1).normal(size=16_000 * 3)).astype("<i2")  # -43 dBFS
    voice = np.round(32_000 * media.tone(16_000, 4.5, 300, 0.97)).astype("<i2")  # 40 dB above it
    found = rolled(StreamingChecker(predictor, 16_000), chunks(np.concatenate([room, voice]), 8_000))
    assert found[5].so_far.windows == 1
    offline = predictor.check((16_000, np.concatenate([room, voice])))
    assert [window.judged for window in offline.windows] == [False, True, True, True]
    assert found[-1].so_far.windows == 3
    quiet = rolled(StreamingChecker(predictor, 16_000), chunks(room // 8, 8_000))
    assert {one.state for one in quiet[2:]} == {"quiet"} and quiet[-1].so_far is None


def test_silence_is_quiet_and_in_the_end_refused(predictor):
    checker = StreamingChecker(predictor, 16_000)
    found = rolled(checker, chunks(np.zeros(64_000, "<i2"), 8_000))
    assert found[-1].state == "quiet" and found[-1].level_dbfs == pytest.approx(-120)
    with pytest.raises(AudioError, match="silent"):
        checker.finish()


def test_what_is_beyond_full_scale_is_scaled_down_as_offline(predictor):
    samples, counted = np.float32(1.6 / 0.5) * media.speech_like(3.0), Counted(predictor)
    rolled(StreamingChecker(counted, 16_000, 1, "f32le"), [samples])
    np.testing.assert_allclose(counted.asked[0], [audio.load((16_000, samples)).wave], rtol=1e-6)


def test_a_rolling_verdict_is_json(predictor):
    (found,) = rolled(StreamingChecker(predictor, 16_000), [steady(3.0)])
    told = json.loads(json.dumps(found.to_dict()))
    assert told["last"]["verdict"] == found.last.verdict and told["preliminary"] is False


@pytest.mark.parametrize(
    ("options", "code"),
    [({"rate_hz": 100}, "sample_rate"), ({"rate_hz": 16_000, "channels": 9}, "channels")],
)
def test_what_cannot_be_judged_is_refused_at_once(predictor, options, code):
    with pytest.raises(AudioError) as raised:
        StreamingChecker(predictor, **options)
    assert raised.value.code == code


def test_unknown_samples_are_refused(predictor):
    with pytest.raises(ValueError, match="'mp3'; allowed: s16le, f32le"):
        StreamingChecker(predictor, 16_000, 1, "mp3")
    with pytest.raises(ValueError, match="float64; allowed: int16"):
        StreamingChecker(predictor, 16_000).add(np.zeros(3))


def test_no_number_and_too_much_are_refused_when_they_come(predictor):
    checker = StreamingChecker(predictor, 16_000, 1, "f32le")
    with pytest.raises(AudioError) as raised:
        checker.add(np.array([0.1, np.nan], np.float32))
    assert raised.value.code == "not_finite"
    checker = StreamingChecker(predictor, 16_000, longest_s=1)
    checker.add(steady(1.0))
    with pytest.raises(AudioError) as raised:
        checker.add(steady(0.1))
    assert raised.value.code == "too_long"


def test_memory_stays_bounded_beside_the_samples_themselves(predictor):
    checker = StreamingChecker(Counted(predictor), 16_000)
    for _ in range(20):
        checker.add(steady(1.0))
    assert len(checker.rolling._ear.tail) == streaming._KEPT_SAMPLES < 6 * audio.SAMPLE_RATE
