"""What all networks share: initial state, process noise, readout, penalty, export of the dynamics."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.dynamics import Dynamics, Probe
from ctd_contract.readout import Layer, Readout
from ctd_tasks.networks.config import NetworkConfig
from ctd_tasks.tasks.base import Rollout


class Network(nn.Module):
    """A recurrent network with a linear readout of its state.

    A subclass makes its weights with `uniform` and gives `advance` and `dynamics`.

    Args:
        config: its settings.
        n_inputs: input channels.
        n_outputs: output channels.
        generator: draws the initial weights.
    """

    def __init__(
        self, config: NetworkConfig, n_inputs: int, n_outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        start = torch.zeros(config.units)
        if config.initial_state == "learned":
            self.start = nn.Parameter(start)
        else:
            self.register_buffer("start", start)
        bound = 1 / math.sqrt(config.units)
        self.readout_weight = uniform((n_outputs, config.units), bound, generator)
        self.readout_bias = uniform((n_outputs,), bound, generator)

    @abstractmethod
    def advance(self, inputs: Tensor, initial_state: Tensor, noise: Tensor | None) -> Tensor:
        """Return the states (trial, time, state) after each input (trial, time, input).

        Args:
            inputs: (trial, time, input).
            initial_state: (trial, state), before the first bin.
            noise: (trial, time, state) process noise, already scaled; None for none.
        """

    @abstractmethod
    def dynamics(self) -> Dynamics:
        """Return the portable vector field, float64, with `inputs` as its input."""

    def outputs(self, states: Tensor) -> Tensor:
        """Read the outputs (..., output) from states (..., state)."""
        return functional.linear(states, self.readout_weight, self.readout_bias)

    def readout(self) -> Readout:
        """Return the portable readout from state to output."""
        return Readout([Layer(array(self.readout_weight), array(self.readout_bias), "identity")])

    def initial_states(self, n_trials: int, generator: torch.Generator | None) -> Tensor:
        """Return the states (trial, state) before the first bin, with noise of their own per trial."""
        states = self.start.expand(n_trials, -1)
        if generator is None or not self.config.initial_noise_std:
            return states
        return states + _normal(states.shape, self.config.initial_noise_std, generator, states)

    def process_noise(self, n_trials: int, n_time: int, generator: torch.Generator | None) -> Tensor | None:
        """Draw the process noise (trial, time, state) of all bins at once."""
        if generator is None or not self.config.noise_std:
            return None
        return _normal((n_trials, n_time, self.config.units), self.config.noise_std, generator, self.start)

    def run(self, inputs: Tensor, generator: torch.Generator | None) -> Rollout:
        """Run through inputs (trial, time, input); without a generator, without any noise."""
        n_trials, n_time, _ = inputs.shape
        initial = self.initial_states(n_trials, generator)
        states = self.advance(inputs, initial, self.process_noise(n_trials, n_time, generator))
        return Rollout(initial, inputs, states, self.outputs(states))

    def penalty(self, rollout: Rollout) -> dict[str, Tensor]:
        """Return the named terms that the network adds to the task's loss."""
        if not self.config.state_norm_weight:
            return {}
        norms = torch.linalg.vector_norm(rollout.states, dim=(1, 2))
        return {"state_norm": self.config.state_norm_weight * norms.mean()}

    def probe(self, rollout: Rollout) -> Probe:
        """Return states and inputs that a rollout (arrays) visited, and where torch takes them in float64."""
        states, inputs = Probe.points(rollout.states, rollout.inputs)
        twin = copy.deepcopy(self).cpu().double()
        with torch.no_grad():
            following = twin.advance(torch.from_numpy(inputs)[:, None], torch.from_numpy(states), None)[:, 0]
        return Probe(states, inputs, array(following))


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    """Draw a parameter of U(-bound, bound)."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


def array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array of its own."""
    return tensor.detach().cpu().numpy().copy()


def _normal(shape: tuple[int, ...], std: float, generator: torch.Generator, like: Tensor) -> Tensor:
    drawn = torch.empty(shape, dtype=like.dtype, device=generator.device).normal_(0, std, generator=generator)
    return drawn.to(like.device)
