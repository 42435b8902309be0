"""How strongly regions drive each other: norms of their messages, and how like the true ones these are."""

from __future__ import annotations

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Ends, Estimates, Metric, block_of, score_arrays
from ctd_analysis.results import Definition, Flags, Floats

COSINE = Definition(
    name="rms-1",
    metric="effectome_cosine",
    formula="sum_c n_c N_c / sqrt(sum_c n_c^2 sum_c N_c^2), c over all pairs of different regions; "
    "n_c = sqrt(mean_b |m_cb|^2), m = the model's messages of all channels in a bin; N likewise, true ones",
    text="Whether the model finds which regions drive which, whatever the scale of its messages. 1 for the "
    "true proportions; no norm is negative, so that equal norms everywhere score well above 0 too.",
    source="MR-LFADS",
)
_NORM = Definition(
    name="rms-1",
    metric="message_norm",
    formula="sqrt(mean_b |m_b|^2), m = messages of all channels from one region to another in a bin",
    text="How much one region is told by another, in the model's own unit: comparable between connections of "
    "one model, not between models.",
    source="MR-LFADS",
)


class _Powers:
    """Sums per trial of squared messages of each connection."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends: Ends | None = None
        self._sums: list[Floats] = []
        self._bins: list[Floats] = []

    def add(self, block: Block) -> None:
        """Add the trials of a block."""
        self.ends = block.ends[self.name]
        there = block.valid[..., None]
        squares = np.square(np.where(there, block.signals[self.name], 0.0)).sum(axis=1)
        own = [self.ends.of(connection) for connection in self.ends.connections()]
        self._sums.append(np.stack([squares[:, channels].sum(axis=1) for channels in own], axis=1))
        self._bins.append(block.valid.sum(axis=1).astype(np.float64))

    def norms(self, weights: Floats) -> Floats:
        """Norm of each connection, (resample, connection)."""
        bins = np.maximum(weights @ np.concatenate(self._bins), 1.0)
        return np.sqrt(weights @ np.concatenate(self._sums) / bins[:, None])

    @property
    def n_trials(self) -> int:
        """Trials that were added."""
        return sum(map(len, self._bins))


class EffectomeCosine(Metric):
    """Cosine similarity of the norms of all connections with the true ones."""

    name = "effectome_cosine"
    requires = ("communication", "true_communication")
    definitions = (COSINE,)

    def __init__(self) -> None:
        self._powers = [_Powers(name) for name in self.requires]

    def score(self, block: Block) -> None:
        """Gathers the squared messages."""
        for powers in self._powers:
            powers.add(block)

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """The cosine."""
        found, true = self._powers
        if found.ends is None or true.ends is None:
            return [(COSINE, Undefined("no trial is in the scored split"))]
        pairs = true.ends.connections()
        both = [pair for pair in found.ends.connections() if pair in pairs]
        if len(both) < len(pairs):
            return [(COSINE, Undefined("the model lacks connections that the truth has"))]
        order = [found.ends.connections().index(pair) for pair in pairs]

        def cosine(weights: Floats) -> Floats:
            mine, theirs = found.norms(weights)[:, order], true.norms(weights)
            scale = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
            return np.where(
                scale > 0.0, (mine * theirs).sum(axis=1) / np.where(scale > 0.0, scale, 1.0), np.nan
            )

        return [(COSINE, bootstrap.estimate(cosine, found.n_trials))]


class MessageNorm(Metric):
    """Norm of the messages of each connection: the effectome."""

    name = "message_norm"
    requires = ("communication",)
    definitions = (_NORM,)
    comparable = False

    def __init__(self) -> None:
        self._powers = _Powers("communication")

    def score(self, block: Block) -> None:
        """Gathers the squared messages."""
        self._powers.add(block)

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """One number per connection."""
        powers, found = self._powers, []
        ends = powers.ends
        for index, (source, target) in enumerate([] if ends is None else ends.connections()):
            name = f"{_NORM.metric} {ends.regions[source]}:{ends.regions[target]}"  # type: ignore[union-attr]
            definition = Definition(_NORM.name, name, _NORM.formula, _NORM.text, _NORM.source)

            def norm(weights: Floats, index: int = index) -> Floats:
                return powers.norms(weights)[:, index]

            found.append((definition, bootstrap.estimate(norm, powers.n_trials)))
        return found


def effectome(
    communication: Floats,
    ends: Ends,
    *,
    true_communication: Floats | None = None,
    true_ends: Ends | None = None,
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Norms of all connections and, given the true messages, their cosine similarity.

    Args:
        communication: The model's messages, (trial, time, channel).
        ends: Which regions its channels connect.
        true_communication: The true ones, (trial, time, true channel).
        true_ends: Which regions these connect.
        valid: Bins that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    if true_communication is None or true_ends is None:
        scored = block_of(valid=valid, ends={"communication": ends}, communication=communication)
        return score_arrays(MessageNorm(), scored, None, bootstrap)
    scored = block_of(
        valid=valid,
        ends={"communication": ends, "true_communication": true_ends},
        communication=communication,
        true_communication=true_communication,
    )
    metrics = (EffectomeCosine(), MessageNorm())
    return [pair for metric in metrics for pair in score_arrays(metric, scored, None, bootstrap)]
