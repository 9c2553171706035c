"""What speaks for a verdict: hand gradients, completeness, a known reason that must be named, odd input."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import media
from ncdetect.explain import METHODS, Explanation, grad_cam, integrated_gradients, occlusion
from ncdetect.labels import Label
from ncdetect.masking import noise_like
from ncdetect.models import Detector, build_model
from whistle import whistle_detector, whistled

WAVE = media.speech_like(3.0)
ALL = [*METHODS.values(), partial(integrated_gradients, of="wave")]


class Fold(nn.Module):
    """(B, T) -> (B, F, L)."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def forward(self, wave):
        return wave.unflatten(1, (self.rows, -1))


class TwoLayers(nn.Module):
    """A 1 x 1 convolution, ReLU in place, the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.conv.weight.data = torch.tensor([1.0, -2.0]).view(2, 1, 1, 1)
        self.conv.bias.data = torch.tensor([0.5, 0.0])

    def forward(self, features):
        return nn.functional.relu(self.conv(features.unsqueeze(1)), inplace=True).mean(dim=(2, 3))


def two_layers():
    detector = Detector(Fold(4), TwoLayers(), 2)
    detector.head.weight.data = torch.tensor([[3.0, 1.0]])
    detector.head.bias.data = torch.zeros(1)
    return detector.eval()


@pytest.mark.parametrize("towards", list(Label))
def test_grad_cam_against_a_hand_gradient(towards):
    wave = np.random.default_rng(0).standard_normal(24).astype(np.float32)
    found = grad_cam(two_layers(), wave, towards)
    maps = np.stack([wave.reshape(4, 6) + 0.5, -2 * wave.reshape(4, 6)])  # (C, F, L)
    # score = 3 mean(relu(A_0)) + mean(relu(A_1)): where A_k > 0, d score / d A_k = head_k / (F L).
    gradient = np.array([3, 1])[:, None, None] * (maps > 0) / 24
    alpha = gradient.mean(axis=(1, 2))
    sign = 1 if towards == Label.FAKE else -1
    wanted = np.maximum(0, sign * np.einsum("k,kfl->fl", alpha, maps))
    np.testing.assert_allclose(found.map, wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.curve, wanted.mean(axis=0), rtol=1e-5, atol=1e-7)
    assert found.score == pytest.approx((np.array([3, 1]) * np.maximum(maps, 0).mean(axis=(1, 2))).sum())
    assert found.method == "grad-cam" and found.towards == towards


def test_a_map_lies_on_the_picture_that_the_first_convolution_reads():
    torch.manual_seed(0)
    resnet = build_model("tiny-resnet")
    assert grad_cam(resnet, WAVE).map.shape == (80, 301)
    inner = grad_cam(resnet, WAVE, layer="backbone.blocks.4")
    assert inner.map.shape == (80, 301) and not np.allclose(inner.map, grad_cam(resnet, WAVE).map)
    assert grad_cam(build_model("whisper-mesonet"), WAVE).map.shape == (384, 300)
    assert grad_cam(build_model("small-listener"), WAVE).map.shape == (161, 300)


class Square(nn.Module):
    """The mean square of every row over time: a quadratic, of which the midpoint rule is exact."""

    def forward(self, features):
        return features.square().mean(dim=-1)


def test_integrated_gradients_by_hand():
    detector = Detector(Fold(2), Square(), 2)
    detector.head.weight.data, detector.head.bias.data = torch.tensor([[1.0, -4.0]]), torch.tensor([-9.0])
    wave = np.array([1, 2, 6, 0, 1, 5], np.float32)
    found = integrated_gradients(detector, wave, Label.FAKE, steps=1)
    # Row x, which starts from y: (x - y) times the gradient w 2 / 3 (x + y) / 2 = w (x^2 - y^2) / 3.
    x, y = (part.reshape(2, 3).astype(float) for part in (wave, noise_like(wave)))
    wanted = np.array([[1], [-4]]) * (x**2 - y**2) / 3
    np.testing.assert_allclose(found.map, wanted, rtol=1e-5)
    np.testing.assert_allclose(found.curve, wanted.sum(axis=0), rtol=1e-5)
    assert integrated_gradients(detector, wave).towards == Label.REAL  # the score is below 0
    np.testing.assert_allclose(integrated_gradients(detector, wave).map, -wanted, rtol=1e-4)


def test_integrated_gradients_are_complete():
    torch.manual_seed(0)
    detector = build_model("tiny-resnet").eval()
    for block in detector.backbone.blocks:
        nn.init.ones_(block.norm2.weight)
    detector.head.weight.data *= 50
    found = integrated_gradients(detector, WAVE, Label.FAKE, steps=64)
    with torch.inference_mode():
        start = detector(torch.from_numpy(noise_like(WAVE))[None]).score
    difference = found.score - float(start)
    assert abs(difference) > 0.5
    assert found.curve.sum() == pytest.approx(difference, rel=0.03)
    assert found.map.shape == (80, 301) and found.curve == pytest.approx(found.map.sum(axis=0), rel=1e-3)


def test_on_the_waveform_the_path_starts_from_noise_and_frames_last_10_ms():
    detector = Detector(Fold(2), Square(), 2)
    wave = WAVE[:4_000]
    found = integrated_gradients(detector, wave, Label.FAKE, of="wave", steps=1)
    with torch.inference_mode():
        start = float(detector(torch.from_numpy(noise_like(wave))[None]).score)
    assert abs(found.score - start) > 1e-5
    assert found.curve.sum() == pytest.approx(found.score - start, rel=0.01)
    assert found.map is None and len(found.curve) == 25


def test_occlusion_by_hand():
    # Frames of one sample; two are masked at a time, and the next two begin one frame on.
    class Mean(nn.Module):
        def forward(self, features):
            return features.mean(dim=-1)

    detector = Detector(Fold(1), Mean(), 1)
    detector.head.weight.data, detector.head.bias.data = torch.tensor([[10.0]]), torch.zeros(1)
    wave = np.zeros(10, np.float32)
    wave[4] = 10
    found = occlusion(detector, wave, seconds=2 / 16_000)
    # Ten times the mean is the sum: masking frames 3 and 4, say, takes theirs away and adds the noise's.
    lost = wave - noise_like(wave)
    falls = lost[:-1] + lost[1:]
    wanted = [falls[0], *(falls[:-1] + falls[1:]) / 2, falls[-1]]
    np.testing.assert_allclose(found.curve, wanted, rtol=1e-5)
    assert 4 <= found.curve.argmax() <= 5


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("explain", ALL)
@pytest.mark.parametrize("start_s", [0.0, 1.3, 2.5])
def test_the_stretch_that_alone_is_heard_is_named(raw, explain, start_s):
    wave = whistled(start_s, start_s + 0.5)
    found = explain(whistle_detector(raw), wave)
    assert found.towards == Label.FAKE and found.score > 0
    (region,) = found.regions(1, 0.5)
    assert region == pytest.approx((start_s, start_s + 0.5), abs=0.12)
    assert found.duration_s == 3.0 and 0 < found.times_s[0] < found.times_s[-1] < 3
    assert start_s < found.times_s[found.curve.argmax()] < start_s + 0.5
    against = explain(whistle_detector(raw), wave, towards=Label.REAL)
    assert against.score == found.score
    assert not any(start_s + 0.1 < (a + b) / 2 < start_s + 0.4 for a, b in against.regions(2, 0.5))


def explanation(curve, duration_s=1.0):
    return Explanation("made", Label.FAKE, 1.0, duration_s, np.array(curve, np.float32))


def test_regions_by_hand():
    made = explanation([0, 1, 5, 5, 0, 0, 3, 3, 1, 0])
    assert made.regions(1, 0.2) == ((pytest.approx(0.2), pytest.approx(0.4)),)
    np.testing.assert_allclose(made.regions(2, 0.2), [(0.2, 0.4), (0.6, 0.8)])
    # Of those left only (0.8, 1.0) is as long, but no better than the mean of 1.8 a frame.
    assert made.regions(9, 0.2) == made.regions(2, 0.2)
    assert made.regions(1, 5.0) == ()  # the whole clip stands out from nothing
    np.testing.assert_allclose(explanation([-9, -9, -2, -9], 2.0).regions(3, 0.5), [(1.0, 1.5)])
    assert made.times_s == pytest.approx(np.arange(10) / 10 + 0.05)


def test_regions_do_not_overlap_and_get_weaker():
    rng = np.random.default_rng(0)
    for _ in range(50):
        made = explanation(rng.standard_normal(rng.integers(3, 200)), 3.0)
        regions = made.regions(4, rng.uniform(0.05, 1))
        ordered = sorted(regions)
        assert all(a[1] <= b[0] + 1e-9 for a, b in zip(ordered, ordered[1:], strict=False))
        assert all(0 <= start < end <= 3.0 + 1e-9 for start, end in regions)
        frame = 3.0 / len(made.curve)
        values = [made.curve[round(a / frame) : round(b / frame)].mean() for a, b in regions]
        assert values == sorted(values, reverse=True) and all(v > made.curve.mean() for v in values)


def test_a_flat_curve_names_nothing():
    for value in (0.0, 0.1, -0.7, 1e4):
        assert explanation(np.full(301, value)).regions() == ()


@pytest.mark.parametrize(("count", "seconds"), [(0, 0.4), (1, 0.0), (2, -1.0)])
def test_regions_name_what_is_wrong(count, seconds):
    with pytest.raises(ValueError, match="at least 1, more than 0"):
        explanation([1, 2]).regions(count, seconds)


@pytest.mark.parametrize("explain", ALL)
def test_the_detector_is_left_as_it_was(explain):
    detector = build_model("tiny-resnet").train()
    for parameter in detector.backbone.parameters():
        parameter.requires_grad_(False)  # as after training with a frozen part
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with torch.inference_mode():
        found = explain(detector, WAVE)
    assert detector.training and all(module.training for module in detector.modules())
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in detector.modules())
    again = explain(detector.eval(), WAVE)
    np.testing.assert_allclose(found.curve, again.curve, rtol=1e-4, atol=1e-6)
    assert found.score == pytest.approx(
        float(detector(torch.from_numpy(WAVE)[None]).score.detach()), abs=1e-5
    )


@pytest.mark.parametrize("explain", ALL)
@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (WAVE[None], r"shape \(T,\)"),
        (np.zeros(0, np.float32), "not empty"),
        ((WAVE * 30_000).astype(np.int16), "floating point; got int16"),
        (np.where(np.arange(48_000) == 5, np.nan, WAVE), "1 samples are not finite"),
        (WAVE[:100], r"must have shape \(B, T\), T > 256"),
    ],
)
def test_a_clip_that_cannot_be_explained_is_named(explain, wave, message):
    with pytest.raises(ValueError, match=message):
        explain(whistle_detector(), wave)


@pytest.mark.parametrize("explain", ALL)
@pytest.mark.parametrize("samples", [48_000, 5_001])
def test_silence_and_odd_lengths_are_finite(explain, samples):
    for wave in (np.zeros(samples, np.float32), WAVE[:samples]):
        found = explain(build_model("tiny-resnet"), wave)
        assert np.isfinite(found.curve).all() and np.isfinite(found.score)
        assert found.duration_s == samples / 16_000


def test_what_has_no_such_layer_or_domain_is_told():
    plain = Detector(Fold(2), Square(), 2)
    with pytest.raises(ValueError, match="no 2-D convolution; allowed: integrated_gradients, occlusion"):
        grad_cam(plain, WAVE)
    with pytest.raises(ValueError, match="no layer 'conv9' .* allowed: backbone, backbone.conv"):
        grad_cam(two_layers(), WAVE, layer="conv9")
    with pytest.raises(ValueError, match="backbone has an output of another shape"):
        grad_cam(two_layers(), WAVE, layer="backbone")
    deaf = two_layers()
    nn.init.zeros_(deaf.head.weight)
    assert not grad_cam(deaf, WAVE).map.any()
    with pytest.raises(ValueError, match="of 'both', 16 steps; allowed: 'features' or 'wave', at least 1"):
        integrated_gradients(plain, WAVE, of="both")
    with pytest.raises(ValueError, match="0 steps"):
        integrated_gradients(plain, WAVE, steps=0)
    with pytest.raises(ValueError, match="seconds 0; allowed: more than 0"):
        occlusion(plain, WAVE, seconds=0)
