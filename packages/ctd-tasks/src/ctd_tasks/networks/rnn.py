"""The vanilla and the leaky recurrent network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctd_contract import dynamics
from ctd_contract.torch import sequences
from ctd_tasks.networks.base import Network, array, uniform
from ctd_tasks.networks.config import LeakyRNNConfig, VanillaRNNConfig


class VanillaRNN(Network):
    """x' = tanh(W x + U u + b) + noise."""

    alpha = 1.0
    noise_place = "state"

    def __init__(
        self,
        config: VanillaRNNConfig | LeakyRNNConfig,
        n_inputs: int,
        n_outputs: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(config, n_inputs, n_outputs, generator)
        units, bound = config.units, 1 / math.sqrt(config.units)
        self.weight_input = uniform((units, n_inputs), bound, generator)
        self.weight_state = uniform((units, units), bound, generator)
        self.bias = uniform((units,), bound, generator)

    def advance(self, inputs: Tensor, initial_state: Tensor, noise: Tensor | None) -> Tensor:
        """Return the states after each input."""
        return sequences.rnn(
            inputs,
            initial_state,
            self.weight_input,
            self.weight_state,
            self.bias,
            alpha=self.alpha,
            nonlinearity="tanh",
            noise=noise,
            noise_place=self.noise_place,
        )

    def dynamics(self) -> dynamics.RNN:
        """Return the portable vector field."""
        # Noise inside tanh reaches the state through α tanh': α noise_std is its size where tanh is steepest.
        gain = self.alpha if self.noise_place == "drive" else 1.0
        return dynamics.RNN(
            array(self.weight_state),
            array(self.weight_input),
            array(self.bias),
            alpha=self.alpha,
            nonlinearity="tanh",
            noise_std=gain * self.config.noise_std,
        )


class LeakyRNN(VanillaRNN):
    """x' = (1-α) x + α tanh(W x + U u + b + noise) (Driscoll et al. 2024)."""

    noise_place = "drive"

    def __init__(
        self, config: LeakyRNNConfig, n_inputs: int, n_outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__(config, n_inputs, n_outputs, generator)
        self.alpha = config.alpha
