import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ncdetect.losses import (
    LOSSES,
    am_softmax_loss,
    contrastive_loss,
    focal_loss,
    oc_softmax_loss,
    smoothed_bce_loss,
)
from ncdetect.models import Output
from ncdetect.models.heads import AMSoftmaxHead, CosineHead

REAL_FAKE = torch.tensor([0, 1])


def scored(*scores):
    return Output(torch.zeros(len(scores), 1), torch.tensor(scores))


def softplus(x):
    return np.log1p(np.exp(x))


def test_smoothed_bce_by_hand():
    # A real at even odds costs ln 2 whatever the label; a fake at 3 : 1 is wanted at 0.9.
    loss = smoothed_bce_loss(scored(0.0, np.log(3)), REAL_FAKE, smoothing=0.1)
    assert loss.item() == pytest.approx((np.log(2) - 0.9 * np.log(3 / 4) - 0.1 * np.log(1 / 4)) / 2)
    # The default, and its best score: the logit of 0.95.
    best = smoothed_bce_loss(scored(np.log(19)), torch.tensor([1]))
    assert best.item() == pytest.approx(-0.95 * np.log(0.95) - 0.05 * np.log(0.05))
    assert smoothed_bce_loss(scored(9.0), torch.tensor([1])) > best


def test_focal_by_hand():
    # p of the right class: 1/2 for the real, 3/4 for the fake.
    output = scored(0.0, np.log(3))
    squared = (0.25 * np.log(2) + 0.0625 * np.log(4 / 3)) / 2
    assert focal_loss(output, REAL_FAKE).item() == pytest.approx(squared)
    linear = (0.5 * np.log(2) + 0.25 * np.log(4 / 3)) / 2
    assert focal_loss(output, REAL_FAKE, gamma=1.0).item() == pytest.approx(linear)
    plain = (np.log(2) + np.log(4 / 3)) / 2
    assert focal_loss(output, REAL_FAKE, gamma=0.0).item() == pytest.approx(plain)


def test_contrastive_by_hand():
    # Two reals in one direction, a fake at a right angle and by itself: each real prefers the other real by
    # e : 1 at temperature 1; the fake has no clip of its class to be near to.
    labels = torch.tensor([0, 0, 1])
    output = Output(torch.tensor([[2.0, 0], [5, 0], [0, 3]]), torch.zeros(3))
    contrast = 2 / 3 * np.log(1 + 1 / np.e)
    loss = contrastive_loss(output, labels, temperature=1.0, weight=0.5)
    assert loss.item() == pytest.approx(np.log(2) + 0.5 * contrast)
    # At temperature 0.1 it prefers it by e^10 : 1.
    loss = contrastive_loss(output, labels)
    assert loss.item() == pytest.approx(np.log(2) + 0.2 * 2 / 3 * np.log1p(np.exp(-10)), abs=1e-6)


def at_cosines(*cosines):
    """Embeddings of various lengths at these cosines to the first axis, on the side of the second."""
    lengths = torch.arange(1.0, len(cosines) + 1).unsqueeze(1)
    return lengths * torch.tensor([[c, (1 - c * c) ** 0.5] for c in cosines])


def of_head(head, embedding):
    return Output(embedding, head(embedding).squeeze(1))


def test_oc_softmax_by_hand():
    head = CosineHead(2)
    head.centre.data = torch.tensor([[3.0, 0]])
    # cos, label, alpha (m_0 - cos) or alpha (cos - m_1)
    cases = [(0.9, 0, 0), (0.5, 0, 8), (1.0, 0, -2), (0.2, 1, 0), (0.5, 1, 6), (-0.3, 1, -10)]
    for cosine, label, exponent in cases:
        loss = oc_softmax_loss(of_head(head, at_cosines(cosine)), torch.tensor([label]))
        assert loss.item() == pytest.approx(softplus(exponent), rel=1e-5, abs=1e-6), (cosine, label)
    cosines, labels, exponents = zip(*cases, strict=True)
    loss = oc_softmax_loss(of_head(head, at_cosines(*cosines)), torch.tensor(labels))
    assert loss.item() == pytest.approx(np.mean([softplus(exponent) for exponent in exponents]), rel=1e-5)


def test_am_softmax_by_hand():
    head = AMSoftmaxHead(2)
    head.centres.data = torch.tensor([[3.0, 0], [0, 0.5]])
    # Cosine 0.6 to the real centre and 0.8 to the fake one: 20 (0.9 - 0.8 + 0.6) and 20 (0.9 - 0.6 + 0.8).
    output = of_head(head, at_cosines(0.6))
    assert am_softmax_loss(output, torch.tensor([1])).item() == pytest.approx(softplus(14), rel=1e-5)
    assert am_softmax_loss(output, torch.tensor([0])).item() == pytest.approx(softplus(22), rel=1e-5)


def test_am_softmax_is_cross_entropy_with_a_margin_off_the_own_cosine():
    torch.manual_seed(0)
    head, embedding, labels = AMSoftmaxHead(5), torch.randn(16, 5), torch.arange(16) % 2
    cosines = F.normalize(embedding) @ F.normalize(head.centres).T
    reference = F.cross_entropy(20 * (cosines - 0.9 * F.one_hot(labels)), labels)
    loss = am_softmax_loss(of_head(head, embedding), labels)
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_draws_fakes_up_and_reals_down(name):
    torch.manual_seed(0)
    embedding = torch.randn(4, 3)
    for size in (0.0, 3.0, 100.0):
        score = torch.tensor([-size, size, size, -size], requires_grad=True)
        loss = LOSSES[name](Output(embedding, score), torch.tensor([0, 1, 0, 1]))
        assert loss.ndim == 0 and torch.isfinite(loss) and loss >= 0
        loss.backward()
        wrong = score.grad[2:]
        assert torch.isfinite(score.grad).all() and wrong[0] > 0 > wrong[1]
