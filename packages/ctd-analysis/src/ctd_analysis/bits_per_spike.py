"""Poisson information per spike from sums over trials.

Source: F. Pei and others, Neural Latents Benchmark '21, 2021, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Flags, Floats

SMALLEST_COUNT = 1e-9
"""Expected counts per bin are raised to this: one spike in a bin of rate zero would cost infinitely much."""


@dataclass(frozen=True)
class TrialLikelihood:
    """Sums per trial and neuron from which bits per spike of any resample of the trials follow.

    Attributes:
        log_likelihood: Sum of k ln(m) - m over scored bins, counts k, expected counts m, (trial, neuron).
        spikes: Sum of k, (trial, neuron).
        bins: Scored bins, (trial, neuron).
    """

    log_likelihood: Floats
    spikes: Floats
    bins: Floats

    @classmethod
    def of(cls, spikes: Floats, expected: Floats, scored: Flags) -> TrialLikelihood:
        """Sums of some trials.

        Args:
            spikes: Counts, (trial, time, neuron).
            expected: Expected counts per bin (rate times bin width), the same shape.
            scored: True for what is scored, (trial, time, neuron) or broadcastable to it.

        Raises:
            ValueError: An expected count that is scored is negative or not finite.
        """
        if spikes.shape != expected.shape:
            raise ValueError(f"spikes {spikes.shape} and rates {expected.shape} differ in shape")
        scored = np.broadcast_to(scored, spikes.shape)
        counts = np.where(scored, spikes, 0.0)
        expected = np.where(scored, expected, 1.0)
        if not np.all(np.isfinite(expected)) or expected.min(initial=0.0) < 0.0:
            raise ValueError("rates have to be finite and not negative where they are scored")
        expected = np.maximum(expected, SMALLEST_COUNT)
        terms = np.where(scored, counts * np.log(expected) - expected, 0.0)
        return cls(terms.sum(axis=1), counts.sum(axis=1), scored.sum(axis=1, dtype=np.float64))

    @classmethod
    def concatenate(cls, parts: Sequence[TrialLikelihood]) -> TrialLikelihood:
        """The sums of several blocks of trials as one."""
        names = ("log_likelihood", "spikes", "bins")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def of_neurons(self, neurons: Flags) -> TrialLikelihood:
        """The sums of some neurons alone."""
        return TrialLikelihood(*(sums[:, neurons] for sums in (self.log_likelihood, self.spikes, self.bins)))

    def bits_per_spike(self, weights: Floats) -> Floats:
        """Log likelihood above that of each neuron's mean rate per spike, (resample,); NaN without spikes.

        Args:
            weights: How often each trial counts, (resample, trial). The mean rates are the resample's own.
        """
        spikes = weights @ self.spikes
        mean = spikes / np.maximum(weights @ self.bins, 1.0)
        null = np.where(spikes > 0.0, spikes * np.log(np.where(spikes > 0.0, mean, 1.0)) - spikes, 0.0)
        gain = (weights @ self.log_likelihood).sum(axis=1) - null.sum(axis=1)
        total = spikes.sum(axis=1)
        return np.where(total > 0.0, gain / (np.where(total > 0.0, total, 1.0) * np.log(2.0)), np.nan)
