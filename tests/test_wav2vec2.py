"""Detectors on wav2vec 2.0: tiny random ones, and a made folder of weights; nothing is fetched."""

import sys

import pytest
import torch

import ncdetect._torchaudio  # noqa: F401  transformers imports torchaudio by itself
from ncdetect.models.wav2vec2 import wav2vec2

TINY = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def transformers():
    return pytest.importorskip("transformers", reason="the optional package transformers is not installed")


def tiny(**options):
    transformers()
    torch.manual_seed(0)
    return wav2vec2(**{"config": TINY} | options)


def waves(clips=3, samples=8_000):
    return torch.randn(clips, samples, generator=torch.Generator().manual_seed(1)) * 0.1


@pytest.mark.parametrize("kind", [{}, {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}])
def test_the_contract(kind):
    detector = tiny(config=TINY | kind)
    output = detector(waves())
    assert output.embedding.shape == (3, detector.embedding_dim) == (3, 128) and output.score.shape == (3,)
    output.score.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    detector.eval()
    with torch.inference_mode():
        output = detector(waves())
        assert torch.equal(detector.classify(detector.embed(waves())), output.score)
        assert torch.allclose(detector(waves()[:1]).score, output.score[:1], atol=1e-4)
        assert detector(waves(samples=5_000)).embedding.shape == (3, 128)


def test_waves_are_normalised_as_its_own_feature_extractor_does():
    detector = tiny().eval()
    loud = waves() * torch.tensor([[1.0], [0.01], [5.0]]) + 0.2
    extractor = transformers().Wav2Vec2FeatureExtractor(sampling_rate=16_000, do_normalize=True)
    prepared = extractor(list(loud.numpy()), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        wanted = detector.frontend.model(prepared).last_hidden_state
        states = detector.frontend(loud)
        torch.testing.assert_close(states, wanted.transpose(1, 2), atol=1e-4, rtol=1e-4)
        assert detector.frontend(torch.zeros(1, 8_000)).isfinite().all()  # silence
        embedding = detector.backbone(states.mean(dim=2, keepdim=True))
        torch.testing.assert_close(detector(loud).embedding, embedding)


def test_training_drops_no_layer_and_masks_nothing():
    detector = tiny(
        config=TINY | {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    )
    torch.testing.assert_close(detector.frontend(waves()), detector.eval().frontend(waves()))


def test_published_weights_are_read_from_a_folder(tmp_path):
    config = transformers().Wav2Vec2Config(**TINY)  # with masking and layer drop, as published
    published = transformers().Wav2Vec2Model(config).eval()
    published.save_pretrained(tmp_path)
    detector = tiny(weights=tmp_path, config=None)
    assert detector.pretrained == ("frontend.",) and detector.training
    # In training, too, every layer hears everything.
    ours = detector.frontend.model
    assert hasattr(published, "masked_spec_embed") and not hasattr(ours, "masked_spec_embed")
    assert published.config.layerdrop > 0 == ours.config.layerdrop
    normed = (waves() - waves().mean(1, keepdim=True)) / waves().std(1, keepdim=True, correction=0)
    with torch.inference_mode():
        torch.testing.assert_close(
            detector.eval().frontend(waves()), published(normed).last_hidden_state.transpose(1, 2),
            atol=1e-4, rtol=1e-4,
        )  # fmt: skip
    with pytest.raises(ValueError, match="brings its own config"):
        tiny(weights=tmp_path)


def test_a_folder_without_its_weights_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no wav2vec 2.0 as safetensors at"):
        tiny(weights=tmp_path / "nowhere", config=None)
    model = tiny().frontend.model
    model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")  # a pickle does not count
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="no wav2vec 2.0 as safetensors at"):
        tiny(weights=tmp_path, config=None)


def test_weights_of_something_else_are_told(tmp_path):
    model = tiny().frontend.model
    lacking = {name: value for name, value in model.state_dict().items() if "layers.1.attention" not in name}
    model.save_pretrained(tmp_path, state_dict=lacking)
    with pytest.raises(ValueError, match="lacks 8 weights, encoder.layers.1.attention.k_proj.bias first"):
        tiny(weights=tmp_path, config=None)


def test_without_the_package_the_line_to_run_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install 'transformers>=5,<6'"):
        wav2vec2()
