"""Training with Lightning, shared by everything that fits networks with torch."""

from ctd_contract.torch.training.config import TrainingConfig
from ctd_contract.torch.training.module import Draw, NonFiniteLossError, TrainingModule
from ctd_contract.torch.training.runner import FitResult, fit

__all__ = ["Draw", "FitResult", "NonFiniteLossError", "TrainingConfig", "TrainingModule", "fit"]
