"""Affine least squares from moments that are gathered block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Floats

# Directions of the source with less than this part of its largest variance are rounding of float32 states.
_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class AffineMap:
    """y = weight x + intercept.

    Attributes:
        weight: (target, source).
        intercept: (target,).
    """

    weight: Floats
    intercept: Floats

    def __call__(self, source: Floats) -> Floats:
        """Maps (..., source) to (..., target)."""
        return source @ self.weight.T + self.intercept


class Moments:
    """Means and covariances of pairs of vectors, gathered in blocks.

    The means are updated with each block and the products taken around them: a large offset costs no digits.
    Source: T. Chan, G. Golub and R. LeVeque, The American Statistician 37, 242, 1983.
    """

    def __init__(self, n_source: int, n_target: int) -> None:
        self.count = 0
        self.source_mean = np.zeros(n_source)
        self.target_mean = np.zeros(n_target)
        self.source_scatter = np.zeros((n_source, n_source))
        self.target_scatter = np.zeros((n_target, n_target))
        self.cross_scatter = np.zeros((n_source, n_target))

    def update(self, source: Floats, target: Floats) -> None:
        """Adds rows of pairs, (row, source) and (row, target)."""
        rows = len(source)
        if rows != len(target):
            raise ValueError(f"source has {rows} rows and target {len(target)}, they have to be pairs")
        if rows == 0:
            return
        source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
        source, target = source - source_mean, target - target_mean
        source_step, target_step = source_mean - self.source_mean, target_mean - self.target_mean
        share = self.count * rows / (self.count + rows)
        self.source_scatter += source.T @ source + share * np.outer(source_step, source_step)
        self.target_scatter += target.T @ target + share * np.outer(target_step, target_step)
        self.cross_scatter += source.T @ target + share * np.outer(source_step, target_step)
        self.count += rows
        self.source_mean += source_step * rows / self.count
        self.target_mean += target_step * rows / self.count

    def reversed(self) -> Moments:
        """The same pairs with source and target exchanged."""
        other = Moments(len(self.target_mean), len(self.source_mean))
        other.count = self.count
        other.source_mean, other.target_mean = self.target_mean, self.source_mean
        other.source_scatter, other.target_scatter = self.target_scatter, self.source_scatter
        other.cross_scatter = self.cross_scatter.T
        return other

    def fit(self, ridge: float = 0.0) -> AffineMap:
        """The affine map from source to target of least squared error.

        Args:
            ridge: Penalty on the squared weights per row, relative to the source's total variance. Without,
                directions in which the source doesn't vary get no weight (the solution of least norm).

        Raises:
            ValueError: No rows were added.
        """
        if self.count == 0:
            raise ValueError("no bins to fit an affine map to; the training split is empty")
        variances, directions = np.linalg.eigh(self.source_scatter)
        kept = variances > _SMALLEST_VARIANCE * variances.max(initial=0.0)
        variances, directions = variances[kept], directions[:, kept]
        penalty = ridge * np.trace(self.source_scatter)
        weight = (directions / (variances + penalty)) @ (directions.T @ self.cross_scatter)
        return AffineMap(weight.T, self.target_mean - self.source_mean @ weight)
