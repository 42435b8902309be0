"""Readout: a multilayer perceptron, as in PfLDS (Gao et al. 2016)."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_contract.torch.sequences.cells import NONLINEARITIES
from ctd_models_torch.decoders.base import array
from ctd_models_torch.readouts.base import Readout


class MLPReadout(Readout):
    """Hidden layers and an affine last one.

    Args:
        state_size: Length of the state.
        bias: (neuron,) initial bias of the last layer: the log mean count of each neuron.
        hidden_size: Units of each hidden layer.
        hidden_layers: Number of hidden layers.
        activation: ``"relu"``, ``"tanh"`` or ``"softplus"``.
        generator: Stream of the initial weights.
    """

    def __init__(
        self,
        state_size: int,
        bias: Tensor,
        *,
        hidden_size: int = 128,
        hidden_layers: int = 1,
        activation: str = "relu",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.activation = activation
        sizes = [state_size, *[hidden_size] * hidden_layers, len(bias)]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for n_in, n_out in itertools.pairwise(sizes):
            bound = 1.0 / math.sqrt(n_in)
            weight = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.empty(n_out).uniform_(-bound, bound, generator=generator)))
        self.biases[-1].data.copy_(bias)

    def forward(self, states: Tensor) -> Tensor:
        """See Readout."""
        phi = NONLINEARITIES[self.activation]
        for weight, bias in zip(list(self.weights)[:-1], list(self.biases)[:-1], strict=True):
            states = phi(functional.linear(states, weight, bias))
        return functional.linear(states, self.weights[-1], self.biases[-1])

    def portable(self, link: str, scale: float) -> PortableReadout:
        """See Readout."""
        names = [*[self.activation] * (len(self.weights) - 1), link]
        parameters = zip(self.weights, self.biases, names, strict=True)
        return PortableReadout([Layer(array(w), array(b), name) for w, b, name in parameters], scale=scale)
