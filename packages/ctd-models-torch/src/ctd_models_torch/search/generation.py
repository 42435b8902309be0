"""One generation: members are trained for some epochs, side by side or one alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ctd_models_torch.recording import Recording
from ctd_models_torch.search.batched import BatchedModel
from ctd_models_torch.search.member import Member
from ctd_models_torch.search.trainee import Task, Trainee, arithmetic

# Called with the number of epochs that a member has gone on by.
Report = Callable[[int], Any]


def train_members(
    task: Task,
    data: Sequence[Recording],
    members: Sequence[Member],
    until: int,
    *,
    batched: bool,
    report: Report,
) -> list[Member]:
    """Train members up to an epoch; those that have failed stay as they are.

    Args:
        task: What they share.
        data: The open recordings.
        members: All of them after the same number of epochs.
        until: Epochs done afterwards.
        batched: All as one batched model, else one after another.
        report: Called with 1 after every epoch of every member.
    """
    living = [Trainee(task, data, member) for member in members if not member.failure]
    if batched and living:
        _train(living, until, BatchedModel(living, data).gradients, report)
    else:
        for one in living:
            _train([one], until, _alone, report)
    trained = iter(living)
    return [member if member.failure else next(trained).finished() for member in members]


def _alone(trainees: Sequence[Trainee], batches: Sequence[dict[str, Tensor]], step: int) -> None:
    trainees[0].gradients(batches[0], step)


def _train(trainees: Sequence[Trainee], until: int, gradients: Callable[..., None], report: Report) -> None:
    training = trainees[0].task.settings.training
    with arithmetic(training.precision, trainees[0].module.device):
        for epoch in range(trainees[0].epoch + 1, until + 1):
            for one in trainees:
                one.begin_epoch()
            for step, batches in enumerate(zip(*(one.batches() for one in trainees), strict=True)):
                gradients(trainees, batches, step)
                for one in trainees:
                    one.update()
                if all(one.failure for one in trainees):
                    break
            check = epoch == until or epoch % training.check_interval == 0
            for one in trainees:
                one.end_epoch(check=check)
                report(1)
            if all(one.failure for one in trainees):
                return
