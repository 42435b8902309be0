"""What a simulator of spikes needs of the system that it observes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Parent
from ctd_contract.dynamics import Dynamics, Probe


@dataclass(frozen=True)
class Source:
    """Trials of a dynamical system: descriptions in memory, signals read by rows.

    A generator of trials (a trained network's file, a chaotic system, several regions) fills one of these.

    Attributes:
        name: Of the data set.
        trial: (trial,) ids.
        time: (time,) start of each bin in s.
        bin_width_s: Width of a bin.
        split: (trial,) 0 train, 1 valid, 2 test.
        lengths: (trial,) bins of each trial; those past it are padding.
        n_states: State dimensions.
        read: Gives a signal of some rows: `read("states", slice(0, 8))` is (8, time, state). Row k of the
            states is the state after input k.
        signals: The names that `read` knows: `states`, and whichever there are of `initial_state`, `inputs`,
            `inputs_clean`, `perturbations`, `targets`, `behavior`, `messages`, `input_messages` and `mode`.
        units: Unit of each signal that has one of its own.
        axes: Ids of the axes `state`, `input`, `target`, `behavior`, `condition`, `region` and `mode`, as far
            as there are any.
        columns: Columns of the tables, by table and name; `trials/split` and `trials/length` apart.
        column_units: Unit of each column that has one, by `table/name`.
        phases: (trial, 2) first bin and the bin after the last, -1 where a trial has none.
        dynamics: What moves the states; None where it has no portable form.
        probe: Its proof, from whoever made the dynamics.
        parents: The files that the trials come from.
        state_regions: (state,) region of each state, each one slice, where a neuron sees the states of one
            region alone; None where neurons see all states.
    """

    name: str
    trial: NDArray[np.int64]
    time: NDArray[np.float64]
    bin_width_s: float
    split: NDArray[np.uint8]
    lengths: NDArray[np.int32]
    n_states: int
    read: Callable[[str, slice], NDArray]
    signals: tuple[str, ...] = ("states",)
    units: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, NDArray]] = field(default_factory=dict)
    column_units: Mapping[str, str] = field(default_factory=dict)
    phases: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    dynamics: Dynamics | None = None
    probe: Probe | None = None
    parents: tuple[Parent, ...] = ()
    state_regions: NDArray[np.int32] | None = None

    def valid_bins(self, rows: slice) -> NDArray[np.bool_]:
        """Bins of these trials that are no padding, (trial, time)."""
        return np.arange(len(self.time)) < self.lengths[rows, None]
