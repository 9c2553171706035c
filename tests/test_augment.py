import dataclasses

import numpy as np
import pytest
import torch

import media
from ncdetect import augment, rawboost
from ncdetect.augment import DAMAGES, SpecAugment, WaveAugment

WAVES = torch.from_numpy(np.stack([media.speech_like(3.0, seed=seed) for seed in range(4)]))
NOISE = 0.1 * torch.randn(8, 48_000, generator=torch.Generator().manual_seed(0))
QUIET = dict.fromkeys(DAMAGES, 0.0)


def only(name, wave, seed=1):
    """Every clip with one damage."""
    return WaveAugment(**(QUIET | {name: 1.0}))(wave, torch.Generator().manual_seed(seed))


def level_db(wave, low_hz, high_hz):
    """Mean power density in a band, in dB, (B,)."""
    hertz = torch.fft.rfftfreq(wave.shape[1], 1 / 16_000)
    power = torch.fft.rfft(wave).abs().square()
    return 10 * torch.log10(power[:, (hertz >= low_hz) & (hertz < high_hz)].mean(dim=1) + 1e-20)


def snr_db(wave, noisy):
    return 10 * torch.log10(wave.square().mean(dim=1) / (noisy - wave).square().mean(dim=1))


def test_every_share_has_its_damage():
    assert [field.name for field in dataclasses.fields(WaveAugment)] == list(DAMAGES)


def test_shares_of_nothing_change_nothing():
    before = WAVES.clone()
    same = WaveAugment(**QUIET)(WAVES, torch.Generator().manual_seed(1))
    assert torch.equal(same, WAVES) and same.data_ptr() != WAVES.data_ptr()
    WaveAugment()(WAVES, torch.Generator().manual_seed(1))
    assert torch.equal(WAVES, before)


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_seeded_and_changes_every_clip(name):
    once = only(name, WAVES)
    assert torch.equal(once, only(name, WAVES))
    assert name == "mulaw" or not torch.equal(once, only(name, WAVES, seed=2))  # it draws nothing
    assert once.shape == WAVES.shape and torch.isfinite(once).all() and once.abs().max() <= 1
    assert ((once - WAVES).abs().amax(dim=1) > 1e-4).all()


@pytest.mark.parametrize("name", DAMAGES)
def test_silence_stays_finite_and_silent(name):
    assert only(name, torch.zeros(3, 8_000)).abs().max() < 1e-4


def test_everything_at_once_is_seeded_and_keeps_shape_and_dtype():
    every = WaveAugment(**dict.fromkeys(DAMAGES, 1.0))
    for samples in (1, 100, 16_001):
        for dtype in (torch.float32, torch.float64, torch.float16):
            wave = WAVES[:, 8_000 : 8_000 + samples].to(dtype)
            one, two = (every(wave, torch.Generator().manual_seed(3)) for _ in range(2))
            assert one.shape == wave.shape and one.dtype == dtype
            assert torch.isfinite(one).all() and torch.equal(one, two)
    plain = WaveAugment()
    one, two, other = (plain(WAVES, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_a_share_is_the_share_of_the_clips():
    wave = 0.5 * torch.sin(torch.arange(800) * 0.1).repeat(2_000, 1)
    changed = WaveAugment(**(QUIET | {"mulaw": 0.3}))(wave, torch.Generator().manual_seed(1))
    assert (changed != wave).any(dim=1).float().mean() == pytest.approx(0.3, abs=0.03)


def test_speed_moves_the_pitch_by_at_most_an_eighth():
    tone = torch.from_numpy(media.tone(16_000, 3.0, 1_000)).repeat(16, 1)
    hertz = [media.main_hertz(row.numpy()) for row in only("speed", tone)]
    assert 870 < min(hertz) < 950 and 1_050 < max(hertz) < 1_130


def test_band_limits_remove_the_top():
    banded = only("band", NOISE)
    lost = level_db(NOISE, 7_800, 8_000) - level_db(banded, 7_800, 8_000)
    assert (lost > 1).all() and (lost > 20).any()
    assert (level_db(NOISE, 1_000, 3_000) - level_db(banded, 1_000, 3_000)).abs().max() < 0.1
    # 48 dB an octave above, 24 below.
    limited = augment.band_limit(NOISE, 400, 2_000)
    for hertz, expected in ((4_000, 48), (200, 24)):
        lost = level_db(NOISE, 0.99 * hertz, 1.01 * hertz) - level_db(limited, 0.99 * hertz, 1.01 * hertz)
        assert lost.mean() == pytest.approx(expected, abs=0.5)


def test_a_telephone_passes_its_band_only():
    called = only("phone", NOISE)
    voice = level_db(called, 500, 3_000)
    assert (voice - level_db(called, 4_200, 8_000) > 25).all()
    assert (voice - level_db(called, 0, 100) > 10).all()
    assert (level_db(NOISE, 500, 3_000) - voice).abs().max() < 8


def test_tilt_is_a_straight_line_over_octaves():
    gain = level_db_at(only("tilt", NOISE)) - level_db_at(NOISE)
    slopes = torch.diff(gain, dim=0)
    assert slopes.abs().max() <= 4.01 and (slopes > 0.5).any() and (slopes < -0.5).any()
    assert (slopes.std(dim=0) < 0.1).all()


def level_db_at(wave):
    """At 500, 1000, 2000 and 4000 Hz, (4, B)."""
    return torch.stack([level_db(wave, 0.99 * hertz, 1.01 * hertz) for hertz in (500, 1_000, 2_000, 4_000)])


def test_noise_has_its_ratio():
    ratios = torch.cat([snr_db(WAVES, only("noise", WAVES, seed)) for seed in range(8)])
    assert 9.9 < ratios.min() < 20 and 30 < ratios.max() < 40.1
    assert snr_db(WAVES, rawboost.add_noise(WAVES, NOISE[:4], 15)) == pytest.approx(15 * np.ones(4), abs=0.01)
    pink = augment.coloured_noise(NOISE, 0.5)  # 3 dB an octave
    assert (level_db(pink, 500, 1_000) - level_db(pink, 2_000, 4_000)).mean() == pytest.approx(6, abs=0.3)


def test_a_room_has_its_decay_and_its_ratio():
    click = torch.zeros(1, 48_000)
    click[0, 100] = 1
    white = torch.randn(1, augment.TAIL_SAMPLES, generator=torch.Generator().manual_seed(1))
    room = augment.reverberate(click, 0.5, 6.0, white)[0]
    assert room[:100].abs().max() < 1e-5 and room[100] == pytest.approx(1, abs=1e-4)
    tail = room[101:]
    assert 10 * torch.log10(tail.square().sum()) == pytest.approx(-6, abs=0.1)
    energy = [tail[start : start + 800].square().sum() for start in (0, 1_600)]
    assert 10 * torch.log10(energy[0] / energy[1]) == pytest.approx(12, abs=1.5)  # 60 dB in 0.5 s
    assert tail[8_000:].abs().max() < 1e-5  # nothing wraps round


def test_clipping_flattens_the_peaks():
    for before, after in zip(WAVES, only("clip", WAVES), strict=True):
        peak = after.abs().max()
        assert peak.item() == pytest.approx(before.abs().max().item(), rel=1e-4)
        assert (after.abs() > 0.999 * peak).sum() > 10 * (before.abs() > 0.999 * peak).sum()


def test_mu_law_has_255_levels():
    coded = only("mulaw", NOISE)
    assert all(100 < len(row.unique()) <= 255 for row in coded)
    assert (snr_db(NOISE, coded) > 30).all()


def test_codecs_keep_level_and_time():
    coded = only("codec", WAVES.repeat(4, 1))
    for before, after in zip(WAVES.repeat(4, 1), coded, strict=True):
        assert np.corrcoef(before, after)[0, 1] > 0.7
        assert media.rms(after.numpy()) == pytest.approx(media.rms(before.numpy()), rel=0.3)


def test_rawboost_draws_every_mixture():
    mixtures = {only("rawboost", WAVES[:1], seed).sum().item() for seed in range(6)}
    assert len(mixtures) == 6
    peaks = only("rawboost", WAVES).abs().amax(dim=1)
    assert peaks == pytest.approx(WAVES.abs().amax(dim=1).numpy(), rel=1e-4)


def test_rawboost_bends_a_tone():
    tone = torch.from_numpy(media.tone(16_000, 3.0, 700, 1.0)).repeat(16, 1)
    bent = rawboost.convolutive_noise(tone, torch.Generator().manual_seed(1))
    harmonics = torch.fft.rfft(bent).abs()[:, [700 * 3 * k for k in (1, 2, 3, 4, 5)]]
    others = torch.fft.rfft(bent).abs()[:, 2_800:4_100].amax(dim=1)
    assert (harmonics[:, 1:].amax(dim=1) > 50 * others).all()
    assert (harmonics[:, 1:].amax(dim=1) < harmonics[:, 0]).float().mean() > 0.8
    assert bent.mean(dim=1).abs().max() < 1e-5


def test_rawboosts_filters_have_notches_and_no_delay():
    response = rawboost._notches(64, 49_152, torch.Generator().manual_seed(1))
    assert response.shape == (64, 24_577)
    assert response.abs().amax(dim=1) == pytest.approx(np.ones(64), abs=1e-5)
    assert (response.abs().amin(dim=1) < 0.5).all() and (response > 0.9).float().mean() > 0.3


def test_rawboosts_impulses_are_few_and_depend_on_the_signal():
    difference = rawboost.impulsive_noise(NOISE, torch.Generator().manual_seed(1)) - NOISE
    share = (difference != 0).float().mean(dim=1)
    assert share.max() <= 0.105 and share.min() < 0.06 < share.max()
    assert (difference.abs() <= 2 * NOISE.abs() + 1e-6).all() and (difference.abs() > NOISE.abs()).any()


def test_rawboosts_stationary_noise_has_its_ratio():
    noisy = rawboost.stationary_noise(WAVES.repeat(8, 1), torch.Generator().manual_seed(1))
    ratios = snr_db(WAVES.repeat(8, 1), noisy)
    assert 9.9 < ratios.min() < 20 and 30 < ratios.max() < 40.1


def test_spec_augment_masks_a_part():
    torch.manual_seed(0)
    features = torch.randn(16, 80, 301)
    masked = SpecAugment()(features)
    changed = (masked != features).float().mean(dim=(1, 2))
    assert (changed < 0.25).all() and changed.max() > 0.02
