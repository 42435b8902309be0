"""Validation without reading arrays: header, axes, tables, signals, dynamics, readout and provenance."""

from __future__ import annotations

import difflib
import json
import math
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from .inventory import Entry, Inventory
from .provenance import is_absolute
from .report import Report
from .schema import (
    AXES,
    COLUMNS,
    KINDS,
    SIGNALS,
    TABLES,
    TEXT,
    VERSION,
    ColumnSpec,
    column_spec,
    signal_spec,
)

_REWRITE = "write it with ctd_contract"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_GROUPS = {"signals", "truth", "phases", "dynamics", "readout", "provenance", "fixed_points", *TABLES}


def check(inventory: Inventory, report: Report) -> None:
    """Report everything about the structure of a file that breaks the contract."""
    if _header(inventory["/"].attributes, report):
        check_body(inventory, report)


def check_body(inventory: Inventory, report: Report) -> None:
    """Report everything below the root's own attributes, whose kind must be known."""
    checker = _Structure(inventory, report)
    checker.axes()
    checker.unknown()
    checker.tables()
    checker.signals()
    checker.phases()
    for place in ("/dynamics", "/truth/dynamics"):
        if place in inventory:
            checker.dynamics(place)
    for place in ("/readout", "/truth/readout"):
        if place in inventory:
            checker.readout(place)
    checker.fixed_points()
    _provenance(inventory, report)


def _header(root: dict[str, Any], report: Report) -> bool:
    """Check the root's attributes; whether the rest can be understood."""
    if root.get("ctd_complete") != 1:
        got = repr(root.get("ctd_complete", "none"))
        fix = "its writing was interrupted: write the file again"
        report.error("CTD104", "/@ctd_complete", "1", got, fix)
        return False
    version = root.get("ctd_contract")
    match = re.fullmatch(r"(\d+)\.(\d+)", version) if isinstance(version, str) else None
    if match is None:
        report.error("CTD105", "/@ctd_contract", "a version such as 1.0", repr(version), _REWRITE)
        return False
    if int(match[1]) != VERSION[0]:
        newer = int(match[1]) > VERSION[0]
        fix = "update ctd-contract" if newer else "rewrite it with the ctd-contract that wrote it"
        report.error("CTD106", "/@ctd_contract", f"version {VERSION[0]}.x", str(version), fix)
        return False
    if root.get("ctd_kind") not in KINDS:
        report.error(
            "CTD107", "/@ctd_kind", f"one of {', '.join(KINDS)}", repr(root.get("ctd_kind")), _REWRITE
        )
        return False
    identity, digest = root.get("ctd_id"), root.get("ctd_digest")
    if not _is_uuid(identity):
        report.error("CTD108", "/@ctd_id", "a UUID", repr(identity), _REWRITE)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        report.error("CTD108", "/@ctd_digest", "64 hexadecimal digits", repr(digest), _REWRITE)
    for name in ("name", "title", "license", "doi"):
        if (name == "name" or name in root) and not isinstance(root.get(name), str):
            report.error("CTD108", f"/@{name}", "a string", repr(root.get(name)), _REWRITE)
    return True


def _is_uuid(value: Any) -> bool:
    try:
        return str(uuid.UUID(value)) == value
    except (ValueError, TypeError, AttributeError):
        return False


class _Structure:
    def __init__(self, inventory: Inventory, report: Report):
        self.inventory = inventory
        self.report = report
        self.kind: str = inventory["/"].attributes["ctd_kind"]
        self.sizes: dict[str, int] = {}
        self.absent: set[str] = set()

    # --- axes

    def axes(self) -> None:
        for axis in AXES.values():
            path = f"/{axis.name}"
            entry = self.inventory.dataset(path)
            if entry is None:
                if self.kind in axis.required:
                    self.no_axis(axis.name, f"kind {self.kind}")
                continue
            if len(entry.shape) != 1 or entry.dtype.str != axis.dtype:
                got = f"{entry.dtype.str} {entry.shape}"
                self.report.error("CTD202", path, f"{axis.dtype} ({axis.name})", got, _REWRITE)
                continue
            self.sizes[axis.name] = entry.shape[0]
            if not entry.is_scale:
                self.report.error("CTD205", path, "a dimension scale", "none", f"make_scale({axis.name!r})")
            if axis.unit:
                self.unit(path, entry, axis.unit)
        self.bin_width()

    def no_axis(self, axis: str, owner: str) -> None:
        """Report a missing axis, once however many arrays need it."""
        if axis not in self.absent:
            self.absent.add(axis)
            self.report.error("CTD201", f"/{axis}", f"the axis {axis} of {owner}", "none", f"write /{axis}")

    def bin_width(self) -> None:
        entry = self.inventory.dataset("/time")
        width = entry.attributes.get("bin_width") if entry else 1.0
        if not isinstance(width, float) or not math.isfinite(width) or width <= 0:
            self.report.error(
                "CTD212", "/time@bin_width", "a positive number of seconds", repr(width), "set bin_width"
            )

    def array(self, entry: Entry, axes: Sequence[str | None], dtypes: Iterable[str]) -> None:
        """Check the shape, type and attached scales of an array."""
        path = entry.path
        missing = [axis for axis in axes if axis and axis not in self.sizes]
        for axis in missing:
            if f"/{axis}" not in self.inventory:
                self.report.error(
                    "CTD201", f"/{axis}", f"the axis {axis} of {path}", "none", f"write /{axis}"
                )
        expected = tuple(self.sizes.get(axis or "") for axis in axes)
        fits = len(entry.shape) == len(axes) and all(
            want is None or want == got for want, got in zip(expected, entry.shape, strict=True)
        )
        if not fits:
            named = ", ".join(
                f"{a}={n}" if n is not None else str(a or "any") for a, n in zip(axes, expected, strict=True)
            )
            self.report.error(
                "CTD203", path, f"axes ({named})", str(entry.shape), self.shape_fix(entry, axes)
            )
        if not _matches(entry.dtype, dtypes):
            self.report.error("CTD204", path, _listed(dtypes), str(entry.dtype), "convert the array")
        if fits and not missing:
            self.attached(entry, axes)

    def shape_fix(self, entry: Entry, axes: Sequence[str | None]) -> str:
        for axis, got in zip(axes, entry.shape, strict=False):
            if axis in self.sizes and self.sizes[axis] != got:
                return f"/{axis} lists {self.sizes[axis]}; rewrite the array or mend /{axis}"
        return "rewrite the array with these axes"

    def attached(self, entry: Entry, axes: Sequence[str | None]) -> None:
        for index, axis in enumerate(axes):
            if axis is None:
                continue
            known = self.inventory.attached.get(f"/{axis}", set())
            if not entry.has_scales or (entry.path, index) not in known:
                self.report.error(
                    "CTD205",
                    entry.path,
                    f"/{axis} attached to axis {index}",
                    "none",
                    f"attach_scale(/{axis})",
                )

    def unit(self, path: str, entry: Entry, unit: str | None) -> None:
        """Check a unit: a given one, or any where it is the writer's own (None)."""
        got = entry.attributes.get("unit")
        if got != unit if unit is not None else not isinstance(got, str):
            expected = repr(unit) if unit is not None else "the array's unit"
            self.report.error("CTD211", f"{path}@unit", expected, repr(got), "set the attribute unit")

    # --- tables and signals

    def unknown(self) -> None:
        for name, entry in self.inventory.children("/"):
            if name not in AXES and name not in _GROUPS:
                self.ignored(entry.path, [*AXES, *_GROUPS])
            elif name in _GROUPS and entry.is_dataset:
                self.report.error("CTD213", entry.path, "a group", "an array", _REWRITE)

    def ignored(self, path: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(path.rpartition("/")[2], list(known), 1)
        fix = f"did you mean {near[0]}?" if near else "nothing, or update ctd-contract"
        self.report.warning("CTD209", path, "a name of the contract", "an unknown one, ignored", fix)

    def tables(self) -> None:
        for table, axis in TABLES.items():
            for name, entry in self.inventory.children(f"/{table}"):
                spec = column_spec(table, name)
                if spec is None or not entry.is_dataset:
                    self.ignored(entry.path, [n for t, n in COLUMNS if t == table])
                else:
                    self.column(entry, spec, axis.name)
        for spec in COLUMNS.values():
            path = f"/{spec.table}/{spec.name}"
            if self.kind in spec.required and self.inventory.dataset(path) is None:
                self.report.error("CTD210", path, f"this column in kind {self.kind}", "none", f"write {path}")

    def column(self, entry: Entry, spec: ColumnSpec, axis: str) -> None:
        self.array(entry, (axis,), spec.dtypes)
        if spec.unit:
            self.unit(entry.path, entry, spec.unit)
        if spec.name == "region" and "region" not in self.sizes:
            self.report.error(
                "CTD201", "/region", f"the axis region of {entry.path}", "none", "write /region"
            )

    def signals(self) -> None:
        for folder in ("/signals", "/truth"):
            for name, entry in self.inventory.children(folder):
                spec = signal_spec(name)
                if folder == "/truth" and name in ("dynamics", "readout"):
                    continue
                if spec is None or not entry.is_dataset:
                    self.ignored(entry.path, SIGNALS)
                    continue
                allowed = spec.truth if folder == "/truth" else self.kind in spec.kinds
                if not allowed:
                    expected = f"no {name} in {folder} of kind {self.kind}"
                    self.report.error("CTD207", entry.path, expected, "one", "leave it out")
                    continue
                self.array(entry, spec.axes, spec.dtypes)
                self.unit(entry.path, entry, spec.unit)
        self.observations()

    def observations(self) -> None:
        found = [name for name in ("spikes", "activity") if f"/signals/{name}" in self.inventory]
        if self.kind == "recording" and len(found) != 1:
            got = " and ".join(found) or "neither"
            self.report.error(
                "CTD206", "/signals", "exactly one of spikes and activity", got, "write one of them"
            )

    def phases(self) -> None:
        for _, entry in self.inventory.children("/phases"):
            if not entry.is_dataset:
                self.ignored(entry.path, ())
                continue
            self.array(entry, ("trial", None), ("<i4",))
            if entry.shape[1:] != (2,) and len(entry.shape) == 2:
                self.report.error("CTD203", entry.path, "axes (trial, 2)", str(entry.shape), "start and stop")
            self.unit(entry.path, entry, "bin")

    # --- dynamics and readout

    def dynamics(self, path: str) -> None:
        from .dynamics import DYNAMICS_KINDS

        attributes = self.inventory[path].attributes
        kind, inputs = attributes.get("kind"), attributes.get("inputs")
        if not isinstance(kind, str):
            self.report.error("CTD402", f"{path}@kind", "a kind of dynamics", repr(kind), _REWRITE)
            return
        if kind not in DYNAMICS_KINDS:
            fix = "nothing, or update ctd-contract"
            self.report.warning("CTD401", f"{path}@kind", _listed(DYNAMICS_KINDS), repr(kind), fix)
        noise = attributes.get("noise_std")
        if not isinstance(noise, int | float) or not noise >= 0:
            self.report.error("CTD402", f"{path}@noise_std", "a number from 0", repr(noise), _REWRITE)
        if not isinstance(inputs, list) or not all(isinstance(name, str) for name in inputs):
            self.report.error("CTD402", f"{path}@inputs", "a list of signals", repr(inputs), _REWRITE)
            return
        for name in inputs:
            if not any(f"{folder}/{name}" in self.inventory for folder in ("/signals", "/truth")):
                fix = f"write /signals/{name}, or name the signals that make up u"
                self.report.warning("CTD405", f"{path}@inputs", f"the signal {name}", "none", fix)
        if kind != "opaque":
            self.probe(path)

    def probe(self, path: str) -> None:
        shapes = {name: entry.shape for name, entry in self.inventory.children(f"{path}/probe")}
        state = shapes.get("state", ())
        fits = (
            len(state) == 2
            and state[0] > 0
            and shapes.get("next_state") == state
            and all(shape[:1] == state[:1] for shape in shapes.values())
        )
        if not fits:
            expected = "state and next_state (point, state), input (point, input)"
            got = ", ".join(f"{n} {s}" for n, s in shapes.items()) or "none"
            fix = "store the writer's own next states with the dynamics"
            self.report.error("CTD403", f"{path}/probe", expected, got, fix)
        for _, entry in (
            *self.inventory.children(f"{path}/probe"),
            *self.inventory.children(f"{path}/parameters"),
        ):
            if entry.is_dataset and entry.dtype.kind not in "iuf":
                self.report.error("CTD204", entry.path, "numbers", str(entry.dtype), "convert the array")

    def readout(self, path: str) -> None:
        kind = self.inventory[path].attributes.get("kind")
        if kind not in ("chain", "opaque"):
            self.report.error("CTD407", f"{path}@kind", "chain or opaque", repr(kind), _REWRITE)
        if kind != "chain":
            return
        if not isinstance(self.inventory[path].attributes.get("scale"), float):
            self.report.error("CTD407", f"{path}@scale", "a number", "none", _REWRITE)
        layers = dict(self.inventory.children(path))
        size: int | None = self.sizes.get("state") if layers else None
        for index in range(max(1, len(layers))):
            at = f"{path}/layer_{index}"
            weight, bias = (self.inventory.dataset(f"{at}/{name}") for name in ("weight", "bias"))
            shapes = (weight.shape if weight else None, bias.shape if bias else None)
            phi = self.inventory[at].attributes.get("nonlinearity") if at in self.inventory else None
            fits = (
                weight is not None
                and bias is not None
                and len(weight.shape) == 2
                and bias.shape == weight.shape[:1]
                and size in (None, weight.shape[1])
                and weight.dtype.kind == bias.dtype.kind == "f"
            )
            if not fits or not isinstance(phi, str):
                expected = f"weight (out, {size or 'in'}), bias (out) and nonlinearity"
                self.report.error("CTD407", at, expected, f"{shapes[0]}, {shapes[1]} and {phi!r}", _REWRITE)
                return
            size = weight.shape[0] if weight else None

    def fixed_points(self) -> None:
        for _, group in self.inventory.children("/fixed_points"):
            shapes = {name: entry.shape for name, entry in self.inventory.children(group.path)}
            if not {"state", "speed"} <= set(shapes):
                fix = "write at least these two"
                self.report.error("CTD206", group.path, "state and speed", _listed(shapes) or "none", fix)
            elif len({shape[:1] for shape in shapes.values()}) > 1 or len(shapes["state"]) != 2:
                got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
                self.report.error("CTD203", group.path, "arrays over the same points", got, _REWRITE)


def _provenance(inventory: Inventory, report: Report) -> None:
    place = "/provenance"
    attributes = inventory[place].attributes if place in inventory else {}
    for name in ("created", "producer"):
        if not isinstance(attributes.get(name), str):
            report.error("CTD501", f"{place}@{name}", "a string", repr(attributes.get(name)), _REWRITE)
    if not isinstance(attributes.get("run", ""), str) or not isinstance(attributes.get("seed", 0), int):
        report.error("CTD501", place, "run a string and seed a whole number", "something else", _REWRITE)
    created = attributes.get("created")
    if isinstance(created, str) and not _is_time(created):
        report.error("CTD502", f"{place}@created", "an RFC 3339 time", repr(created), _REWRITE)
    for name in ("config", "environment"):
        _json(f"{place}@{name}", attributes.get(name, "{}"), report)
    for name, entry in inventory.children(f"{place}/parents"):
        fields = (entry.attributes.get(key) for key in ("ctd_id", "ctd_digest", "ctd_kind", "role"))
        if not name.isdecimal() or not all(isinstance(value, str) for value in fields):
            expected = "ctd_id, ctd_digest, ctd_kind and role"
            report.error("CTD504", entry.path, expected, _listed(entry.attributes) or "none", _REWRITE)


def _json(path: str, text: Any, report: Report) -> None:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        report.error("CTD503", path, "a JSON object", repr(text)[:40], _REWRITE)
    elif found := next(filter(is_absolute, _strings(value)), None):
        report.warning("CTD505", path, "names without a folder", repr(found), "leave the folder out")


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None and "T" in text
    except ValueError:
        return False


def _matches(dtype: Any, allowed: Iterable[str]) -> bool:
    return dtype.str in allowed or (dtype.kind == "S" and TEXT in allowed)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
