"""What a contract file holds, as a tree to be read in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .dynamics import PROBE_TOLERANCE, Dynamics
from .errors import ContractError
from .reader import Array, ContractFile
from .readout import Readout
from .schema import SPLITS

# A node is a line and the nodes below it.
Node = tuple[str, list["Node"]]
UNICODE = ("├─ ", "└─ ", "│  ", "   ")
ASCII = ("|- ", "`- ", "|  ", "   ")


def describe(file: ContractFile, *, unicode: bool = True) -> str:
    """Return axes, signals, tables, dynamics, readout and provenance, a line each.

    Reads tables and dynamics, whose probe it recomputes, but no signals.
    """
    nodes = [
        ("axes", [(line, []) for line in _aligned(_axis_rows(file))]),
        ("signals", _arrays(file.signals)),
        ("tables", _tables(file)),
        *_generator(file, "dynamics", "readout"),
        ("truth", [*_arrays(file.truth), *_generator(file, "truth_dynamics", "truth_readout")]),
        ("fixed points", [(_points(name, arrays), []) for name, arrays in file.fixed_points.items()]),
        ("provenance", _provenance(file)),
    ]
    head = f"{file.path.name}: {file.kind} {file.name!r}"
    notes = [f"{name}: {value}" for name, value in file.attributes.items()]
    # Groups that the file lacks are left out; dynamics and readout have their line alone.
    shown = [node for node in nodes if node[1] or node[0].startswith(("dynamics", "readout"))]
    return "\n".join([head, *notes, *_drawn(shown, UNICODE if unicode else ASCII)])


def _drawn(nodes: list[Node], marks: tuple[str, str, str, str], prefix: str = "") -> Iterable[str]:
    middle, last, line, blank = marks
    for index, (text, below) in enumerate(nodes):
        final = index == len(nodes) - 1
        yield prefix + (last if final else middle) + text
        yield from _drawn(below, marks, prefix + (blank if final else line))


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows as lines whose columns start together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _axis_rows(file: ContractFile) -> list[tuple[str, ...]]:
    return [(axis, str(size), _axis_note(file, axis)) for axis, size in file.sizes.items()]


def _axis_note(file: ContractFile, axis: str) -> str:
    if axis == "trial" and "split" in file.tables.get("trials", {}):
        parts = [f"{np.count_nonzero(file.split(name))} {name}" for name in SPLITS]
        lengths = file.lengths
        if lengths.size and lengths.min() < file.sizes["time"]:
            parts.append(f"of {lengths.min()} to {lengths.max()} bins")
        return ", ".join(parts)
    if axis == "time":
        forward = np.count_nonzero(file.forward)
        return f"bins of {file.bin_width_s:g} s" + (f", {forward} forward" if forward else "")
    if axis == "neuron" and file.held_out.any():
        return f"{np.count_nonzero(file.held_out)} held out"
    names = file.names(axis)
    return "" if names is None else ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _arrays(arrays: Mapping[str, Array]) -> list[Node]:
    rows = [
        (name, "(" + ", ".join(axis or "?" for axis in array.axes) + ")", array.dtype.name, array.unit)
        for name, array in arrays.items()
    ]
    return [(line, []) for line in _aligned(rows)]


def _tables(file: ContractFile) -> list[Node]:
    rows = [(name, ", ".join(columns)) for name, columns in file.tables.items()]
    if file.phases:
        rows.append(("phases", ", ".join(file.phases)))
    return [(line, []) for line in _aligned(rows)]


def _generator(file: ContractFile, dynamics: str, readout: str) -> list[Node]:
    """Lines of dynamics and readout, with what is wrong with them in place of an error."""
    nodes: list[Node] = []
    for label, load in (("dynamics", getattr(file, dynamics)), ("readout", getattr(file, readout))):
        try:
            found = load()
        except ContractError as error:
            nodes.append((f"{label}  {error.code}: expected {error.expected}, got {error.got}", []))
            continue
        if found is not None:
            nodes.append((f"{label}  {_described(found)}", []))
    return nodes


def _described(found: Dynamics | Readout) -> str:
    if isinstance(found, Readout):
        chain = " -> ".join(f"{layer.weight.shape[0]} {layer.nonlinearity}" for layer in found.layers)
        return "opaque" if found.is_opaque else f"{found.layers[0].weight.shape[1]} states -> {chain}"
    driven = f"{found.input_size} inputs ({', '.join(found.inputs)})" if found.input_size else "autonomous"
    own = [f"{k}={v}" for k, v in found.attributes.items() if k not in ("inputs", "state_size", "input_size")]
    proven = "" if found.kind == "opaque" else f", within {PROBE_TOLERANCE:g} of its probe"
    return f"{found.kind}, {found.state_size} states, {driven}, {', '.join(own)}{proven}"


def _points(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    n_points = len(next(iter(arrays.values()))) if arrays else 0
    return f"{name}  {n_points} points: {', '.join(arrays)}"


def _provenance(file: ContractFile) -> list[Node]:
    origin = file.provenance
    rows = [
        ("created", origin.created),
        ("producer", origin.producer),
        ("id", file.id),
        ("digest", file.digest),
    ]
    rows += [("run", origin.run)] if origin.run else []
    rows += [("seed", str(origin.seed))] if origin.seed is not None else []
    rows += [(f"parent {p.role}", f"{p.kind} {p.id}, digest {p.digest[:12]}...") for p in origin.parents]
    return [(line, []) for line in _aligned(rows)]
