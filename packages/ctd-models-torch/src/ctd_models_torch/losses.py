"""Observation models: what is scored between a prediction and what was recorded.

Each is bounded so that no prediction, however wild, gives an infinite loss: see `Poisson` for counts, and
`CLAMPS` for the logarithms of the others, which are clamped.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_models_torch.poisson_total import poisson_total

# Log count of a bin above which Poisson's rate goes on in a straight line: about 1,100 spikes in a bin.
LINEAR_ABOVE = 7.0
# Where logarithms are clamped: of variances, of a gamma's mean and of its shape.
CLAMPS = {"variance": (-20.0, 20.0), "mean": (-20.0, 20.0), "shape": (-7.0, 7.0)}


class Observation(nn.Module, ABC):
    """How a prediction becomes what is recorded.

    Attributes:
        n_parameters: Numbers per neuron in a prediction (trial, time, prediction): first all neurons' first
            numbers, then all neurons' second ones.
        link: Nonlinearity from the first of them to what is expected, as the contract calls it; None where
            it takes more than that.
    """

    n_parameters: int = 1
    link: str | None = "identity"

    @classmethod
    def of(cls, variance: Tensor) -> Self:  # noqa: ARG003
        """Make it for a recording with this variance of each neuron, (neuron,)."""
        return cls()

    @abstractmethod
    def start(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Prediction (prediction,) at which each neuron is expected to have this mean and variance."""

    @abstractmethod
    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """Negative log-likelihood of each entry, (trial, time, neuron), up to terms of the data alone."""

    def total(self, prediction: Tensor, data: Tensor, scored: Tensor | None, weight: Tensor | None) -> Tensor:
        """Sum of the weighted negative log-likelihoods, a scalar.

        Args:
            prediction: (trial, time, prediction).
            data: (trial, time, neuron).
            scored: bool, broadcastable to it: what counts; None for everything.
            weight: (trial, time, neuron), or None.
        """
        nll = self.nll(prediction, data)
        # A masked choice and no product: what isn't scored may be anything.
        kept = nll if scored is None else torch.where(scored, nll, 0.0)
        return kept.sum() if weight is None else (kept * weight).sum()

    @abstractmethod
    def expected(self, prediction: Tensor) -> Tensor:
        """Expected data of each entry, (trial, time, neuron)."""


class Poisson(Observation):
    """Counts; the prediction is the logarithm of the expected count of a bin.

    Above `LINEAR_ABOVE` = c the expected count goes on as e^c (1 + prediction - c), with the same slope: the
    loss and its gradient stay finite, and the gradient still points back.
    """

    link = "exp"

    def __init__(self) -> None:
        super().__init__()
        self.backend = "fast"

    def total(self, prediction: Tensor, data: Tensor, scored: Tensor | None, weight: Tensor | None) -> Tensor:
        """See Observation; on a CPU loss and gradient are found together, while they are in the cache."""
        fast = self.backend == "fast" and prediction.device.type == "cpu" and prediction.requires_grad
        if not fast or data.requires_grad:
            return super().total(prediction, data, scored, weight)
        if scored is not None:
            ones = torch.ones((), dtype=prediction.dtype) if weight is None else weight
            weight = torch.where(scored, ones, 0.0)
        return poisson_total(prediction, data, weight, LINEAR_ABOVE)

    def start(self, mean: Tensor, variance: Tensor) -> Tensor:  # noqa: ARG002
        """See Observation."""
        # A silent neuron still needs a finite log rate: that of half a spike in 10,000 bins.
        return mean.clamp_min(5e-5).log()

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """λ - y log λ; log y! is left out, as in the published sequential autoencoders."""
        bent = prediction.clamp_max(LINEAR_ABOVE)
        growth = 1.0 + (prediction - bent)
        return bent.exp() * growth - data * (bent + growth.log())

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected count of a bin."""
        bent = prediction.clamp_max(LINEAR_ABOVE)
        return bent.exp() * (1.0 + (prediction - bent))


class Gaussian(Observation):
    """Continuous activity; the prediction is its mean, and each neuron has a learned variance.

    Args:
        variance: (neuron,) variance to start from, that of the training data.
    """

    def __init__(self, variance: Tensor) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(variance.clamp_min(1e-8).log())

    @classmethod
    def of(cls, variance: Tensor) -> Self:
        """See Observation."""
        return cls(variance)

    def start(self, mean: Tensor, variance: Tensor) -> Tensor:  # noqa: ARG002
        """See Observation."""
        return mean

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """½ ((y - μ)² / σ² + log 2πσ²)."""
        return _normal_nll(prediction, self.log_variance, data)

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected activity, in the recording's unit."""
        return prediction


class VaryingGaussian(Observation):
    """Continuous activity; the prediction is mean and log-variance of every bin."""

    n_parameters = 2

    def start(self, mean: Tensor, variance: Tensor) -> Tensor:
        """See Observation."""
        return torch.cat([mean, variance.clamp_min(1e-8).log()])

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """½ ((y - μ)² / σ² + log 2πσ²)."""
        mean, log_variance = prediction.chunk(2, -1)
        return _normal_nll(mean, log_variance, data)

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected activity, in the recording's unit."""
        return prediction.chunk(2, -1)[0]


class SquaredError(Observation):
    """Continuous activity; the prediction is its mean, and the loss its squared error.

    That is a Gaussian of variance ½ but for a constant: activity in units of its own noise is fitted best.
    """

    def start(self, mean: Tensor, variance: Tensor) -> Tensor:  # noqa: ARG002
        """See Observation."""
        return mean

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """(y - μ)²."""
        return (data - prediction).square()

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected activity, in the recording's unit."""
        return prediction


class Gamma(Observation):
    """Positive activity; the prediction is the log mean and the log shape k of every bin, both clamped."""

    n_parameters = 2
    link = "exp"

    def start(self, mean: Tensor, variance: Tensor) -> Tensor:
        """See Observation."""
        shape = mean.square() / variance.clamp_min(1e-8)
        return torch.cat([mean.clamp_min(1e-8).log(), shape.clamp_min(1e-2).log()])

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """-log Gamma(y; k, rate k / mean)."""
        log_mean, log_shape = prediction.chunk(2, -1)
        return _gamma_nll(log_mean, log_shape, data)

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected activity, in the recording's unit."""
        return _clamped(prediction.chunk(2, -1)[0], "mean").exp()


class ZeroInflatedGamma(Observation):
    """Activity that is often exactly zero, say deconvolved calcium (Wei et al. 2020).

    The prediction is the log mean and the log shape of what is not zero, and the logit of its probability q.
    """

    n_parameters = 3
    link = None

    def start(self, mean: Tensor, variance: Tensor) -> Tensor:
        """See Observation; half of the entries are taken to be zero."""
        return torch.cat([Gamma().start(2.0 * mean, variance), torch.zeros_like(mean)])

    def nll(self, prediction: Tensor, data: Tensor) -> Tensor:
        """-log(1 - q) for zeros, else -log q - log Gamma(y; k, rate k / mean)."""
        log_mean, log_shape, logit = prediction.chunk(3, -1)
        active = data > 0
        # Where there is nothing the density is not looked at, but its gradient must be a number.
        density = _gamma_nll(log_mean, log_shape, torch.where(active, data, 1.0))
        return torch.where(active, density + functional.softplus(-logit), functional.softplus(logit))

    def expected(self, prediction: Tensor) -> Tensor:
        """Expected activity, in the recording's unit."""
        log_mean, _, logit = prediction.chunk(3, -1)
        return torch.sigmoid(logit) * _clamped(log_mean, "mean").exp()


def _clamped(logarithm: Tensor, of: str) -> Tensor:
    return logarithm.clamp(*CLAMPS[of])


def _normal_nll(mean: Tensor, log_variance: Tensor, data: Tensor) -> Tensor:
    # A neuron that the model fits perfectly must not drive its variance, and so the gradient, to a pole.
    log_variance = _clamped(log_variance, "variance")
    return 0.5 * ((data - mean).square() * (-log_variance).exp() + log_variance + math.log(2.0 * math.pi))


def _gamma_nll(log_mean: Tensor, log_shape: Tensor, data: Tensor) -> Tensor:
    log_mean, log_shape = _clamped(log_mean, "mean"), _clamped(log_shape, "shape")
    shape, log_rate = log_shape.exp(), log_shape - log_mean
    return torch.lgamma(shape) - shape * log_rate - (shape - 1.0) * data.log() + log_rate.exp() * data


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
