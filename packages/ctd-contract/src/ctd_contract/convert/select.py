"""Which variables of a source become what in a recording, and which trials, bins and neurons of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ctd_contract.errors import ContractError
from ctd_contract.schema import SIGNALS

Value = Any
"""A variable: an array, a list of arrays (a cell array, or a field of a structure array), or a dict."""

# What of a recording runs along the neurons of the data.
_OF_NEURONS = ("data", "observed", "truth/rates")
_WHOLE = 0.05


@dataclass(frozen=True)
class Selection:
    """What is taken of a source that has names of its own.

    Attributes:
        names: Name in the recording to variables of the source, several of which are joined along their
            last axis. Dots lead into structures: `trialData.counts` of a structure array is one entry for
            each of its elements.
        where: Variable with one entry for each trial to the values of the trials that are kept.
        neurons: Variable that lists the channels kept as neurons, or marks them; "" for all.
        bins: Bins kept of each trial, the first ones; shorter trials are left out. None for all.
        bins_per_trial: Arrays (row, channel) are trials of so many rows, one after the other.
        channels_first: Trials are (channel, time).
        residuals: Data are counts less a mean for each neuron and bin over the trials: the least counts
            that differ from them by a constant are taken.
        scale: Name of a signal to the factor of each of its channels, or one for all.
    """

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    neurons: str = ""
    bins: int | None = None
    bins_per_trial: int | None = None
    channels_first: bool = False
    residuals: bool = False
    scale: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, value in (("bins", self.bins), ("bins-per-trial", self.bins_per_trial)):
            if value is not None and value < 1:
                fix = f"give another --{option}"
                raise ContractError("CTD703", f"option {option}", "1 or more", str(value), fix)


def select(
    variables: Mapping[str, Value],
    selection: Selection,
    where: str,
    *,
    canonical: Callable[[str], str],
    per_trial: Callable[[str], bool],
    first_channel: int,
) -> dict[str, np.ndarray | list[np.ndarray]]:
    """Return arrays by the recording's names.

    Args:
        variables: The source's, by name; structures as dicts.
        selection: What is taken of them.
        where: The source, for errors.
        canonical: The one name of what has several.
        per_trial: Whether a name stands for one entry, not an array of bins, for each trial.
        first_channel: What the source calls its first channel: 1 in MATLAB.

    Raises:
        ContractError: A variable is missing, or doesn't fit what is asked of it.
    """
    taken = _named(variables, selection, where, canonical)
    timed = {name for name in taken if _is_timed(name)}
    for name in timed:
        taken[name] = _shaped(taken[name], selection, f"{where}:{name}")
    for name in taken:
        if per_trial(name):
            taken[name] = _entries(taken[name], f"{where}:{name}")
    kept = _kept(variables, selection, where, taken)
    if kept is not None:
        for name in taken:
            if name in timed or per_trial(name):
                taken[name] = _rows(taken[name], kept, f"{where}:{name}")
    if selection.bins is not None:
        for name in taken:
            if name in timed:
                taken[name] = _cropped(taken[name], selection.bins)
            elif name in ("time", "forward"):
                taken[name] = np.ravel(taken[name])[: selection.bins]
        taken.pop("length", None)  # all that are left have all bins
    if selection.neurons:
        chosen = _channels(variables, selection.neurons, where, taken["data"], first_channel)
        for name in timed & set(_OF_NEURONS):
            taken[name] = _each(taken[name], lambda part: part[..., chosen])
        taken["neuron"] = chosen + first_channel
    if selection.residuals:
        taken["data"] = _counts_of_residuals(taken["data"], where)
    for name, factors in selection.scale.items():
        name = canonical(name)
        if name not in timed:
            raise _lacking(where, name, taken, "scale a signal that is there")
        taken[name] = _each(taken[name], partial(np.multiply, np.asarray(factors)))
    return taken


def lookup(variables: Mapping[str, Value], path: str, where: str) -> Value:
    """Return the variable at a path with dots.

    Raises:
        ContractError: There is none, or it is a whole structure.
    """
    found: Value = variables
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            listed = found if isinstance(found, Mapping) else {}
            raise _lacking(where, path, listed, "name a variable, with dots into structures")
        found = found[part]
    if isinstance(found, Mapping | str):
        got = (
            f"a structure with fields {', '.join(list(found)[:12])}" if isinstance(found, Mapping) else found
        )
        raise ContractError("CTD702", f"{where}:{path}", "numbers", got, "name one of its fields")
    return found


def _named(
    variables: Mapping[str, Value], selection: Selection, where: str, canonical: Callable[[str], str]
) -> dict[str, Value]:
    """Everything under the recording's names; without names of the user's, all as the source calls it."""
    plain = {name: value for name, value in variables.items() if not isinstance(value, Mapping | str)}
    taken = {canonical(name): value for name, value in plain.items()}
    if selection.names:
        used = {source for sources in selection.names.values() for source in sources}
        known = {canonical(name): name for name in plain}
        taken = {
            name: value
            for name, value in taken.items()
            if known[name] not in used and (name == "data" or name in SIGNALS or "/" in name)
        }
    for name, sources in selection.names.items():
        values = [lookup(variables, source, where) for source in sources]
        taken[canonical(name)] = values[0] if len(values) == 1 else _joined(values, f"{where}:{name}")
    return taken


def _is_timed(name: str) -> bool:
    folder, _, leaf = name.rpartition("/")
    return name == "data" or (folder in ("", "truth") and leaf in SIGNALS and "time" in SIGNALS[leaf].axes)


def _joined(values: list[Value], where: str) -> Value:
    try:
        if all(isinstance(value, np.ndarray) for value in values):
            return np.concatenate(values, axis=-1)
        return [np.concatenate(parts, axis=-1) for parts in zip(*values, strict=True)]
    except ValueError as error:
        fix = "join variables that differ in their last axis alone"
        raise ContractError("CTD703", where, "variables that can be joined", str(error), fix) from error


def _shaped(value: Value, selection: Selection, where: str) -> Value:
    """Trials of (time, channel)."""
    if selection.bins_per_trial is not None:
        rows = np.asarray(value) if isinstance(value, np.ndarray) else np.zeros((0, 0, 0))
        if rows.ndim != 2 or len(rows) % selection.bins_per_trial:
            expected = f"(row, channel) with a multiple of {selection.bins_per_trial} rows"
            got = str(rows.shape) if isinstance(value, np.ndarray) else "a list of trials"
            raise ContractError("CTD703", where, expected, got, "mend --bins-per-trial")
        return rows.reshape(-1, selection.bins_per_trial, rows.shape[1])
    if selection.channels_first:
        return _each(value, lambda part: np.swapaxes(part, -1, -2) if part.ndim > 1 else part)
    return value


def _each(value: Value, change: Callable[[np.ndarray], np.ndarray]) -> Value:
    if isinstance(value, np.ndarray):
        return change(value)
    return [change(np.asarray(part)) for part in value]


def _entries(value: Value, where: str) -> np.ndarray:
    """One entry for each trial as an array (trial,) or (trial, channel)."""
    if isinstance(value, np.ndarray):
        return np.squeeze(value, 0) if value.ndim == 2 and value.shape[0] == 1 else value
    parts = [np.ravel(np.asarray(part)) for part in value]
    if len({part.size for part in parts}) > 1:
        sizes = sorted({part.size for part in parts})
        fix = "name a variable with one entry for each trial"
        raise ContractError("CTD703", where, "entries of one size", f"sizes {sizes[:6]}", fix)
    stacked = np.array(parts)
    return stacked[:, 0] if stacked.ndim == 2 and stacked.shape[1] == 1 else stacked


def _rows(value: Value, kept: np.ndarray, where: str) -> Value:
    if len(value) != len(kept):
        fix = "name a variable with one entry for each trial"
        raise ContractError("CTD703", where, f"{len(kept)} trials", str(len(value)), fix)
    if isinstance(value, np.ndarray):
        return value[kept]
    return [part for part, keep in zip(value, kept, strict=True) if keep]


def _kept(
    variables: Mapping[str, Value], selection: Selection, where: str, taken: Mapping[str, Value]
) -> np.ndarray | None:
    """Trials that are kept, (trial,); None where nothing chooses among them."""
    data = taken.get("data")
    if data is None or not (selection.where or selection.bins):
        return None
    kept = np.ones(len(data), bool)
    for path, wanted in selection.where.items():
        entries = np.ravel(_entries(lookup(variables, path, where), f"{where}:{path}"))
        if len(entries) != len(data):
            fix = "choose by a variable with one entry for each trial"
            raise ContractError("CTD703", f"{where}:{path}", f"{len(data)} trials", str(len(entries)), fix)
        matches = np.isin([_text(entry) for entry in entries.tolist()], wanted)
        if not matches.any():
            values = sorted({_text(entry) for entry in entries.tolist()})
            got = f"values {', '.join(values[:12])}"
            raise ContractError("CTD703", f"{where}:{path}", " or ".join(wanted), got, "mend --where")
        kept &= matches
    if selection.bins is not None:
        lengths = [len(trial) if np.ndim(trial) == 2 else 0 for trial in data]
        kept &= np.minimum(lengths, np.ravel(taken.get("length", lengths))) >= selection.bins
    if not kept.any():
        asked = [f"{path}={','.join(wanted)}" for path, wanted in selection.where.items()]
        asked += [f"at least {selection.bins} bins"] if selection.bins is not None else []
        fix = "mend --where or --bins"
        raise ContractError("CTD703", where, f"trials with {' and '.join(asked)}", "none", fix)
    return kept


def _text(entry: object) -> str:
    if isinstance(entry, bytes):
        return entry.decode(errors="replace")
    if isinstance(entry, bool):
        return str(int(entry))
    return f"{entry:g}" if isinstance(entry, int | float) else str(entry)


def _cropped(value: Value, bins: int) -> Value:
    if isinstance(value, np.ndarray):
        return value[:, :bins]
    return [part[:bins] for part in value]


def _channels(
    variables: Mapping[str, Value], path: str, where: str, data: Value, first_channel: int
) -> np.ndarray:
    """Positions of the channels that are neurons."""
    listed = np.ravel(_entries(lookup(variables, path, where), f"{where}:{path}"))
    width = int(np.shape(data[0])[-1])
    if listed.dtype.kind == "b" or (len(listed) == width and set(np.unique(listed)) == {0, 1}):
        chosen = np.flatnonzero(listed)
    else:
        chosen = listed.astype(np.int64) - first_channel
    if (
        not len(chosen)
        or chosen.min() < 0
        or chosen.max() >= width
        or len(set(chosen.tolist())) < len(chosen)
    ):
        expected = f"different channels from {first_channel} to {width - 1 + first_channel}"
        got = f"{listed.tolist()[:12]}"
        raise ContractError("CTD703", f"{where}:{path}", expected, got, "mend --neurons")
    return chosen


def _counts_of_residuals(data: Value, where: str) -> np.ndarray:
    """The least whole numbers that differ from the data by a constant for each neuron and bin."""
    if not isinstance(data, np.ndarray) or data.ndim != 3:
        fix = "residuals need trials of one length"
        raise ContractError("CTD703", f"{where}:data", "an array (trial, time, neuron)", "other trials", fix)
    above = data - data.min(axis=0)
    counts = np.rint(above)
    if np.abs(above - counts).max() > _WHOLE:
        got = f"differences between trials of {above.ravel()[np.abs(above - counts).argmax()]:.3f}"
        fix = "leave out --residuals: the data are no counts less a mean"
        raise ContractError("CTD703", f"{where}:data", "whole differences between trials", got, fix)
    return counts


def _lacking(where: str, name: str, found: Mapping[str, Value], fix: str) -> ContractError:
    listed = ", ".join(sorted(map(str, found))[:16]) or "nothing"
    return ContractError("CTD702", where, name, listed, fix)
