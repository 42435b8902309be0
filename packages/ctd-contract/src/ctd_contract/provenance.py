"""Where a file comes from: the producer, its configuration and the files it was made from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np

from . import hdf5


@dataclass(frozen=True)
class Parent:
    """A file that another was made from.

    Attributes:
        id: Its ``ctd_id``.
        digest: Its ``ctd_digest``.
        kind: Its kind.
        role: What it was used as, ``recording`` for example.
    """

    id: str
    digest: str
    kind: str
    role: str


@dataclass(frozen=True)
class Provenance:
    """How a file came about.

    Attributes:
        created: Time of writing, RFC 3339.
        producer: Program and version, ``ctd-sim 0.3.1``.
        run: One id for all files of one run; empty if there is none.
        config: Fully resolved configuration.
        seed: Seed of the run; None if there is none.
        environment: Versions of Python and of the packages that matter.
        parents: Files that this one was made from.
    """

    created: str
    producer: str
    run: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    parents: tuple[Parent, ...] = ()


def environment() -> dict[str, str]:
    """Versions of what wrote the file."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
        "ctd-contract": importlib.metadata.version("ctd-contract"),
    }


def is_absolute(text: str) -> bool:
    """Whether a string is a path from a root or a home folder."""
    return bool(re.match(r"(/|~[^/ ]*/|[A-Za-z]:[\\/]|file:/|\\\\)", text)) and "\n" not in text


def without_folders(value: Any) -> Any:
    """A configuration whose absolute paths are cut to the file's name: a file tells nothing of its host."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        return re.split(r"[/\\]", text.rstrip("/\\"))[-1] if is_absolute(text) else text
    if isinstance(value, Mapping):
        return {str(key): without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def now() -> str:
    """The time in RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(file: h5py.File, provenance: Provenance) -> None:
    """Store `provenance` under ``/provenance``."""
    group = file.create_group("provenance")
    values: Mapping[str, Any] = {
        "created": provenance.created,
        "producer": provenance.producer,
        "run": provenance.run,
        "config": json.dumps(without_folders(provenance.config), sort_keys=True),
        "environment": json.dumps(provenance.environment, sort_keys=True),
    }
    for name, value in values.items():
        hdf5.write_attribute(group, name, value)
    if provenance.seed is not None:
        hdf5.write_attribute(group, "seed", np.int64(provenance.seed))
    parents = group.create_group("parents")
    for index, parent in enumerate(provenance.parents):
        entry = parents.create_group(str(index))
        for name, value in _PARENT_ATTRIBUTES.items():
            hdf5.write_attribute(entry, value, getattr(parent, name))


_PARENT_ATTRIBUTES = {"id": "ctd_id", "digest": "ctd_digest", "kind": "ctd_kind", "role": "role"}


def parse(attributes: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]) -> Provenance:
    """Provenance from the attributes of ``/provenance`` and of each of its parents."""
    return Provenance(
        created=attributes["created"],
        producer=attributes["producer"],
        run=attributes.get("run", ""),
        config=json.loads(attributes.get("config", "{}")),
        seed=attributes.get("seed"),
        environment=json.loads(attributes.get("environment", "{}")),
        parents=tuple(
            Parent(**{name: entry[key] for name, key in _PARENT_ATTRIBUTES.items()}) for entry in parents
        ),
    )
