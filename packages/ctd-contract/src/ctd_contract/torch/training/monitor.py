"""Watches the monitored score: which check was the best, and when to stop."""

import math
from dataclasses import asdict, dataclass

from ctd_contract.torch.training.config import TrainingConfig


@dataclass
class Monitor:
    """State of the stopping rule; all of it goes into a checkpoint.

    Attributes:
        best_score: Best (smoothed) score so far.
        best_epoch: Epoch of it, from 1; 0 before the first check.
        mean: Running mean of the score.
        waited: Checks since the best one.
        reason: Why the run stopped; empty while it goes on.
    """

    best_score: float | None = None
    best_epoch: int = 0
    mean: float | None = None
    waited: int = 0
    reason: str = ""

    def update(self, epoch: int, score: float, mode: str, config: TrainingConfig) -> bool:
        """Take the score of the check after ``epoch`` epochs; return whether it is the best so far."""
        sign = 1.0 if mode == "max" else -1.0
        self.waited += 1
        better = False
        if math.isfinite(score):
            past = score if self.mean is None else self.mean
            self.mean = config.smoothing * past + (1 - config.smoothing) * score
            better = self.best_score is None or sign * (self.mean - self.best_score) > config.min_delta
        if better:
            self.best_score, self.best_epoch, self.waited = self.mean, epoch, 0
        self.reason = self._reason(epoch, sign, config)
        return better

    def _reason(self, epoch: int, sign: float, config: TrainingConfig) -> str:
        if config.target is not None and self.mean is not None and sign * (self.mean - config.target) >= 0:
            return f"reached the target {config.target:g}"
        if config.patience is not None and self.waited >= config.patience and epoch >= config.min_epochs:
            return f"no improvement in {self.waited} checks"
        return "all epochs done" if epoch >= config.checked_epochs else ""

    def state(self) -> dict[str, float | int | str | None]:
        """Everything as plain data."""
        return asdict(self)
