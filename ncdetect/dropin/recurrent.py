"""A GRU with more units, and the layers of `gru` widened one by one."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ncdetect.dropin.parts import MoreInputs, Widened, neurons
from ncdetect.models.gru import GRUNet

GATES = 3
"""Reset, update and new (r, z, n), stacked in this order in every tensor of a GRU."""


class WideGRU(Widened):
    """One GRU layer with more inputs, more units, or both.

    Of each gate the rows are units and the columns what they hear:

                    old inputs   new inputs        old units   new units
        old units   old          inputs (zero)     old         back (zero)
        new units   ----- incoming (random) -----  ---- recurrent (random) ----
    """

    def __init__(self, old: nn.GRU):
        """Take a trained layer; `add_inputs`, then `add_units` widen it."""
        super().__init__(old, nn.ParameterDict())
        self.inputs, self.units = old.input_size, old.hidden_size
        self.bound = self.units**-0.5  # as torch draws a GRU's weights

    def add_inputs(self, count: int) -> None:
        """Let the old units hear `count` more inputs."""
        assert "back" not in self.new, "inputs come first: the new units hear them, too"
        self._draw("inputs", self.units, count)
        self.inputs += count

    def add_units(self, count: int) -> None:
        """Add `count` units."""
        self._draw("incoming", count, self.inputs)
        self._draw("recurrent", count, self.units + count)
        self._draw("back", self.units, count)
        self._draw("bias_ih", count, 1)
        self._draw("bias_hh", count, 1)
        self.units += count

    def _draw(self, name: str, rows: int, columns: int) -> None:
        self.new[name] = nn.Parameter(torch.empty(GATES, rows, columns).uniform_(-self.bound, self.bound))

    def outgoing(self) -> list[nn.Parameter]:
        """What old units hear of new inputs and of new units."""
        return [self.new[name] for name in ("inputs", "back") if name in self.new]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, inputs) -> states (B, L, units), old units first, and the last of them, (1, B, units)."""
        old = self.old
        weights = [
            self._stacked(old.weight_ih_l0, "inputs", "incoming"),
            self._stacked(old.weight_hh_l0, "back", "recurrent"),
            self._stacked(old.bias_ih_l0[:, None], "", "bias_ih").squeeze(1),
            self._stacked(old.bias_hh_l0[:, None], "", "bias_hh").squeeze(1),
        ]
        start = x.new_zeros(1, len(x), self.units)
        # What nn.GRU.forward calls: (..., biases, layers, dropout, training, bidirectional, batch first)
        return torch.gru(x, start, weights, True, 1, 0.0, self.training, False, True)

    def _stacked(self, old: Tensor, right: str, below: str) -> Tensor:
        """Each gate's rows and columns joined, (3 old, columns) -> (3 units, columns)."""
        gates = old.unflatten(0, (GATES, -1))
        if right in self.new:
            gates = torch.cat([gates, self.new[right]], dim=2)
        if below in self.new:
            gates = torch.cat([gates, self.new[below]], dim=1)
        return gates.flatten(0, 1)


def gru_layers(net: GRUNet) -> dict[str, Callable[[float], None]]:
    """By name of a layer, what adds a share of its units to it; to be called from the first to the last."""
    return {f"layers.{index}": partial(_widen, net, index) for index in range(len(net.layers))}


def _widen(net: GRUNet, index: int, share: float) -> None:
    layer = _wide(net, index)
    count = neurons(share, layer.units)
    layer.add_units(count)
    if index + 1 < len(net.layers):
        _wide(net, index + 1).add_inputs(count)
    else:
        net.projection.linear = MoreInputs(net.projection.linear, count)


def _wide(net: GRUNet, index: int) -> WideGRU:
    if not isinstance(net.layers[index], WideGRU):
        net.layers[index] = WideGRU(net.layers[index])
    return net.layers[index]
