"""What the training runner needs of a model: loss terms, scores, the learning rate over the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ctd_contract.torch.training import Draw, TrainingConfig, TrainingModule
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import FitConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.validation import Validation, of_all_sessions

# The cosine ends at this share of the peak.
FINAL_RATE = 0.01


class ModelTraining(TrainingModule):
    """Trains a model of one or several recordings.

    Args:
        model: What is trained.
        config: How.
        validations: Constants of each recording's validation trials.
    """

    def __init__(self, model: LatentModel, config: FitConfig, validations: Sequence[Validation]) -> None:
        super().__init__()
        self.plateau: Tensor
        self.model = model
        self.config = config
        self.validations = list(validations)
        # Of the plateau schedule: factor on the rate, best score, checks since then, running mean of the
        # score. A buffer, so that checkpoints hold it.
        self.register_buffer("plateau", torch.tensor([1.0, math.inf, 0.0, math.nan], dtype=torch.float64))
        self.valid_sum = torch.zeros(())
        self.valid_trials = 0

    def losses(self, batch: dict[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """See TrainingModule."""
        sessions = list(Batch.of_sessions(batch).values())
        n_time = scored_bins(self.config, self.current_epoch, sessions[0].n_time)
        return self.model.session_losses(sessions, draw, n_time=n_time, epoch=self.current_epoch)

    def scores(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Score whole trials of one recording, whatever length is trained on.

        Scores of all epochs can so be compared. Of several recordings see `of_all_sessions`.
        """
        ((index, trials),) = Batch.of_sessions(batch).items()
        model, validation = self.model.one_session(index), self.validations[index]
        with torch.no_grad():
            inferred = model.infer(trials)
            nll = model.nll(inferred, trials)
            figures = model.figures(inferred, trials)
        scores = {"loss": nll.sum() / (len(trials) * validation.scored_per_trial)}
        scores |= {name: region.bits_per_spike(nll) for name, region in validation.regions.items()}
        scores |= {name: values.mean() for name, values in figures.items()}
        if validation.behavior is not None:
            decoded = inferred.signals["behavior_prediction"]
            scores["behavior_r2"] = validation.behavior.r2(decoded, trials)
        if len(self.validations) > 1:
            scores = of_all_sessions(scores, index, self.validations)
        self.valid_sum = self.valid_sum.to(nll.device) + scores["loss"] * len(trials)
        self.valid_trials += len(trials)
        return scores

    def on_validation_epoch_end(self) -> None:
        """Tell the plateau schedule."""
        if self.config.schedule == "plateau":
            self._watch(float(self.valid_sum) / self.valid_trials)
        self.valid_sum, self.valid_trials = torch.zeros(()), 0

    def _watch(self, score: float) -> None:
        """Take the score of a check; it is smoothed as the monitored one is."""
        if not math.isfinite(score):
            return
        config = self.config
        factor, best, waited, mean = self.plateau.tolist()
        mean = score if math.isnan(mean) else config.smoothing * mean + (1.0 - config.smoothing) * score
        best, waited = (mean, 0.0) if mean < best else (best, waited + 1)
        if waited > config.plateau_patience:
            factor = max(factor * config.plateau_factor, config.plateau_floor / config.learning_rate)
            waited = 0.0
        self.plateau.copy_(torch.tensor([factor, best, waited, mean]))

    def make_optimizer(self, config: TrainingConfig) -> torch.optim.Optimizer:
        """See TrainingModule."""
        kind = torch.optim.AdamW if self.config.optimizer == "adamw" else torch.optim.Adam
        return kind(
            [parameter for parameter in self.parameters() if parameter.requires_grad],
            config.learning_rate,
            eps=self.config.epsilon,
            weight_decay=config.weight_decay,
            # Lightning doesn't clip gradients of fused steps in mixed precision.
            fused=config.precision != "bf16-mixed",
        )

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
    try:
        config.check()
    except ValueError as error:
        raise InputError(f"training.{error}") from error
    growth = config.growth
    rules = (
        ("batch_size is at least 1", config.batch_size >= 1, config.batch_size),
        (
            "schedule is cosine, constant or plateau",
            config.schedule in ("cosine", "constant", "plateau"),
            config.schedule,
        ),
        ("optimizer is adam or adamw", config.optimizer in ("adam", "adamw"), config.optimizer),
        ("epsilon is above 0", config.epsilon > 0, config.epsilon),
        ("plateau_factor is in (0, 1]", 0 < config.plateau_factor <= 1, config.plateau_factor),
        ("plateau_floor is at least 0", config.plateau_floor >= 0, config.plateau_floor),
        ("warmup is in [0, 1)", 0 <= config.warmup < 1, config.warmup),
        (
            "growth.start_bins is at least 1 or null",
            growth.start_bins is None or growth.start_bins >= 1,
            growth.start_bins,
        ),
        ("growth.full_at is in (0, 1]", 0 < growth.full_at <= 1, growth.full_at),
        (
            "figure_interval is at least 1 or null",
            config.figure_interval is None or config.figure_interval >= 1,
            config.figure_interval,
        ),
    )
    for rule, holds, value in rules:
        if not holds:
            raise InputError(f"{rule}, got {value}")
