"""What the condition of a trial alone says: smoothed counts, averaged over training trials."""

from __future__ import annotations

import functools

import numpy as np

from ctd_analysis.baselines.config import ConditionAverageConfig
from ctd_analysis.baselines.counts import Counts
from ctd_analysis.baselines.search import (
    Choice,
    Setting,
    by_setting,
    choice_by_neuron,
    search_by_neuron,
)
from ctd_analysis.gaussian_smoothing import smooth
from ctd_analysis.results import Floats, Integers

_FLOOR = 0.01


class ConditionAverage:
    """Average counts of each condition, smoothed over time.

    Args:
        train: Training trials.
        width_s: Standard deviation of the Gaussian in s.
        prior_trials: Weight of the average over all trials in that of a condition, in trials.
    """

    def __init__(self, train: Counts, width_s: float, prior_trials: float) -> None:
        self.conditions = np.unique(train.condition[train.condition >= 0])
        counts = [train.spikes[train.condition == c].sum(axis=0) for c in self.conditions]
        recorded = [train.recorded[train.condition == c].sum(axis=0) for c in self.conditions]
        bins, width = np.arange(train.spikes.shape[1]), width_s / train.bin_width_s
        everything = self._smoothed(
            train.spikes.sum(axis=0)[None], train.recorded.sum(axis=0)[None], bins, width, train.mean()
        )[0]
        # A condition's counts over its trials, the average of all standing in as further trials.
        prior = np.where(train.recorded.any(axis=0), prior_trials, 0.0)
        sums = np.array(counts) + prior * everything
        averages = self._smoothed(sums, np.array(recorded) + prior, bins, width, train.mean())
        floor = _FLOOR * train.mean()
        self.averages = np.concatenate(
            [(1 - _FLOOR) * averages + floor, (1 - _FLOOR) * everything[None] + floor]
        )

    @staticmethod
    def _smoothed(sums: Floats, trials: Floats, bins: Integers, width: float, otherwise: Floats) -> Floats:
        """Smoothed sums over smoothed numbers of trials, (condition, time, neuron)."""
        everywhere = np.ones(sums.shape, bool)
        above = smooth(sums, everywhere, bins, width, otherwise=otherwise)
        below = smooth(np.asarray(trials, float), everywhere, bins, width, otherwise=otherwise)
        return np.where(below > 0.0, above / np.where(below > 0.0, below, 1.0), otherwise)

    def __call__(self, condition: Integers) -> Floats:
        """Expected counts by condition, (trial, time, neuron); those of all trials for -1 and new ones."""
        rows = np.searchsorted(self.conditions, condition)
        rows = np.minimum(rows, len(self.conditions) - 1)
        known = self.conditions[rows] == condition
        return self.averages[np.where(known, rows, len(self.conditions))]


def condition_average(
    train: Counts, valid: Counts, condition: Integers, config: ConditionAverageConfig
) -> tuple[Floats, dict[str, Choice]]:
    """Expected counts of trials by their condition, learned from train.

    Width and shrinkage are each neuron's own, chosen by the likelihood of its valid counts in all bins.

    Returns:
        The counts, (trial, time, neuron), and what was chosen.

    Raises:
        ValueError: No training trial has a condition.
    """
    if not (train.condition >= 0).any():
        raise ValueError(
            "no training trial has a condition: convert the recording with --map condition=VARIABLE"
        )
    candidates = {"width_s": config.width_s, "prior_trials": config.prior_trials}
    averages = functools.cache(lambda *values: ConditionAverage(train, *values))

    def expected(setting: Setting, of: Integers) -> Floats:
        return averages(*setting.values())(of)

    everything = np.ones(train.spikes.shape[1:], bool)
    settings = search_by_neuron(
        candidates,
        lambda setting: expected(setting, valid.condition),
        lambda counts: valid.log_likelihood(counts, everything),
    )
    score = valid.bits_per_spike(by_setting(settings, lambda s: expected(s, valid.condition)), everything)
    choice = choice_by_neuron(settings, score, candidates)
    return by_setting(settings, lambda setting: expected(setting, condition)), {"all": choice}
