"""Decoder: a gated recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctd_contract.dynamics import GRU, Dynamics
from ctd_contract.torch.sequences import gru
from ctd_models_torch.decoders.base import Decoder, array
from ctd_models_torch.initial_weights import uniform


class GRUDecoder(Decoder):
    """h' = (1 - z) n + z h, gates in torch's order and form (reset after the recurrent product).

    Args:
        state_size: Units.
        input_size: Input channels.
        memory: Added to the update gate's bias; above 0 the unit starts out keeping its state for longer.
        generator: Stream of the initial weights.
    """

    def __init__(
        self, state_size: int, input_size: int, *, memory: float = 0.0, generator: torch.Generator
    ) -> None:
        super().__init__(state_size, input_size)
        gates = 3 * state_size
        shapes = ((gates, input_size), (gates, state_size), (gates,), (gates,))
        drawn = (nn.Parameter(uniform(shape, state_size, generator)) for shape in shapes)
        self.weight_input, self.weight_state, self.bias_input, self.bias_state = drawn
        with torch.no_grad():
            self.bias_state[state_size : 2 * state_size] += memory

    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """See Decoder."""
        weights = (self.weight_input if self.input_size else None, self.weight_state)
        biases = (self.bias_input, self.bias_state)
        return gru(inputs, initial_state, *weights, *biases, n_time=n_time, backend=self.backend)

    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """See Decoder."""
        names = ("weight_input", "weight_state", "bias_input", "bias_state")
        return GRU(*(array(getattr(self, name)) for name in names), inputs=signals, reset="after")
