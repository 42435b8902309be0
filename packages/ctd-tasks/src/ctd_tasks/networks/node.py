"""The discrete neural ODE."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ctd_contract import dynamics
from ctd_contract.torch import sequences
from ctd_tasks.networks.base import Network, array, uniform
from ctd_tasks.networks.config import NODEConfig

READOUT_STD = 0.01


class NODE(Network):
    """x' = x + δ MLP([x, u]) + noise; the readout starts at N(0, 0.01²) with no bias."""

    def __init__(self, config: NODEConfig, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__(config, n_inputs, n_outputs, generator)
        self.delta = config.delta
        widths = [config.units + n_inputs, *[config.hidden] * (config.layers - 1), config.units]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for width, following in pairwise(widths):
            bound = 1 / math.sqrt(width)
            self.weights.append(uniform((following, width), bound, generator))
            self.biases.append(uniform((following,), bound, generator))
        with torch.no_grad():
            self.readout_weight.normal_(0, READOUT_STD, generator=generator)
            self.readout_bias.zero_()

    def advance(self, inputs: Tensor, initial_state: Tensor, noise: Tensor | None) -> Tensor:
        """Return the states after each input."""
        return sequences.residual_mlp(
            inputs,
            initial_state,
            list(self.weights),
            list(self.biases),
            delta=self.delta,
            activation="relu",
            noise=noise,
        )

    def dynamics(self) -> dynamics.ResidualMLP:
        """Return the portable vector field."""
        return dynamics.ResidualMLP(
            [array(weight) for weight in self.weights],
            [array(bias) for bias in self.biases],
            delta=self.delta,
            activation="relu",
            noise_std=self.config.noise_std,
        )
