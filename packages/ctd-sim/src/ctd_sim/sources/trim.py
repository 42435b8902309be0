"""Cutting the same bins off both ends of every trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ctd_sim.sources.base import Source


def trim(source: Source, start: int = 0, stop: int | None = None) -> Source:
    """The same trials with bins [start, stop) alone, counted as Python slices count.

    Each bin keeps its time, so columns in seconds stay true; lengths and phases are counted in bins and move
    along. Phases are cut at the new ends; one that lies outside becomes (-1, -1). The initial state becomes
    the state before the new first bin.

    Raises:
        ValueError: No bin is left, of all trials or of some.
    """
    n_bins = len(source.time)
    first, last, _ = slice(start, stop).indices(n_bins)
    if first == 0 and last == n_bins:
        return source
    if last <= first:
        raise ValueError(f"trimming to bins [{start}, {stop}) leaves none of {n_bins}")
    lengths = np.clip(source.lengths - first, 0, last - first).astype(np.int32)
    if empty := int((lengths == 0).sum()):
        raise ValueError(
            f"trimming to bins [{first}, {last}) leaves {empty} of {len(lengths)} trials without a bin"
        )

    def read(name: str, rows: slice) -> NDArray:
        if name == "initial_state":
            return source.read("states", rows)[:, first - 1] if first else source.read(name, rows)
        return source.read(name, rows)[:, first:last]

    signals = source.signals
    if first and "initial_state" not in signals:
        signals = (*signals, "initial_state")
    return replace(
        source,
        time=source.time[first:last],
        lengths=lengths,
        read=read,
        signals=signals,
        columns=_columns(source.columns, first, last),
        phases={name: trim_phase(phase, first, last) for name, phase in source.phases.items()},
    )


def trim_phase(phase: NDArray[np.int32], first: int, last: int) -> NDArray[np.int32]:
    """Half-open phases (trial, 2) counted from bin `first` and cut at `last`."""
    cut = np.clip(phase, first, last) - first
    # An empty phase marks a moment; it stays one while its bin is kept.
    inside = (cut[:, 0] < cut[:, 1]) | (
        (phase[:, 0] == phase[:, 1]) & (phase[:, 0] >= first) & (phase[:, 0] < last)
    )
    return np.where(inside[:, None] & (phase[:, :1] >= 0), cut, -1).astype(np.int32)


def _columns(
    columns: Mapping[str, Mapping[str, NDArray]], first: int, last: int
) -> dict[str, Mapping[str, NDArray]]:
    trimmed = dict(columns)
    if "times" in trimmed:
        trimmed["times"] = {name: column[first:last] for name, column in trimmed["times"].items()}
    return trimmed
