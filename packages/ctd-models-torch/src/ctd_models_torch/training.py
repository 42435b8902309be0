"""What the training runner needs of a model: loss terms, scores, the learning rate over the epochs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctd_contract.torch.training import Draw, TrainingConfig, TrainingModule
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import FitConfig
from ctd_models_torch.errors import InputError

# The cosine ends at this share of the peak.
FINAL_RATE = 0.01


class ModelTraining(TrainingModule):
    """Trains a model of a recording.

    Args:
        model: What is trained.
        config: How.
        scored_per_trial: Mean number of scored entries of a validation trial, which makes their score the
            mean over entries also where trials differ in length.
    """

    def __init__(self, model: LatentModel, config: FitConfig, *, scored_per_trial: float) -> None:
        super().__init__()
        self.plateau: Tensor
        self.model = model
        self.config = config
        self.scored_per_trial = scored_per_trial
        # Of the plateau schedule: factor on the rate, best score, checks since then. A buffer, so that
        # checkpoints hold it.
        self.register_buffer("plateau", torch.tensor([1.0, math.inf, 0.0], dtype=torch.float64))
        self.valid_sum = torch.zeros(())
        self.valid_trials = 0

    def losses(self, batch: dict[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """See TrainingModule."""
        trials = Batch.of(batch)
        n_time = scored_bins(self.config, self.current_epoch, trials.n_time)
        return self.model.losses(trials, draw, n_time=n_time, epoch=self.current_epoch)

    def scores(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Score whole trials, whatever length is trained on: scores of all epochs can be compared."""
        with torch.no_grad():
            nll = self.model.score(Batch.of(batch)).sum()
        self.valid_sum = self.valid_sum.to(nll.device) + nll
        self.valid_trials += len(batch["rows"])
        return {"loss": nll / (len(batch["rows"]) * self.scored_per_trial)}

    def on_validation_epoch_end(self) -> None:
        """Tell the plateau schedule."""
        if self.config.schedule == "plateau":
            self._watch(float(self.valid_sum) / self.valid_trials)
        self.valid_sum, self.valid_trials = torch.zeros(()), 0

    def _watch(self, score: float) -> None:
        factor, best, waited = self.plateau.tolist()
        best, waited = (score, 0.0) if score < best else (best, waited + 1)
        if waited > self.config.plateau_patience:
            factor, waited = factor * self.config.plateau_factor, 0.0
        self.plateau.copy_(torch.tensor([factor, best, waited]))

    def make_schedule(
        self, optimizer: torch.optim.Optimizer, config: TrainingConfig
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """See TrainingModule."""
        del config
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0), relative to its peak."""
        total, kind = self.config.max_epochs, self.config.schedule
        warm = round(self.config.warmup * total)
        if epoch < warm:
            return (epoch + 1) / (warm + 1)
        if kind == "cosine":
            done = (epoch - warm) / max(1, total - warm)
            return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return float(self.plateau[0]) if kind == "plateau" else 1.0


def scored_bins(config: FitConfig, epoch: int, n_time: int) -> int:
    """Bins that are scored in an epoch (from 0) of the incremental loss."""
    growth = config.growth
    full = growth.full_at * config.max_epochs
    if growth.start_bins is None or epoch >= full:
        return n_time
    start = min(growth.start_bins, n_time)
    return start + int((n_time - start) * epoch / full)


def check_config(config: FitConfig) -> None:
    """Refuse settings out of range."""
    growth = config.growth
    rules = (
        ("batch_size is at least 1", config.batch_size >= 1, config.batch_size),
        (
            "schedule is cosine, constant or plateau",
            config.schedule in ("cosine", "constant", "plateau"),
            config.schedule,
        ),
        ("warmup is in [0, 1)", 0 <= config.warmup < 1, config.warmup),
        (
            "growth.start_bins is at least 1 or null",
            growth.start_bins is None or growth.start_bins >= 1,
            growth.start_bins,
        ),
        ("growth.full_at is in (0, 1]", 0 < growth.full_at <= 1, growth.full_at),
    )
    for rule, holds, value in rules:
        if not holds:
            raise InputError(f"{rule}, got {value}")
