"""Priors of the initial condition and of inferred inputs, and the Kullback-Leibler divergence (KL) to them.

Posteriors are diagonal normal. Dimensions and bins are summed; nats of each trial are returned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from ctd_models_torch.lfads.config import PriorConfig
from ctd_models_torch.lfads.posterior import Normal

# Trained logarithms are clamped to ± this.
LOG_BOUND = 12.0
# Nodes of the Gauss-Hermite rule of a Student-t prior.
NODES = 24


class Prior(nn.Module, ABC):
    """A prior over vectors (trial, dimension) or sequences of them (trial, time, dimension).

    Attributes:
        samples: Whether posteriors are sampled; else their mean is passed on.
        estimate: ``"sample"`` or ``"exact"``, as in `PriorConfig`.
        over_time: ``"sum"`` or ``"published_mean"``, as in `PriorConfig`.
    """

    samples: bool = True
    estimate: str = "sample"
    over_time: str = "sum"

    @abstractmethod
    def divergence(self, posterior: Normal, sample: Tensor | None) -> Tensor:
        """Contribution of each entry to the KL, of the posterior's shape.

        Args:
            posterior: (trial, dimension) or (trial, time, dimension).
            sample: What was passed on, of the same shape; None for the exact form.
        """

    def kl(self, posterior: Normal, sample: Tensor | None, bins: Tensor | None = None) -> Tensor:
        """KL of each trial in nats, (trial,).

        Args:
            posterior: (trial, dimension) or (trial, time, dimension).
            sample: What was passed on; None where nothing was drawn, which gives the exact form.
            bins: bool (trial, time), those before the padding; None for all.
        """
        terms = self.divergence(posterior, sample if self.estimate == "sample" else None).sum(-1)
        if terms.dim() == 1:
            return terms
        kept = torch.ones_like(terms, dtype=torch.bool) if bins is None else bins
        total = torch.where(kept, terms, 0.0).sum(1)
        return total if self.over_time == "sum" else total / kept.sum(1).clamp_min(1)


class NoPrior(Prior):
    """No prior: nothing is sampled and the KL is zero."""

    samples = False

    def divergence(self, posterior: Normal, sample: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Prior."""
        return torch.zeros_like(posterior.mean)


class NormalPrior(Prior):
    """N(mean, variance), the same in all bins; the mean is trained and the variance is not.

    Args:
        size: Dimensions.
        variance: Of each of them.
    """

    def __init__(self, size: int, variance: float) -> None:
        super().__init__()
        self.variance = variance
        self.mean = nn.Parameter(torch.zeros(size))

    def divergence(self, posterior: Normal, sample: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Prior; always the closed form."""
        return _normal_kl(posterior, self.mean, torch.full_like(self.mean, math.log(self.variance)))


class AutoregressivePrior(Prior):
    """Each dimension on its own: u_1 ~ N(0, ν / (1 - α²)), u_t ~ N(α u_{t-1}, ν), α = exp(-1 / τ).

    log τ and log ν are trained. With a sample, a bin's divergence is that of its posterior from the prior
    given the sampled input of the bin before: by the chain rule the sum's expectation is the KL of the whole
    sequence, also where the posterior of a bin depends on the inputs sampled before it. The exact form
    averages over the bin before, as if it did not.

    Args:
        size: Dimensions.
        time_constant: τ at first, bins.
        variance: ν at first.
    """

    def __init__(self, size: int, time_constant: float, variance: float) -> None:
        super().__init__()
        self.log_time_constant = nn.Parameter(torch.full((size,), math.log(time_constant)))
        self.log_variance = nn.Parameter(torch.full((size,), math.log(variance)))

    def divergence(self, posterior: Normal, sample: Tensor | None) -> Tensor:
        """See Prior."""
        rate = torch.exp(-self.log_time_constant.clamp(-LOG_BOUND, LOG_BOUND))
        alpha, innovation = torch.exp(-rate), self.log_variance.clamp(-LOG_BOUND, LOG_BOUND)
        stationary = innovation - torch.log(-torch.expm1(-2.0 * rate))
        first = Normal(posterior.mean[:, :1], posterior.log_variance[:, :1])
        later = Normal(posterior.mean[:, 1:], posterior.log_variance[:, 1:])
        before = posterior.mean[:, :-1] if sample is None else sample[:, :-1]
        rest = _normal_kl(later, alpha * before, innovation)
        if sample is None:
            spread = (posterior.log_variance[:, :-1] - innovation).exp()
            rest = rest + 0.5 * alpha.square() * spread
        return torch.cat([_normal_kl(first, torch.zeros_like(alpha), stationary), rest], dim=1)


class StudentTPrior(Prior):
    """Student's t around 0 at first, the same in all bins: heavy tails, for inputs that come now and then.

    Location and log scale are trained. Without a sample the expectation over the posterior is computed by
    Gauss-Hermite quadrature.

    Args:
        size: Dimensions.
        scale: Of the distribution, at first.
        degrees_of_freedom: Of it.
    """

    def __init__(self, size: int, scale: float, degrees_of_freedom: float) -> None:
        super().__init__()
        self.nodes: Tensor
        self.node_weights: Tensor
        self.degrees_of_freedom = degrees_of_freedom
        self.location = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.full((size,), math.log(scale)))
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        self.register_buffer("nodes", torch.from_numpy(nodes).to(torch.float32), persistent=False)
        scaled = torch.from_numpy(weights / weights.sum()).to(torch.float32)
        self.register_buffer("node_weights", scaled, persistent=False)

    def divergence(self, posterior: Normal, sample: Tensor | None) -> Tensor:
        """See Prior."""
        entropy = 0.5 * (1.0 + math.log(2.0 * math.pi) + posterior.log_variance)
        if sample is not None:
            return -entropy - self.log_density(sample)
        points = posterior.mean[..., None] + posterior.std[..., None] * self.nodes
        expected = self.log_density(points.movedim(-1, 0)).movedim(0, -1) @ self.node_weights
        return -entropy - expected

    def log_density(self, values: Tensor) -> Tensor:
        """Log density of each entry of (..., dimension)."""
        df, log_scale = self.degrees_of_freedom, self.log_scale.clamp(-LOG_BOUND, LOG_BOUND)
        constant = math.lgamma((df + 1.0) / 2.0) - math.lgamma(df / 2.0) - 0.5 * math.log(df * math.pi)
        standard = (values - self.location) * torch.exp(-log_scale)
        return constant - log_scale - 0.5 * (df + 1.0) * torch.log1p(standard.square() / df)


def _normal_kl(posterior: Normal, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of each entry from N(mean, variance)."""
    spread = (posterior.log_variance - log_variance).exp()
    shift = (posterior.mean - mean).square() * (-log_variance).exp()
    return 0.5 * (spread + shift - 1.0 + log_variance - posterior.log_variance)


def make_prior(config: PriorConfig, size: int) -> Prior:
    """Make a prior of its settings for ``size`` dimensions."""
    prior = _KINDS[config.kind](config, size)
    prior.estimate, prior.over_time = config.estimate, config.over_time
    return prior


_KINDS = {
    "none": lambda _config, _size: NoPrior(),
    "normal": lambda config, size: NormalPrior(size, config.variance),
    "autoregressive": lambda config, size: AutoregressivePrior(size, config.time_constant, config.variance),
    "student_t": lambda config, size: StudentTPrior(size, config.scale, config.degrees_of_freedom),
}
