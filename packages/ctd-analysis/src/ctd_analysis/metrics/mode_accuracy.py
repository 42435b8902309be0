"""How often a switching model is in the true mode, after its modes are matched with the true ones."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Estimates, Metric, block_of, score_arrays
from ctd_analysis.results import Definition, Flags, Floats, Integers

MODE_ACCURACY = Definition(
    name="assigned-valid-1",
    metric="mode_accuracy",
    formula="mean_b [p(argmax_k q_bk) = z_b], with p = argmax over one-to-one maps of the model's modes to "
    "the true ones of the same mean over the valid trials; q = mode probabilities, z = true modes",
    text="Part of the bins in which the model's most probable mode is the true one. Modes have no names: "
    "they are matched on validation trials. Modes beyond the true number match nothing. A model that never "
    "switches gets the share of the commonest mode.",
    source="MR-SDS",
)


class ModeAccuracy(Metric):
    """Accuracy of matched modes."""

    name = "mode_accuracy"
    requires = ("mode_probability", "true_mode")
    definitions = (MODE_ACCURACY,)
    fits = True
    fits_on = "valid"

    def __init__(self) -> None:
        self._together: Floats | None = None
        self._match: Integers | None = None
        self._right: list[Floats] = []
        self._bins: list[Floats] = []

    def fit(self, block: Block) -> None:
        """Counts how often a mode of the model and a true one come together."""
        found, true, n_found = _modes(block)
        table = np.zeros((n_found, int(true[block.valid].max(initial=0)) + 1))
        np.add.at(table, (found[block.valid], true[block.valid]), 1.0)
        if self._together is not None:
            width = max(table.shape[1], self._together.shape[1])
            table, known = (np.pad(t, ((0, 0), (0, width - t.shape[1]))) for t in (table, self._together))
            table = table + known
        self._together = table

    def score(self, block: Block) -> None:
        """Gathers the right bins of trials of the scored split."""
        if self._together is None:
            return
        if self._match is None:
            own, theirs = linear_sum_assignment(self._together, maximize=True)
            self._match = np.full(len(self._together), -1)
            self._match[own] = theirs
        found, true, _ = _modes(block)
        self._right.append(((self._match[found] == true) & block.valid).sum(axis=1).astype(np.float64))
        self._bins.append(block.valid.sum(axis=1).astype(np.float64))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """The accuracy, the match held fixed in the bootstrap."""
        if not self._right:
            return [(MODE_ACCURACY, Undefined("there are no valid trials to match modes on"))]
        right, bins = np.concatenate(self._right), np.concatenate(self._bins)

        def accuracy(weights: Floats) -> Floats:
            return (weights @ right) / np.maximum(weights @ bins, 1.0)

        return [(MODE_ACCURACY, bootstrap.estimate(accuracy, len(bins)))]


def _modes(block: Block) -> tuple[Integers, Integers, int]:
    """The model's most probable modes and the true ones, (trial, time), and how many modes the model has."""
    probability = block.signals["mode_probability"]
    true = np.where(block.valid, block.signals["true_mode"][..., 0], 0.0).astype(np.int64)
    return probability.argmax(axis=2), true, probability.shape[2]


def mode_accuracy(
    mode_probability: Floats,
    true_mode: Integers,
    valid_mode_probability: Floats,
    valid_true_mode: Integers,
    *,
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Accuracy of a model's modes.

    Args:
        mode_probability: The model's, of the scored trials, (trial, time, mode).
        true_mode: From 0 on, (trial, time).
        valid_mode_probability: Of the trials that modes are matched on.
        valid_true_mode: True modes of these.
        valid: Bins of the scored trials that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    truth, known = (mode[..., None].astype(np.float64) for mode in (true_mode, valid_true_mode))
    scored = block_of(valid=valid, mode_probability=mode_probability, true_mode=truth)
    matched = block_of(mode_probability=valid_mode_probability, true_mode=known)
    return score_arrays(ModeAccuracy(), scored, matched, bootstrap)
