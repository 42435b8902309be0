"""Encoder: from what may be seen of a trial to a code of its initial state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctd_contract.torch.sequences import bidirectional_gru
from ctd_models_torch.initial_weights import uniform

DIRECTIONS = ("forward", "backward")
PARAMETERS = ("weight_input", "weight_state", "bias_input", "bias_state")


class BidirectionalEncoder(nn.Module):
    """Two GRUs read the trial from both ends; their last states are the code.

    Args:
        input_size: Neurons that are seen.
        size: Units of each direction.
        generator: Stream of the initial weights.

    Attributes:
        code_size: Length of the code, 2 * size.
        backend: ``"fast"`` or ``"plain"``, as in `Decoder`.
    """

    def __init__(self, input_size: int, size: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.size, self.code_size = size, 2 * size
        self.backend = "fast"
        shapes = ((3 * size, input_size), (3 * size, size), (3 * size,), (3 * size,))
        for direction in DIRECTIONS:
            for name, shape in zip(PARAMETERS, shapes, strict=True):
                value = nn.Parameter(uniform(shape, size, generator))
                self.register_parameter(f"{direction}_{name}", value)

    def forward(self, seen: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode trials.

        Args:
            seen: (trial, bin, neuron).
            lengths: (trial,) bins before the padding, which is never read; None for whole trials.

        Returns:
            (trial, code).
        """
        sides = [tuple(getattr(self, f"{side}_{name}") for name in PARAMETERS) for side in DIRECTIONS]
        start = seen.new_zeros(len(seen), self.size)
        states = bidirectional_gru(
            seen, start, start, sides[0], sides[1], lengths=lengths, backend=self.backend
        )
        return torch.cat([states.forward_last, states.backward_last], dim=1)
