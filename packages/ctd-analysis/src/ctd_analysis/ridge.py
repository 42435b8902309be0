"""Ridge regression whose penalty is chosen by cross-validation.

It is scikit-learn's `GridSearchCV(Ridge(), {"alpha": ...})` with its defaults: five contiguous folds, R²
averaged evenly over targets, then over folds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctd_analysis.affine_map import AffineMap
from ctd_analysis.results import Floats

N_FOLDS = 5


def fit_ridge(source: Floats, target: Floats, penalties: Sequence[float]) -> tuple[AffineMap, float]:
    """Fit an affine map with the penalty on squared weights that predicts held-back rows best.

    Args:
        source: (row, source).
        target: (row, target).
        penalties: To choose from; the first of equals is taken.

    Returns:
        The map of all rows, and the penalty.

    Raises:
        ValueError: There are fewer rows than folds.
    """
    if len(source) < N_FOLDS:
        raise ValueError(f"{len(source)} bins are too few to choose a ridge penalty by {N_FOLDS} folds")
    if len(penalties) == 1:
        return _solve(source, target, penalties)[0], penalties[0]
    scores = np.zeros(len(penalties))
    for held_back in np.array_split(np.arange(len(source)), N_FOLDS):
        kept = np.ones(len(source), bool)
        kept[held_back] = False
        maps = _solve(source[kept], target[kept], penalties)
        scores += [_mean_r2(target[held_back], fitted(source[held_back])) for fitted in maps]
    best = penalties[int(np.argmax(scores))]
    return _solve(source, target, [best])[0], best


def _solve(source: Floats, target: Floats, penalties: Sequence[float]) -> list[AffineMap]:
    """The map of each penalty; the intercept bears none."""
    centre, mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - centre
    variances, directions = np.linalg.eigh(centred.T @ centred)
    rotated = directions.T @ (centred.T @ (target - mean))
    maps = []
    for penalty in penalties:
        weight = directions @ (rotated / (np.maximum(variances, 0.0) + penalty)[:, None])
        maps.append(AffineMap(weight.T, mean - centre @ weight))
    return maps


def _mean_r2(target: Floats, predicted: Floats) -> float:
    error = ((target - predicted) ** 2).sum(axis=0)
    total = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    # As scikit-learn has it: a constant target is explained or not.
    r2 = np.where(total > 0.0, 1.0 - error / np.where(total > 0.0, total, 1.0), (error == 0.0) * 1.0)
    return float(r2.mean())
