"""Training of a network on a task, with the contract's Lightning runner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as lightning
import torch
from torch import Tensor

from ctd_contract.torch.batches import TensorBatches
from ctd_contract.torch.random import generator
from ctd_contract.torch.training import FitResult, TrainingConfig, TrainingModule, fit
from ctd_contract.torch.training.module import Draw
from ctd_tasks.config import TaskTrainingConfig
from ctd_tasks.networks.base import Network, array
from ctd_tasks.tasks.base import Task
from ctd_tasks.tasks.trials import Trials


class TaskTraining(TrainingModule):
    """A network, the task it learns, and how well it does."""

    def __init__(self, network: Network, task: Task) -> None:
        super().__init__()
        self.network, self.task = network, task

    def losses(self, batch: dict[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """Return the task's terms and the network's penalties."""
        trials = Trials.from_flat(batch)
        rollout = self.task.run(self.network, trials, draw("network noise"))
        return {**self.task.loss(rollout, trials, epoch=self.current_epoch), **self.network.penalty(rollout)}

    def scores(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss` (the task's alone) and `success`, under the same noise at every check."""
        trials = Trials.from_flat(batch)
        noise = generator(self.seed, "validation noise", device=self.device)
        rollout = self.task.run(self.network, trials, noise)
        loss = torch.stack(list(self.task.loss(rollout, trials, epoch=self.current_epoch).values())).sum()
        success = self.task.success(rollout.map(array), trials.map(array)).success
        return {"loss": loss, "success": loss.new_tensor(success)}

    def make_schedule(
        self, optimizer: torch.optim.Optimizer, config: TrainingConfig
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Take the learning rate along half a cosine to its final value."""
        final = getattr(config, "final_learning_rate", None)
        if final is None:
            return None
        ratio, epochs = final / config.learning_rate, config.max_epochs

        def factor(epoch: int) -> float:
            return ratio + (1 - ratio) * (1 + math.cos(math.pi * min(epoch / epochs, 1))) / 2

        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def train(
    network: Network,
    task: Task,
    *,
    folder: str | Path,
    config: TaskTrainingConfig,
    seed: int = 0,
    resume: bool = False,
    callbacks: Sequence[lightning.Callback] = (),
) -> FitResult:
    """Train a network on a task; afterwards it holds the weights of the best check by success.

    Args:
        network: the network, changed in place.
        task: the task.
        folder: gets `metrics.csv`, `checkpoints/` and TensorBoard logs.
        config: settings.
        seed: of the trials, their order and the network's noise, each in a stream of its own.
        resume: continue from the last checkpoint in the folder.
        callbacks: further Lightning callbacks, such as figures.

    Returns:
        Where the checkpoints are, the best success, and why training ended.
    """
    config.check()
    batches = {}
    for stream, count in (("train", config.n_train), ("valid", config.n_valid)):
        tensors = task.generate(count, seed=seed, stream=stream).map(torch.from_numpy).flat()
        size = config.batch_size if stream == "train" else count
        batches[stream] = TensorBatches(tensors, size, shuffle=stream == "train", seed=seed)
    return fit(
        TaskTraining(network, task),
        batches["train"],
        batches["valid"],
        folder=folder,
        config=config,
        monitor="valid/success",
        mode="max",
        seed=seed,
        resume=resume,
        callbacks=callbacks,
    )
