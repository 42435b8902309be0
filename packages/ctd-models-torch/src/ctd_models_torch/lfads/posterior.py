"""Diagonal normal posteriors: their parameters, samples, and where they are bounded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_models_torch.lfads.initial_weights import normal

# Largest log-variance, either way, for inputs in ±1, which is where states of a GRU are.
LOG_VARIANCE_BOUND = 10.0


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1), of the shape, type and device of a tensor."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Normal:
    """A diagonal normal distribution.

    Attributes:
        mean: (..., dimension).
        log_variance: (..., dimension).
    """

    mean: Tensor
    log_variance: Tensor

    @property
    def std(self) -> Tensor:
        """(..., dimension)."""
        return torch.exp(0.5 * self.log_variance)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw once, so that gradients reach mean and variance."""
        noise = standard_normal(self.mean, generator)
        return self.mean + self.std * noise


class NormalHead(nn.Module):
    """An affine map to mean and log-variance.

    The rows of the log-variance are scaled down where they could give more than ±`LOG_VARIANCE_BOUND` for
    inputs in ±1, smoothly in everything that is learned: no variance can overflow or vanish.

    Args:
        input_size: Length of what it maps.
        size: Dimensions of the posterior.
        generator: Stream of the initial weights.
    """

    def __init__(self, input_size: int, size: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.raw_weight = nn.Parameter(normal((2 * size, input_size), input_size, generator))
        self.raw_bias = nn.Parameter(torch.zeros(2 * size))

    def bounded(self) -> tuple[Tensor, Tensor]:
        """Weight (2 dimension, input) and bias (2 dimension,): means first, then log-variances."""
        mean_weight, weight = self.raw_weight.chunk(2)
        mean_bias, bias = self.raw_bias.chunk(2)
        largest = weight.abs().sum(1) + bias.abs()
        scale = LOG_VARIANCE_BOUND / largest.clamp_min(LOG_VARIANCE_BOUND)
        return torch.cat([mean_weight, weight * scale[:, None]]), torch.cat([mean_bias, bias * scale])

    def forward(self, values: Tensor, *, floor: float) -> Normal:
        """Map (..., input) to a posterior whose variance is at least ``floor`` > 0."""
        mean, log_variance = functional.linear(values, *self.bounded()).chunk(2, -1)
        return Normal(mean, torch.logaddexp(log_variance, log_variance.new_tensor(floor).log()))
