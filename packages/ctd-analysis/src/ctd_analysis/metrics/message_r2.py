"""How well true messages are affine images of the inferred ones, each connection's of its own alone."""

from __future__ import annotations

import numpy as np

from ctd_analysis.affine_map import AffineMap, Moments
from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Ends, Estimates, Metric, block_of, score_arrays
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition, Flags, Floats

MESSAGE_R2 = Definition(
    name="affine-train-1",
    metric="message_r2",
    formula="1 - sum_cdb (y_cbd - (A_c x_cb + a_c)_d)^2 / sum_cdb (y_cbd - mean_b y_cbd)^2, c over all pairs "
    "of different regions, with (A_c, a_c) = argmin over the training trials of "
    "sum_b |y_cb - A_c x_cb - a_c|^2; x = the model's messages, y = the true ones",
    text="Part of the true messages' variance that the model's messages of the same connection and bin "
    "explain. Messages of other connections are no help.",
    source="MR-LFADS",
)


class MessageR2(Metric):
    """R² of the true messages given the model's."""

    name = "message_r2"
    requires = ("communication", "true_communication")
    definitions = (MESSAGE_R2,)
    fits = True

    def __init__(self) -> None:
        self._moments: dict[tuple[int, int], Moments] = {}
        self._maps: dict[tuple[int, int], AffineMap] = {}
        self._parts: list[TrialR2] = []

    def fit(self, block: Block) -> None:
        """Adds training trials to the least squares problem of each connection."""
        for connection, (source, target) in _pairs(block).items():
            if connection not in self._moments:
                self._moments[connection] = Moments(source.shape[2], target.shape[2])
            self._moments[connection].update(source[block.valid], target[block.valid])

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        if not self._moments:
            return
        self._maps = self._maps or {key: moments.fit() for key, moments in self._moments.items()}
        pairs = _pairs(block)
        predicted = [self._maps[key](source) for key, (source, _) in pairs.items()]
        target = [target for _, target in pairs.values()]
        parts = np.concatenate(target, axis=2), np.concatenate(predicted, axis=2)
        self._parts.append(TrialR2.of(*parts, block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """The variance-weighted R², the maps held fixed in the bootstrap."""
        if not self._parts:
            return [(MESSAGE_R2, Undefined("there are no training trials to fit the affine maps to"))]
        sums = TrialR2.concatenate(self._parts)
        return [(MESSAGE_R2, bootstrap.estimate(sums.variance_weighted, len(sums.bins)))]


def _pairs(block: Block) -> dict[tuple[int, int], tuple[Floats, Floats]]:
    """Of every true connection the model's messages, no channel where it lacks them, and the true ones."""
    (found, ends), (true, true_ends) = (
        (block.signals[name], block.ends[name]) for name in MessageR2.requires
    )
    return {
        connection: (found[..., ends.of(connection)], true[..., true_ends.of(connection)])
        for connection in true_ends.connections()
    }


def message_r2(
    communication: Floats,
    true_communication: Floats,
    train_communication: Floats,
    train_true_communication: Floats,
    *,
    ends: Ends,
    true_ends: Ends,
    valid: Flags | None = None,
    train_valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of true messages.

    Args:
        communication: The model's messages of the scored trials, (trial, time, channel).
        true_communication: The true ones, (trial, time, true channel).
        train_communication: The model's, of the trials to which the maps are fitted.
        train_true_communication: The true ones of these.
        ends: Which regions the model's channels connect.
        true_ends: Likewise the true ones.
        valid: Bins of the scored trials that are not padding, (trial, time).
        train_valid: Likewise of the training trials.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    both = {"communication": ends, "true_communication": true_ends}
    scored = block_of(
        valid=valid, ends=both, communication=communication, true_communication=true_communication
    )
    train = block_of(
        valid=train_valid,
        ends=both,
        communication=train_communication,
        true_communication=train_true_communication,
    )
    return score_arrays(MessageR2(), scored, train, bootstrap)
