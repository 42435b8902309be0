"""Checks of a task's settings: each raises ValueError that names the setting and what is valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def at_least(settings: Any, low: float, *names: str) -> None:
    """Refuse settings below `low`."""
    for name in names:
        if getattr(settings, name) < low:
            raise ValueError(f"{name} must be at least {low}, got {getattr(settings, name)}")


def positive(settings: Any, *names: str) -> None:
    """Refuse settings that aren't above zero."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name} must be positive, got {getattr(settings, name)}")


def fraction(settings: Any, *names: str, high: float = 1) -> None:
    """Refuse settings outside [0, `high`]; None passes."""
    for name in names:
        if not 0 <= (getattr(settings, name) or 0) <= high:
            raise ValueError(f"{name} must lie in [0, {high}], got {getattr(settings, name)}")


def one_of(settings: Any, choices: Sequence[str | None], *names: str) -> None:
    """Refuse settings that aren't among `choices`."""
    for name in names:
        if getattr(settings, name) not in choices:
            listed = ", ".join(choice for choice in choices if choice is not None)
            raise ValueError(f"{name} must be one of {listed}, got {getattr(settings, name)!r}")
