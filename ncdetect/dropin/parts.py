"""Layers of which a part is old and a part is new, each with parameters of its own.

Masking gradients would not freeze the old part: weight decay, momentum and batch statistics move it all the
same. So new neurons never share a tensor with old ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Widened(nn.Module):
    """A trained module `old`, and in `new` what was dropped in beside it; `old` alone is the pruned one."""

    def __init__(self, old: nn.Module, new: nn.Module):
        """Take both parts; `new` with random weights throughout."""
        super().__init__()
        self.old, self.new = old, new

    def outgoing(self) -> list[nn.Parameter]:
        """Weights by which old neurons hear new ones: while they are zero, the function is the old one."""
        return []


class MoreOutputs(Widened):
    """A linear or convolutional layer with more outputs: the old ones, then the new ones."""

    def __init__(self, old: nn.Linear | nn.Conv2d, count: int):
        """Add `count` outputs."""
        super().__init__(old, _like(old, _inputs(old), count, old.bias is not None))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs + count), or (B, C, F, L) in the same way."""
        return torch.cat([self.old(x), self.new(x)], dim=_channels(self.old))


class MoreInputs(Widened):
    """A linear or convolutional layer that hears more neurons: the old ones first."""

    def __init__(self, old: nn.Linear | nn.Conv2d, count: int):
        """Add `count` inputs."""
        super().__init__(old, _like(old, count, _outputs(old), bias=False))
        self.sizes = [_inputs(old), count]

    def outgoing(self) -> list[nn.Parameter]:
        """All new weights."""
        return [self.new.weight]

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs + count) -> (..., outputs), or (B, C, F, L) in the same way."""
        old, new = x.split(self.sizes, dim=_channels(self.old))
        return self.old(old) + self.new(new)


class MoreChannels(Widened):
    """Batch normalisation of more channels: the old ones first."""

    def __init__(self, old: _BatchNorm, count: int):
        """Add `count` channels."""
        super().__init__(old, type(old)(count, old.eps, old.momentum))
        self.sizes = [old.num_features, count]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C + count, ...) -> the same."""
        old, new = x.split(self.sizes, dim=1)
        return torch.cat([self.old(old), self.new(new)], dim=1)


class FrozenNorm(nn.Module):
    """Batch normalisation by given statistics, which nothing moves; its state dict is a batch norm's.

    To torch it is no batch normalisation, so that what measures their statistics anew passes it by.
    """

    def __init__(self, norm: _BatchNorm):
        """Take over the parameters and statistics of a batch norm."""
        super().__init__()
        self.kind, self.eps, self.momentum = type(norm), norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        for name, value in norm.named_buffers():
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same, in training mode as in eval mode."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def thawed(self) -> _BatchNorm:
        """A batch norm with these parameters and statistics."""
        norm = self.kind(len(self.weight), self.eps, self.momentum)
        norm.load_state_dict(self.state_dict())
        return norm


def neurons(share: float, size: int) -> int:
    """How many neurons are a share of a layer's: at least one."""
    return max(1, round(share * size))


def _like(old: nn.Linear | nn.Conv2d, inputs: int, outputs: int, bias: bool) -> nn.Linear | nn.Conv2d:
    if isinstance(old, nn.Linear):
        return nn.Linear(inputs, outputs, bias)
    return nn.Conv2d(inputs, outputs, old.kernel_size, old.stride, old.padding, bias=bias)


def _inputs(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _outputs(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _channels(layer: nn.Linear | nn.Conv2d) -> int:
    """The dimension of the neurons."""
    return -1 if isinstance(layer, nn.Linear) else 1
