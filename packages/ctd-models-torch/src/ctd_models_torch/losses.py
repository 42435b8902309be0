"""Observation models: what is scored between a prediction and what was recorded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Observation(nn.Module, ABC):
    """How a prediction becomes what is recorded."""

    @abstractmethod
    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """Negative log-likelihood of each entry, (trial, time, neuron), up to terms of the data alone."""

    @abstractmethod
    def expected(self, prediction: Tensor) -> Tensor:
        """Expected data of each entry, (trial, time, neuron)."""


class Poisson(Observation):
    """Counts; the prediction is the logarithm of the expected count of a bin."""

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """λ - y log λ; log y! is left out, as in the published sequential autoencoders."""
        return prediction.exp() - data * prediction

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected count of a bin."""
        return prediction.exp()


class Gaussian(Observation):
    """Continuous activity; the prediction is its mean, and each neuron has a learned variance.

    Args:
        variance: (neuron,) variance to start from, that of the training data.
    """

    def __init__(self, variance: Tensor) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(variance.clamp_min(1e-8).log())

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """½ ((y - μ)² / σ² + log 2πσ²)."""
        # A neuron that the model fits perfectly must not drive its variance, and so the gradient, to a pole.
        log_variance = self.log_variance.clamp_min(-20.0)
        squared = (data - prediction).square()
        return 0.5 * (squared * (-log_variance).exp() + log_variance + math.log(2.0 * math.pi))

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected activity, in the recording's unit."""
        return prediction


def masked_mean(values: Tensor, scored: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of the values that are scored.

    Args:
        values: (trial, time, neuron); those that aren't scored may be anything, NaN included.
        scored: bool, broadcastable to ``values``.
        weight: (trial, time, neuron) of mean 1, or None. It weights the sum and not the count, so that a
            random weight leaves the mean unbiased.

    Returns:
        Scalar; 0 where nothing is scored.
    """
    scored = scored.expand_as(values)
    kept = torch.where(scored, values, torch.zeros((), dtype=values.dtype, device=values.device))
    total = kept.sum() if weight is None else (kept * weight).sum()
    return total / scored.sum().clamp_min(1)
