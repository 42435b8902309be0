"""What every decoder is: dynamics that run from an initial state, and their portable form."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Probe


class Decoder(nn.Module, ABC):
    """Dynamics x[k] = F(x[k-1], u[k]) over whole sequences.

    Attributes:
        state_size: Length of the state axis.
        input_size: Length of the input axis; 0 for an autonomous system.
        backend: ``"fast"``, or ``"plain"`` for the loop of cells, which benchmarks compare with.
    """

    def __init__(self, state_size: int, input_size: int) -> None:
        super().__init__()
        self.state_size = state_size
        self.input_size = input_size
        self.backend = "fast"

    @abstractmethod
    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """Run all bins.

        Args:
            inputs: (trial, time, input), or None for an autonomous system.
            initial_state: (trial, state), the state before bin 0.
            n_time: Number of bins.

        Returns:
            (trial, time, state); ``[:, k]`` is the state after the input of bin k.
        """

    @abstractmethod
    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """The portable form; ``signals`` name what is concatenated to u."""

    def recurrent_weights(self) -> list[Tensor]:
        """Matrices that a penalty on recurrent weights is for; none unless overridden."""
        return []

    @torch.no_grad()
    def probe(self, states: np.ndarray, inputs: np.ndarray | None, *, seed: int = 0) -> Probe:
        """Evaluate this module in float64 at visited points, the proof that `dynamics` is what ran.

        Args:
            states: (trial, time, state).
            inputs: (trial, time, input) or None.
            seed: Of the draw of points.
        """
        state, drive = Probe.points(states, inputs, seed)
        twin = copy.deepcopy(self).to("cpu", torch.float64)
        step = torch.from_numpy(drive)[:, None] if self.input_size else None
        following = twin(step, torch.from_numpy(state), 1)[:, 0]
        return Probe(state, drive if self.input_size else None, following.numpy())


def array(tensor: Tensor) -> np.ndarray:
    """A parameter as float64 array."""
    return tensor.detach().to("cpu", torch.float64).numpy()
