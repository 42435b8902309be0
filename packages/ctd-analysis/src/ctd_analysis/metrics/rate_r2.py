"""How much of the true rates a model's rates explain."""

from __future__ import annotations

import numpy as np

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Block, Estimates, Metric, block_of, score_arrays
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition, Flags, Floats

VARIANCE_WEIGHTED = Definition(
    name="variance-weighted-1",
    metric="rate_r2",
    formula="1 - sum_n sum_b (r_bn - m_bn)^2 / sum_n sum_b (r_bn - mean_b r_bn)^2",
    text="Part of the variance of the true rates r that the model's rates m explain, all neurons pooled, so "
    "that neurons whose rates vary more weigh more. 1 is perfect, 0 no better than each neuron's mean. "
    "Nothing is fitted.",
    source="Computation-through-Dynamics Benchmark (there on validation trials)",
)
NEURON_MEAN = Definition(
    name="published-expressive-1",
    metric="rate_r2",
    formula="mean_n [1 - sum_b (r_bn - m_bn)^2 / sum_b (r_bn - mean_b r_bn)^2]",
    text="The same per neuron, then the plain mean over neurons. Neurons of constant true rate are left out "
    "(the published form divides by zero there).",
    source="Sedler, Versteeg and Pandarinath, Expressive architectures enhance interpretability, 2023",
    published=True,
)

# Rates below this, in spikes/s, count as this where logarithms are taken.
LOWEST_RATE = 1e-3
LOGARITHMS = Definition(
    name="variance-weighted-1",
    metric="log_rate_r2",
    formula="1 - sum_n sum_b (l_bn - m_bn)^2 / sum_n sum_b (l_bn - mean_b l_bn)^2",
    text="As rate_r2, of the natural logarithms l and m of the true and the model's rates, those below 0.001 "
    "spikes/s taken as that: neurons and bins of low rates count as much as those of high ones.",
)


class RateR2(Metric):
    """R² of rates in both definitions."""

    name = "rate_r2"
    requires = ("true_rates", "rates")
    definitions = (VARIANCE_WEIGHTED, NEURON_MEAN)

    def __init__(self) -> None:
        self._parts: list[TrialR2] = []

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        self._parts.append(TrialR2.of(block.signals["true_rates"], block.signals["rates"], block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Both definitions with intervals."""
        sums = TrialR2.concatenate(self._parts)
        trials = len(sums.bins)
        return [
            (VARIANCE_WEIGHTED, bootstrap.estimate(sums.variance_weighted, trials)),
            (NEURON_MEAN, bootstrap.estimate(sums.uniform, trials)),
        ]


class LogRateR2(Metric):
    """R² of the logarithms of rates."""

    name = "log_rate_r2"
    requires = ("true_rates", "rates")
    definitions = (LOGARITHMS,)

    def __init__(self) -> None:
        self._parts: list[TrialR2] = []

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        true, found = (np.log(np.maximum(block.signals[n], LOWEST_RATE)) for n in ("true_rates", "rates"))
        self._parts.append(TrialR2.of(true, found, block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """With its interval."""
        sums = TrialR2.concatenate(self._parts)
        return [(LOGARITHMS, bootstrap.estimate(sums.variance_weighted, len(sums.bins)))]


def log_rate_r2(
    true_rates: Floats, rates: Floats, *, valid: Flags | None = None, bootstrap: Bootstrap | None = None
) -> Estimates:
    """R² of the logarithms of a model's rates; arguments and result are those of `rate_r2`."""
    block = block_of(valid=valid, true_rates=true_rates, rates=rates)
    return score_arrays(LogRateR2(), block, None, bootstrap)


def rate_r2(
    true_rates: Floats, rates: Floats, *, valid: Flags | None = None, bootstrap: Bootstrap | None = None
) -> Estimates:
    """R² of a model's rates.

    Args:
        true_rates: Spikes/s, (trial, time, neuron).
        rates: The model's, the same shape and unit.
        valid: Bins that are not padding, (trial, time); all of them by default.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    block = block_of(valid=valid, true_rates=true_rates, rates=rates)
    return score_arrays(RateR2(), block, None, bootstrap)
