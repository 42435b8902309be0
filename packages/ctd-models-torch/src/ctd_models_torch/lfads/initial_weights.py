"""LFADS's initial weights (Pandarinath et al. 2018), drawn from a named stream."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctd_models_torch.lfads.decoder_loop.decode import GRUWeights


def normal(shape: Sequence[int], fan_in: int, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1 / fan_in)."""
    return torch.empty(tuple(shape)).normal_(0.0, max(fan_in, 1) ** -0.5, generator=generator)


class GRUParameters(nn.Module):
    """Weights of a gated recurrent unit; its recurrent bias stays zero.

    Gates r and z start with bias 1, the candidate with 0.

    Args:
        input_size: Input channels; 0 for none.
        size: Units.
        joint: Whether the variance of all weights is 1 / (inputs + units), as in encoders, or that of either
            kind 1 / its own fan-in, as in generator and controller.
        generator: Stream of the weights.
    """

    def __init__(self, input_size: int, size: int, *, joint: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.input_size, self.size = input_size, size
        fans = (input_size + size,) * 2 if joint else (input_size, size)
        self.weight_input = nn.Parameter(normal((3 * size, input_size), fans[0], generator))
        self.weight_state = nn.Parameter(normal((3 * size, size), fans[1], generator))
        self.bias = nn.Parameter(torch.cat([torch.ones(2 * size), torch.zeros(size)]))

    @property
    def weights(self) -> GRUWeights:
        """As the sequence functions take them."""
        return GRUWeights(self.weight_input if self.input_size else None, self.weight_state, self.bias, None)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, None]:
        """The same of a unit that has inputs."""
        return self.weight_input, self.weight_state, self.bias, None
