"""Fits of commands: with a line of progress, checkpoints in the run's folder, and failures as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import equinox as eqx
import jax

from ctd_contract.command import Run, RunFailed, progress
from ctd_models_jax import checkpoint
from ctd_models_jax.recording import moments
from ctd_models_jax.sessions import Session
from ctd_models_jax.training import Batches, NonFiniteLossError, ShuffledSets, Stage, fit
from ctd_models_jax.training.record import CHECKPOINT

LOSSES = {"train": "train/loss", "valid": "valid/loss"}


class Training(Protocol):
    """What a command's settings say of its training.

    Attributes:
        batch_size: Trials in a step.
        checkpoint_every: Epochs between two checkpoints.
    """

    batch_size: int
    checkpoint_every: int

    def stages(self) -> list[Stage]:
        """What to do in turn."""
        ...


def fit_run(
    run: Run,
    training: Training,
    params: Any,
    trainable: Any,
    loss: Any,
    batches: Batches,
    *,
    label: str,
    figures: Mapping[str, str] = LOSSES,
    count: int = 1,
    **more: Any,
) -> Any:
    """The best parameters of a command's fit.

    Args:
        run: The run.
        training: Its settings.
        params: At first.
        trainable: Which of them are trained.
        loss: What is minimised.
        batches: Where trials come from.
        label: What the line of progress begins with.
        figures: Which figures of an epoch it shows, by what it calls them.
        count: What it counts an epoch as.
        more: Further arguments of `training.fit`.

    Raises:
        RunFailed: A term of the loss stopped being a number.
    """
    stages = training.stages()
    lengths = [stage.length(batches.steps) for stage in stages]
    try:
        with progress(count * sum(lengths), label) as bar:
            bar.advance(count * _done_before(run, lengths))
            return fit(
                *(params, trainable, loss, batches),
                stages=stages,
                folder=run.folder,
                resume=run.resume,
                checkpoint_every=training.checkpoint_every,
                after_epoch=lambda told: bar.advance(
                    count, **{name: float(told[figure]) for name, figure in figures.items()}
                ),
                **more,
            ).params
    except NonFiniteLossError as error:
        raise RunFailed(str(error)) from error


def _done_before(run: Run, lengths: Sequence[int]) -> int:
    """Epochs that an interrupted run had made, of stages so long."""
    path = run.folder / CHECKPOINT
    if not (run.resume and path.exists()):
        return 0
    notes = checkpoint.load_notes(path)
    return sum(lengths[: notes["stage"]]) + notes["epoch"]


def fit_sessions(
    run: Run,
    training: Training,
    sessions: Sequence[Session],
    initialize: Any,
    loss: Any,
    *,
    seed: int,
    **more: Any,
) -> Any:
    """The best parameters of a model of several recordings, every one of which each step sees.

    Args:
        run: The run.
        training: Its settings.
        sessions: The recordings.
        initialize: Draws parameters from a key and the means and standard deviations of each one's neurons.
        loss: Of a list of trials, one a recording.
        seed: Of the run.
        more: Further arguments of `fit_run`.
    """
    train, valid = ([one.recording.of_split(split) for one in sessions] for split in ("train", "valid"))
    start_key, fit_key = jax.random.split(jax.random.key(seed))
    means, stds = zip(*map(moments, train), strict=True)
    params, trainable = eqx.filter_jit(initialize)(start_key, means, stds)
    batches = ShuffledSets(tuple(len(trials.values) for trials in train), training.batch_size)
    data = {"key": fit_key, "train": train, "valid": valid}
    return fit_run(run, training, params, trainable, loss, batches, **data, **more)
