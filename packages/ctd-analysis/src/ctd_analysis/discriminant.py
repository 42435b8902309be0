"""Linear discriminant analysis with a shrunk covariance, the shrinkage chosen by cross-validation.

Source: J. Friedman, Journal of the American Statistical Association 84, 165, 1989 (regularised discriminant
analysis, its pooled form with shrinkage towards a multiple of the identity).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Floats, Integers

N_FOLDS = 5


@dataclass(frozen=True)
class Discriminant:
    """A linear classifier: the class with the highest weight · x + bias.

    Attributes:
        classes: (class,).
        weight: (class, feature).
        bias: (class,).
    """

    classes: Integers
    weight: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Integers:
        """Classes of features (..., feature)."""
        return self.classes[np.argmax(features @ self.weight.T + self.bias, axis=-1)]


def fit_discriminant(features: Floats, labels: Integers, shrinkages: Sequence[float]) -> Discriminant:
    """Fit a classifier with the shrinkage under which held-back groups are classified best.

    Args:
        features: (group, row, feature); rows of a group, such as bins of a trial, are held back together.
        labels: Class of each group, (group,).
        shrinkages: Parts of the identity in the covariance to choose from, in (0, 1]; of equals, the first.

    Raises:
        ValueError: There are fewer groups than folds.
    """
    if len(features) < N_FOLDS:
        raise ValueError(f"{len(features)} trials are too few to choose a shrinkage by {N_FOLDS} folds")
    correct = np.zeros(len(shrinkages))
    if len(shrinkages) > 1:
        for held_back in np.array_split(np.arange(len(features)), N_FOLDS):
            kept = np.ones(len(features), bool)
            kept[held_back] = False
            fits = _solve(features[kept], labels[kept], shrinkages)
            correct += [(fit(features[held_back]) == labels[held_back, None]).sum() for fit in fits]
    return _solve(features, labels, [shrinkages[int(np.argmax(correct))]])[0]


def _solve(features: Floats, labels: Integers, shrinkages: Sequence[float]) -> list[Discriminant]:
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([features[index == c].mean(axis=(0, 1)) for c in range(len(classes))])
    within = (features - means[index][:, None]).reshape(-1, features.shape[2])
    variances, directions = np.linalg.eigh(within.T @ within / len(within))
    # Features that don't vary within classes at all would leave nothing to divide by.
    level = max(float(variances.mean()), 1e-12 * max(float(np.square(means).mean()), 1e-300))
    fits = []
    for shrinkage in shrinkages:
        shrunk = (1.0 - shrinkage) * np.maximum(variances, 0.0) + shrinkage * level
        weight = (means @ directions / shrunk) @ directions.T
        bias = np.log(counts / counts.sum()) - 0.5 * (weight * means).sum(axis=1)
        fits.append(Discriminant(classes, weight, bias))
    return fits
