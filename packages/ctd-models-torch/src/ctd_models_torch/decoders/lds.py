"""Decoder: a linear dynamical system."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Affine, Dynamics
from ctd_contract.torch.sequences import affine
from ctd_models_torch.decoders.base import Decoder, array


class LDSDecoder(Decoder):
    """x' = A x + B u + c.

    Args:
        state_size: Length of the state.
        input_size: Input channels.
        memory: Weight of the identity in the initial A; the rest is uniform, scaled by 1 - memory.
        generator: Stream of the initial weights.
    """

    def __init__(
        self, state_size: int, input_size: int, *, memory: float = 0.0, generator: torch.Generator
    ) -> None:
        super().__init__(state_size, input_size)
        bound = 1.0 / math.sqrt(state_size)

        def uniform(*shape: int) -> Tensor:
            return torch.empty(shape).uniform_(-bound, bound, generator=generator)

        transition = memory * torch.eye(state_size) + (1.0 - memory) * uniform(state_size, state_size)
        self.A = nn.Parameter(transition)
        self.B = nn.Parameter(uniform(state_size, input_size))
        self.c = nn.Parameter(torch.zeros(state_size))

    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """See Decoder."""
        weight = self.B if self.input_size else None
        return affine(inputs, initial_state, self.A, weight, self.c, n_time=n_time, backend=self.backend)

    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """See Decoder."""
        return Affine(array(self.A), array(self.B), array(self.c), inputs=signals)
