"""The contract as data: axes, tables, signals and attributes that a file may hold.

Writer, reader, validation and the tables of the documentation are driven from here alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

VERSION = (1, 0)
KINDS = ("task", "recording", "inference", "analysis")
SPLITS = {"train": 0, "valid": 1, "test": 2}

DATA = ("task", "recording", "inference")
NUMBER = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
TEXT = "text"


@dataclass(frozen=True)
class AxisSpec:
    """One axis: a dataset of its name at the root that lists ids.

    Attributes:
        name: Name in files, docstrings and errors.
        table: Group of the columns that run along it.
        required: Kinds of file that must have it.
        note: What it counts.
    """

    name: str
    table: str
    required: tuple[str, ...]
    note: str
    dtype: str = "<i8"
    unit: str = ""


@dataclass(frozen=True)
class SignalSpec:
    """One array over trials under ``/signals`` or ``/truth``.

    Attributes:
        name: Name in the file.
        axes: Axis names in order.
        kinds: Kinds of file that may hold it under ``/signals``.
        dtypes: Allowed storage types, the default last.
        unit: Fixed unit; None when the writer names its own.
        note: What it is.
        truth: Whether a synthetic recording may hold it under ``/truth``.
        missing: Whether NaN marks what was not measured.
        counts: Whether it is stored compressed.
    """

    name: str
    axes: tuple[str, ...]
    kinds: tuple[str, ...]
    note: str
    dtypes: tuple[str, ...] = ("<f4",)
    unit: str | None = "1"
    truth: bool = False
    missing: bool = False
    counts: bool = False


@dataclass(frozen=True)
class ColumnSpec:
    """One column of a table.

    Attributes:
        table: Group it lies in.
        name: Name in that group.
        dtypes: Allowed storage types, the default last; `TEXT` is a fixed-length UTF-8 string.
        required: Kinds of file that must have it.
        unit: Unit, empty for none; None when the writer names its own.
        note: What it is.
    """

    table: str
    name: str
    dtypes: tuple[str, ...]
    note: str
    required: tuple[str, ...] = ()
    unit: str | None = ""


def _axis(name: str, note: str, *, required: tuple[str, ...] = (), dtype="<i8", unit="") -> AxisSpec:
    return AxisSpec(name, name + "s", required, note, dtype, unit)


AXES: dict[str, AxisSpec] = {
    axis.name: axis
    for axis in (
        _axis("trial", "unique ids, stable across derived files", required=DATA),
        _axis("time", "start of each bin", required=DATA, dtype="<f8", unit="s"),
        _axis("neuron", "unique ids", required=("recording", "inference")),
        _axis("state", "dimensions of a network's or model's state"),
        _axis("input", "channels of the known inputs"),
        _axis("output", "channels of a network's outputs"),
        _axis("target", "channels of a task's targets"),
        _axis("behavior", "channels of behaviour"),
        _axis("factor", "factors between states and rates"),
        _axis("control", "channels of inferred inputs"),
        _axis("region", "brain regions"),
        _axis("mode", "discrete states of a switching model"),
        _axis("condition", "conditions of trials"),
        _axis("message", "channels of communication between regions"),
        _axis("code", "dimensions of the posterior code of an initial condition"),
        _axis("point", "fixed or slow points"),
        _axis("metric", "rows of the table of metrics"),
        _axis("difference", "rows of the table of differences between models"),
    )
}
TABLES: dict[str, AxisSpec] = {axis.table: axis for axis in AXES.values()}

_TN = ("trial", "time", "neuron")


def _over(axis: str) -> tuple[str, ...]:
    return ("trial", "time", axis)


SIGNALS: dict[str, SignalSpec] = {
    signal.name: signal
    for signal in (
        SignalSpec("spikes", _TN, ("recording",), "counts per bin", ("|u1", "<u2"), "count", counts=True),
        SignalSpec("activity", _TN, ("recording",), "continuous observations", unit=None),
        SignalSpec(
            "observed",
            _TN,
            ("recording",),
            "0: not recorded, or withheld; never scored",
            ("|u1",),
            "",
            counts=True,
        ),
        SignalSpec(
            "inputs",
            _over("input"),
            DATA,
            "what the network or model received, noise included; nothing of a later bin is in it",
            unit=None,
            truth=True,
        ),
        SignalSpec(
            "inputs_clean",
            _over("input"),
            ("task", "recording"),
            "inputs before noise",
            unit=None,
            truth=True,
        ),
        SignalSpec(
            "perturbations",
            _over("input"),
            ("task", "recording"),
            "forces or stimuli that the network doesn't see as input",
            unit=None,
            truth=True,
        ),
        SignalSpec("targets", _over("target"), ("task",), "what the task asks for", unit=None, truth=True),
        SignalSpec(
            "outputs", _over("output"), ("task", "inference"), "the network's answer", unit=None, truth=True
        ),
        SignalSpec(
            "states", _over("state"), ("task", "inference"), "row k is the state after input k", truth=True
        ),
        SignalSpec(
            "initial_state",
            ("trial", "state"),
            ("task", "inference"),
            "the state before bin 0",
            truth=True,
        ),
        SignalSpec(
            "initial_condition", ("trial", "code"), ("inference",), "posterior mean of the initial code"
        ),
        SignalSpec(
            "behavior",
            _over("behavior"),
            ("task", "recording"),
            "NaN where not measured",
            unit=None,
            truth=True,
            missing=True,
        ),
        SignalSpec("rates", _TN, ("inference",), "firing rates", unit="spikes/s", truth=True),
        SignalSpec(
            "activity_prediction",
            _TN,
            ("inference",),
            "predicted activity, in the recording's unit",
            unit=None,
            truth=True,
        ),
        SignalSpec("factors", _over("factor"), ("inference",), "factors", truth=True),
        SignalSpec("inferred_inputs", _over("control"), ("inference",), "inferred inputs", truth=True),
        SignalSpec("behavior_prediction", _over("behavior"), ("inference",), "decoded behaviour", unit=None),
        SignalSpec("mode_probability", _over("mode"), ("inference",), "probability of each discrete state"),
        SignalSpec(
            "messages",
            ("trial", "time", "region", "state"),
            ("inference",),
            "from each source region to each state, whose own region is the target; the local part included",
            truth=True,
        ),
        SignalSpec(
            "input_messages",
            ("trial", "time", "input", "state"),
            ("inference",),
            "from each input to each state",
            truth=True,
        ),
        SignalSpec("communication", _over("message"), ("inference",), "channels between regions", truth=True),
        SignalSpec("expansion_points", _over("state"), ("inference",), "points of linearisation"),
        SignalSpec("mode", ("trial", "time"), (), "discrete state of each bin", ("<i4",), "", truth=True),
    )
}

COLUMNS: dict[tuple[str, str], ColumnSpec] = {
    (column.table, column.name): column
    for column in (
        ColumnSpec("trials", "split", ("|u1",), "0 train, 1 valid, 2 test", DATA),
        ColumnSpec(
            "trials",
            "length",
            ("<i4",),
            "bins of the trial; those past it are padding: zero, never scored",
            unit="bin",
        ),
        ColumnSpec("trials", "condition", ("<i4",), "-1 none; names in conditions/name"),
        ColumnSpec("times", "forward", ("|u1",), "1: a bin to be predicted, hidden from encoders"),
        ColumnSpec("neurons", "held_out", ("|u1",), "1: hidden from encoders, scored", ("recording",)),
        ColumnSpec("neurons", "region", ("<i4",), "index into regions/name"),
        ColumnSpec("states", "region", ("<i4",), "index into regions/name; each region is one slice"),
        ColumnSpec("factors", "region", ("<i4",), "index into regions/name"),
        ColumnSpec("controls", "region", ("<i4",), "index into regions/name"),
        ColumnSpec("messages", "from", ("<i4",), "region that sends"),
        ColumnSpec("messages", "to", ("<i4",), "region that receives"),
        *(ColumnSpec("metrics", name, (TEXT,), "") for name in ("dataset", "model", "split")),
        ColumnSpec("metrics", "seed", ("<i8",), "seed of the model"),
        ColumnSpec("metrics", "metric", (TEXT,), "name of the metric"),
        ColumnSpec("metrics", "definition", (TEXT,), "its formula and version"),
        *(ColumnSpec("metrics", name, ("<f8",), "", unit=None) for name in ("value", "low", "high")),
        *(ColumnSpec("differences", name, (TEXT,), "") for name in ("dataset", "model", "split")),
        ColumnSpec("differences", "seed", ("<i8",), "seed of the model, -1 for the mean of several"),
        ColumnSpec("differences", "reference", (TEXT,), "model that is subtracted, the mean of its seeds"),
        ColumnSpec("differences", "metric", (TEXT,), "name of the metric"),
        ColumnSpec("differences", "definition", (TEXT,), "its formula and version"),
        *(ColumnSpec("differences", name, ("<f8",), "", unit=None) for name in ("difference", "low", "high")),
    )
}
SPLIT_SCHEME = re.compile(r"split_[A-Za-z0-9_]+")
_FORECAST = re.compile(r"forecast_[1-9][0-9]*")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def signal_spec(name: str) -> SignalSpec | None:
    """Specification of a signal by its name, ``rates_std`` and ``forecast_5`` included; None if unknown."""
    if name in SIGNALS:
        return SIGNALS[name]
    if _FORECAST.fullmatch(name):
        return replace(SIGNALS["rates"], name=name, unit=None, note="prediction that many bins ahead")
    base = signal_spec(name.removesuffix("_std")) if name.endswith("_std") else None
    if base is None or base.counts:
        return None
    return replace(base, name=name, note=f"posterior spread of {base.name}")


def column_spec(table: str, name: str) -> ColumnSpec | None:
    """Specification of a table's column; free columns of numbers or strings have one too. None if unknown."""
    if table not in TABLES or not NAME.fullmatch(name):
        return None
    if (table, name) in COLUMNS:
        return COLUMNS[table, name]
    if table == "trials" and SPLIT_SCHEME.fullmatch(name):
        return ColumnSpec(table, name, ("|u1",), "as split, of another scheme")
    if name == "name":
        return ColumnSpec(table, name, (TEXT,), "names of the channels")
    return ColumnSpec(table, name, (*NUMBER, TEXT), "", unit=None)
