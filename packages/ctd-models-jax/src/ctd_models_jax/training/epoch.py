"""One epoch as one compiled call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from ctd_models_jax.training.batches import Batches

# loss(params, batch, key=..., step=...) and score(params, data, key=...) give named terms, summed here.
Loss = Callable[..., dict[str, Array]]
Score = Callable[..., dict[str, Array]]
GRADIENT = "gradient_norm"
PARAMETERS = "parameters"


class State(NamedTuple):
    """All that training carries from one epoch of a stage to the next; what a checkpoint holds.

    Attributes:
        trained: The parameters that the stage trains; None where one is held fixed.
        frozen: The others.
        best: Those of `trained` that scored best.
        best_score: Their score; infinite before the first.
        optimizer: The optimiser's state.
        epoch: Epochs of the stage that are done.
        rate: Factor on every learning rate.
    """

    trained: Any
    frozen: Any
    best: Any
    best_score: Array
    optimizer: Any
    epoch: Array
    rate: Array


class Figures(NamedTuple):
    """What an epoch reports, fetched in one transfer.

    Attributes:
        train: Means over its steps, by term.
        valid: Scores on the valid split, by term.
        broken_at: By term, the first step at which it was not finite; the number of steps if always.
    """

    train: dict[str, Array]
    valid: dict[str, Array]
    broken_at: dict[str, Array]


@dataclass(frozen=True)
class Epoch:
    """What an epoch does, without data: a callable to be compiled.

    Attributes:
        loss: Of a batch: ``loss(params, batch, key=..., step=...)`` gives named terms, whose sum counts.
        score: Of the valid split: ``score(params, valid, key=...)``, likewise; None for no validation.
        monitor: The score that decides which epoch is best; None for the sum of all.
        batches: Where batches come from.
        optimizer: The stage's.
        static: The parts of the parameters that are no arrays.
        first_step: Updates that earlier stages have made.
    """

    loss: Loss
    score: Score | None
    batches: Batches
    optimizer: optax.GradientTransformation
    static: Any
    first_step: int = 0
    monitor: str | None = None

    def __call__(self, state: State, train: Any, valid: Any, key: Array) -> tuple[State, Figures]:
        """Run the steps, score, keep the best; where a term is not finite the state stays as it was.

        Args:
            state: Where the last epoch ended.
            train: Data of the steps, on the device.
            valid: Data of the score.
            key: The stage's; every epoch and step folds its number in.
        """
        plan_key, step_key, score_key = jax.random.split(jax.random.fold_in(key, state.epoch), 3)
        steps = (self.batches.plan(plan_key), jnp.arange(self.batches.steps))
        done = self.first_step + state.epoch * self.batches.steps

        def step(carry: tuple[Any, Any], x: tuple[Array, Array]) -> tuple[tuple[Any, Any], dict[str, Array]]:
            row, index = x
            batch_key, loss_key = jax.random.split(jax.random.fold_in(step_key, index))
            batch = self.batches.take(train, row, batch_key)
            return self._update(carry, state, batch, loss_key, done + index)

        (trained, optimizer), terms = jax.lax.scan(step, (state.trained, state.optimizer), steps)
        params = self._join(trained, state.frozen)
        scores = {} if self.score is None else self.score(params, valid, key=score_key)
        figures = _figures(terms, scores, self.batches.steps, self.monitor)
        last = self.batches.steps - 1
        figures.broken_at[PARAMETERS] = jnp.where(jnp.isfinite(_norm(trained)), last + 1, last)
        total = figures.valid["loss"] if scores else -jnp.asarray(state.epoch, jnp.float32)
        better = total < state.best_score  # without scores the last epoch is the best
        new = State(
            trained=trained,
            frozen=state.frozen,
            best=_where(better, trained, state.best),
            best_score=jnp.where(better, total, state.best_score),
            optimizer=optimizer,
            epoch=state.epoch + 1,
            rate=state.rate,
        )
        unbroken = jnp.stack([at == self.batches.steps for at in figures.broken_at.values()]).all()
        return _where(unbroken, new, state), figures

    def _update(
        self, carry: tuple[Any, Any], state: State, batch: Any, key: Array, step: Array
    ) -> tuple[tuple[Any, Any], dict[str, Array]]:
        trained, optimizer = carry

        def total(trained: Any) -> tuple[Array, dict[str, Array]]:
            terms = self.loss(self._join(trained, state.frozen), batch, key=key, step=step)
            return _sum(terms), terms

        gradient, terms = jax.grad(total, has_aux=True)(trained)
        updates, optimizer = self.optimizer.update(gradient, optimizer, trained)
        updates = jax.tree.map(lambda update: state.rate * update, updates)
        figures = {**terms, GRADIENT: _norm(gradient)}
        return (optax.apply_updates(trained, updates), optimizer), figures

    def _join(self, trained: Any, frozen: Any) -> Any:
        return eqx.combine(trained, frozen, self.static)


def _figures(terms: dict[str, Array], scores: dict[str, Array], steps: int, monitor: str | None) -> Figures:
    broken = {f"train/{name}": _first(~jnp.isfinite(values), steps) for name, values in terms.items()}
    broken |= {
        f"valid/{name}": jnp.where(jnp.isfinite(value), steps, steps - 1) for name, value in scores.items()
    }
    means = {name: values.mean() for name, values in terms.items()}
    total = _sum({name: value for name, value in means.items() if name != GRADIENT})
    valid = {**scores, "loss": scores[monitor] if monitor else _sum(scores)} if scores else {}
    return Figures(train={**means, "loss": total}, valid=valid, broken_at=broken)


def _sum(terms: dict[str, Array]) -> Array:
    return jnp.sum(jnp.stack([jnp.asarray(term) for term in terms.values()]))


def _norm(tree: Any) -> Array:
    return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)])))


def _first(flags: Array, steps: int) -> Array:
    return jnp.where(flags.any(), jnp.argmax(flags), steps)


def _where(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
