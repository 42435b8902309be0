"""Factors of the held-in neurons' smoothed counts.

Source: B. Yu and others, Journal of Neurophysiology 102, 614, 2009 (two-stage methods: smoothing, then factor
analysis). Logarithms of the smoothed counts stand for the square roots there: they suit the regressions,
whose rates are exponentials.
"""

from __future__ import annotations

import numpy as np

from ctd_analysis.baselines.counts import Counts, Seen
from ctd_analysis.baselines.readout import Features
from ctd_analysis.baselines.regression import NEEDED
from ctd_analysis.baselines.search import Setting
from ctd_analysis.baselines.smoothing import log_smoothed
from ctd_analysis.results import Floats

_MOST_STEPS = 5000
# Gain of log likelihood per row below which a step is the last.
_TOLERANCE = 1e-6


class SmoothedFactors:
    """Makes features: posterior means of the factors of log smoothed counts.

    The analysis of each width and number of factors is done once.

    Args:
        train: Training trials.
    """

    def __init__(self, train: Counts) -> None:
        self._seen = train.seen()
        self._smoothed = log_smoothed(train)
        self._analyses = {}

    def __call__(self, setting: Setting) -> Features:
        """Features by `n_factors` and `width_s`."""
        smoothed = self._smoothed(setting)
        key = min(int(setting["n_factors"]), self._seen.spikes.shape[2]), setting["width_s"]
        if key not in self._analyses:
            rows = smoothed(self._seen)[self._seen.recorded.any(axis=2)]
            self._analyses[key] = _analysis(_same_moments(rows), key[0])
        analysis = self._analyses[key]

        def features(seen: Seen) -> Floats:
            values = smoothed(seen)
            return analysis.transform(values.reshape(-1, values.shape[2])).reshape(*values.shape[:2], -1)

        return features


def _analysis(rows: Floats, n_factors: int):
    try:
        from sklearn.decomposition import FactorAnalysis
    except ImportError as error:
        raise ValueError(NEEDED) from error
    tolerance = _TOLERANCE * len(rows)
    return FactorAnalysis(n_factors, svd_method="lapack", tol=tolerance, max_iter=_MOST_STEPS).fit(rows)


def _same_moments(rows: Floats) -> Floats:
    """Twice as many rows as columns with the mean and covariance of `rows`, which are all that it takes.

    Factor analysis sees nothing else of its rows, and decomposes them anew at each step.
    """
    mean, size = rows.mean(axis=0), rows.shape[1]
    triangle = np.linalg.qr(rows - mean, mode="r") * np.sqrt(size / len(rows))
    padded = np.zeros((size, size))
    padded[: len(triangle)] = triangle
    return mean + np.concatenate([padded, -padded])
