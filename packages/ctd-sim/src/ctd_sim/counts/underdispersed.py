"""Underdispersed counts: a sum of unequal coin flips with exactly the mean and variance asked for.

A sum of independent coin flips with probabilities p_1 ... p_N has mean Σ p_i and variance Σ p_i - Σ p_i².
So a mean μ and a variance f μ need Σ p_i = μ and Σ p_i² = S = μ (1 - f). Let N be the smallest integer with
N S ≥ μ² (less is impossible by Cauchy and Schwarz), and let all flips but one share a probability p, the
last having q. The two equations then give

    d = sqrt((N S - μ²) / (N - 1)),   p = (μ + d) / N,   q = (μ - (N - 1) d) / N.

N < μ² / S + 1 makes q ≥ 0, and p ≤ 1 holds whenever S ≤ m + φ², with m the integer part of μ and φ its
fractional part. That bound is the variance φ (1 - φ) of a count that is m or m + 1: no integer count of mean
μ varies less. Below it, the smallest possible variance is taken. N = 1 leaves the single flip q = μ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctd_sim.counts.base import CountModel, Generators


@dataclass(frozen=True)
class CoinFlips:
    """Counts that are Binomial(`n`, `p`) + Bernoulli(`q`)."""

    n: NDArray[np.int64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]


def coin_flips(mean: NDArray[np.float64], fano: float) -> CoinFlips:
    """The flips of this mean whose variance is fano · mean or, where that is larger, the smallest possible.

    Args:
        mean: Not negative, any shape.
        fano: From 0 to below 1.
    """
    mean = np.asarray(mean, np.float64)
    # Where the mean is zero any positive number does: the single flip then fails for certain.
    divisor = np.where(mean > 0, mean, 1.0)
    whole = np.floor(mean)
    fraction = mean - whole
    # S / μ. Subtracting variances instead would lose all digits at small means.
    share = np.minimum(1 - fano, whole / divisor + fraction * (fraction / divisor))
    share = np.where(mean > 0, share, 1.0)
    # A hair of rounding above an integer would add a flip for nothing.
    total = np.maximum(np.ceil(mean / share * (1 - 1e-12)), 1.0)
    rest = np.maximum(total - 1, 1.0)
    d = np.sqrt(mean * np.maximum(total * share - mean, 0.0) / rest)
    alone = total == 1
    p = np.where(alone, 0.0, (mean + d) / total)
    q = np.where(alone, mean, (mean - (total - 1) * d) / total)
    return CoinFlips((total - 1).astype(np.int64), np.clip(p, 0.0, 1.0), np.clip(q, 0.0, 1.0))


def smallest_variance(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest variance of any integer count of this mean: φ (1 - φ), φ the fractional part of the mean."""
    fraction = mean - np.floor(mean)
    return fraction * (1 - fraction)


@dataclass(frozen=True)
class Underdispersed(CountModel):
    """Counts with variance fano · mean, or the smallest possible variance where that is larger.

    Attributes:
        fano: From 0 to below 1.
    """

    fano: float

    def draw(self, mean: NDArray[np.float64], generators: Generators) -> NDArray[np.int64]:
        """Sums of coin flips."""
        flips = coin_flips(mean, self.fano)
        counts = generators["binomial"].binomial(flips.n, flips.p)
        counts += generators["bernoulli"].random(mean.shape) < flips.q
        return counts

    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fano factor times mean, but not below the smallest possible."""
        return np.maximum(self.fano * mean, smallest_variance(mean))
