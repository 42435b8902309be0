"""Prior of everything that MR-LFADS infers: normal with mean 0 and trained variances."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ctd_models_torch.lfads.posterior import Normal
from ctd_models_torch.lfads.priors import LOG_BOUND, Prior


class ZeroMeanPrior(Prior):
    """N(0, variance), independent in all bins; the logarithm of each dimension's variance is trained.

    Args:
        size: Dimensions.
        variance: Of each of them at first.
    """

    def __init__(self, size: int, variance: float) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.full((size,), math.log(variance)))

    def divergence(self, posterior: Normal, sample: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Prior; always the closed form."""
        prior = self.log_variance.clamp(-LOG_BOUND, LOG_BOUND)
        spread = (posterior.log_variance - prior).exp()
        shift = posterior.mean.square() * (-prior).exp()
        return 0.5 * (spread + shift - 1.0 + prior - posterior.log_variance)
