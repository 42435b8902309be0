"""Files that arguments of the commands stand for."""

from __future__ import annotations

from pathlib import Path

from ctd_contract.command.sessions import expand_pattern, quoted, unquoted
from ctd_models_torch.sessions.results import any_result


def name_files(argument: str) -> str:
    """Name the files that an argument stands for: a run's by its folder, recordings by a pattern.

    The digest of a run's file, not its folder's name, tells which model it is.
    """
    key, _, value = argument.partition("=")
    if key in ("predict", "run") and value:
        path = Path(unquoted(value))
        return argument if path.suffix == ".h5" else f"{key}={quoted(str(any_result(path)))}"
    return expand_pattern(argument)
