import numpy as np
import pytest
import torch
from torch import nn

import media
from ncdetect import audio, collapse, pipeline, training
from ncdetect.checkpoint import TrainedDetector
from ncdetect.frontends import LogMel
from ncdetect.loading import TrainBatches, Waves, WindowBatches
from ncdetect.losses import LOSSES
from ncdetect.models import MODELS, Detector, build_model
from ncdetect.models.heads import HEADS, AMSoftmaxHead, CosineHead
from ncdetect.models.ocsoftmax import AttentivePooling, CepstralResNet, PreActivationBlock
from ncdetect.predictor import Predictor
from ncdetect.training import Recipe

NAMES = [f"{front_end}-resnet18{end}" for front_end in ("lfcc", "mfcc") for end in ("", "-softmax", "-am")]


def turned(cosine, length=1.0):
    return length * torch.tensor([[cosine, (1 - cosine**2) ** 0.5]])


def test_the_cosine_head_by_hand():
    head = CosineHead(2)
    head.centre.data = torch.tensor([[4.0, 0]])
    # -20 (cos - 0.55): 0 midway between the margins.
    for cosine, score in ((1.0, -9), (0.9, -7), (0.55, 0), (0.2, 7), (0.0, 11), (-1.0, 31)):
        for length in (0.1, 1.0, 30.0):
            assert head(turned(cosine, length)).item() == pytest.approx(score, abs=1e-4)
    assert head.weight.tolist() == [[-1, 0]]


def test_the_am_softmax_head_by_hand():
    head = AMSoftmaxHead(2)
    head.centres.data = torch.tensor([[4.0, 0], [0, 0.5]])
    for length in (0.1, 30.0):
        assert head(turned(0.6, length)).item() == pytest.approx(20 * (0.8 - 0.6), abs=1e-4)
    assert head.weight.tolist() == [[-1, 1]]
    score = head(turned(0.6))
    head.centres.data = head.centres.data.flip(0)
    assert head(turned(0.6)).item() == pytest.approx(-score.item())


@pytest.mark.parametrize("head", [HEADS["oc-softmax"], HEADS["am-softmax"]])
def test_a_heads_weight_points_from_real_to_fake(head):
    torch.manual_seed(0)
    head = head(6)
    weight = head.weight
    assert weight.shape == (1, 6)
    assert head(weight) > 0 > head(-weight)
    # Class means on either side along it are what self-duality (NC3) asks for.
    means = torch.cat([5 - weight, 5 + weight]).detach().numpy()
    assert collapse.nc3_self_duality(means, weight.detach().numpy()) == pytest.approx(0, abs=1e-9)
    assert collapse.nc3_self_duality(means[::-1], weight.detach().numpy()) == pytest.approx(4)


def test_every_name_has_its_head_loss_and_optimiser():
    for name in NAMES[:3]:
        assert {name, name.replace("lfcc", "mfcc")} <= set(MODELS)
        detector = build_model(name)
        assert detector.loss in LOSSES and type(detector.head) is type(HEADS[detector.loss](256))
        apart = [n for n, _ in detector.named_parameters() if n.startswith(detector.separate or ("-",))]
        assert apart == {"": ["head.centre"], "-am": ["head.centres"]}.get(name[13:], [])
    losses = [MODELS[name].args for name in NAMES]
    assert losses == [(f, loss) for f in ("lfcc", "mfcc") for loss in ("oc-softmax", "bce", "am-softmax")]


@pytest.mark.parametrize(("coefficients", "rows"), [(60, (18, 3)), (384, (126, 16))])
def test_shapes_of_the_resnet(coefficients, rows):
    net = CepstralResNet(coefficients).eval()
    # 18 layers with weights besides the shortcuts: 1 + 16 + 1 convolutions.
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(convolutions) == 18 and sum(isinstance(m, PreActivationBlock) for m in net.modules()) == 8
    with torch.inference_mode():
        stem = net.stem(torch.randn(1, 1, coefficients, 40))
        assert stem.shape == (1, 16, rows[0], 40)
        deep = net.blocks(stem)
        assert deep.shape == (1, 512, rows[1], 5)
        assert net.join(deep).shape == (1, 256, 1, 5)
        assert net(torch.randn(1, coefficients, 40)).shape == (1, 256)


def test_a_block_normalises_before_it_convolves():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6) - 1
    same, changed = PreActivationBlock(4, 4, 1).eval(), PreActivationBlock(4, 8, 2).eval()
    for block in (same, changed):
        nn.init.zeros_(block.conv2.weight)
        block.norm1.bias.data.fill_(0.5)
    # Without a residual the block is its shortcut, and no ReLU follows the sum.
    assert torch.equal(same(x), x)
    active = torch.relu(x / (1 + 1e-5) ** 0.5 + 0.5)
    expected = torch.einsum("oc,bcfl->bofl", changed.shortcut.weight[:, :, 0, 0], active[:, :, ::2, ::2])
    assert torch.allclose(changed(x), expected, atol=1e-5)


def test_attentive_pooling_by_hand():
    pool = AttentivePooling(2)
    pool.attention.weight.data = torch.tensor([[1.0, 0]])
    frames = torch.tensor([[[0.0, 0.5, 2.0], [3.0, 1.0, -1.0]]])
    weights = np.exp(np.tanh([0, 0.5, 2]))
    weights /= weights.sum()
    values = frames[0].numpy()
    mean = values @ weights
    deviation = np.sqrt(((values - mean[:, None]) ** 2) @ weights)
    assert pool(frames)[0].tolist() == pytest.approx([*mean, *deviation], rel=1e-5)
    # Not a matter of how many frames there are.
    assert torch.allclose(pool(frames.repeat(1, 1, 4)), pool(frames), atol=1e-5)
    # Without attention it is the plain mean and deviation.
    nn.init.zeros_(pool.attention.weight)
    plain = [*frames.mean(dim=2)[0].tolist(), *frames.std(dim=2, correction=0)[0].tolist()]
    assert pool(frames)[0].tolist() == pytest.approx(plain, rel=1e-5)


def test_pooling_of_frames_that_do_not_change_has_gradients():
    frames = torch.zeros(1, 3, 5, requires_grad=True)
    pooled = AttentivePooling(3)(frames)
    pooled.sum().backward()
    assert torch.isfinite(frames.grad).all()
    assert pooled[0, 3:].tolist() == pytest.approx([1e-5] * 3)


def test_the_resnet_is_deterministic_in_eval_and_silence_is_no_error():
    detector = build_model("lfcc-resnet18").eval()
    wave = torch.from_numpy(media.speech_like(0.5)).unsqueeze(0)
    with torch.inference_mode():
        assert torch.equal(detector(wave).score, detector(wave).score)
        assert torch.isfinite(detector(torch.zeros(1, 8_000)).score).all()


class Averages(nn.Module):
    """A backbone small enough to train in a test: the mean of each band, normalised and mixed."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(80)
        self.mix = nn.Linear(80, 8)

    def forward(self, features):
        return self.mix(self.norm(features.mean(dim=2)))


def angular(loss):
    detector = Detector(LogMel(), Averages(), 8, HEADS[loss](8))
    detector.loss, detector.separate, detector.stored = loss, ("head.",), "int8"
    return detector


@pytest.mark.parametrize("loss", ["oc-softmax", "am-softmax"])
def test_from_training_to_a_verdict_with_centres_for_a_head(loss, made_corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "angular", lambda: angular(loss))
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    recipe = Recipe(
        epochs=12, learning_rate=0.02, schedule="step", halve_every=6, weight_decay=5e-4, precision="32-true"
    )
    torch.manual_seed(0)
    detector = build_model("angular")
    fit = training.fit(
        detector, TrainBatches(train, 16), WindowBatches(dev), WindowBatches(train), recipe, tmp_path / "run",
        loss=LOSSES[loss],
    )  # fmt: skip
    assert fit.history[-1].train_loss < 0.5 * fit.history[0].train_loss and fit.best.dev_eer < 0.2
    assert 0 <= fit.best.nc3_dev < 2  # the head points where the class means do

    facts = pipeline.training_facts(train.manifest, "all", fit, recipe, pipeline.Data())
    pipeline.finish("angular", detector, train, dev, facts, maps=False).save(tmp_path / "made")
    predictor = Predictor(TrainedDetector.from_pretrained(tmp_path / "made"), "made")
    clip = media.speech_like(7.0, seed=99)
    verdict = predictor.check((audio.SAMPLE_RATE, clip))
    _, windows = audio.windows(clip)
    with torch.inference_mode():
        expected = detector(torch.from_numpy(windows)).score.mean().item()
    assert len(windows) > 2 and verdict.score == pytest.approx(expected, abs=1e-4)
    assert verdict.score == pytest.approx(np.mean([window.score for window in verdict.windows]))
    fake = predictor.check((audio.SAMPLE_RATE, clip + media.tone(16_000, 7.0, 3000, 0.05)))
    assert fake.probability > 0.5 > verdict.probability
