import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from ncdetect import training
from ncdetect.adversarial import AdversarialBatches, perturbed
from ncdetect.loading import Batch, TrainBatches, Waves, WindowBatches
from ncdetect.losses import bce_loss, focal_loss
from ncdetect.models import Detector, build_model
from ncdetect.training import Recipe

LABELS = torch.tensor([0, 1, 0, 1])


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(samples=50):
    """A detector whose score is a weighted sum of the samples."""
    torch.manual_seed(0)
    return Detector(nn.Identity(), nn.Identity(), samples)


class Peaks(nn.Module):
    """Log energies of eight bands, batch-normed, with dropout."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.mix = nn.Linear(8, 6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, wave):
        bands = torch.fft.rfft(wave).abs().square()[:, :-1].reshape(len(wave), 8, -1)
        return torch.relu(self.mix(self.dropout(self.norm(torch.log(bands.mean(dim=2) + 1e-3)))))


def small(seed=0):
    torch.manual_seed(seed)
    return Detector(nn.Identity(), Peaks(), 6)


def test_one_step_on_a_linear_detector_by_hand():
    # d loss / d sample = (p - label) weight: up the weights for a real, down for a fake.
    detector, wave = linear(), 0.3 * draw(4, 50).clamp(-3, 3)
    peak = wave.abs().amax(dim=1, keepdim=True)
    towards = torch.tensor([[1.0], [-1], [1], [-1]]) * detector.head.weight.detach().sign()
    found = perturbed(detector, wave, LABELS, epsilon=0.01)
    assert torch.equal(found, wave + 0.01 * peak * towards)
    # In a linear landscape the best corner is known, and many steps end in it, wherever they start.
    for steps in (2, 7):
        torch.testing.assert_close(
            perturbed(detector, wave, LABELS, epsilon=0.01, steps=steps, generator=seeded()), found
        )


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4, 0.1])
def test_it_stays_in_the_ball_and_within_full_scale(steps, epsilon):
    wave = draw(4, 16_000) * torch.tensor([[1e-3], [0.1], [0.2], [2.0]])
    wave[1] *= 1 / wave[1].abs().max()
    found = perturbed(small(), wave, LABELS, epsilon=epsilon, steps=steps, generator=seeded())
    peak = wave.abs().amax(dim=1, keepdim=True)
    assert ((found - wave).abs() <= epsilon * peak * (1 + 1e-5) + 1e-7).all()
    assert (found.abs() <= peak.clamp_min(1)).all() and torch.isfinite(found).all()
    assert torch.equal(found, wave) == (epsilon == 0)
    assert not found.requires_grad and found.data_ptr() != wave.data_ptr()


@pytest.mark.parametrize("loss", [bce_loss, focal_loss])
def test_the_loss_rises_and_more_steps_raise_it_more(loss):
    torch.manual_seed(0)
    detector = build_model("tiny-resnet").eval()
    nn.init.normal_(detector.head.weight, std=2)
    wave = 0.1 * draw(4, 16_000)
    with torch.no_grad():
        values = [
            loss(detector(changed), LABELS).item()
            for changed in (
                wave,
                wave + 1e-3 * wave.abs().amax(dim=1, keepdim=True) * draw(4, 16_000, seed=1).sign(),
                perturbed(detector, wave, LABELS, loss, 1e-3),
                perturbed(detector, wave, LABELS, loss, 1e-3, steps=8, generator=seeded()),
            )
        ]
    plain, noise, one_step, many_steps = values
    assert one_step - plain > 10 * abs(noise - plain) and many_steps > one_step


def test_the_detector_stays_as_it_was():
    detector, wave = small(), 0.1 * draw(4, 16_000)
    detector.train()
    bce_loss(detector(wave), LABELS).backward()
    detector.backbone.mix.eval()
    detector.head.bias.requires_grad_(False)
    kept = {name: value.clone() for name, value in detector.state_dict().items()}
    gradients = {name: value.grad.clone() for name, value in detector.named_parameters()}
    original, state = wave.clone(), torch.get_rng_state()
    found = perturbed(detector, wave, LABELS, steps=3, generator=seeded())
    assert all(torch.equal(value, kept[name]) for name, value in detector.state_dict().items())
    assert all(torch.equal(value.grad, gradients[name]) for name, value in detector.named_parameters())
    assert detector.training and detector.backbone.norm.training and not detector.backbone.mix.training
    assert detector.head.weight.requires_grad and not detector.head.bias.requires_grad
    assert torch.equal(wave, original) and torch.equal(torch.get_rng_state(), state)
    # The same draws give the same clips, also where no gradients are kept; other draws give others.
    with torch.no_grad():
        assert torch.equal(perturbed(detector, wave, LABELS, steps=3, generator=seeded()), found)
        assert not torch.equal(perturbed(detector, wave, LABELS, steps=3, generator=seeded(1)), found)

    def broken(output, labels):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        perturbed(detector, wave, LABELS, broken)
    assert detector.training and not detector.backbone.mix.training


def test_silence_stays_silent_and_harms_nobody_else():
    detector = build_model("tiny-resnet")
    wave = 0.1 * draw(2, 16_000)
    wave[1] = 0
    found = perturbed(detector, wave, LABELS[:2])
    assert torch.equal(found[1], wave[1])
    torch.testing.assert_close(found[:1], perturbed(detector, wave[:1], LABELS[:1]))


@pytest.mark.parametrize("name", ["tiny-resnet", "mel-attention", "gru", "lfcc-resnet18", "small-listener"])
def test_real_detectors_can_be_attacked(name):
    torch.manual_seed(0)
    detector = build_model(name)
    wave = 0.1 * draw(2, 16_000)
    changed = (perturbed(detector, wave, LABELS[:2]) != wave).float().mean(dim=1)
    assert (changed > 0.9).all()


def test_wrong_values_are_named():
    for options in ({"epsilon": -0.1}, {"steps": 0}):
        with pytest.raises(ValueError, match="epsilon must be at least 0 and steps at least 1"):
            perturbed(linear(), draw(4, 50), LABELS, **options)
    with pytest.raises(ValueError, match="share must be in"):
        AdversarialBatches(lambda epoch: [], linear(), share=1.5)


# In training


def test_a_share_of_the_clips_is_perturbed():
    detector = linear().train()
    clean = [Batch(draw(20, 50, seed=seed), torch.arange(20) % 2, torch.arange(20)) for seed in range(30)]
    batches = AdversarialBatches(lambda epoch: clean, detector, share=0.3, epsilon=0.01)
    assert len(batches(0)) == 30

    def changed(epoch):
        return [(got.wave != was.wave).any(dim=1) for got, was in zip(batches(epoch), clean, strict=True)]

    found = changed(0)
    assert torch.cat(found).float().mean() == pytest.approx(0.3, abs=0.05)
    for got, was, rows in zip(batches(0), clean, found, strict=True):
        assert torch.equal(got.label, was.label) and torch.equal(got.row, was.row)
        wanted = perturbed(detector, was.wave, was.label, epsilon=0.01)
        torch.testing.assert_close(got.wave[rows], wanted[rows])
    assert all(torch.equal(a, b) for a, b in zip(found, changed(0), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(found, changed(1), strict=True))
    detector.eval()  # as when batch statistics are taken
    assert not torch.cat(changed(0)).any()


def test_it_attacks_the_detector_of_the_moment():
    detector = linear().train()
    clean = [Batch(0.1 * draw(4, 50), LABELS, torch.arange(4))] * 2
    batches = iter(AdversarialBatches(lambda epoch: clean, detector, share=1.0)(0))
    first = next(batches).wave - clean[0].wave
    with torch.no_grad():
        detector.head.weight.neg_()
    torch.testing.assert_close(next(batches).wave - clean[0].wave, -first, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def clips(made_corpus):
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    return TrainBatches(train, batch_size=8), WindowBatches(dev), WindowBatches(train, np.arange(0, 48, 3))


def test_training_takes_them_and_resumes(clips, tmp_path):
    train, dev, watch = clips
    recipe = Recipe(epochs=2, precision="32-true", learning_rate=0.01)

    def fit(folder, share, **options):
        detector = small()
        batches = AdversarialBatches(train, detector, share, epsilon=0.02, steps=2)
        return detector, training.fit(detector, batches, dev, watch, recipe, folder, **options)

    def kill(batches, caption):
        for number, batch in enumerate(batches):
            if caption == "epoch 2" and number == 1:
                raise KeyboardInterrupt
            yield batch

    whole, hard = fit(tmp_path / "whole", 0.5)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", 0.5, progress=kill)
    resumed, again = fit(tmp_path / "killed", 0.5)
    states = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)
    strip = [dataclasses.replace(epoch, seconds=0) for epoch in hard.history]
    assert [dataclasses.replace(epoch, seconds=0) for epoch in again.history] == strip
    _, plain = fit(tmp_path / "plain", 0.0)
    assert np.array_equal(plain.draws.rows, hard.draws.rows)
    assert hard.history[0].train_loss > plain.history[0].train_loss
