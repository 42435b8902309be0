"""Fits of several recordings: what they are called, which arguments name them, what lists their results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

RESULT = "inference.h5"
# Written last: with it a fit of several recordings has finished.
INDEX = "sessions.json"


def session_names(names: Sequence[str]) -> list[str]:
    """Names that differ and that files can be called by: recordings of one name are numbered, from 1."""
    plain = [re.sub(r"[^\w.-]+", "-", name).strip("-.") or "recording" for name in names]
    numbered = [
        f"{name}-{1 + plain[:index].count(name)}" if plain.count(name) > 1 else name
        for index, name in enumerate(plain)
    ]
    return numbered if len(set(numbered)) == len(numbered) else session_names(numbered)


def file_names(names: Sequence[str]) -> list[str]:
    """The inference file of each recording, by names that differ."""
    return [RESULT] if len(names) == 1 else [f"inference_{name}.h5" for name in names]


def write_index(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """List the inference files of a fit.

    Args:
        folder: The run's.
        rows: Of each one's recording the ``name``, ``id`` and ``digest``, and the ``file``.
    """
    partial = folder / f".{INDEX}.{os.getpid()}.partial"
    partial.write_text(json.dumps({"sessions": [dict(row) for row in rows]}, indent=1))
    partial.replace(folder / INDEX)


def listed(data: Any) -> list[str]:
    """The recordings that ``data`` names: one, or a list.

    Raises:
        ValueError: It names none, or is something else.
    """
    paths = data if isinstance(data, list) else [data]
    if not paths or not all(isinstance(path, str) for path in paths):
        raise ValueError(f"data is a file or a list of files, data=[a.h5,b.h5], got {data}")
    return paths


def expand_pattern(argument: str) -> str:
    """Name the recordings that an argument ``data=days/*.h5`` stands for; others stay as they are."""
    key, _, value = argument.partition("=")
    if key != "data" or not any(mark in value for mark in "*?"):
        return argument
    parts = value.strip("[]").split(",")
    found = [path for part in parts for path in sorted(glob(part, recursive=True)) or [part]]
    return f"data=[{','.join(map(quoted, found))}]"


def unquoted(value: str) -> str:
    """What Hydra takes a value for, which may stand in quotes."""
    if value[:1] not in ("'", '"'):
        return value
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        return str(OverridesParser.create().parse_override(f"value={value}").value())
    except OverrideParseException:
        return value


def quoted(path: str) -> str:
    """A path as Hydra takes it: other characters than these may mean something."""
    if re.fullmatch(r"[\w./~*?-]+", path):
        return path
    escaped = path.replace("'", "\\'")
    return f"'{escaped}'"
