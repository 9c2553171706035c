import numpy as np
import pytest
import torch
from scipy.signal import get_window

import media
from ncdetect._torchaudio import torchaudio
from ncdetect.frontends import FRONT_ENDS, LEVEL_RMS, LogMel, equalise_level
from ncdetect.models import MODELS, build_model
from ncdetect.models.base import Dropout
from ncdetect.models.resnet import ResidualBlock

WAVES = torch.from_numpy(np.stack([media.speech_like(3.0, seed=seed) for seed in range(4)]))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "wav2vec2"])  # 94 M: see its own tests
def test_the_contract_of_every_model(name):
    torch.manual_seed(0)
    detector, waves = build_model(name), WAVES[:2]
    output = detector(waves)
    assert output.embedding.shape == (2, detector.embedding_dim) and output.score.shape == (2,)
    assert torch.isfinite(output.embedding).all() and torch.isfinite(output.score).all()
    output.score.square().sum().backward()
    flat = [n for n, p in detector.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not flat
    detector.eval()
    with torch.inference_mode():
        output = detector(waves)
        assert torch.equal(detector.classify(detector.embed(waves)), output.score)
        # One clip alone gives what it gives in a batch.
        assert torch.allclose(detector(waves[:1]).score, output.score[:1], atol=1e-4)
        # Other lengths pass, too: ONNX and streaming rely on it.
        assert detector(waves[:, :20_000]).embedding.shape == (2, detector.embedding_dim)


def test_numbers_of_residual_blocks():
    counts = {
        name: sum(isinstance(m, ResidualBlock) for m in build_model(name).modules())
        for name in ("resnet18b", "tiny-resnet")
    }
    assert counts == {"resnet18b": 18, "tiny-resnet": 9}
    weights = sum(v.numel() * v.element_size() for v in build_model("tiny-resnet").state_dict().values())
    assert weights < 4 * 2**20


def test_a_detector_does_not_hear_level_and_dc():
    detector = build_model("tiny-resnet").eval()
    with torch.inference_mode():
        plain = detector(WAVES).score
        assert torch.allclose(detector(WAVES * 0.05 + 0.1).score, plain, atol=1e-3)


def test_initialisation_is_glorot_uniform():
    torch.manual_seed(0)
    weight = build_model("resnet18b").backbone.blocks[-1].conv2.weight.detach()
    bound = (6 / (2 * 256 * 9)) ** 0.5
    assert weight.abs().max() <= bound and weight.std() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_unknown_model_is_named():
    with pytest.raises(ValueError, match="unknown model 'vgg'; allowed: resnet18b"):
        build_model("vgg")


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_ends_are_finite_on_silence_and_noise(name):
    front_end = FRONT_ENDS[name]()
    for wave in (torch.zeros(2, 48_000), torch.randn(2, 48_000), WAVES):
        features = front_end(wave)
        assert features.ndim == 3 and torch.isfinite(features).all()


def test_log_mel_against_torchaudio():
    reference = torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, hop_length=160, n_mels=80)(WAVES)
    power = LogMel().power(WAVES)
    assert power.shape == (4, 80, 301)
    assert torch.allclose(power, reference, rtol=1e-4, atol=1e-6)


def test_log_mel_by_hand():
    # Frame 10 of the first clip by plain numpy: Hann window, FFT, power, filter bank, logarithm.
    wave = equalise_level(WAVES[:1])[0].numpy().astype(np.float64)
    frame = wave[10 * 160 - 256 : 10 * 160 + 256] * get_window("hann", 512)
    power = np.abs(np.fft.rfft(frame)) ** 2 @ LogMel().filters.numpy()
    assert LogMel()(WAVES[:1])[0, :, 10].numpy() == pytest.approx(np.log(power + 1e-6), abs=1e-3)


def test_level_is_equalised():
    level = equalise_level(3 * WAVES + 0.5)
    assert torch.allclose(level.square().mean(dim=1).sqrt(), torch.tensor(LEVEL_RMS), rtol=1e-3)
    assert torch.allclose(level.mean(dim=1), torch.zeros(4), atol=1e-6)
    assert torch.equal(equalise_level(torch.zeros(1, 100)), torch.zeros(1, 100))


@pytest.mark.parametrize("shape", [(48_000,), (1, 256), (1, 1, 48_000)])
def test_front_end_names_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"must have shape \(B, T\)"):
        LogMel()(torch.zeros(shape))


def test_dropout_keeps_share_expectation_and_layout():
    dropout = Dropout(0.3)
    x = torch.ones(8, 16, 40, 30).to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    dropped = dropout(x)
    assert (dropped == 0).float().mean() == pytest.approx(77 / 256, abs=0.005)
    assert dropped.mean() == pytest.approx(1, abs=0.01)
    assert dropped.is_contiguous(memory_format=torch.channels_last)
    torch.manual_seed(0)
    assert torch.equal(dropout(x), dropped)
    assert dropout.eval()(x) is x
    with pytest.raises(ValueError, match="dropout must be in"):
        Dropout(1.0)
