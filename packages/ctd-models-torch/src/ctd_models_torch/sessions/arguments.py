"""Files that arguments of the commands stand for."""

from __future__ import annotations

import re
from glob import glob
from pathlib import Path
from typing import Any

from ctd_models_torch.sessions.results import any_result


def listed(data: Any) -> list[str]:
    """The recordings that ``data`` names: one, or a list.

    Raises:
        ValueError: It names none, or is something else.
    """
    paths = data if isinstance(data, list) else [data]
    if not paths or not all(isinstance(path, str) for path in paths):
        raise ValueError(f"data is a file or a list of files, data=[a.h5,b.h5], got {data}")
    return paths


def name_files(argument: str) -> str:
    """Name the files that an argument stands for: a run's by its folder, recordings by a pattern.

    The digest of a run's file, not its folder's name, tells which model it is.
    """
    key, _, value = argument.partition("=")
    if key in ("predict", "run") and value:
        path = Path(_unquoted(value))
        return argument if path.suffix == ".h5" else f"{key}={_quoted(str(any_result(path)))}"
    if key == "data" and any(mark in value for mark in "*?"):
        parts = value.strip("[]").split(",")
        found = [path for part in parts for path in sorted(glob(part, recursive=True)) or [part]]
        return f"data=[{','.join(map(_quoted, found))}]"
    return argument


def _unquoted(value: str) -> str:
    """What Hydra takes a value for, which may stand in quotes."""
    if value[0] not in "'\"":
        return value
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        return str(OverridesParser.create().parse_override(f"value={value}").value())
    except OverrideParseException:
        return value


def _quoted(path: str) -> str:
    """As Hydra takes it: other characters than these may mean something."""
    if re.fullmatch(r"[\w./~*?-]+", path):
        return path
    escaped = path.replace("'", "\\'")
    return f"'{escaped}'"
