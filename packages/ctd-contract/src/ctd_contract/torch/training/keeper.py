"""The callback that collects metrics, keeps the checkpoints and decides when to stop."""

# ruff: noqa: ARG002
# Lightning fixes the arguments of its hooks.

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from ctd_contract.command.progress import Progress
from ctd_contract.torch.training.config import TrainingConfig
from ctd_contract.torch.training.metrics import MetricsFile
from ctd_contract.torch.training.module import NonFiniteLossError, TrainingModule
from ctd_contract.torch.training.monitor import Monitor

# Settings that may change between an interrupted run and its continuation without changing what is computed.
_FREE = ("max_epochs", "accelerator", "tensorboard", "wandb")


class _Means:
    """Means of named scalars over the trials of an epoch, fetched from the device once."""

    def __init__(self) -> None:
        self.values: list[dict[str, Tensor]] = []
        self.trials: list[int] = []

    def add(self, values: dict[str, Tensor], batch: dict[str, Tensor]) -> None:
        self.values.append(values)
        self.trials.append(len(next(iter(batch.values()))))

    def fetch(self) -> dict[str, float]:
        """Give the means and start anew."""
        names = list(self.values[0])
        table = torch.stack(
            [torch.stack([row[name].reshape(()).double() for name in names]) for row in self.values]
        )
        table = table.cpu()
        shares = torch.tensor(self.trials, dtype=torch.float64) / sum(self.trials)
        self.values, self.trials = [], []
        return dict(zip(names, (shares @ table).tolist(), strict=True))


class Keeper(lightning.Callback):
    """Collects metrics, keeps the checkpoints and decides when to stop."""

    def __init__(self, folder: Path, config: TrainingConfig, metric: str, mode: str, seed: int) -> None:
        self.folder, self.config, self.metric, self.mode = folder, config, metric, mode
        self.identity = {name: value for name, value in asdict(config).items() if name not in _FREE}
        self.identity |= {"monitor": metric, "mode": mode, "seed": seed}
        self.monitor = Monitor()
        self.epochs = 0
        self.start = 0
        self.terms, self.scores = _Means(), _Means()
        self.bar = Progress(None, "")

    @property
    def state_key(self) -> str:
        """Name of this callback's state in a checkpoint."""
        return "ctd_contract.torch.training"

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as plain data."""
        return {"monitor": self.monitor.state(), "epochs": self.epochs, "settings": self.identity}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of an interrupted run, refusing one with other settings."""
        for name, before in state_dict["settings"].items():
            now = self.identity.get(name)
            if now != before:
                raise ValueError(
                    f"the interrupted run in {self.folder} had {name}={before}, now it is {now}: "
                    "resume with the same settings or start in another folder"
                )
        self.monitor = Monitor(**state_dict["monitor"])
        self.epochs = state_dict["epochs"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the table of metrics."""
        self.table = MetricsFile(self.folder / "metrics.csv", last_epoch=self.start)
        self.bar.advance(self.start)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss terms of a step, on the device."""
        self.terms.add(outputs["terms"], batch)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the scores of a batch, on the device."""
        self.scores.add(outputs, batch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Look at the epoch: refuse what is not finite, and check if it is time to."""
        self.epochs = pl_module.current_epoch + 1
        self._refuse_nonfinite(pl_module)
        metrics = {f"train/{name}": value for name, value in self.terms.fetch().items()}
        metrics["train/loss"] = sum(metrics.values())
        if not self.scores.values:
            self.bar.advance(loss=metrics["train/loss"])
            return
        metrics |= {f"valid/{name}": value for name, value in self.scores.fetch().items()}
        if self.metric not in metrics:
            raise ValueError(f"there is no metric {self.metric!r} to monitor; there are {', '.join(metrics)}")
        self._check(trainer, metrics)

    def _check(self, trainer: lightning.Trainer, metrics: dict[str, float]) -> None:
        best = self.monitor.update(self.epochs, metrics[self.metric], self.mode, self.config)
        self.table.append(self.epochs, metrics)
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=self.epochs)
        folder = self.folder / "checkpoints"
        for name in ("best", "last") if best else ("last",):
            trainer.save_checkpoint(folder / f"{name}.safetensors")
        self.bar.advance(1, loss=metrics["train/loss"], **{self.metric: metrics[self.metric]})
        trainer.should_stop = bool(self.monitor.reason)

    def _refuse_nonfinite(self, module: TrainingModule) -> None:
        """Stop for the first non-finite term of the epoch, or parameter after it; one look at the device."""
        sums = torch.stack(
            [torch.stack([term.sum() for term in terms.values()]).sum() for terms in self.terms.values]
        )
        norms = torch.stack([parameter.detach().sum() for parameter in module.parameters()])
        if torch.isfinite(sums.sum() + norms.sum()):
            return
        for step, terms in enumerate(self.terms.values):
            if not torch.isfinite(sums[step]):
                module.refuse(terms, step)
        for name, parameter in module.named_parameters():
            if not torch.isfinite(parameter).all():
                raise NonFiniteLossError(f"the parameter {name!r} is not finite after epoch {self.epochs}")
