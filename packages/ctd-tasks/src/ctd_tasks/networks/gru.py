"""The gated recurrent unit, with or without process noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctd_contract import dynamics
from ctd_contract.torch import sequences
from ctd_tasks.networks.base import Network, array, uniform
from ctd_tasks.networks.config import GRUConfig


class GRU(Network):
    """h' = (1-z) n + z h + noise, in torch's form (the reset gate after the product)."""

    def __init__(self, config: GRUConfig, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__(config, n_inputs, n_outputs, generator)
        units, bound = config.units, 1 / math.sqrt(config.units)
        self.weight_input = uniform((3 * units, n_inputs), bound, generator)
        self.weight_state = uniform((3 * units, units), bound, generator)
        self.bias_input = uniform((3 * units,), bound, generator)
        self.bias_state = uniform((3 * units,), bound, generator)

    def advance(self, inputs: Tensor, initial_state: Tensor, noise: Tensor | None) -> Tensor:
        """Return the states after each input."""
        return sequences.gru(
            inputs,
            initial_state,
            self.weight_input,
            self.weight_state,
            self.bias_input,
            self.bias_state,
            noise=noise,
        )

    def dynamics(self) -> dynamics.GRU:
        """Return the portable vector field."""
        return dynamics.GRU(
            array(self.weight_input),
            array(self.weight_state),
            array(self.bias_input),
            array(self.bias_state),
            reset="after",
            noise_std=self.config.noise_std,
        )
