import numpy as np
import pytest
import torch

import media
from ncdetect.augment import SpecAugment
from ncdetect.losses import bce_loss
from ncdetect.models import build_model


def waves(seconds=3.0, clips=4):
    return torch.from_numpy(np.stack([media.speech_like(seconds, seed=seed) for seed in range(clips)]))


def detector(seed=0):
    torch.manual_seed(seed)
    return build_model("mel-attention")


def test_its_size_is_the_notes_and_its_embedding_has_128_numbers():
    model = detector()
    assert 1e6 < sum(p.numel() for p in model.parameters()) < 2e6 and model.embedding_dim == 128


def test_every_frame_hears_every_other():
    backbone = detector().eval().backbone
    states = []
    backbone.layers[0].register_forward_hook(lambda *call: states.append(call[2]))
    features = torch.randn(1, 80, 301, generator=torch.Generator().manual_seed(0))
    changed = features.clone()
    changed[:, :, 290:] += 1
    with torch.inference_mode():
        backbone(features), backbone(changed)
    differs = (states[0] - states[1]).abs().amax(dim=2)[0]
    assert differs.shape == (76,) and (differs > 1e-5).all()  # 25 a second; the first hears the last


def test_the_order_of_frames_counts():
    # Attention alone does not know it; take the convolutions' view away by swapping their output.
    backbone = detector().eval().backbone
    features = torch.randn(1, 80, 301, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = backbone(features)
        backbone.convolutions.register_forward_hook(lambda _, args, output: output.flip(3))
        assert not torch.allclose(backbone(features), plain, atol=1e-4)


@pytest.mark.parametrize("samples", [257, 48_000, 35 * 16_000])
def test_any_length_passes(samples):
    model = detector().eval()
    with torch.inference_mode():
        assert torch.isfinite(model(torch.randn(2, samples) * 0.1).score).all()


def test_it_learns_with_masks_and_adamw():
    model = detector().train()
    model.feature_augment = SpecAugment()
    wave = waves(1.0, clips=8)
    labels = torch.arange(8) % 2
    whistle = torch.from_numpy(media.tone(16_000, 1.0, 5000, 0.05))
    wave = wave + labels[:, None] * whistle
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = bce_loss(model(wave), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.2 * np.mean(losses[:3])
