"""Readout: an affine map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.decoders.base import array
from ctd_models_torch.initial_weights import uniform
from ctd_models_torch.readouts.base import Readout


class LinearReadout(Readout):
    """W x + b.

    Args:
        state_size: Length of the state.
        bias: (neuron,) initial b: the log mean count of each neuron, so that its mean rate is the start.
        generator: Stream of the initial weights.
    """

    def __init__(self, state_size: int, bias: Tensor, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(uniform((len(bias), state_size), state_size, generator))
        self.bias = nn.Parameter(bias.clone())

    def forward(self, states: Tensor) -> Tensor:
        """See Readout."""
        return functional.linear(states, self.weight, self.bias)

    def portable(self, link: str, scale: float) -> PortableReadout:
        """See Readout."""
        return PortableReadout([Layer(array(self.weight), array(self.bias), link)], scale=scale)
