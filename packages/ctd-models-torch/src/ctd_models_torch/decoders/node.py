"""Decoder: a discrete neural ODE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctd_contract.dynamics import Dynamics, ResidualMLP
from ctd_contract.torch.sequences import residual_mlp
from ctd_models_torch.decoders.base import Decoder, array
from ctd_models_torch.initial_weights import layers


class NODEDecoder(Decoder):
    """z' = z + δ MLP([z, u]): an Euler step of a learned vector field (Sedler et al. 2023).

    Args:
        state_size: Length of the state; few are enough, since the MLP holds the capacity.
        input_size: Input channels.
        hidden_size: Units of each hidden layer.
        hidden_layers: Number of hidden layers.
        delta: δ.
        activation: ``"relu"``, ``"tanh"`` or ``"softplus"``.
        generator: Stream of the initial weights.
    """

    def __init__(
        self,
        state_size: int,
        input_size: int,
        *,
        hidden_size: int = 128,
        hidden_layers: int = 2,
        delta: float = 0.1,
        activation: str = "relu",
        generator: torch.Generator,
    ) -> None:
        super().__init__(state_size, input_size)
        self.delta = delta
        self.activation = activation
        sizes = [state_size + input_size, *[hidden_size] * hidden_layers, state_size]
        self.weights, self.biases = layers(sizes, generator)

    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """See Decoder."""
        return residual_mlp(
            inputs,
            initial_state,
            list(self.weights),
            list(self.biases),
            delta=self.delta,
            activation=self.activation,
            n_time=n_time,
            backend=self.backend,
        )

    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """See Decoder."""
        weights, biases = [array(w) for w in self.weights], [array(b) for b in self.biases]
        return ResidualMLP(weights, biases, delta=self.delta, activation=self.activation, inputs=signals)
