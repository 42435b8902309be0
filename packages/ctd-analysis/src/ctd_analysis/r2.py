"""Coefficient of determination from sums over trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Flags, Floats

# Below this part of its own mean a target's deviation is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class TrialR2:
    """Sums per trial from which R² of any resample of the trials follows.

    Attributes:
        bins: Scored bins, (trial,).
        mean: Mean of the target in the trial, (trial, dimension).
        scatter: Sum of squared deviations from that mean, (trial, dimension).
        error: Sum of squared errors, (trial, dimension).
    """

    bins: Floats
    mean: Floats
    scatter: Floats
    error: Floats

    @classmethod
    def of(cls, target: Floats, prediction: Floats, valid: Flags) -> TrialR2:
        """Sums of some trials.

        Args:
            target: (trial, time, dimension).
            prediction: The same shape.
            valid: Bins that are scored, (trial, time).
        """
        if target.shape != prediction.shape:
            raise ValueError(f"target {target.shape} and prediction {prediction.shape} differ in shape")
        weight = valid[..., None].astype(np.float64)
        bins = weight.sum(axis=1)
        # np.where, not a product: padding may hold anything, NaN too.
        mean = np.where(valid[..., None], target, 0.0).sum(axis=1) / np.maximum(bins, 1.0)
        scatter = np.square(np.where(valid[..., None], target - mean[:, None], 0.0)).sum(axis=1)
        error = np.square(np.where(valid[..., None], target - prediction, 0.0)).sum(axis=1)
        return cls(bins[:, 0], mean, scatter, error)

    @classmethod
    def concatenate(cls, parts: Sequence[TrialR2]) -> TrialR2:
        """The sums of several blocks of trials as one."""
        names = ("bins", "mean", "scatter", "error")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Squared errors and squared deviations from the mean, each (resample, dimension).

        Args:
            weights: How often each trial counts, (resample, trial).
        """
        bins = self.bins[:, None]
        centre = (bins * self.mean).sum(axis=0) / max(self.bins.sum(), 1.0)
        offset = self.mean - centre
        total_bins = np.maximum(weights @ self.bins, 1.0)[:, None]
        shift = weights @ (bins * offset)
        total = weights @ (self.scatter + bins * offset**2) - shift**2 / total_bins
        rounding = total_bins * (_ROUNDING * (np.abs(centre) + np.abs(offset).max(axis=0))) ** 2
        return weights @ self.error, np.where(total > rounding, total, 0.0)

    def variance_weighted(self, weights: Floats) -> Floats:
        """1 - sum of all squared errors / sum of all squared deviations, (resample,); NaN without deviations.

        It is scikit-learn's `variance_weighted`, but that errors of constant dimensions count.
        """
        error, total = self.sums(weights)
        return _ratio(error.sum(axis=1), total.sum(axis=1))

    def uniform(self, weights: Floats, floor: float = -np.inf) -> Floats:
        """Mean over dimensions of 1 - error / deviations, (resample,); constant dimensions are left out."""
        error, total = self.sums(weights)
        scores = np.maximum(_ratio(error, total), floor)
        varies = np.isfinite(scores)
        counted = np.maximum(varies.sum(axis=1), 1)
        return np.where(varies.any(axis=1), np.where(varies, scores, 0.0).sum(axis=1) / counted, np.nan)


def _ratio(error: Floats, total: Floats) -> Floats:
    return np.where(total > 0.0, 1.0 - error / np.where(total > 0.0, total, 1.0), np.nan)
