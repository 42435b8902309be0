"""Regressions on features, one for each neuron: Poisson ones of counts by scikit-learn, linear ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_analysis.affine_map import AffineMap
from ctd_analysis.results import Flags, Floats

_MOST_STEPS = 1000


@dataclass(frozen=True)
class PoissonRegression:
    """expected count = exp(weight · z + intercept), z the features in units of their training spread.

    Attributes:
        weight: (target, feature).
        intercept: (target,).
        centre: Mean of each feature, (feature,).
        spread: Standard deviation of each feature, (feature,).
        most: Largest expected training count of each target, above which no prediction goes, (target,).
    """

    weight: Floats
    intercept: Floats
    centre: Floats
    spread: Floats
    most: Floats

    def __call__(self, features: Floats) -> Floats:
        """Expected counts (..., target) of features (..., feature)."""
        drive = (features - self.centre) / self.spread @ self.weight.T + self.intercept
        return np.exp(np.minimum(drive, np.log(self.most)))


def fit_poisson(features: Floats, counts: Floats, recorded: Flags, ridge: float) -> PoissonRegression:
    """Fit one regression for each target.

    Args:
        features: (row, feature).
        counts: (row, target).
        recorded: Which counts take part, (row, target).
        ridge: Half of it times the squared weights is added to the mean negative log likelihood.

    Raises:
        ValueError: scikit-learn isn't installed.
    """
    regressor = _regressor(ridge)
    there = recorded.any(axis=1)  # padding has no say in the scale of the features
    features, counts, recorded = features[there], counts[there], recorded[there]
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled = (features - centre) / spread
    n_targets = counts.shape[1]
    weight, intercept = np.zeros((n_targets, features.shape[1])), np.zeros(n_targets)
    most = np.ones(n_targets)
    for target in range(n_targets):
        rows = recorded[:, target]
        y = counts[rows, target]
        if y.sum() == 0.0:  # the likelihood would have its maximum at minus infinity
            intercept[target] = np.log(0.5 / max(len(y), 1))
            continue
        regressor.fit(scaled if rows.all() else scaled[rows], y)
        weight[target], intercept[target] = regressor.coef_, regressor.intercept_
        most[target] = min(np.exp(np.max(scaled @ weight[target] + intercept[target])), y.max())
    return PoissonRegression(weight, intercept, centre, spread, most)


def fit_linear(features: Floats, activity: Floats, recorded: Flags, ridge: float) -> AffineMap:
    """Fit a linear regression for each target.

    Args:
        features: (row, feature).
        activity: (row, target).
        recorded: Which of them take part, (row, target).
        ridge: Penalty on squared weights, per row and unit of spread.
    """
    there = recorded.any(axis=1)
    centre, spread = features[there].mean(axis=0), features[there].std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled = np.concatenate([(features - centre) / spread, np.ones((len(features), 1))], axis=1)
    penalty = np.diag([ridge] * features.shape[1] + [0.0])
    weight = np.zeros((activity.shape[1], scaled.shape[1]))
    # Neurons that were recorded in the same rows share their equations.
    patterns: dict[bytes, list[int]] = {}
    for target, rows in enumerate(recorded.T):
        patterns.setdefault(rows.tobytes(), []).append(target)
    for targets in patterns.values():
        rows = recorded[:, targets[0]]
        x, y = scaled[rows], activity[rows][:, targets]
        weight[targets] = np.linalg.solve(x.T @ x + len(x) * penalty, x.T @ y).T
    slope = weight[:, :-1] / spread
    return AffineMap(slope, weight[:, -1] - slope @ centre)


def _regressor(ridge: float):
    try:
        from sklearn.linear_model import PoissonRegressor
    except ImportError as error:
        raise ValueError(NEEDED) from error
    return PoissonRegressor(alpha=ridge, solver="newton-cholesky", max_iter=_MOST_STEPS, tol=1e-6)


NEEDED = "reference predictions need scikit-learn: pip install 'ctd-analysis[baselines]'"
