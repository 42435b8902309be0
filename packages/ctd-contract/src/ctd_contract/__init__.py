"""The HDF5 data contract of computation through dynamics: read, write, validate and convert.

``open`` and ``create`` are the way in; everything public is here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .alignment import align
from .errors import ContractError, ContractWarning, Finding
from .provenance import Parent, Provenance
from .reader import ContractFile, open  # noqa: A004  (read as cc.open)
from .schema import SPLITS
from .validation import validate
from .writer import Writer, create

if TYPE_CHECKING:
    from . import dynamics
    from .dynamics import Dynamics, Probe
    from .inference import write_inference
    from .readout import Layer, Readout

# Loaded on first use, so that reading a file needs none of it.
_LAZY = {
    "Dynamics": "dynamics",
    "Layer": "readout",
    "Probe": "dynamics",
    "Readout": "readout",
    "write_inference": "inference",
}
_MODULES = ("convert", "dynamics", "schema", "testing")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "SPLITS",
    "ContractError",
    "ContractFile",
    "ContractWarning",
    "Dynamics",
    "Finding",
    "Layer",
    "Parent",
    "Probe",
    "Provenance",
    "Readout",
    "Writer",
    "align",
    "create",
    "dynamics",
    "open",
    "validate",
    "write_inference",
]
