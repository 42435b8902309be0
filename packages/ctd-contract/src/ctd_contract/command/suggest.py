"""Turning Hydra's and OmegaConf's errors into a sentence that names the nearest valid key."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ctd_contract.command.errors import UserError

if TYPE_CHECKING:
    from ctd_contract.command.application import Command


def nearest(word: str, valid: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest valid one, and all of them if few."""
    names = sorted(valid)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    listed = f"; valid: {', '.join(names)}" if len(names) <= 20 else ""
    return (f" (did you mean {close[0]!r}?)" if close else "") + listed


def keys(command: Command) -> set[str]:
    """Every key that a command takes, nested ones dotted, over all options of its groups."""
    found: set[str] = set()
    hints = typing.get_type_hints(command.config)
    for item in dataclasses.fields(command.config):
        found.add(item.name)
        for option in command.groups.get(item.name, {"": hints[item.name]}).values():
            found |= {f"{item.name}.{key}" for key in _nested(option)}
    return found


def _nested(kind: Any) -> set[str]:
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return set()
    hints = typing.get_type_hints(kind)
    found: set[str] = set()
    for item in dataclasses.fields(kind):
        found |= {item.name, *(f"{item.name}.{key}" for key in _nested(hints[item.name]))}
    return found


def explain(error: BaseException, command: Command) -> BaseException:
    """A `UserError` for an error in the user's configuration, any other error as it is."""
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return error
    if isinstance(error, OverrideParseException):
        return UserError(
            f"cannot read the setting {error.override!r}: write KEY=VALUE, "
            "with quotes around special characters"
        )
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], command)
    if match := re.search(r"Could not find '([^'/]+)/([^']+)'", text):
        group, option = match.groups()
        return UserError(f"{group} has no option {option!r}{nearest(option, command.groups.get(group, {}))}")
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if match := re.search(r"Key '([^']+)' (?:is )?not in", str(cause)):
        return _unknown_key(getattr(cause, "full_key", None) or match[1], command)
    sentence = str(cause).splitlines()[0].rstrip(".")
    key = getattr(cause, "full_key", None)
    return UserError(f"{key}: {sentence}" if key else sentence)


def _unknown_key(key: str, command: Command) -> UserError:
    valid = keys(command)
    parent = key.rpartition(".")[0]
    siblings = {k for k in valid if k.rpartition(".")[0] == parent} or valid
    close = difflib.get_close_matches(key, sorted(valid), n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else nearest(key, siblings)
    return UserError(f"there is no setting {key!r}{hint}; --help lists them all")
