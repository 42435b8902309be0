"""Decoder: a linear dynamical system."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Affine, Dynamics
from ctd_contract.torch.sequences import affine
from ctd_models_torch.decoders.base import Decoder, array
from ctd_models_torch.initial_weights import uniform


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
        shapes = ((state_size, state_size), (state_size, input_size))
        transition, driving = (uniform(shape, state_size, generator) for shape in shapes)
        self.A = nn.Parameter(memory * torch.eye(state_size) + (1.0 - memory) * transition)
        self.B = nn.Parameter(driving)
        self.c = nn.Parameter(torch.zeros(state_size))

    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """See Decoder."""
        weight = self.B if self.input_size else None
        return affine(inputs, initial_state, self.A, weight, self.c, n_time=n_time, backend=self.backend)

    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """See Decoder."""
        return Affine(array(self.A), array(self.B), array(self.c), inputs=signals)
