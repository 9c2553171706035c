import warnings

import numpy as np
import pytest
import scipy.fft
import torch
from scipy.signal import get_window, lfilter

import media
from ncdetect._torchaudio import torchaudio
from ncdetect.frontends import FRONT_ENDS, LFCC, MFCC, equalise_level

WAVES = torch.from_numpy(np.stack([media.speech_like(1.0, seed=seed) for seed in range(3)]))
FREQUENCIES = np.linspace(0, 8000, 257)


def triangles(corners):
    return np.stack([np.interp(FREQUENCIES, corners[i : i + 3], [0, 1, 0]) for i in range(len(corners) - 2)])


def mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


LINEAR_FILTERS = triangles(np.linspace(0, 8000, 22))
MEL_FILTERS = triangles(700 * (10 ** (np.linspace(0, mel(8000), 130) / 2595) - 1))


def slopes(rows, reach):
    """Slope of the regression line through each frame and `reach` frames on both sides."""
    padded = np.pad(rows, ((0, 0), (reach, reach)), mode="edge")
    at = np.arange(-reach, reach + 1)
    spans = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    return np.stack([np.polyfit(at, span.T, 1)[0] for span in spans])


def cepstra(wave, filters, window, logarithm, reach):
    """Cepstra and two deltas of one waveform, frame by frame in float64."""
    padded = np.pad(wave, 256, mode="reflect")
    before = (512 - len(window)) // 2
    frames = [padded[start + before :][: len(window)] * window for start in range(0, len(padded) - 511, 160)]
    power = np.abs(np.fft.rfft(frames, 512)) ** 2 @ filters.T
    static = scipy.fft.dct(logarithm(power + 1e-6), type=2, norm="ortho", axis=1).T
    delta = slopes(static, reach)
    return np.concatenate([static, delta, slopes(delta, reach)])


def levelled(wave):
    wave = wave.astype(np.float64) - wave.astype(np.float64).mean()
    return wave * 0.1 / np.sqrt((wave**2).mean())


def test_lfcc_against_numpy():
    wave = lfilter([1, -0.97], 1, levelled(WAVES[0].numpy()))
    reference = cepstra(wave, LINEAR_FILTERS, get_window("hamming", 320), np.log10, reach=1)
    assert reference.shape == (60, 101)
    np.testing.assert_allclose(LFCC()(WAVES[:1])[0].numpy(), reference, atol=1e-3)


def test_mfcc_against_numpy():
    wave = levelled(WAVES[0].numpy())
    reference = cepstra(wave, MEL_FILTERS, get_window("hann", 400), np.log, reach=2)
    assert reference.shape == (384, 101)
    np.testing.assert_allclose(MFCC()(WAVES[:1])[0].numpy(), reference, atol=5e-3)


def test_cepstra_against_torchaudio():
    of_spectrum = {"n_fft": 512, "hop_length": 160}
    wave = equalise_level(WAVES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = torchaudio.transforms.MFCC(
            16_000, 128, log_mels=True, melkwargs=of_spectrum | {"win_length": 400, "n_mels": 128}
        )(wave)
    assert torch.allclose(MFCC()(WAVES)[:, :128], reference, atol=2e-3)
    sharp = torch.cat([wave[:, :1], wave[:, 1:] - 0.97 * wave[:, :-1]], dim=1)
    of_window = {"win_length": 320, "window_fn": torch.hamming_window}
    reference = torchaudio.transforms.LFCC(
        16_000, n_filter=20, n_lfcc=20, log_lf=True, speckwargs=of_spectrum | of_window
    )(sharp)
    assert torch.allclose(LFCC()(WAVES)[:, :20], reference / np.log(10), atol=1e-3)


def test_deltas_by_hand():
    # Three frames of each reach: half the difference of the neighbours, the ends repeated.
    features = LFCC()(WAVES)
    static, delta, double = features.split(20, dim=1)
    assert torch.allclose(delta[:, :, 7], (static[:, :, 8] - static[:, :, 6]) / 2, atol=1e-5)
    assert torch.allclose(delta[:, :, 0], (static[:, :, 1] - static[:, :, 0]) / 2, atol=1e-5)
    assert torch.allclose(double[:, :, 7], (delta[:, :, 8] - delta[:, :, 6]) / 2, atol=1e-5)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_features_do_not_depend_on_level_dc_or_the_other_clips(name):
    front_end = FRONT_ENDS[name]()
    features = front_end(WAVES)
    assert torch.allclose(front_end(0.05 * WAVES + 0.1), features, atol=0.05)
    louder = torch.cat([WAVES[:1], 100 * torch.randn(1, WAVES.shape[1])])
    assert torch.allclose(front_end(louder)[0], features[0], atol=1e-4)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_ends_have_no_weights_and_build_without_warnings(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        front_end = FRONT_ENDS[name]()
    assert not front_end.state_dict() and not list(front_end.parameters())


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("shape", [(48_000,), (1, 256), (1, 1, 48_000)])
def test_every_front_end_names_a_wrong_shape(name, shape):
    with pytest.raises(ValueError, match=r"must have shape \(B, T\)"):
        FRONT_ENDS[name]()(torch.zeros(shape))


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_features_are_float32_under_autocast(name):
    front_end = FRONT_ENDS[name]()
    with torch.autocast("cpu", torch.bfloat16):
        features = front_end(WAVES)
    assert features.dtype == torch.float32 and torch.equal(features, front_end(WAVES))
