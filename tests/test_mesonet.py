"""Whisper beside MFCC before MesoInception-4: references, hand-worked shapes, the published weights."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import media
from ncdetect import training
from ncdetect._torchaudio import torchaudio
from ncdetect.checkpoint import as_stored
from ncdetect.frontends import equalise_level
from ncdetect.loading import Batch
from ncdetect.losses import LOSSES
from ncdetect.models import build_model, mesonet
from ncdetect.models.heads import CosineHead
from ncdetect.models.mesonet import Inception, WhisperAndMFCC, WideDeltaMFCC

WAVES = torch.from_numpy(np.stack([media.speech_like(3.0, seed=seed) for seed in range(2)]))
SHARED = Path(__file__).resolve().parents[2] / "shared" / "weights"


@pytest.fixture(scope="module")
def front():
    torch.manual_seed(0)
    return WhisperAndMFCC().eval()


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_mfcc_and_wide_deltas_against_torchaudio():
    transform = torchaudio.transforms.MFCC(
        16_000, n_mfcc=128, melkwargs={"n_fft": 512, "win_length": 400, "hop_length": 160}
    )
    deltas = torchaudio.transforms.ComputeDeltas(win_length=400, mode="replicate")
    found = WideDeltaMFCC()(WAVES)
    for clip, own in zip(WAVES, found, strict=True):
        cepstrum = transform(clip)
        wanted = torch.cat([cepstrum, deltas(cepstrum), deltas(deltas(cepstrum))])
        assert own.shape == (384, 301)
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-3)


def test_a_clips_mfcc_do_not_depend_on_the_batch():
    # 73 dB quieter: most of it would lie below the floor of the other clip.
    both = torch.stack([WAVES[0], WAVES[1] * 5e-8**0.5])
    torch.testing.assert_close(WideDeltaMFCC()(both)[1:], WideDeltaMFCC()(both[1:]), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("samples", "frames"), [(48_000, 300), (20_000, 125), (5_120, 32)])
def test_the_pictures_have_one_size_and_the_encoder_stands_twice_in_a_row(front, samples, frames):
    wave = WAVES[:, :samples]
    with torch.inference_mode():
        features = front(wave)
        heard = front.heard(equalise_level(wave)).transpose(1, 2)
        mfcc = front.mfcc(equalise_level(wave))
    assert features.shape == (2, 768, frames)
    half = heard.shape[2]
    assert half == -(-frames // 2)
    assert torch.equal(features[:, :384, :half], heard)
    assert torch.equal(features[:, :384, half:], heard[..., : frames - half])
    assert torch.equal(features[:, 384:], mfcc[..., :frames])


def test_the_last_normalisation_is_not_left_out(front):
    heard = front.heard(WAVES).detach()
    np.testing.assert_allclose(heard.mean(dim=2), 0, atol=1e-5)
    np.testing.assert_allclose(heard.std(dim=2, unbiased=False), 1, atol=1e-3)


def test_level_and_dc_are_not_heard(front):
    with torch.inference_mode():
        torch.testing.assert_close(front(WAVES * 0.05 + 0.1), front(WAVES), atol=0.05, rtol=0.01)


@pytest.mark.parametrize("shape", [(48_000,), (1, 5_119), (1, 1, 48_000)])
def test_a_wrong_shape_is_named(front, shape):
    with pytest.raises(ValueError, match=r"shape \(B, T\), T >= 5120 samples"):
        front(torch.zeros(shape))


def test_the_branches_look_one_two_and_three_steps_around():
    inception = Inception(1, (1, 1, 1, 1))
    for weight in inception.branches.parameters():
        torch.nn.init.ones_(weight)
    impulse = torch.zeros(1, 1, 9, 9)
    impulse[0, 0, 4, 4] = 1
    for reach, branch in enumerate(inception.branches):
        rows, columns = branch(impulse)[0, 0].nonzero().T
        steps = sorted({4 - reach, 4, 4 + reach})
        assert sorted(set(rows.tolist())) == steps and sorted(set(columns.tolist())) == steps
        assert len(rows) == len(steps) ** 2
    assert inception(torch.zeros(2, 1, 12, 10)).shape == (2, 4, 6, 5)


def test_the_size_of_mesoinception_by_hand():
    backbone = build_model("whisper-mesonet").backbone
    first = 2 * 1 + (2 * 4 + 4 * 4 * 9) * 2 + 2 * 2 + 2 * 2 * 9
    second = 11 * 2 + (11 * 4 + 4 * 4 * 9) * 2 + 11 * 2 + 2 * 2 * 9
    norms = 2 * (11 + 12 + 16)  # one of 16 channels for both convolutions
    assert sum(p.numel() for p in backbone.parameters()) == first + second + norms + (12 + 16) * 16 * 25
    features = torch.randn(2, 768, 300)
    assert backbone.convolutions(features.unflatten(1, (2, 384))).shape == (2, 16, 12, 9)
    assert backbone(features).shape == (2, 1024)


def test_the_heads():
    plain, one_class = build_model("whisper-mesonet"), build_model("whisper-mesonet-oc")
    assert isinstance(plain.head, torch.nn.Linear) and plain.loss == "bce" and not plain.separate
    assert isinstance(one_class.head, CosineHead) and one_class.loss == "oc-softmax"
    names = [name for name, _ in one_class.named_parameters() if name.startswith(one_class.separate)]
    assert names == ["head.centre"]


def test_stored_in_half_precision_it_says_the_same():
    detector = build_model("whisper-mesonet").eval()
    with torch.inference_mode():
        before = detector(WAVES).score
        as_stored(detector)
        torch.testing.assert_close(detector(WAVES).score, before, atol=0.02, rtol=0.02)
    assert detector.stored == "float16"


def published(folder, name, prefix):
    """A file of weights with names as published, drawn at random."""
    generator = torch.Generator().manual_seed(1)
    reference = WhisperAndMFCC()
    state = reference.encoder.state_dict() | {
        f"layer_norm.{kind}": value for kind, value in reference.layer_norm.state_dict().items()
    }
    weights = {n: torch.randn(v.shape, generator=generator).half() for n, v in state.items()}
    extra = {"embed_positions.weight": torch.zeros(1500, 384)}
    save_file({prefix + n: v for n, v in (weights | extra).items()}, folder / name)
    return weights


def holds(detector, weights):
    front = detector.frontend
    own = front.encoder.state_dict() | {
        f"layer_norm.{k}": v for k, v in front.layer_norm.state_dict().items()
    }
    return all(torch.equal(own[name], value.float()) for name, value in weights.items())


@pytest.mark.parametrize(
    ("name", "prefix"), [(mesonet.WEIGHT_FILES[0], ""), (mesonet.WEIGHT_FILES[1], "model.encoder.")]
)
def test_published_weights_are_read_from_a_folder(tmp_path, name, prefix):
    weights = published(tmp_path, name, prefix)
    detector = build_model("whisper-mesonet")
    mesonet.load_encoder(detector, tmp_path)
    assert holds(detector, weights)
    with pytest.raises(FileNotFoundError, match=r"there is no whisper-tiny.en-encoder.safetensors or model"):
        mesonet.load_encoder(detector, tmp_path / "elsewhere")


def test_without_a_folder_the_hub_is_asked(tmp_path, monkeypatch):
    weights = published(tmp_path, "model.safetensors", "model.encoder.")
    asked = []
    monkeypatch.setattr(
        mesonet, "hf_hub_download", lambda *names: asked.append(names) or str(tmp_path / names[1])
    )
    detector = build_model("whisper-mesonet")
    mesonet.load_encoder(detector)
    assert asked == [("openai/whisper-tiny.en", "model.safetensors")] and holds(detector, weights)


def test_the_shared_weights_are_read():
    file = SHARED / mesonet.WEIGHT_FILES[0]
    if not file.is_file():
        pytest.skip("../shared/weights is not beside this checkout")
    detector = build_model("whisper-mesonet-oc")
    mesonet.load_encoder(detector, SHARED)
    weights = load_file(file)
    weights.pop("embed_positions.weight")
    assert holds(detector, weights)


def test_the_encoder_is_that_of_transformers(front):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.WhisperConfig(
        d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, decoder_layers=1
    )
    torch.manual_seed(0)
    reference = transformers.models.whisper.modeling_whisper.WhisperEncoder(config).eval()
    own = WhisperAndMFCC().eval()
    state = reference.state_dict()
    own.layer_norm.load_state_dict({k: state.pop(f"layer_norm.{k}") for k in ("weight", "bias")})
    torch.testing.assert_close(own.encoder.positions, state.pop("embed_positions.weight"))
    own.encoder.load_state_dict(state)
    wave = WAVES[:1].repeat(1, 10)  # transformers takes 30 s and nothing else
    mel = transformers.WhisperFeatureExtractor()(wave[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        wanted = reference(mel["input_features"]).last_hidden_state
        torch.testing.assert_close(own.heard(wave), wanted, atol=2e-3, rtol=1e-3)


class Batches:
    """The same few clips in every epoch, as both train and dev."""

    def __init__(self):
        self.batch = Batch(WAVES[:, :8_000].repeat(2, 1), torch.tensor([0, 1, 0, 1]), torch.arange(4))

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([self.batch])


def test_the_encoder_rests_in_the_first_stage_and_learns_in_the_second(tmp_path):
    torch.manual_seed(0)
    detector = build_model("whisper-mesonet-oc")
    stages = [training.Recipe(**stage) for stage in mesonet.STAGES]
    assert [stage.epochs for stage in stages] == [5, 15]  # the poster's

    def copy():
        return {name: value.detach().clone() for name, value in detector.named_parameters()}

    for number, stage in enumerate(stages):
        before, batches = copy(), Batches()
        recipe = dataclasses.replace(stage, epochs=1, precision="32-true")
        training.fit(
            detector, lambda epoch, batches=batches: batches, batches, batches, recipe,
            tmp_path / str(number), loss=LOSSES[detector.loss],
        )  # fmt: skip
        moved = {name for name, value in copy().items() if not torch.equal(value, before[name])}
        encoder = {name for name in before if name.startswith(detector.pretrained)}
        assert bool(moved & encoder) == (number == 1)
        assert "head.centre" in moved and "backbone.convolutions.conv1.weight" in moved
