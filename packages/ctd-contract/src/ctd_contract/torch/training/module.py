"""What a model gives to the training runner."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from ctd_contract.torch.random import generator
from ctd_contract.torch.training.config import TrainingConfig

Draw = Callable[[str], torch.Generator]


class NonFiniteLossError(RuntimeError):
    """A loss term became infinite or not a number, so the run was stopped."""


class TrainingModule(lightning.LightningModule, ABC):
    """A Lightning module that ``fit`` can train: subclasses give ``losses`` and ``scores``.

    ``fit`` sets the seed and the settings. Random numbers come from ``draw(name)`` and from nowhere else,
    or a resumed run would differ from an uninterrupted one.

    Example:
        >>> class Mean(TrainingModule):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.mean = torch.nn.Parameter(torch.zeros(()))
        ...
        ...     def losses(self, batch, draw):
        ...         return {"squared error": (batch["values"] - self.mean).square().mean()}
        ...
        ...     def scores(self, batch):
        ...         return {"error": (batch["values"].mean() - self.mean).abs()}
    """

    seed: int = 0
    settings: TrainingConfig = TrainingConfig()

    @abstractmethod
    def losses(self, batch: dict[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """Compute the named loss terms of a batch of training trials, scalars whose sum is minimised.

        Args:
            batch: Tensors by name, trials first.
            draw: Gives the generator of a named stream of this (seed, epoch, step), on the module's device.
        """

    @abstractmethod
    def scores(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute named scores of a batch of validation trials, scalars that are means over its trials."""

    def make_optimizer(self, config: TrainingConfig) -> torch.optim.Optimizer:
        """Make the optimiser; Adam (Kingma & Ba 2015) unless overridden."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        # Lightning doesn't clip gradients of fused steps in mixed precision.
        fused = config.precision != "bf16-mixed"
        return torch.optim.Adam(
            parameters, config.learning_rate, weight_decay=config.weight_decay, fused=fused
        )

    def make_schedule(
        self, optimizer: torch.optim.Optimizer, config: TrainingConfig
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Make a learning rate schedule that is stepped once per epoch; none unless overridden."""
        del optimizer, config
        return None

    def draw(self, name: str, *, step: int) -> torch.Generator:
        """Make the generator of a named stream of this epoch and step (batch of the epoch)."""
        return generator(self.seed, name, self.current_epoch, step, device=self.device)

    def configure_optimizers(self) -> Any:
        """Give Lightning the optimiser and the schedule."""
        optimizer = self.make_optimizer(self.settings)
        schedule = self.make_schedule(optimizer, self.settings)
        return optimizer if schedule is None else {"optimizer": optimizer, "lr_scheduler": schedule}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Sum the loss terms."""
        terms = self.losses(batch, lambda name: self.draw(name, step=batch_idx))
        loss = torch.stack([term.reshape(()) for term in terms.values()]).sum()
        # On a CPU the look is free, so the optimiser never sees a bad gradient. On a GPU it would make
        # the host wait in every step; there the runner looks at the end of the epoch.
        if loss.device.type == "cpu" and not loss.isfinite():
            self.refuse(terms, batch_idx)
        return {"loss": loss, "terms": {name: term.detach() for name, term in terms.items()}}  # type: ignore[dict-item]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Score a batch."""
        del batch_idx
        return self.scores(batch)

    def refuse(self, terms: dict[str, Tensor], step: int) -> None:
        """Raise for the first non-finite term of step ``step`` of this epoch."""
        where = f"in epoch {self.current_epoch + 1}, step {step + 1}"
        for name, term in terms.items():
            if not torch.isfinite(term):
                raise NonFiniteLossError(f"the loss term {name!r} is {term.item()} {where}")
        raise NonFiniteLossError(f"the sum of the loss terms is not finite {where}")
