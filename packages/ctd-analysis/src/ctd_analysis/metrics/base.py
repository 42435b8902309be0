"""What all metrics share: they see blocks of trials, fit on some and score on others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Estimate, Undefined
from ctd_analysis.results import Definition, Flags, Floats, Integers

Estimates = list[tuple[Definition, Estimate | Undefined]]


@dataclass(frozen=True)
class Session:
    """What is the same for all trials of a recording.

    Attributes:
        bin_width_s: Width of a bin in s.
        held_out: Neurons that encoders did not see, (neuron,).
        forward: Bins that were to be predicted, (time,).
        n_external_inputs: Channels of the recording's `inputs`, 0 without.
        n_conditions: Conditions of the trials, 0 without.
        condition_bins: Bins from which conditions are decoded, counted from 1.
        regions: Names of the regions that neurons lie in; none where the recording doesn't say.
        neuron_regions: The region of each neuron, (neuron,), where there are regions.
    """

    bin_width_s: float
    held_out: Flags
    forward: Flags
    n_external_inputs: int = 0
    n_conditions: int = 0
    condition_bins: tuple[int, ...] = ()
    regions: tuple[str, ...] = ()
    neuron_regions: Integers | None = None


@dataclass(frozen=True)
class Ends:
    """Which regions the channels of communication connect.

    Attributes:
        source: Region that each channel comes from, (channel,).
        target: Region that it goes to, (channel,).
        regions: Names of the regions.
    """

    source: Integers
    target: Integers
    regions: tuple[str, ...]

    def connections(self) -> list[tuple[int, int]]:
        """Pairs of source and target, in order."""
        return sorted(set(zip(self.source.tolist(), self.target.tolist(), strict=True)))

    def of(self, connection: tuple[int, int]) -> Flags:
        """Channels of a connection, (channel,)."""
        return (self.source == connection[0]) & (self.target == connection[1])


@dataclass(frozen=True)
class Block:
    """Some whole trials of a recording and of a model, aligned by id.

    Attributes:
        session: What all trials share.
        valid: Bins that are not padding, (trial, time).
        signals: Name -> float array (trial, time, dimension). The names are the metrics' own: `spikes`,
            `observed`, `behavior`, `rates`, `states`, `inferred_inputs`, and `true_rates`, `true_states`,
            `clean_inputs`, `driving_inputs`, `changing_inputs`, and `communication`, `true_communication`:
            what regions send each other; `mode_probability` and `true_mode`; `activity`,
            `activity_prediction` and `true_activity`; `forecast_<bins>`.
        conditions: Of the trials, -1 without, (trial,); None where nothing is known of them.
        ends: Of the channels of communication, by the signal's name.
        regions: Region of each dimension of `states` and `true_states`, by their name.
    """

    session: Session
    valid: Flags
    signals: Mapping[str, Floats]
    conditions: Integers | None = None
    ends: Mapping[str, Ends] = field(default_factory=dict)
    regions: Mapping[str, Integers] = field(default_factory=dict)

    def rows(self, name: str) -> Floats:
        """A signal's bins that are not padding, (row, dimension)."""
        return self.signals[name][self.valid]


class Metric(ABC):
    """A metric of one model: made anew for every model, fed with blocks, asked for its estimates.

    Attributes, of the class as a rule:
        name: The metric's name, or a common name when it gives several.
        requires: The signals it needs.
        definitions: The forms it gives, ours before the published ones.
        fits: True when `fit` has to see a split before `score` sees the scored one.
        fits_on: That split.
        comparable: False when the number is in a unit of the model's own.
    """

    name: str
    requires: tuple[str, ...]
    definitions: tuple[Definition, ...]
    fits: ClassVar[bool] = False
    fits_on: ClassVar[str] = "train"
    comparable: ClassVar[bool] = True

    def missing(self, session: Session) -> str | None:
        """Why this recording can't have the number though its signals are there; None when it can."""
        del session
        return None

    def fit(self, block: Block) -> None:
        """Learns from trials of the split `fits_on`."""
        del block

    @abstractmethod
    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""

    @abstractmethod
    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Each definition with its number, or with the reason why it has none."""


def block_of(
    *,
    valid: Flags | None = None,
    held_out: Flags | None = None,
    forward: Flags | None = None,
    bin_width_s: float = 0.01,
    n_external_inputs: int = 0,
    conditions: Integers | None = None,
    condition_bins: tuple[int, ...] = (),
    ends: Mapping[str, Ends] | None = None,
    regions: Mapping[str, Integers] | None = None,
    **signals: Floats,
) -> Block:
    """A block from arrays; what is not given is the usual: no padding, nothing held out, no forward bins.

    Args:
        valid: Bins that are not padding, (trial, time).
        held_out: (neuron,).
        forward: (time,).
        bin_width_s: Width of a bin in s.
        n_external_inputs: Channels of the recording's `inputs`.
        conditions: Of the trials, -1 without, (trial,).
        condition_bins: Bins from which conditions are decoded, counted from 1.
        ends: As in `Block`.
        regions: As in `Block`.
        **signals: Name -> (trial, time, dimension), as in `Block.signals`.
    """
    trials, time = next(iter(signals.values())).shape[:2]
    neurons = next(
        (signals[name].shape[2] for name in ("spikes", "rates", "true_rates") if name in signals), 0
    )
    session = Session(
        bin_width_s=bin_width_s,
        held_out=np.zeros(neurons, dtype=bool) if held_out is None else np.asarray(held_out, dtype=bool),
        forward=np.zeros(time, dtype=bool) if forward is None else np.asarray(forward, dtype=bool),
        n_external_inputs=n_external_inputs,
        n_conditions=0 if conditions is None else int(np.max(conditions, initial=-1)) + 1,
        condition_bins=condition_bins,
    )
    everywhere = np.ones((trials, time), dtype=bool)
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in signals.items()}
    known = everywhere if valid is None else np.asarray(valid, dtype=bool)
    chosen = None if conditions is None else np.asarray(conditions)
    return Block(session, known, arrays, chosen, ends or {}, regions or {})


def score_arrays(
    metric: Metric, scored: Block, train: Block | None, bootstrap: Bootstrap | None
) -> Estimates:
    """Fits, scores and estimates a metric on whole arrays; the library functions of each metric call it."""
    if train is not None:
        metric.fit(train)
    metric.score(scored)
    return metric.estimates(bootstrap or Bootstrap())
