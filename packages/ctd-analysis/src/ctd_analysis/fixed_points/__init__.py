"""Fixed and slow points of dynamics, and their matching between truth and model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ctd_analysis.fixed_points.settings import FixedPointSearch, MatchSettings

if TYPE_CHECKING:
    from ctd_analysis.fixed_points.find import Region, find_fixed_points
    from ctd_analysis.fixed_points.match import match_fixed_points

# Loaded on first use: a command needs the settings alone to print its help.
_LAZY = {"Region": "find", "find_fixed_points": "find", "match_fixed_points": "match"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["FixedPointSearch", "MatchSettings", "Region", "find_fixed_points", "match_fixed_points"]
