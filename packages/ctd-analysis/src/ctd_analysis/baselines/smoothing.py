"""Smoothed counts of the held-in neurons, and Poisson regressions on them.

Source: F. Pei and others, Neural Latents Benchmark '21, 2021, the baseline of that name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ctd_analysis.baselines.config import SmoothingConfig
from ctd_analysis.baselines.counts import Counts, Seen
from ctd_analysis.baselines.readout import Features
from ctd_analysis.baselines.search import (
    Choice,
    Setting,
    by_setting,
    choice_by_neuron,
    search_by_neuron,
)
from ctd_analysis.gaussian_smoothing import smooth
from ctd_analysis.results import Floats

# Part of a neuron's mean that keeps the logarithm of silent stretches finite.
_OFFSET = 0.1


def log_smoothed(train: Counts) -> Callable[[Setting], Features]:
    """Makes features: logarithms of smoothed counts."""
    mean = train.mean()[~train.held_out]

    def make(setting: Setting) -> Features:
        width = setting["width_s"] / train.bin_width_s

        def features(seen: Seen) -> Floats:
            smoothed = smooth(seen.spikes, seen.recorded, seen.bins, width, otherwise=mean)
            return np.log(smoothed + _OFFSET * mean)

        return features

    return make


def smoothed_rates(train: Counts, setting: Setting, *, own: bool = True) -> Features:
    """Expected counts of held-in neurons: smoothed counts, drawn towards the neuron's mean."""
    mean, width = train.mean()[~train.held_out], setting["width_s"] / train.bin_width_s
    prior = setting["prior_bins"]

    def expected(seen: Seen) -> Floats:
        return smooth(seen.spikes, seen.recorded, seen.bins, width, otherwise=mean, prior_bins=prior, own=own)

    return expected


def select_rates(train: Counts, valid: Counts, config: SmoothingConfig) -> tuple[list[Setting], Choice]:
    """Choose for each held-in neuron the settings with which its other bins best predict a count."""
    everything = ~train.forward[:, None] & ~train.held_out
    part = (slice(None), *np.ix_(~valid.forward, ~valid.held_out))
    candidates = {"width_s": config.width_s, "prior_bins": config.prior_bins}

    def predict(setting: Setting) -> Floats:
        return smoothed_rates(train, setting, own=False)(valid.seen())

    def placed(predicted: Floats) -> Floats:
        expected = np.ones(valid.spikes.shape)
        expected[part] = predicted
        return expected

    settings = search_by_neuron(
        candidates,
        predict,
        lambda predicted: valid.log_likelihood(placed(predicted), everything)[~valid.held_out],
    )
    score = valid.bits_per_spike(placed(by_setting(settings, predict)), everything)
    return settings, choice_by_neuron(settings, score, candidates)
