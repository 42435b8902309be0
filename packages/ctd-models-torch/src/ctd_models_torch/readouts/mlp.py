"""Readout: a multilayer perceptron, as in PfLDS (Gao et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_contract.torch.sequences.cells import mlp
from ctd_models_torch.decoders.base import array
from ctd_models_torch.initial_weights import layers
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
        self.weights, self.biases = layers(sizes, generator)
        self.biases[-1].data.copy_(bias)

    def forward(self, states: Tensor) -> Tensor:
        """See Readout."""
        return mlp(states, list(self.weights), list(self.biases), self.activation)

    def portable(self, link: str, scale: float) -> PortableReadout:
        """See Readout."""
        names = [*[self.activation] * (len(self.weights) - 1), link]
        parameters = zip(self.weights, self.biases, names, strict=True)
        return PortableReadout([Layer(array(w), array(b), name) for w, b, name in parameters], scale=scale)
