"""Factors of the held-in neurons' counts, smoothed over time.

Source: B. Yu and others, Journal of Neurophysiology 102, 614, 2009 (two-stage methods).
"""

from __future__ import annotations

import numpy as np

from ctd_analysis.baselines.counts import Counts, Seen
from ctd_analysis.baselines.readout import Features
from ctd_analysis.baselines.regression import NEEDED
from ctd_analysis.baselines.search import Setting
from ctd_analysis.baselines.smoothing_kernel import smooth
from ctd_analysis.results import Floats

_MOST_STEPS = 5000
# Gain of log likelihood per row below which a step is the last.
_TOLERANCE = 1e-6


class SmoothedFactors:
    """Makes features: posterior means of the factors of square roots of counts, smoothed.

    The roots make the counts' variances even. The analysis of each number of factors is done once.

    Args:
        train: Training trials.
    """

    def __init__(self, train: Counts) -> None:
        self._bin_width_s = train.bin_width_s
        seen = train.seen()
        bins = np.maximum(seen.recorded.sum(axis=(0, 1)), 1)
        self._mean = np.where(seen.recorded, np.sqrt(seen.spikes), 0.0).sum(axis=(0, 1)) / bins
        self._rows = _same_moments(self._roots(seen)[seen.recorded.any(axis=2)])
        self._analyses = {}

    def __call__(self, setting: Setting) -> Features:
        """Features by `n_factors` and `width_s`."""
        analysis = self._analysis(min(int(setting["n_factors"]), len(self._mean)))
        width = setting["width_s"] / self._bin_width_s

        def features(seen: Seen) -> Floats:
            roots = self._roots(seen)
            factors = analysis.transform(roots.reshape(-1, roots.shape[2])).reshape(*roots.shape[:2], -1)
            there = np.broadcast_to(seen.recorded.any(axis=2, keepdims=True), factors.shape)
            return smooth(factors, there, seen.bins, width, otherwise=np.zeros(factors.shape[2]))

        return features

    def _roots(self, seen: Seen) -> Floats:
        """Square roots of counts, the neuron's mean where they weren't recorded."""
        return np.where(seen.recorded, np.sqrt(seen.spikes), self._mean)

    def _analysis(self, n_factors: int):
        try:
            from sklearn.decomposition import FactorAnalysis
        except ImportError as error:
            raise ValueError(NEEDED) from error
        if n_factors not in self._analyses:
            tolerance = _TOLERANCE * len(self._rows)
            analysis = FactorAnalysis(n_factors, svd_method="lapack", tol=tolerance, max_iter=_MOST_STEPS)
            self._analyses[n_factors] = analysis.fit(self._rows)
        return self._analyses[n_factors]


def _same_moments(rows: Floats) -> Floats:
    """Twice as many rows as columns with the mean and covariance of `rows`, which are all that it takes.

    Factor analysis sees nothing else of its rows, and decomposes them anew at each step.
    """
    mean, size = rows.mean(axis=0), rows.shape[1]
    triangle = np.linalg.qr(rows - mean, mode="r") * np.sqrt(size / len(rows))
    padded = np.zeros((size, size))
    padded[: len(triangle)] = triangle
    return mean + np.concatenate([padded, -padded])
