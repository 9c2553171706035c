import pytest
import torch
from torch import nn

from ncdetect.models.gru import GRUNet, MeanProjection, gru


class Recorder(nn.Module):
    """A layer that hands on its first units and keeps what it was given."""

    def forward(self, x):
        self.seen = x
        return x[:, :, :4], None


def test_three_frames_make_a_step_and_the_last_one_is_repeated():
    net = GRUNet(bands=2, width=4, layers=1, embedding_dim=3, dropout=0.0).eval()
    net.layers[0] = Recorder()
    features = torch.arange(8.0).view(1, 2, 4)  # band 0: 0 1 2 3, band 1: 4 5 6 7
    net(features)
    # Batch norm in eval mode: mean 0, variance 1 and epsilon.
    wanted = torch.tensor([[[0.0, 1, 2, 4, 5, 6], [3, 3, 3, 7, 7, 7]]]) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(net.layers[0].seen, wanted)


def test_the_projection_by_hand():
    projection = MeanProjection(2, 1, dropout=0.0).eval()
    with torch.no_grad():
        projection.linear.weight.copy_(torch.tensor([[2.0, -1.0]]))
        projection.linear.bias.fill_(0.5)
        projection.norm.running_mean.fill_(1.0)
        projection.norm.running_var.fill_(4.0)
    states = torch.tensor([[[1.0, 3.0], [0.0, 2.0]], [[0.0, 0.0], [5.0, 5.0]]])
    # Means (2, 1) and (0, 5); linear 3.5 and -4.5; normed (3.5 - 1) / 2 and below zero.
    assert projection(states).flatten().tolist() == pytest.approx([1.25, 0.0], abs=1e-5)


def test_it_hears_the_order_of_things_and_stays_small():
    torch.manual_seed(0)
    detector = gru().eval()
    assert sum(p.numel() for p in detector.parameters()) < 300_000
    features = torch.randn(2, 80, 30)
    with torch.inference_mode():
        forth, back = detector.backbone(features), detector.backbone(features.flip(2))
    assert (forth >= 0).all() and not torch.allclose(forth, back, atol=1e-3)
