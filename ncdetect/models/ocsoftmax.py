"""The system of Zhang, Jiang and Duan 2021, "One-class learning towards synthetic voice spoofing detection".

    LFCC or MFCC -> pre-activation ResNet-18 -> attention over time -> 256-d embedding -> head

With the one-class head it is `lfcc-resnet18` and `mfcc-resnet18`; the paper's rivals, softmax (here one
logit) and AM-Softmax, differ in head and loss alone. It hears windows of 3 s as all detectors here.
The paper's recipe: 100 epochs in batches of 64, Adam at 3e-4 with an L2 penalty of 5e-4 for all but the
centres, which plain SGD moves at the same rate, halved every 10 epochs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncdetect.frontends import FRONT_ENDS
from ncdetect.models.base import Detector
from ncdetect.models.heads import HEADS

EMBEDDING_DIM = 256
WIDTHS = (64, 128, 256, 512)
STEM_WIDTH, POOLED_WIDTH = 16, 256
STEM_ROWS, STEM_STRIDE = 9, 3
"""Of the first convolution, in coefficients."""


class PreActivationBlock(nn.Module):
    """Normalisation and ReLU before each of two 3 x 3 convolutions (He et al. 2016b, figure 1b)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        """Build the block; where shape changes, the shortcut is a strided 1 x 1 convolution."""
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, L) -> (B, C', F / stride, L / stride)."""
        active = F.relu(self.norm1(x))
        # A shortcut that changes the shape starts at the activation, as in the paper's figure 5.
        kept = x if self.shortcut is None else self.shortcut(active)
        return kept + self.conv2(F.relu(self.norm2(self.conv1(active))))


class AttentivePooling(nn.Module):
    """Mean and deviation over time under learned weights (Okabe et al. 2018, equations 2 to 6, one layer).

    Upstream takes the deviation of the weighted frames, which shrinks with their number, and adds noise to
    them, in evaluation too, to keep it from zero. Here it is the weighted deviation, with a floor.
    """

    def __init__(self, channels: int):
        """Build it for frames of so many channels."""
        super().__init__()
        self.attention = nn.Linear(channels, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, C, L) -> (B, 2 C), float32 also under autocast."""
        with torch.autocast(frames.device.type, enabled=False):
            frames = frames.float()
            weights = torch.tanh(self.attention(frames.transpose(1, 2))).softmax(dim=1)  # (B, L, 1)
            mean = frames @ weights  # (B, C, 1)
            variance = (frames - mean).square() @ weights
            return torch.cat([mean, variance.clamp_min(1e-10).sqrt()], dim=1).squeeze(2)


class CepstralResNet(nn.Module):
    """ResNet-18 whose first convolution strides in frequency alone, its last rows joined over all of it."""

    def __init__(self, coefficients: int):
        """Build it for features of so many coefficients, F."""
        super().__init__()
        self.stem = nn.Conv2d(
            1, STEM_WIDTH, (STEM_ROWS, 3), stride=(STEM_STRIDE, 1), padding=(1, 1), bias=False
        )
        blocks: list[nn.Module] = []
        channels = STEM_WIDTH
        for stage, width in enumerate(WIDTHS):
            blocks.append(PreActivationBlock(channels, width, stride=1 if stage == 0 else 2))
            blocks.append(PreActivationBlock(width, width, stride=1))
            channels = width
        self.stem_norm = nn.BatchNorm2d(STEM_WIDTH)
        self.blocks = nn.Sequential(*blocks)
        rows = (coefficients + 2 - STEM_ROWS) // STEM_STRIDE + 1
        rows = -(-rows // 2 ** (len(WIDTHS) - 1))  # each strided block halves them, rounding up
        self.join = nn.Conv2d(channels, POOLED_WIDTH, (rows, 3), padding=(0, 1), bias=False)
        self.join_norm = nn.BatchNorm2d(POOLED_WIDTH)
        self.pool = AttentivePooling(POOLED_WIDTH)
        self.projection = nn.Linear(2 * POOLED_WIDTH, EMBEDDING_DIM)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, L) -> embeddings (B, 256)."""
        x = F.relu(self.stem_norm(self.stem(features.unsqueeze(1))))  # (B, F, L) -> (B, 16, F / 3, L)
        x = F.relu(self.join_norm(self.join(self.blocks(x))))  # -> (B, 256, 1, L / 8)
        return self.projection(self.pool(x.squeeze(2)))


def cepstral_resnet18(front_end: str, loss: str) -> Detector:
    """ResNet-18 on cepstra with the head of a loss, 256-d embedding, 12.5 M (LFCC) or 17.6 M parameters.

    Args:
        front_end: `lfcc` or `mfcc`.
        loss: `oc-softmax`, `am-softmax` or `bce`.
    """
    frontend = FRONT_ENDS[front_end]()
    detector = Detector(frontend, CepstralResNet(frontend.size), EMBEDDING_DIM, HEADS[loss](EMBEDDING_DIM))
    detector.loss = loss
    detector.separate = () if loss == "bce" else ("head.",)
    return detector
