"""Initial weights, torch's own distribution, drawn from a named stream."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def uniform(shape: Sequence[int], fan_in: int, generator: torch.Generator) -> Tensor:
    """Draw from U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = fan_in**-0.5
    return torch.empty(tuple(shape)).uniform_(-bound, bound, generator=generator)


def layers(sizes: Sequence[int], generator: torch.Generator) -> tuple[nn.ParameterList, nn.ParameterList]:
    """Weights (out, in) and biases (out,) of a multilayer perceptron with these sizes, input first."""
    weights, biases = nn.ParameterList(), nn.ParameterList()
    for n_in, n_out in pairwise(sizes):
        weights.append(nn.Parameter(uniform((n_out, n_in), n_in, generator)))
        biases.append(nn.Parameter(uniform((n_out,), n_in, generator)))
    return weights, biases
