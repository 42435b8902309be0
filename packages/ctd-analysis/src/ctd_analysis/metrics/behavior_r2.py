"""How much of the behaviour can be read from the rates of the same bin, linearly."""

from __future__ import annotations

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Estimates, Metric, block_of, score_arrays
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition, Flags, Floats
from ctd_analysis.ridge import N_FOLDS, fit_ridge

PENALTIES = tuple(10.0 ** (exponent / 2.0) for exponent in range(-8, 1))
RIDGE = Definition(
    name="ridge-nlb-1",
    metric="behavior_r2",
    formula="mean_d [1 - sum_b (y_bd - (A m_b + c)_d)^2 / sum_b (y_bd - mean_b y_bd)^2], (A, c) = argmin "
    "over the training trials of sum_b |y_b - A m_b - c|^2 + a |A|^2, a of 9 from 1e-4 to 1 by 5 contiguous "
    "folds; m = rate * bin width of all neurons, b over bins with behaviour that aren't to be predicted",
    text="Part of the variance of the behaviour that is read from the rates of the same bin by ridge "
    "regression, averaged over its channels. Behaviour that was computed from the same spikes proves little.",
    source="Pei and others, Neural Latents Benchmark '21, 2021 (velocity R²)",
)


class BehaviorR2(Metric):
    """R² of behaviour decoded by ridge regression."""

    name = "behavior_r2"
    requires = ("rates", "behavior")
    definitions = (RIDGE,)
    fits = True

    def __init__(self) -> None:
        self._rows: list[tuple[Floats, Floats]] = []
        self._map = None
        self._parts: list[TrialR2] = []

    def fit(self, block: Block) -> None:
        """Keeps the bins of training trials."""
        bins = _scored(block)
        self._rows.append((_expected(block)[bins], block.signals["behavior"][bins]))

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        if self._map is None:
            if sum(len(rates) for rates, _ in self._rows) < N_FOLDS:
                return
            rates, behavior = (np.concatenate(parts) for parts in zip(*self._rows, strict=True))
            self._map, _ = fit_ridge(rates, behavior, PENALTIES)
            self._rows = []
        decoded = self._map(_expected(block))
        self._parts.append(TrialR2.of(block.signals["behavior"], decoded, _scored(block)))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """R² averaged over channels, the decoder held fixed in the bootstrap."""
        if not self._parts:
            return [(RIDGE, Undefined("there are too few training bins with behaviour to fit a decoder to"))]
        sums = TrialR2.concatenate(self._parts)
        return [(RIDGE, bootstrap.estimate(sums.uniform, len(sums.bins)))]


def _expected(block: Block) -> Floats:
    """Expected counts per bin, on whose scale the penalties are."""
    return block.signals["rates"] * block.session.bin_width_s


def _scored(block: Block) -> Flags:
    """Bins that are no padding and not to be predicted, with all channels of behaviour, (trial, time)."""
    measured = np.isfinite(block.signals["behavior"]).all(axis=2)
    return block.valid & ~block.session.forward & measured


def behavior_r2(
    rates: Floats,
    behavior: Floats,
    train_rates: Floats,
    train_behavior: Floats,
    *,
    bin_width_s: float,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of behaviour decoded from rates.

    Args:
        rates: Of the scored trials, (trial, time, neuron).
        behavior: NaN where not measured, (trial, time, behavior).
        train_rates: Of the trials that the decoder is fitted to.
        train_behavior: Theirs.
        bin_width_s: Width of a bin in s.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    scored = block_of(bin_width_s=bin_width_s, rates=rates, behavior=behavior)
    train = block_of(bin_width_s=bin_width_s, rates=train_rates, behavior=train_behavior)
    return score_arrays(BehaviorR2(), scored, train, bootstrap)
