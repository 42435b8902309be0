"""Plain dictionaries and lists as dataclasses, with errors that say where and what was meant."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def nearest(word: str, valid: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest valid one, and all of them if few."""
    from ctd_contract.command.suggest import nearest as hint

    return hint(word, valid)


def typed(kind: type[T], plain: Any, where: str) -> T:
    """Make a dataclass of a dictionary, as deep as its annotations go.

    Args:
        kind: A dataclass of dataclasses, mappings from strings, tuples, str, int, float and bool.
        plain: What a YAML file holds.
        where: Name of the place, for errors.

    Raises:
        ValueError: An unknown or missing key, or a value of another type.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{where}: expected keys and values, got {plain!r}")
    hints = typing.get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in plain:
        if key not in names:
            raise ValueError(f"{where}: there is no key {key!r}{nearest(str(key), names)}")
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        no_default = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if no_default and item.name not in plain:
            raise ValueError(f"{where}: {item.name} is required")
    return kind(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in plain.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list, got {value!r}")
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: expected keys and values, got {value!r}")
        return {str(key): _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return typed(typing.cast(type, hint), {} if value is None else value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
