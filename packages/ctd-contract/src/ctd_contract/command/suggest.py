"""Turning Hydra's and OmegaConf's errors into a sentence that names the nearest valid key."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
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


def keys(command: Command, chosen: Mapping[str, str] | None = None) -> set[str]:
    """Every key that a command takes, nested ones dotted, with the chosen options or over all of them."""
    found: set[str] = set()
    hints = typing.get_type_hints(command.config)
    for item in dataclasses.fields(command.config):
        found.add(item.name)
        options = command.groups.get(item.name, {"": hints[item.name]})
        one = (chosen or {}).get(item.name, "")
        for option in [options[one]] if one in options else options.values():
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
        inner = re.search(r"Key '([^']+)' not in", str(error.__cause__))
        if inner and inner[1] not in match[1].split("."):
            return UserError(f"{match[1]}: there is no {inner[1]!r} in its entries")
        return _unknown_key(match[1], command)
    if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return UserError(f"{match[1]!r} has several values: KEY=[A,B] is a list, -m runs one job for each")
    if match := re.search(r"Could not find '([^'/]+)/([^']+)'", text):
        group, option = match.groups()
        return UserError(f"{group} has no option {option!r}{nearest(option, command.groups.get(group, {}))}")
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if match := re.search(r"Key '([^']+)' (?:is )?not in", str(cause)):
        return _unknown_key(getattr(cause, "full_key", None) or match[1], command)
    sentence = str(cause).splitlines()[0].rstrip(".")
    key = getattr(cause, "full_key", None)
    if key and "is not a ListConfig" in sentence:
        return UserError(f"{key} takes a list: {key}=[A,B] or {key}=[A]")
    return UserError(f"{key}: {sentence}" if key else sentence)


def placed(error: ValueError, node: Any) -> str:
    """What a settings dataclass said of a value, with the keys that lead to it in front of the value's name.

    Arguments:
        error: What it raised.
        node: The configuration that it is in, at any depth.
    """
    sentence, path, fields = str(error), *_refused(node)
    if not path or sentence.startswith(f"{path}."):
        return sentence
    first = re.match(r"\w+", sentence)
    return f"{path}.{sentence}" if first and first[0] in fields else f"{path}: {sentence}"


def _refused(node: Any, path: str = "") -> tuple[str, list[str]]:
    """The innermost settings that their own dataclass refuses: the keys to them, and their names."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for key in node:
        inner = None if OmegaConf.is_missing(node, key) else node[key]
        if isinstance(inner, DictConfig):
            try:
                OmegaConf.to_object(inner)
            except OmegaConfBaseException:
                continue
            except ValueError:
                return _refused(inner, f"{path}.{key}" if path else str(key))
    return path, [str(key) for key in node]


def refuse_unknown_keys(plain: Mapping[str, Any], command: Command, chosen: Mapping[str, str]) -> None:
    """Raise for a key that Hydra's ``+KEY=VALUE`` has added: no setting is read from it."""
    unknown = sorted(set(_dotted(plain)) - keys(command, chosen))
    if unknown:
        raise _unknown_key(unknown[0], command)


def _dotted(plain: Mapping[str, Any]) -> Iterator[str]:
    for key, value in plain.items():
        yield key
        if isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in _dotted(value))


def _unknown_key(key: str, command: Command) -> UserError:
    valid = keys(command)
    group, _, inner = key.partition(".")
    options = command.groups.get(group, {}) if inner else {}
    if having := [f"{group}={name}" for name, option in options.items() if inner in _nested(option)]:
        return UserError(f"{key!r} is a setting of {' and '.join(having)} alone")
    if key in valid:
        return UserError(f"{key!r} can't be left out")
    parent = key.rpartition(".")[0]
    siblings = {k for k in valid if k.rpartition(".")[0] == parent} or valid
    close = difflib.get_close_matches(key, sorted(siblings), n=1, cutoff=0.7)
    hint = f" (did you mean {close[0]!r}?)" if close else nearest(key, siblings)
    return UserError(f"there is no setting {key!r}{hint}; --help lists them all")
