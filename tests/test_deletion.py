"""The deletion test: a known reason passes it, a wrong one does not; masks, places and intervals by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import media
from ncdetect.deletion import Deletion, _elsewhere, deletion, faithfulness
from ncdetect.explain import METHODS, grad_cam, integrated_gradients, occlusion
from ncdetect.labels import Label
from ncdetect.masking import noise_like, share_of
from ncdetect.models import Detector
from whistle import whistle_detector, whistled


@pytest.mark.parametrize("raw", [False, True])
def test_masking_the_reason_undoes_the_verdict_and_masking_elsewhere_does_not(raw):
    detector, wave = whistle_detector(raw), whistled(0.5, 0.9)
    found = occlusion(detector, wave)
    test = deletion(detector, wave, found, [(0.5, 0.9)])
    assert test.named == pytest.approx(found.score + 0.5, rel=0.2)  # back to where no whistle is heard
    assert test.advantage > 0.5 * test.named and test.random_sd > 0
    wrong = deletion(detector, wave, found, [(2.0, 2.4)])
    assert abs(wrong.named) < 0.1 * test.named and wrong.advantage < 0


def test_nothing_is_masked_by_silence():
    class Quietest(nn.Module):
        """Decibels of the quietest tenth of a second."""

        def forward(self, wave):
            power = wave.unflatten(1, (30, -1)).square().mean(dim=2)
            return 10 * power.amin(dim=1, keepdim=True).clamp_min(1e-12).log10()

    detector = Detector(nn.Identity(), Quietest(), 1)
    detector.head.weight.data, detector.head.bias.data = torch.ones(1, 1), torch.zeros(1)
    wave = (0.1 * np.random.default_rng(0).standard_normal(48_000)).astype(np.float32)
    found = occlusion(detector, wave, Label.FAKE)
    assert np.abs(found.curve).max() < 1
    test = deletion(detector, wave, found, [(0.5, 0.9)])
    assert abs(test.named) < 1 and abs(test.random_mean) < 1


def test_for_a_real_the_fall_has_the_other_sign():
    detector, wave = whistle_detector(), whistled(0.5, 0.9)
    found = grad_cam(detector, wave)
    turned = dataclasses.replace(found, towards=Label.REAL)
    one, other = (deletion(detector, wave, each, [(0.5, 0.9)]) for each in (found, turned))
    assert one.named == -other.named and one.random_mean == -other.random_mean
    assert one.random_sd == other.random_sd


def test_the_same_seed_gives_the_same_and_nothing_named_gives_nothing():
    detector, wave = whistle_detector(), whistled(0.5, 0.9)
    found = grad_cam(detector, wave)
    tests = [deletion(detector, wave, found, found.regions(), seed=seed) for seed in (1, 1, 2)]
    assert tests[0] == tests[1] != tests[2]
    assert deletion(detector, wave, found, []) == Deletion(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("regions", "draws"), [([(0.5, 3.2)], 8), ([(-0.1, 0.2)], 8), ([(0.4, 0.4)], 8), ([(0.1, 0.5)], 1)]
)
def test_regions_outside_the_clip_and_too_few_draws_are_told(regions, draws):
    detector, wave = whistle_detector(), whistled(0.5, 0.9)
    with pytest.raises(ValueError, match="allowed: at least 2, from 0 to 3.0 s"):
        deletion(detector, wave, grad_cam(detector, wave), regions, draws)


@pytest.mark.parametrize("method", METHODS)
def test_faithful_explanations_pass_on_every_clip(method):
    clips = [whistled(0.3 * n, 0.3 * n + 0.4, seed=n) for n in range(6)]
    found = faithfulness(whistle_detector(), clips, METHODS[method], count=1)
    assert found.clips == 6 and found.share == (1, 1, 1)
    assert 0.3 < found.advantage.low <= found.advantage.value <= found.advantage.high


def test_an_explanation_that_points_elsewhere_does_not_pass():
    clips = [whistled(0.3 * n, 0.3 * n + 0.4, seed=n) for n in range(6)]

    def turned(detector, wave):
        found = integrated_gradients(detector, wave)
        return dataclasses.replace(found, curve=-found.curve)

    def silent(detector, wave):
        found = integrated_gradients(detector, wave)
        return dataclasses.replace(found, curve=np.zeros_like(found.curve))

    assert faithfulness(whistle_detector(), clips, turned, count=1).share.value < 0.35
    nothing = faithfulness(whistle_detector(), clips, silent)
    assert nothing.share == nothing.advantage == (0, 0, 0)


def test_the_interval_by_groups_is_wider():
    clips = [whistled(0.2 * n, 0.2 * n + 0.4, seed=n // 5) for n in range(10)]

    def half(detector, wave):
        """Right of the first five, wrong of the others: two groups."""
        found = occlusion(detector, wave)
        late = found.times_s[found.curve.argmax()] > 1.1
        return dataclasses.replace(found, curve=-found.curve if late else found.curve)

    alone, grouped = (
        faithfulness(whistle_detector(), clips, half, count=1, groups=groups)
        for groups in (None, np.arange(10) // 5)
    )
    assert alone.share.value == grouped.share.value == pytest.approx(0.5, abs=0.11)
    assert grouped.share.high - grouped.share.low > alone.share.high - alone.share.low
    with pytest.raises(ValueError, match="no clips"):
        faithfulness(whistle_detector(), [], half)


@pytest.mark.parametrize("samples", [48_000, 4_801])
def test_noise_has_the_clips_spectrum_and_level(samples):
    wave = media.speech_like(3.0)[:samples] + 0.1
    noise, other = noise_like(wave, 1), noise_like(wave, 2)
    assert noise.dtype == np.float32 and noise.shape == wave.shape
    np.testing.assert_allclose(np.abs(np.fft.rfft(noise)), np.abs(np.fft.rfft(wave)), rtol=1e-3, atol=0.02)
    assert noise.mean() == pytest.approx(wave.mean(), rel=1e-3)
    assert np.square(noise).mean() == pytest.approx(np.square(wave).mean(), rel=1e-3)
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.2 and abs(np.corrcoef(noise, wave)[0, 1]) < 0.2
    # Speech has pauses, the noise has none.
    tenths = noise[: samples // 10 * 10].reshape(10, -1).std(axis=1)
    assert tenths.min() > 0.4 * tenths.max()


def test_masks_fade_within_their_span():
    np.testing.assert_allclose(share_of([(2, 7)], 10, fade=1), [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0, 0])
    assert share_of([(0, 2), (4, 5)], 6).tolist() == [1, 1, 0, 0, 1, 0]
    assert share_of([(1, 4)], 5, fade=3).tolist() == [0, 0.25, 0.5, 0.25, 0]


def test_random_places_keep_the_sizes_and_reach_everywhere():
    rng = np.random.default_rng(0)
    hit = np.zeros(40)
    for _ in range(2_000):
        spans = _elsewhere([3, 8, 5], 40, rng)
        assert sorted(end - start for start, end in spans) == [3, 5, 8]
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
        assert spans[0][0] >= 0 and spans[-1][1] <= 40
        for start, end in spans:
            hit[start:end] += 1
    assert hit.min() > 0 and hit[10:30].max() < 1.5 * hit[10:30].min()
    assert _elsewhere([40], 40, rng) == [(0, 40)]
