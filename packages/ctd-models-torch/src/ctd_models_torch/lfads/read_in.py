"""Read-in: an affine map from a recording's neurons to channels that recordings share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_models_torch.lfads.initial_weights import normal


class ReadIn(nn.Module):
    """W x + b of what is seen in each bin.

    Args:
        neurons: Neurons that are seen.
        size: Channels.
        generator: Stream of the initial weights, N(0, 1 / neurons).
    """

    def __init__(self, neurons: int, size: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal((size, neurons), neurons, generator))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, seen: Tensor) -> Tensor:
        """Map (..., neuron) to (..., channel)."""
        return functional.linear(seen, self.weight, self.bias)
