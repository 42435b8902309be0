"""Decoder: a vanilla recurrent network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctd_contract.dynamics import RNN, Dynamics
from ctd_contract.torch.sequences import rnn
from ctd_models_torch.decoders.base import Decoder, array
from ctd_models_torch.initial_weights import uniform


class RNNDecoder(Decoder):
    """x' = tanh(W x + B u + b).

    Args:
        state_size: Units.
        input_size: Input channels.
        memory: Weight of the identity in the initial W; the rest is uniform, scaled by 1 - memory.
        generator: Stream of the initial weights.
    """

    def __init__(
        self, state_size: int, input_size: int, *, memory: float = 0.0, generator: torch.Generator
    ) -> None:
        super().__init__(state_size, input_size)
        shapes = ((state_size, state_size), (state_size, input_size), (state_size,))
        recurrent, driving, bias = (uniform(shape, state_size, generator) for shape in shapes)
        self.weight_state = nn.Parameter(memory * torch.eye(state_size) + (1.0 - memory) * recurrent)
        self.weight_input, self.bias = nn.Parameter(driving), nn.Parameter(bias)

    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """See Decoder."""
        weights = (self.weight_input if self.input_size else None, self.weight_state)
        return rnn(inputs, initial_state, *weights, self.bias, n_time=n_time, backend=self.backend)

    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """See Decoder."""
        parameters = (array(self.weight_state), array(self.weight_input), array(self.bias))
        return RNN(*parameters, alpha=1.0, nonlinearity="tanh", inputs=signals)
