"""Few combinations of the held-in neurons' smoothed counts that best predict the held-out ones.

Source: J. Semedo and others, Cortical areas interact through a communication subspace, Neuron 102, 249, 2019
(reduced-rank regression). Its predictions are the features of the Poisson regressions here.
"""

from __future__ import annotations

import numpy as np

from ctd_analysis.baselines.counts import Counts, Seen
from ctd_analysis.baselines.readout import Features
from ctd_analysis.baselines.regression import fit_linear
from ctd_analysis.baselines.search import Setting
from ctd_analysis.baselines.smoothing import log_smoothed
from ctd_analysis.results import Floats


class ReducedRank:
    """Makes features: the leading components of what a linear regression predicts of the held-out neurons.

    Targets are square roots of counts, whose noise is alike.

    Args:
        train: Training trials.

    Raises:
        ValueError: No neurons are held out.
    """

    def __init__(self, train: Counts) -> None:
        if not train.held_out.any():
            raise ValueError("reduced_rank is of held-out neurons, and the recording holds none out")
        self._seen = train.seen()
        self._smoothed = log_smoothed(train)
        part = (slice(None), *np.ix_(~train.forward, train.held_out))
        n_targets = int(train.held_out.sum())
        self._targets = np.sqrt(train.spikes[part]).reshape(-1, n_targets)
        self._recorded = train.recorded[part].reshape(-1, n_targets)

    def __call__(self, setting: Setting) -> Features:
        """Features by `width_s`, `rank` and `ridge`."""
        smoothed = self._smoothed(setting)
        rows = smoothed(self._seen).reshape(-1, self._seen.spikes.shape[2])
        regression = fit_linear(rows, self._targets, self._recorded, setting["ridge"])
        predicted = regression(rows[self._recorded.any(axis=1)])
        centre = predicted.mean(axis=0)
        _, directions = np.linalg.eigh((predicted - centre).T @ (predicted - centre))
        leading = directions[:, ::-1][:, : int(setting["rank"])]

        def features(seen: Seen) -> Floats:
            return (regression(smoothed(seen)) - centre) @ leading

        return features
