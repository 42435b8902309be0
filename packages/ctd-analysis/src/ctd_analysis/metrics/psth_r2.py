"""How well the average of the rates over a condition's trials matches that of the counts (PSTH)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.gaussian_smoothing import smooth
from ctd_analysis.metrics.base import Block, Estimates, Metric, Session, block_of, score_arrays
from ctd_analysis.results import Definition, Floats, Integers

KERNEL_S = 0.07
# Averages of resamples that are in memory at once: 32 MB.
_BLOCK = 4_000_000

PSTH = Definition(
    name="nlb-70ms-1",
    metric="psth_r2",
    formula="mean_n [1 - sum_ct (p_ctn - mean_i r_itn)^2 / sum_ct (p_ctn - mean_ct p_ctn)^2], i over the "
    "scored trials of condition c; p = mean over its training and scored trials of the counts, smoothed by a "
    "Gaussian of 70 ms, per s; t over bins that aren't to be predicted; neurons of constant p are left out",
    text="Whether rates, averaged over the trials of a condition, are the average of the counts. Blind to "
    "all that differs between trials of a condition.",
    source="Pei and others, Neural Latents Benchmark '21, 2021 (there the width differs by dataset, and "
    "smoothing goes on past the trials' ends)",
)


class PsthR2(Metric):
    """R² of peri-stimulus time histograms."""

    name = "psth_r2"
    requires = ("spikes", "rates")
    definitions = (PSTH,)
    fits = True

    def __init__(self) -> None:
        self._sums: dict[int, Floats] = defaultdict(lambda: np.zeros(()))
        self._trials: dict[int, Floats] = defaultdict(lambda: np.zeros(()))
        self._rates: list[NDArray[np.float32]] = []
        self._there: list[Floats] = []
        self._conditions: list[Integers] = []

    def missing(self, session: Session) -> str | None:
        """Why there are no averages."""
        return None if session.n_conditions else "the recording has no conditions"

    def fit(self, block: Block) -> None:
        """Adds training trials to the averages of the counts."""
        spikes, seen = block.signals["spikes"], block.valid & ~block.session.forward
        recorded = np.broadcast_to(seen[..., None], spikes.shape)
        if "observed" in block.signals:
            recorded = recorded & (block.signals["observed"] > 0)
        width = block.session.bin_width_s
        nothing = np.zeros(spikes.shape[2])
        smoothed = smooth(spikes, recorded, np.arange(spikes.shape[1]), KERNEL_S / width, otherwise=nothing)
        smoothed = np.where(recorded, smoothed / width, 0.0)
        for trial, condition in enumerate(_conditions(block)):
            if condition >= 0:
                self._sums[condition] = self._sums[condition] + smoothed[trial]
                self._trials[condition] = self._trials[condition] + recorded[trial]

    def score(self, block: Block) -> None:
        """Adds scored trials, and keeps their rates."""
        self.fit(block)
        there = block.valid & ~block.session.forward
        self._rates.append(np.where(there[..., None], block.signals["rates"], 0.0).astype(np.float32))
        self._there.append(there.astype(np.float64))
        self._conditions.append(_conditions(block))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """R², the averages of the counts held fixed in the bootstrap, whose median is moved to the value."""
        conditions = np.concatenate(self._conditions)
        if not (conditions >= 0).any():
            return [(PSTH, Undefined("no scored trial has a condition"))]
        rates, there = np.concatenate(self._rates), np.concatenate(self._there)
        size = max(1, _BLOCK // rates[0].size)

        def r2(weights: Floats) -> Floats:
            parts = [weights[start : start + size] for start in range(0, len(weights), size)]
            return np.concatenate([self._r2(part, rates, there, conditions) for part in parts])

        value = r2(np.ones((1, len(conditions))))

        def centred(weights: Floats) -> Floats:
            # Averages of resamples have about twice the noise of those of the trials, which costs them R².
            values = r2(weights)
            return values + value - np.nanmedian(values)

        return [(PSTH, bootstrap.estimate(centred, len(conditions)))]

    def _r2(self, weights: Floats, rates: NDArray[np.float32], there: Floats, conditions: Integers) -> Floats:
        """R² of resamples, (resample,): sums over conditions of (resample, neuron)."""
        error = bins = first = second = np.zeros(())
        for condition in np.unique(conditions[conditions >= 0]):
            own = conditions == condition
            weight = weights[:, own]
            trials = weight @ there[own]
            shape = (len(weights), *rates.shape[1:])
            average = (weight @ rates[own].reshape(weight.shape[1], -1)).reshape(shape)
            average = average / np.maximum(trials, 1.0)[..., None]
            known = self._trials[int(condition)]
            psth = self._sums[int(condition)] / np.maximum(known, 1.0)
            scored = (trials > 0.0)[..., None] & (known > 0.0)
            error = error + np.where(scored, (psth - average) ** 2, 0.0).sum(axis=1)
            bins = bins + scored.sum(axis=1)
            first = first + np.where(scored, psth, 0.0).sum(axis=1)
            second = second + np.where(scored, psth**2, 0.0).sum(axis=1)
        total = second - first**2 / np.maximum(bins, 1)
        varies = total > 1e-9 * second
        explained = np.where(varies, 1.0 - error / np.where(varies, total, 1.0), 0.0)
        counted = varies.sum(axis=1)
        return np.where(counted > 0, explained.sum(axis=1) / np.maximum(counted, 1), np.nan)


def _conditions(block: Block) -> Integers:
    return np.full(len(block.valid), -1) if block.conditions is None else block.conditions


def psth_r2(
    spikes: Floats,
    rates: Floats,
    conditions: Integers,
    *,
    bin_width_s: float,
    train_spikes: Floats | None = None,
    train_conditions: Integers | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of peri-stimulus time histograms.

    Args:
        spikes: Counts of the scored trials, (trial, time, neuron).
        rates: The model's, in spikes/s, the same shape.
        conditions: Of these trials, -1 without, (trial,).
        bin_width_s: Width of a bin in s.
        train_spikes: Counts of further trials for the averages.
        train_conditions: Theirs.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    scored = block_of(conditions=conditions, bin_width_s=bin_width_s, spikes=spikes, rates=rates)
    train = None
    if train_spikes is not None:
        train = block_of(conditions=train_conditions, bin_width_s=bin_width_s, spikes=train_spikes)
    return score_arrays(PsthR2(), scored, train, bootstrap)
