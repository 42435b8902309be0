"""Hyperparameter search: population-based training and random search, in one process or on Ray."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ctd_models_torch.search.config import RangeConfig, SearchConfig, StopConfig

if TYPE_CHECKING:
    from ctd_models_torch.search.search import Searched, search

# Loaded on first use, so that settings are shown without torch.
_LAZY = ("Searched", "search")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("ctd_models_torch.search.search"), name)


__all__ = ["RangeConfig", "SearchConfig", "Searched", "StopConfig", "search"]
