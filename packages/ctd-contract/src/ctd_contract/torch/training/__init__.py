"""Training with Lightning, shared by everything that fits networks with torch."""

import importlib
from typing import TYPE_CHECKING, Any

from ctd_contract.torch.training.config import TrainingConfig

if TYPE_CHECKING:
    from ctd_contract.torch.training.module import Draw, NonFiniteLossError, TrainingModule
    from ctd_contract.torch.training.runner import FitResult, fit

# Lightning takes seconds to import: a command's --help and its errors need the settings alone.
_LAZY = {
    "Draw": "module",
    "FitResult": "runner",
    "NonFiniteLossError": "module",
    "TrainingModule": "module",
    "fit": "runner",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Draw", "FitResult", "NonFiniteLossError", "TrainingConfig", "TrainingModule", "fit"]
