"""Training in which a whole epoch is one compiled call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from ctd_models_jax.config import TrainingConfig

Loss = Callable[..., Array]


class State(NamedTuple):
    """All that training carries from one epoch to the next; what a checkpoint holds."""

    params: Any
    best_params: Any
    optimizer: Any
    epoch: Array
    best_loss: Array


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being a number; the last good checkpoint is kept."""


def make_optimizer(
    config: TrainingConfig, trainable: Any, steps_per_epoch: int
) -> optax.GradientTransformation:
    """AdamW under a warmed-up cosine schedule with clipped gradients; untrainable leaves stay as they are."""
    total = max(config.epochs * steps_per_epoch, 2)
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.1 * config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=max(total // 20, 1),
        decay_steps=total,
        end_value=0.01 * config.learning_rate,
    )
    chain = optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )
    labels = jax.tree.map(lambda flag: "train" if flag else "freeze", trainable)
    return optax.multi_transform({"train": chain, "freeze": optax.set_to_zero()}, labels)


def start(params: Any, optimizer: optax.GradientTransformation) -> State:
    """The state before the first epoch."""
    copy = jax.tree.map(jnp.array, params)
    epoch, best_loss = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jnp.float32)
    return State(params, copy, optimizer.init(params), epoch, best_loss)


def make_epoch(
    loss: Loss, optimizer: optax.GradientTransformation, config: TrainingConfig, n_train: int
) -> Callable[[State, Any, Any, Array], tuple[State, dict[str, Array]]]:
    """Compile one epoch: shuffled steps over `train`, then the loss on `valid`; keys by (seed, epoch, step).

    Args:
        loss: ``loss(params, trials, key=..., hidden_share=...)``, a mean over scored entries.
        optimizer: From `make_optimizer`.
        config: Settings of training.
        n_train: Trials of the train split; those that don't fill a batch wait for the next shuffle.
    """
    batch = min(config.batch_size, n_train)
    gradient = jax.value_and_grad(partial(loss, hidden_share=config.coordinated_dropout))

    def step(carry: tuple[Any, Any], x: tuple[Array, Array], train: Any) -> tuple[tuple[Any, Any], Array]:
        params, optimizer_state = carry
        rows, key = x
        value, slope = gradient(params, jax.tree.map(lambda a: a[rows], train), key=key)
        updates, optimizer_state = optimizer.update(slope, optimizer_state, params)
        return (optax.apply_updates(params, updates), optimizer_state), value

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: State, train: Any, valid: Any, key: Array) -> tuple[State, dict[str, Array]]:
        order_key, step_key = jax.random.split(jax.random.fold_in(key, state.epoch))
        order = jax.random.permutation(order_key, n_train)[: n_train // batch * batch].reshape(-1, batch)
        keys = jax.random.split(step_key, order.shape[0])
        carry = (state.params, state.optimizer)
        (params, optimizer_state), losses = jax.lax.scan(lambda c, x: step(c, x, train), carry, (order, keys))
        valid_loss = loss(params, valid, key=None, hidden_share=0.0)
        better = valid_loss < state.best_loss
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best_params)
        new = State(
            params, best, optimizer_state, state.epoch + 1, jnp.where(better, valid_loss, state.best_loss)
        )
        return new, {"train_loss": losses.mean(), "valid_loss": valid_loss}

    return epoch


def fit(
    params: Any,
    trainable: Any,
    loss: Loss,
    train: Any,
    valid: Any,
    *,
    config: TrainingConfig,
    seed: int,
    resumed: Callable[[State], State] = lambda state: state,
    after_epoch: Callable[[State, dict[str, float]], None] = lambda _state, _metrics: None,
) -> Any:
    """Fit and return the parameters of the best epoch on valid.

    Args:
        params: Initial parameters.
        trainable: The same tree with a bool a leaf.
        loss: See `make_epoch`.
        train: Tree of arrays whose first axis is the trial.
        valid: Likewise; the best epoch is chosen on it.
        config: Settings of training.
        seed: Seed of order, masks and dropout.
        resumed: Given the initial state, returns that of a checkpoint to go on from.
        after_epoch: Called with the state and the epoch's metrics, fetched in one transfer.

    Raises:
        NonFiniteLossError: Names the term; `after_epoch` has not seen that epoch.
    """
    n_train = jax.tree.leaves(train)[0].shape[0]
    optimizer = make_optimizer(config, trainable, max(n_train // min(config.batch_size, n_train), 1))
    epoch = make_epoch(loss, optimizer, config, n_train)
    train, valid = jax.device_put((train, valid), jax.devices()[0])
    # Placed like the data, lest the second epoch's arguments differ from the first's and compile again.
    state, key = jax.device_put((resumed(start(params, optimizer)), jax.random.key(seed)), jax.devices()[0])
    while int(state.epoch) < config.epochs:
        state, on_device = epoch(state, train, valid, key)
        metrics = {name: float(value) for name, value in jax.device_get(on_device).items()}
        if bad := [name for name, value in metrics.items() if not jnp.isfinite(value)]:
            raise NonFiniteLossError(
                f"{bad[0]} is not finite after epoch {int(state.epoch)}: lower training.learning_rate "
                f"({config.learning_rate}) or training.gradient_clip ({config.gradient_clip})"
            )
        after_epoch(state, metrics)
    return state.best_params
