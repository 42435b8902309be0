"""Fitting: stages one after another, each epoch one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.training.batches import Batches
from ctd_models_jax.training.epoch import GRADIENT, PARAMETERS, Epoch, Figures, Loss, Score, State
from ctd_models_jax.training.record import Record
from ctd_models_jax.training.stage import Stage

AfterEpoch = Callable[[Mapping[str, Any]], None]


class NonFiniteLossError(FloatingPointError):
    """A term of the loss stopped being a number; the last good state is kept."""


@dataclass(frozen=True)
class Result:
    """A fit.

    Attributes:
        params: The parameters of the last stage's best epoch; without a score those of its last epoch.
        last: Those of its last epoch.
        score: The best epoch's score, one a seed; NaN without a score.
    """

    params: Any
    last: Any
    score: np.ndarray


def fit(
    params: Any,
    trainable: Any,
    loss: Loss,
    batches: Batches,
    *,
    stages: Sequence[Stage],
    key: Array,
    train: Any = None,
    valid: Any = None,
    score: Score | None = None,
    monitor: str | None = None,
    folder: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 25,
    rates: Array | None = None,
    batch_seeds: bool = True,
    after_epoch: AfterEpoch = lambda _figures: None,
) -> Result:
    """Train parameters; each stage begins with the best ones of the stage before.

    Args:
        params: A tree of arrays (and of anything else that never changes). With several keys every array has
            their number as its first axis: ``jax.vmap(model.initialize)(keys)``.
        trainable: The same tree with a bool a leaf; one bool for all leaves.
        loss: ``loss(params, batch, key=..., step=...)`` gives named terms whose sum is minimised; `step`
            counts updates over all stages, for weights that change.
        batches: `Shuffled` over `train`, or `Generated`.
        stages: What to do in turn.
        key: Decides order, batches and noise of the fit. A vector of keys fits as many seeds side by side,
            in the same compiled call: each ends as it would alone, up to rounding.
        rates: Factors on every learning rate, one a key; 1 by default.
        batch_seeds: Several seeds as one batch, which is faster where steps are small or on a GPU; else one
            after another within the call, which is faster where a CPU's arithmetic is the limit.
        train: Tree of arrays whose first axis is the trial.
        valid: Data that `score` sees.
        score: ``score(params, valid, key=...)`` gives named terms; the epoch of the lowest sum is the best.
        monitor: The term of the score that decides instead of the sum.
        folder: Where to write ``metrics.csv`` and ``checkpoints/``; nothing is written without it.
        resume: Go on from the checkpoint in `folder`, if there is one; ends as if never interrupted.
        checkpoint_every: Epochs between two checkpoints.
        after_epoch: Called with the figures of every epoch, ``train/<term>`` and ``valid/<term>``.

    Raises:
        NonFiniteLossError: Names the first term that was not finite; the checkpoint in `folder` then holds
            the state before the epoch in which it happened.
        ValueError: A stage trains nothing, or the checkpoint is of another model.
    """
    state, first_step = None, 0
    arrays, static = eqx.partition(params, eqx.is_array)
    flags = jax.tree.map(lambda _: trainable, arrays) if isinstance(trainable, bool) else trainable
    flags = eqx.filter(flags, jax.tree.map(eqx.is_array, params))
    record = None if folder is None else Record(folder, every=checkpoint_every)
    notes = None if record is None else record.restart(resume=resume)
    device = jax.devices()[0]
    train, valid = jax.device_put((train, valid), device)
    for number, stage in enumerate(stages):
        steps = stage.length(batches.steps) * batches.steps
        if notes is not None and number < notes["stage"]:
            first_step += steps
            continue
        optimizer = stage.optimizer(batches.steps)
        state, done = start(arrays, stage.selected(arrays, flags), optimizer, seeds=key.shape), 0
        if notes is not None and record is not None:
            state, done, notes = record.load(state), int(notes["epoch"]), None
        state = state if rates is None else state._replace(rate=jnp.asarray(rates, jnp.float32))
        epoch = Epoch(loss, score, batches, optimizer, static, first_step, monitor)
        # Placed like the data, lest the second epoch's arguments differ from the first's and compile again.
        state, stage_key = jax.device_put((state, _fold(key, number)), device)
        call = partial(
            compiled(epoch, seeds=key.shape, batch=batch_seeds), train=train, valid=valid, key=stage_key
        )
        state = _run(call, state, epoch, stage, number, done, record, after_epoch)
        first_step += steps
        arrays = eqx.combine(state.best, state.frozen)
    if state is None:
        raise ValueError("stages: expected at least one, got none")
    last = eqx.combine(state.trained, state.frozen, static)
    found = np.asarray(state.best_score)
    return Result(eqx.combine(arrays, static), last, found if score else np.full_like(found, np.nan))


def _run(
    call: Callable[[State], tuple[State, Figures]],
    state: State,
    epoch: Epoch,
    stage: Stage,
    number: int,
    done: int,
    record: Record | None,
    after_epoch: AfterEpoch,
) -> State:
    """The epochs of one stage that are not done yet."""
    steps, epochs = epoch.batches.steps, stage.length(epoch.batches.steps)
    for count in range(done + 1, epochs + 1):
        state, on_device = call(state)
        figures: Figures = jax.device_get(on_device)
        if problem := _problem(figures, steps):
            kept = "" if record is None else f"; the state before that epoch is kept in {record.checkpoint}"
            if record is not None:
                record.save(state, number, count - 1)
            raise NonFiniteLossError(
                f"{problem} of epoch {count} of stage {stage.name!r}: lower the learning rate "
                f"({stage.learning_rate:g}) or the bound on the gradient ({stage.clip}){kept}"
            )
        flat = _flat(figures)
        if record is not None:
            record.add({"stage": stage.name, "epoch": count, "step": epoch.first_step + count * steps}, flat)
            if count % record.every == 0 or count == epochs:
                record.save(state, number, count)
        after_epoch(flat)
    return state


def start(arrays: Any, selected: Any, optimizer: Any, *, seeds: tuple[int, ...]) -> State:
    """The state before a stage's first epoch, in buffers of its own."""
    # With dtypes of their own: a weak one turns strong in the first update, and all compiles again.
    own = jax.tree.map(lambda leaf: jnp.array(leaf, leaf.dtype), arrays)
    trained, frozen = eqx.partition(own, selected)
    init = jax.vmap(optimizer.init) if seeds else optimizer.init
    return State(
        trained=trained,
        frozen=frozen,
        best=jax.tree.map(jnp.array, trained),
        best_score=jnp.full(seeds, jnp.inf, jnp.float32),
        optimizer=init(trained),
        epoch=jnp.zeros(seeds, jnp.int32),
        rate=jnp.ones(seeds, jnp.float32),
    )


def _fold(key: Array, number: int) -> Array:
    fold = partial(jax.random.fold_in, data=number)
    return jax.vmap(fold)(key) if key.shape else fold(key)


def compiled(epoch: Epoch, *, seeds: tuple[int, ...], batch: bool) -> Callable[..., tuple[State, Figures]]:
    """The epoch as one call that reuses the state's buffers; of several seeds, as one batch or in turn."""

    def call(state: State, train: Any, valid: Any, key: Array) -> tuple[State, Figures]:
        if not seeds:
            return epoch(state, train, valid, key)
        one = partial(epoch, train=train, valid=valid)
        if batch:
            return jax.vmap(lambda state, key: one(state, key=key))(state, key)
        return jax.lax.map(lambda pair: one(pair[0], key=pair[1]), (state, key))

    return jax.jit(call, donate_argnums=0)


def _problem(figures: Figures, steps: int) -> str:
    """Which term was not finite first, at which step and for which seed; empty where all were."""
    at = {name: np.asarray(values) for name, values in figures.broken_at.items()}
    first = min(int(values.min()) for values in at.values())
    if first == steps:
        return ""
    broken = [name for name, values in at.items() if values.min() == first]
    inherit = (f"train/{GRADIENT}", PARAMETERS)
    named = [name for name in broken if name not in inherit] or broken[-1:]
    seeds = at[named[0]]
    seed = f" for seed {seeds.argmin()}" if seeds.ndim else ""
    return f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'} not finite{seed} at step {first + 1}"


def _flat(figures: Figures) -> dict[str, Any]:
    named = {f"train/{name}": value for name, value in figures.train.items()}
    return named | {f"valid/{name}": value for name, value in figures.valid.items()}
