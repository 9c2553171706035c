import numpy as np
import pytest

from media import main_hertz, rms, speech_like, tone, with_ffmpeg, with_soundfile
from ncdetect import audio
from ncdetect.audio import SAMPLE_RATE, Audio, active_windows, load, quality_warnings, windows
from sentences import assert_plain_sentence

pytestmark = pytest.mark.filterwarnings("error")


# The mix


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000])
def test_rates(rate_hz: int):
    clip = load((rate_hz, tone(rate_hz)))
    assert len(clip.wave) == pytest.approx(1.5 * SAMPLE_RATE, abs=1)
    expected = tone(SAMPLE_RATE)[: len(clip.wave)]
    # a resampler rings at the abrupt ends only
    np.testing.assert_allclose(clip.wave[1000:-1000], expected[1000:-1000], atol=2e-4)


def test_sound_at_16_khz_is_left_alone():
    wave = speech_like(1.6)
    np.testing.assert_array_equal(load((SAMPLE_RATE, wave)).wave, wave)


def test_nothing_above_8_khz_folds_back():
    loud = tone(48_000, hertz=10_000) + tone(48_000, level=0.01)
    assert main_hertz(load((48_000, loud)).wave) == 440


def test_samples_beyond_full_scale_scale_the_clip_down():
    wave = speech_like(1.6)
    clip = load((SAMPLE_RATE, wave * 32767))
    assert abs(clip.wave).max() == 1
    np.testing.assert_allclose(clip.wave, wave / abs(wave).max(), atol=1e-6)
    assert clip.clipped_share == 0


def test_channels_are_averaged():
    low, high = tone(48_000, hertz=440), tone(48_000, hertz=880)
    clip = load(with_soundfile(np.stack([low, high], axis=1), 48_000, "WAV", "FLOAT"))
    np.testing.assert_allclose(clip.wave, load((48_000, (low + high) / 2)).wave, atol=1e-6)
    assert clip.channels == 2


@pytest.mark.parametrize("container", ["wav", "mp4"])
def test_six_channels(container: str):
    wave = np.zeros((72_000, 6), np.float32)
    wave[:, 2] = tone(48_000)
    data = (
        with_ffmpeg(wave, 48_000, "mp4", "aac")
        if container == "mp4"
        else with_soundfile(wave, 48_000, "WAV", "PCM_16")
    )
    clip = load(data)
    assert clip.channels == 6
    assert main_hertz(clip.wave) == 440
    assert rms(clip.wave) == pytest.approx(0.5 / 2**0.5 / 6, rel=0.05)


@pytest.mark.parametrize("name", ["array", "wav", "m4a"])
def test_channels_that_cancel_give_the_loudest(name: str):
    quiet = 0.5 * tone(48_000)
    stereo = np.stack([quiet, -quiet * np.float32(1.05)], axis=1)
    if name == "array":
        source = (48_000, stereo)
    elif name == "wav":
        source = with_soundfile(stereo, 48_000, "WAV", "FLOAT")
    else:
        source = with_ffmpeg(stereo, 48_000, "ipod", "alac")
    np.testing.assert_allclose(load(source).wave, load((48_000, stereo[:, 1])).wave, atol=1e-4)


# Windows


@pytest.mark.parametrize(
    ("samples", "length", "hop", "starts"),
    [
        (1, 4, 2, [0]),
        (3, 4, 2, [0]),
        (4, 4, 2, [0]),
        (5, 4, 2, [0]),
        (6, 4, 2, [0, 2]),
        (8, 4, 2, [0, 2, 4]),
        (9, 4, 2, [0, 2, 4]),
        (12, 4, 4, [0, 4, 8]),
        (7, 4, 100, [0]),
        (8, 4, 100, [0, 4]),
        (3, 1, 1, [0, 1, 2]),
        (48_000, 48_000, 24_000, [0]),
        (51_999, 48_000, 24_000, [0]),
        (52_000, 48_000, 24_000, [0, 4_000]),
        (72_000, 48_000, 24_000, [0, 24_000]),
        (75_999, 48_000, 24_000, [0, 24_000]),
        (76_000, 48_000, 24_000, [0, 24_000, 28_000]),
        (96_000, 48_000, 24_000, [0, 24_000, 48_000]),
    ],
)
def test_windows_by_hand(samples: int, length: int, hop: int, starts: list[int]):
    wave = np.arange(1, samples + 1, dtype=np.float32)
    found, cut = windows(wave, length, hop)
    assert found.tolist() == starts
    assert found.dtype == np.int64
    assert cut.dtype == np.float32
    np.testing.assert_array_equal(cut, wave[(found[:, None] + np.arange(length)) % samples])


def test_windows_of_a_minute():
    starts, cut = windows(np.zeros(60 * SAMPLE_RATE, np.float32))
    assert starts.tolist() == list(range(0, 57 * SAMPLE_RATE + 1, 24_000))
    assert cut.shape == (39, 48_000)


def test_windows_are_copies():
    wave = np.zeros(10, np.float32)
    for length in (4, 10):
        _, cut = windows(wave, length, 2)
        cut += 1
        assert not wave.any()


def test_a_short_wave_is_repeated_not_padded():
    _, cut = windows(np.array([1, 2, 3], np.float32), length=8)
    assert cut.tolist() == [[1, 2, 3, 1, 2, 3, 1, 2]]
    assert audio.repeat_to(np.array([1, 2, 3]), 2).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("wave", "length", "hop"),
    [(np.zeros(0), 4, 2), (np.zeros((2, 9)), 4, 2), (np.zeros(9), 0, 2), (np.zeros(9), 4, 0)],
)
def test_windows_refuse(wave: np.ndarray, length: int, hop: int):
    with pytest.raises(ValueError):
        windows(wave, length, hop)


def test_silent_windows_are_left_out():
    noise = 1e-4 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE).astype(np.float32)
    wave = np.concatenate(
        [speech_like(3), noise, noise, speech_like(3, seed=1), np.zeros(48_000, np.float32)]
    )
    starts, cut = windows(wave)
    kept = (starts[active_windows(cut)] / SAMPLE_RATE).tolist()
    #       speech 0-3, noise 3-9, speech 9-12, silence 12-15
    assert kept == [0, 1.5, 7.5, 9, 10.5]


def test_one_window_is_always_kept():
    click = np.zeros(10 * SAMPLE_RATE, np.float32)
    click[5 * SAMPLE_RATE] = 1
    _, cut = windows(click)
    assert active_windows(cut).sum() == 1
    assert active_windows(np.zeros((3, 48_000), np.float32)).all()  # nothing is louder than the rest


def test_frame_levels_by_hand():
    half, quiet = np.full(320, 0.5, np.float32), np.full(320, 0.01, np.float32)
    levels = audio.frame_levels(np.concatenate([half, quiet, np.zeros(320), np.ones(319)]))
    np.testing.assert_allclose(levels, [-6.0206, -40, -120], atol=1e-3)


# Warnings


def lowpassed(wave: np.ndarray, hertz: float) -> np.ndarray:
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) > hertz] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)


def warned() -> dict[str, Audio]:
    """A clip for each warning, which deserves it and no other."""
    speech = speech_like(3)
    silence = np.zeros(8 * SAMPLE_RATE, np.float32)
    wav = with_soundfile(speech, SAMPLE_RATE, "WAV", "PCM_16")
    return {
        "truncated": load(wav[: int(0.8 * len(wav))]),
        "short": load((SAMPLE_RATE, speech[: int(1.4 * SAMPLE_RATE)])),
        "clipped": load((SAMPLE_RATE, np.clip(6 * speech, -1, 1))),
        "quiet": load((SAMPLE_RATE, 0.005 * speech)),
        "narrow_band": load((SAMPLE_RATE, lowpassed(speech, 3400))),
        "mostly_silence": load((SAMPLE_RATE, np.concatenate([silence, speech]))),
    }


def codes(clip: Audio) -> list[str]:
    return [warning.code for warning in quality_warnings(clip)]


def test_every_warning_fires_alone():
    clips = warned()
    assert list(clips) == list(audio._sentences(1, 1))
    assert {code: codes(clip) for code, clip in clips.items()} == {code: [code] for code in clips}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_clean_speech_is_not_warned_about(seed: int, rate_hz: int):
    wave = speech_like(3, rate_hz, seed)
    assert codes(load((rate_hz, wave))) == []
    assert codes(load((rate_hz, 1.9 * wave))) == []  # loud, but not overdriven
    assert codes(load((rate_hz, 0.1 * wave))) == []


def test_warnings_are_plain_sentences():
    for clip in warned().values():
        for warning in quality_warnings(clip):
            assert_plain_sentence(warning.sentence)


def test_warnings_name_the_seconds():
    clips = warned()
    assert "only 1.4 seconds" in quality_warnings(clips["short"])[0].sentence
    assert "the 2.4 seconds" in quality_warnings(clips["truncated"])[0].sentence


def test_telephone_is_recognised_behind_a_better_file():
    telephone = load((8000, speech_like(3, 8000))).wave
    again = load(with_soundfile(telephone, SAMPLE_RATE, "MP3", "MPEG_LAYER_III"))
    assert again.source_rate_hz == SAMPLE_RATE
    assert codes(again) == ["narrow_band"]
    for rate_hz in (8000, 11_025):
        assert codes(load((rate_hz, speech_like(3, rate_hz)))) == ["narrow_band"]


def test_clipping_is_found_at_every_rate_and_in_one_channel():
    for rate_hz in (8000, 44_100):
        wave = speech_like(3, rate_hz)
        stereo = np.stack([wave, np.clip(8 * wave, -1, 1)], axis=1)
        assert "clipped" in codes(load((rate_hz, stereo)))
        ulaw = with_soundfile(stereo, rate_hz, "WAV", "ULAW")
        assert "clipped" in codes(load(ulaw))


def test_clipped_share_by_hand():
    wave = np.tile(np.array([0.0, 1, 1, 1, 1, 0, 0.5, -1, -1, 0], np.float32), 1000)
    # one run of four holds two runs of three; a run of two holds none
    assert load((SAMPLE_RATE, wave)).clipped_share == 0.2
