import numpy as np
import pytest

import media
from ncdetect import codecs
from ncdetect.codecs import CODECS, code

SPEECH = media.speech_like(2.0)
SETTINGS = [
    (name, rate, bit_rate)
    for name, codec in CODECS.items()
    for rate in codec.rates
    for bit_rate in codec.bit_rates
]


def delay(wave, coded):
    """Samples by which the coded waveform correlates best with the first."""
    size = 2 * len(wave)
    both = np.fft.rfft(wave, size).conj() * np.fft.rfft(coded, size)
    best = int(np.fft.irfft(both, size).argmax())
    return best - size if best > size // 2 else best


def share_above(wave, hertz):
    power = np.square(np.abs(np.fft.rfft(wave)))
    return power[np.fft.rfftfreq(len(wave), 1 / 16_000) > hertz].sum() / power.sum()


def test_the_installed_pyav_has_every_codec():
    assert codecs.available() == tuple(CODECS)


@pytest.mark.parametrize(("name", "rate", "bit_rate"), SETTINGS)
def test_every_setting_gives_the_clip_back_changed_and_in_time(name, rate, bit_rate):
    coded = code(SPEECH, name, rate, bit_rate)
    assert coded.shape == SPEECH.shape and coded.dtype == np.float32 and np.isfinite(coded).all()
    assert abs(delay(SPEECH, coded)) <= 16  # a millisecond
    correlation = np.corrcoef(SPEECH, coded)[0, 1]
    assert 0.8 < correlation < 0.99999
    assert media.rms(coded) == pytest.approx(media.rms(SPEECH), rel=0.25)
    assert np.array_equal(coded, code(SPEECH, name, rate, bit_rate))


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("samples", [1, 100, 16_001])
def test_any_length_and_silence(name, samples):
    wave = SPEECH[4_000 : 4_000 + samples]
    assert code(wave, name).shape == (samples,)
    silence = code(np.zeros(samples, np.float32), name)
    assert silence.shape == (samples,) and np.abs(silence).max() < 1e-3


def test_a_codec_at_8_khz_leaves_nothing_above_4_khz():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000).astype(np.float32)
    for name in ("amr-nb", "mulaw", "alaw"):
        assert share_above(code(noise, name), 4_200) < 1e-3 < share_above(code(noise, "g722"), 4_200)


def test_fewer_bits_cost_more():
    for name in ("mp3", "aac", "opus", "amr-nb"):
        low, high = (code(SPEECH, name, bit_rate=pick(CODECS[name].bit_rates)) for pick in (min, max))
        assert media.rms(low - SPEECH) > 1.1 * media.rms(high - SPEECH), name


def test_mu_law_has_the_distortion_of_the_standard():
    # ITU-T G.711: about 38 dB for a tone, whatever its level.
    for level in (0.05, 0.5):
        wave = media.tone(16_000, 2.0, 1_000, level)
        noise = code(wave, "mulaw") - wave
        assert 33 < 20 * np.log10(media.rms(wave) / media.rms(noise)) < 43


def test_beyond_full_scale_is_clipped():
    assert np.abs(code(4 * SPEECH, "mulaw")).max() < 1.3  # a resampler's overshoot


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SPEECH, "gsm"), "unknown codec 'gsm'; allowed: mp3, aac, opus"),
        ((SPEECH, "amr-nb", 16_000), "16000 Hz for amr-nb; allowed: 8000"),
        ((SPEECH, "mp3", 16_000, 1), "1 bit/s for mp3; allowed: 32000, 48000, 64000, 128000"),
        ((SPEECH, "mulaw", 8_000, 64_000), "64000 bit/s for mulaw; allowed: 0"),
        ((SPEECH[:0], "mulaw"), r"shape \(0,\) cannot be coded"),
        ((SPEECH[None], "mulaw"), r"shape \(1, 32000\) cannot be coded"),
        ((np.full(9, np.nan, np.float32), "mulaw"), "cannot be coded"),
    ],
)
def test_mistakes_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        code(*arguments)


def test_a_pyav_without_a_codec_is_told(monkeypatch):
    monkeypatch.setattr(codecs.av, "codecs_available", {"aac", "pcm_mulaw"})
    codecs.available.cache_clear()
    try:
        assert codecs.available() == ("aac", "mulaw")
        with pytest.raises(ValueError, match="built without opus; it has: aac, mulaw"):
            code(SPEECH, "opus")
        assert len(code(SPEECH, "mulaw")) == len(SPEECH)
    finally:
        codecs.available.cache_clear()
