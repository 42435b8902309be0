"""The trials of a task file as a source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import ctd_contract as cc
from ctd_sim.sources.base import Source

CARRIED = ("states", "initial_state", "inputs", "inputs_clean", "perturbations", "targets", "behavior")
# A recording has no outputs, so their axis stays behind.
CARRIED_AXES = ("state", "input", "target", "behavior", "condition", "region")
CARRIED_TABLES = ("trials", "times", "states", "inputs", "targets", "behaviors", "conditions", "regions")


def task_source(file: cc.ContractFile) -> Source:
    """Describe an open task file; its signals are read when they are asked for, so it has to stay open.

    Raises:
        ValueError: The file is no task, or a task without states.
    """
    if file.kind != "task":
        raise ValueError(
            f"{file.path.name} has the kind {file.kind}, but spikes come from the states of a task file: "
            "give source= the task.h5 that ctd-tasks wrote"
        )
    if "states" not in file.signals:
        raise ValueError(f"{file.path.name} has no states: write the task file with signals/states")
    signals = tuple(name for name in CARRIED if name in file.signals)
    dynamics = file.dynamics()

    def read(name: str, rows: slice) -> NDArray:
        return file.signals[name][rows]

    return Source(
        name=file.name,
        trial=file.axis("trial"),
        time=file.time,
        bin_width_s=file.bin_width_s,
        split=file.tables["trials"]["split"],
        lengths=np.asarray(file.lengths, np.int32),
        n_states=file.sizes["state"],
        read=read,
        signals=signals,
        units={name: file.signals[name].unit for name in signals if file.signals[name].unit},
        axes={axis: file.axis(axis) for axis in CARRIED_AXES if axis in file.sizes},
        columns=_columns(file),
        column_units=_column_units(file),
        phases=dict(file.phases),
        dynamics=dynamics,
        probe=None if dynamics is None or dynamics.kind == "opaque" else file.probe(),
        parents=(file.parent("task"),),
    )


def _columns(file: cc.ContractFile) -> dict[str, dict[str, NDArray]]:
    """The tables of the axes that a recording keeps; split and length are attributes of their own."""
    tables = {name: dict(file.tables[name]) for name in CARRIED_TABLES if name in file.tables}
    trials = tables.get("trials", {})
    tables["trials"] = {name: column for name, column in trials.items() if name not in ("split", "length")}
    return tables


def _column_units(file: cc.ContractFile) -> dict[str, str]:
    return {
        f"{table}/{name}": columns.unit(name)
        for table, columns in file.tables.items()
        for name in columns
        if columns.unit(name)
    }
