"""How often the condition of a trial is read from the rates of a single bin."""

from __future__ import annotations

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.discriminant import N_FOLDS, Discriminant, fit_discriminant
from ctd_analysis.metrics.base import Block, Estimates, Metric, Session, block_of, score_arrays
from ctd_analysis.results import Definition, Flags, Floats, Integers

SHRINKAGES = tuple(10.0 ** (exponent / 2.0) for exponent in range(-8, 1))
SINGLE_BINS = Definition(
    name="discriminant-1",
    metric="condition_accuracy",
    formula="sum_b [class(r_b) = condition of the trial] / sum_b 1, b over the chosen bins of each trial; "
    "class = linear discriminant of the training trials' bins, all of them one decoder, pooled covariance "
    "(1 - s) S + s tr(S)/N I with s of 9 from 1e-4 to 1 by 5 contiguous folds of trials; r = rates of all "
    "neurons",
    text="Part of the single bins whose rates tell the condition, such as the direction of the target, by "
    "one decoder for all chosen bins. Chance is the share of the most frequent condition. A model that was "
    "told the condition scores 1 and shows nothing.",
    source="R. Fisher, Annals of Eugenics 7, 179, 1936; J. Friedman, 1989",
)


class ConditionAccuracy(Metric):
    """Accuracy of conditions decoded from single bins."""

    name = "condition_accuracy"
    requires = ("rates",)
    definitions = (SINGLE_BINS,)
    fits = True

    def __init__(self) -> None:
        self._rows: list[tuple[Floats, Integers]] = []
        self._decoder: Discriminant | None = None
        self._parts: list[Integers] = []
        self._n_bins = 1

    def missing(self, session: Session) -> str | None:
        """Why there is nothing to decode."""
        if session.n_conditions < 2:
            return "the recording has no conditions"
        if not session.condition_bins:
            return "no bins to decode the condition from were chosen (condition_bins)"
        if max(session.condition_bins) > len(session.forward):
            return f"condition_bins go beyond the {len(session.forward)} bins of a trial"
        return None

    def fit(self, block: Block) -> None:
        """Keeps the chosen bins of training trials."""
        self._rows.append(_chosen(block))

    def score(self, block: Block) -> None:
        """Counts the bins that are classified rightly."""
        if self._decoder is None:
            features = [features for features, _ in self._rows]
            labels = [labels for _, labels in self._rows]
            if sum(map(len, labels)) < N_FOLDS:
                return
            self._decoder = fit_discriminant(np.concatenate(features), np.concatenate(labels), SHRINKAGES)
            self._rows = []
        features, labels = _chosen(block)
        self._n_bins = features.shape[1]
        self._parts.append((self._decoder(features) == labels[:, None]).sum(axis=1))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Accuracy, the decoder held fixed in the bootstrap."""
        if self._decoder is None:
            reason = "there are too few training trials with a condition and all chosen bins"
            return [(SINGLE_BINS, Undefined(reason))]
        correct = np.concatenate(self._parts).astype(np.float64)

        def accuracy(weights: Floats) -> Floats:
            return weights @ correct / (weights.sum(axis=1) * self._n_bins)

        return [(SINGLE_BINS, bootstrap.estimate(accuracy, len(correct)))]


def _chosen(block: Block) -> tuple[Floats, Integers]:
    """Rates of the chosen bins of trials that have a condition and all of these bins, and the conditions."""
    bins = np.array(block.session.condition_bins) - 1
    conditions = np.full(len(block.valid), -1) if block.conditions is None else block.conditions
    trials = (conditions >= 0) & block.valid[:, bins].all(axis=1)
    return block.signals["rates"][trials][:, bins], conditions[trials]


def condition_accuracy(
    rates: Floats,
    conditions: Integers,
    train_rates: Floats,
    train_conditions: Integers,
    *,
    bins: tuple[int, ...],
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Accuracy of conditions decoded from single bins.

    Args:
        rates: Of the scored trials, (trial, time, neuron).
        conditions: Theirs, -1 without, (trial,).
        train_rates: Of the trials that the decoder is fitted to.
        train_conditions: Theirs.
        bins: Bins to decode from, counted from 1.
        valid: Bins of the scored trials that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    scored = block_of(valid=valid, conditions=conditions, condition_bins=bins, rates=rates)
    train = block_of(conditions=train_conditions, condition_bins=bins, rates=train_rates)
    return score_arrays(ConditionAccuracy(), scored, train, bootstrap)
