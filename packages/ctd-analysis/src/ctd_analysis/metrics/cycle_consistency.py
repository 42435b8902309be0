"""Are a model's states determined by its rates, or does it keep dimensions that no neuron shows?"""

from __future__ import annotations

import numpy as np

from ctd_analysis.affine_map import AffineMap, Moments
from ctd_analysis.bits_per_spike import SMALLEST_COUNT
from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Estimates, Metric, block_of, score_arrays
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition, Flags, Floats

NOISY_INVERSE = Definition(
    name="noisy-inverse-1",
    metric="cycle_consistency",
    formula="1 - sum_b E|x_b - M (l_b + e_b) - c|^2 / sum_b |x_b - mean x|^2; x = states, l = log rates, "
    "e ~ N(0, s^2 I) with s^2 = 1 % of the mean variance of a log rate, (M, c) the best affine map from "
    "noisy log rates to states on the training trials; the mean over e is taken in closed form",
    text="Part of the states' variance that can be read back from the model's own log rates of the scored "
    "trials when these are known up to 1 % noise. A dimension that the readout shows weakly or not at all is "
    "lost.",
    source="ours, for the published form below, which cuts instead of adding noise",
)
PUBLISHED = Definition(
    name="published-ctd-1",
    metric="cycle_consistency",
    formula="1 - sum_b |(I - V_k V_k') x_b|^2 / sum_b |x_b - mean x|^2; x = states minus their training "
    "mean, V_k = first k right singular vectors of the affine map from states to log rates, with the "
    "smallest k that reaches 99 % of the sum of squared singular values",
    text="The published form: variance of the states inside of the readout's leading singular directions. "
    "It never looks at the rates of the scored trials and is exactly 1 whenever no direction is cut.",
    source="Computation-through-Dynamics Benchmark",
    published=True,
)
_NOISE_VARIANCE = 0.01
_KEPT = 0.99


class CycleConsistency(Metric):
    """States read back from the model's own rates, in both definitions."""

    name = "cycle_consistency"
    requires = ("states", "rates")
    definitions = (NOISY_INVERSE, PUBLISHED)
    fits = True

    def __init__(self) -> None:
        self._moments: Moments | None = None
        self._inverse: _NoisyInverse | None = None
        self._projection: Floats = np.zeros((0, 0))
        self._parts: list[TrialR2] = []
        self._published_parts: list[TrialR2] = []

    def fit(self, block: Block) -> None:
        """Adds training trials to the map between states and log rates."""
        states, log_rates = block.rows("states"), log_counts(block)[block.valid]
        if self._moments is None:
            self._moments = Moments(states.shape[1], log_rates.shape[1])
        self._moments.update(states, log_rates)

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        if self._moments is None:
            return
        if self._inverse is None:
            self._inverse = _NoisyInverse(self._moments)
            self._projection = _kept_subspace(self._moments.fit().weight)
        states = block.signals["states"]
        self._parts.append(self._inverse.score(states, log_counts(block), block.valid))
        centred = states - self._moments.source_mean
        self._published_parts.append(TrialR2.of(centred, centred @ self._projection, block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Both definitions, the maps held fixed in the bootstrap."""
        if not self._parts:
            reason = Undefined("there are no training trials to fit the map between states and rates to")
            return [(form, reason) for form in self.definitions]
        pairs = zip(self.definitions, (self._parts, self._published_parts), strict=True)
        joined = [(form, TrialR2.concatenate(parts)) for form, parts in pairs]
        return [(form, bootstrap.estimate(sums.variance_weighted, len(sums.bins))) for form, sums in joined]


class _NoisyInverse:
    """Best affine map from noisy log rates to states, and its error averaged over the noise."""

    def __init__(self, moments: Moments) -> None:
        neurons = len(moments.target_mean)
        # Ridge regression with the noise's variance as penalty is the best map from noisy rates.
        self._map: AffineMap = moments.reversed().fit(ridge=_NOISE_VARIANCE / neurons)
        variance = np.trace(moments.target_scatter) / moments.count / neurons
        self._noise_error = _NOISE_VARIANCE * variance * np.square(self._map.weight).sum(axis=1)

    def score(self, states: Floats, log_rates: Floats, valid: Flags) -> TrialR2:
        sums = TrialR2.of(states, self._map(log_rates), valid)
        return TrialR2(
            sums.bins, sums.mean, sums.scatter, sums.error + sums.bins[:, None] * self._noise_error
        )


def log_counts(block: Block) -> Floats:
    """Logarithm of the expected counts per bin, (trial, time, neuron)."""
    return np.log(np.maximum(block.signals["rates"] * block.session.bin_width_s, SMALLEST_COUNT))


def _kept_subspace(weight: Floats) -> Floats:
    """Projection of states (row vectors) onto the leading right singular vectors of (neuron, state)."""
    _, singular_values, directions = np.linalg.svd(weight, full_matrices=False)
    share = np.cumsum(singular_values**2)
    kept = directions[: int(np.searchsorted(share, _KEPT * share[-1])) + 1]
    return kept.T @ kept


def cycle_consistency(
    states: Floats,
    rates: Floats,
    train_states: Floats,
    train_rates: Floats,
    *,
    valid: Flags | None = None,
    train_valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Cycle consistency of a model's states and rates.

    Args:
        states: Of the scored trials, (trial, time, state).
        rates: Spikes/s, (trial, time, neuron).
        train_states: Of the trials to which the maps are fitted.
        train_rates: Likewise.
        valid: Bins of the scored trials that are not padding, (trial, time).
        train_valid: Likewise of the training trials.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    scored = block_of(valid=valid, states=states, rates=rates)
    train = block_of(valid=train_valid, states=train_states, rates=train_rates)
    return score_arrays(CycleConsistency(), scored, train, bootstrap)
