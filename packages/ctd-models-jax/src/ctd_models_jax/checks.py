"""Checks of settings, shared by every dataclass of them."""

from __future__ import annotations

from collections.abc import Sequence


def require_positive(config: object, *names: str) -> None:
    """Refuse settings that are not above 0."""
    for name in names:
        if getattr(config, name) <= 0:
            raise ValueError(f"{name} must be above 0, got {getattr(config, name)}")


def require_not_negative(config: object, *names: str) -> None:
    """Refuse settings below 0."""
    for name in names:
        if getattr(config, name) < 0:
            raise ValueError(f"{name} must not be negative, got {getattr(config, name)}")


def require_share(config: object, *names: str) -> None:
    """Refuse settings outside [0, 1)."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {getattr(config, name)}")


def require_choice(config: object, name: str, choices: Sequence[str]) -> None:
    """Refuse a setting that is none of the choices."""
    if getattr(config, name) not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(config, name)!r}")
