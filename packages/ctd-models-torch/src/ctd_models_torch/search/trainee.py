"""A member that is being trained: its module, its optimizer and its batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ctd_contract.torch.training import NonFiniteLossError
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import batches_of, prepare_all
from ctd_models_torch.inference import device_of
from ctd_models_torch.recording import Recording
from ctd_models_torch.search.member import Check, Member
from ctd_models_torch.search.space import Settings
from ctd_models_torch.sessions.recordings import open_recordings
from ctd_models_torch.shape import Shape
from ctd_models_torch.training import ModelTraining


@dataclass(frozen=True)
class Task:
    """What all members share.

    Attributes:
        recordings: Files of the recordings.
        settings: Of model, readout and training, before hyperparameters are put in.
        reading: How the recording is read.
        monitor: Score that members are compared by.
        alignment: File of the read-ins' start, or None.
    """

    recordings: tuple[str, ...]
    settings: Settings
    reading: RecordingConfig
    monitor: str
    alignment: str | None = None

    @property
    def device(self) -> torch.device:
        """Where members are trained."""
        return device_of(self.settings.training.accelerator)

    def module(
        self, data: Sequence[Recording], settings: Settings, seed: int
    ) -> tuple[ModelTraining, list[Shape]]:
        """A model with fresh weights, in the precision that it is trained with, and what it is for.

        Args:
            data: The open recordings.
            settings: With hyperparameters.
            seed: Of the initial weights.
        """
        training = settings.training
        module, shapes = prepare_all(data, settings.model, settings.readout, training, seed, self.alignment)
        return (module.double() if training.precision == "64-true" else module), shapes

    @contextmanager
    def data(self) -> Iterator[list[Recording]]:
        """The open recordings."""
        with ExitStack() as stack:
            behavior = self.settings.model.predicts_behavior
            yield open_recordings(self.recordings, self.reading, stack, behavior=behavior)


class Trainee:
    """A living member.

    Args:
        task: What all members share.
        data: The open recordings.
        member: What it is now.

    Attributes:
        module: Its model, ready to be trained.
        settings: With its hyperparameters.
        optimizer: With the member's moments.
        failure: Why it can't go on; empty while it can.
    """

    def __init__(self, task: Task, data: Sequence[Recording], member: Member) -> None:
        self.task, self.member, self.failure = task, member, member.failure
        self.settings = task.settings.with_values(member.values)
        self.module = task.module(data, self.settings, member.seed)[0]
        self.module.to(task.device)
        if member.weights is not None:
            self.module.load_state_dict(member.weights)
        training = self.settings.training
        self.module.seed, self.module.settings = member.seed, training
        self.clock = SimpleNamespace(current_epoch=member.epoch)
        # The epoch is all that a module asks of its trainer.
        self.module.trainer = self.clock  # type: ignore[assignment]
        self.optimizer = self._optimizer()
        self.rate = self.module.rate(member.epoch) if member.rate is None else member.rate
        self.train_batches, self.valid_batches = batches_of(data, training, member.seed)
        self.checks: list[Check] = []

    def _optimizer(self) -> torch.optim.Optimizer:
        """A fresh one, whose rates are this member's, with the moments that were kept."""
        optimizer = self.module.make_optimizer(self.settings.training)
        if self.member.moments:
            # A copy: the optimizer would take the tensors themselves, which other members may share.
            state = copied(self.member.moments)
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        return optimizer

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.clock.current_epoch

    def begin_epoch(self) -> None:
        """Set the learning rate of the epoch."""
        self.module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.training.learning_rate * self.rate

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Training batches of the epoch."""
        for batch in self.train_batches.epoch(self.epoch, self.module.device):
            yield in_precision(batch, self.settings.training.precision)

    def gradients(self, batch: dict[str, Tensor], step: int) -> None:
        """Gradients of a step; a loss that is no number ends the member's training."""
        try:
            self.optimizer.zero_grad()
            self.module.training_step(batch, step)["loss"].backward()
        except NonFiniteLossError as error:
            self.failure = str(error)

    def update(self) -> None:
        """Step the optimizer."""
        if self.failure:
            return
        clip = self.settings.training.gradient_clip
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), clip)
        self.optimizer.step()

    def end_epoch(self, *, check: bool) -> None:
        """Refuse weights that are no numbers, and score the validation trials if it is time to."""
        norms = torch.stack([parameter.detach().sum() for parameter in self.module.parameters()])
        if not self.failure and not norms.sum().isfinite():
            self.failure = f"a parameter is not finite after epoch {self.epoch + 1}"
        # As in a fit, the schedule moves on before the check of the same epoch can tell it anything.
        self.rate = self.module.rate(self.epoch + 1)
        if check and not self.failure:
            self._check()
        self.clock.current_epoch += 1

    def _check(self) -> None:
        training, trials, totals = self.settings.training, 0, dict[str, Tensor]()
        self.module.eval()
        with torch.no_grad():
            for index, batch in enumerate(self.valid_batches.epoch(self.epoch, self.module.device)):
                scores = self.module.validation_step(in_precision(batch, training.precision), index)
                size = len(next(iter(batch.values())))
                trials += size
                for name, value in scores.items():
                    # On the device to the end of the epoch, so that a GPU is waited for but once.
                    totals[name] = totals.get(name, torch.zeros(())) + size * value.detach().double()
        self.module.on_validation_epoch_end()
        means = {name: float(total) / trials for name, total in totals.items()}
        if self.task.monitor not in means:
            raise InputError(f"search.monitor is one of {', '.join(means)}, got {self.task.monitor}")
        score = means[self.task.monitor]
        if not math.isfinite(score):
            self.failure = f"the score {self.task.monitor!r} is {score} after epoch {self.epoch + 1}"
            return
        before = self.checks or self.member.checks
        if before:
            score = training.smoothing * before[-1].score + (1 - training.smoothing) * score
        self.checks.append(Check(self.epoch + 1, score, means))

    def finished(self) -> Member:
        """What the member is after its training."""
        return replace(
            self.member,
            epoch=self.epoch,
            weights=copied(self.module.state_dict()),
            moments=copied(self.optimizer.state_dict()["state"]),
            rate=self.rate,
            checks=self.checks or self.member.checks[-1:],
            failure=self.failure,
        )


def copied(tensors: Any) -> Any:
    """A nested mapping of tensors with copies of them, in the host's memory."""
    return tree_map(lambda value: value.detach().cpu().clone(), dict(tensors))


def in_precision(batch: dict[str, Tensor], precision: str) -> dict[str, Tensor]:
    """A batch whose floating-point tensors have the precision of the weights."""
    if precision != "64-true":
        return batch
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Compute with a precision: what the training runner does around a step."""
    before = torch.get_default_dtype()
    if precision == "64-true":
        torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            yield
    finally:
        torch.set_default_dtype(before)
