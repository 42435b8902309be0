"""Hidden Markov chains whose transitions change over time: normaliser and marginals, in log space.

Axes in front of the named ones are free and shared by all arguments. Transitions are (..., from, to); those
at index t lead from bin t to bin t + 1. Entries need not be normalised: the normaliser is the log of the sum,
over all paths, of the products along them.

Source: L. R. Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77, 1989 (forward-backward); S. Särkkä,
Á. F. García-Fernández, IEEE Trans. Autom. Control 66, 2021 (the associative form).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

Backend = Literal["scan", "associative", "plain"]


class Marginals(NamedTuple):
    """Posterior of a chain.

    Attributes:
        log_normalizer: (...,).
        modes: (..., time, mode) probability of each mode; in bins that are left out, that of the last bin.
        pairs: (..., time - 1, from, to) of each pair of modes; zero where the second bin is left out.
    """

    log_normalizer: Array
    modes: Array
    pairs: Array


def log_normalizer(
    log_initial: Array,
    log_transitions: Array,
    log_likelihoods: Array,
    mask: Array | None = None,
    *,
    backend: Backend = "scan",
) -> Array:
    """Log of the sum over all paths, (...,).

    Its gradient is given by the posterior marginals, so no differentiation goes through the recursion;
    with ``plain`` it does.

    Args:
        log_initial: (..., mode).
        log_transitions: (..., time - 1, from, to).
        log_likelihoods: (..., time, mode).
        mask: (..., time) 0 for bins that are left out, as if the chain ended before them: those after a
            trial's end. The first bin always counts.
        backend: ``scan``; ``associative``, fewer sequential steps for modes³ instead of modes² work;
            ``plain``, the scan differentiated by JAX.
    """
    shape, args = _trials_last(log_initial, log_transitions, log_likelihoods, mask)
    total = _forward(*args)[0] if backend == "plain" else _with_marginals(backend, *args)
    return jnp.reshape(total, shape)  # type: ignore[arg-type]


def marginals(
    log_initial: Array,
    log_transitions: Array,
    log_likelihoods: Array,
    mask: Array | None = None,
    *,
    backend: Literal["scan", "associative"] = "scan",
) -> Marginals:
    """The posterior of the modes; arguments as in `log_normalizer`."""
    shape, args = _trials_last(log_initial, log_transitions, log_likelihoods, mask)
    total, forward = _forwards(backend, *args)
    modes, pairs = (
        jnp.moveaxis(array, -1, 0).reshape(*shape, *array.shape[:-1])
        for array in _posterior(backend, args[1], forward)
    )
    if mask is not None:
        pairs = jnp.where(mask[..., 1:, None, None] > 0, pairs, 0.0)
    return Marginals(total.reshape(shape), modes, pairs)


def _trials_last(
    log_initial: Array, log_transitions: Array, log_likelihoods: Array, mask: Array | None
) -> tuple[tuple[int, ...], tuple[Array, Array, Array]]:
    """The free axes' shape, and the arguments with these as one axis behind the others, so that all trials
    take a step together; bins that are left out get no likelihood and the identity as transition.
    """
    n_modes, n_bins = log_likelihoods.shape[-1], log_likelihoods.shape[-2]
    expected = (n_bins - 1, n_modes, n_modes)
    if log_transitions.shape[-3:] != expected or log_initial.shape[-1] != n_modes:
        raise ValueError(
            f"expected transitions (..., {', '.join(map(str, expected))}) and {n_modes} initial modes for "
            f"likelihoods {log_likelihoods.shape}, got {log_transitions.shape} and {log_initial.shape}"
        )
    shape = jnp.broadcast_shapes(
        log_initial.shape[:-1], log_transitions.shape[:-3], log_likelihoods.shape[:-2]
    )
    if mask is not None:
        kept = mask > 0
        identity = jnp.where(jnp.eye(n_modes, dtype=bool), 0.0, -jnp.inf)
        log_likelihoods = log_likelihoods.at[..., 1:, :].set(
            jnp.where(kept[..., 1:, None], log_likelihoods[..., 1:, :], 0.0)
        )
        log_transitions = jnp.where(kept[..., 1:, None, None], log_transitions, identity)
    parts = ((log_initial, (n_modes,)), (log_transitions, expected), (log_likelihoods, (n_bins, n_modes)))
    initial, transitions, likelihoods = (
        jnp.moveaxis(jnp.broadcast_to(array, (*shape, *named)).reshape(math.prod(shape), *named), 0, -1)
        for array, named in parts
    )
    return shape, (initial, transitions, likelihoods)


def _forward(log_initial: Array, log_transitions: Array, log_likelihoods: Array) -> tuple[Array, Array]:
    """Normaliser (trial,), and log probability of each mode given the bins up to it, (time, mode, trial).

    Each bin is normalised by itself: sums over a long chain would have no digits left for the modes.
    """

    def step(forward: Array, x: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        transition, likelihood = x
        forward, total = _normalized(_row_sum(forward, transition) + likelihood)
        return forward, (forward, total)

    first, total = _normalized(log_initial + log_likelihoods[0])
    rest, totals = jax.lax.scan(step, first, (log_transitions, log_likelihoods[1:]))[1]
    return total + totals.sum(0), jnp.concatenate([first[None], rest])


def _normalized(log_weights: Array) -> tuple[Array, Array]:
    total = logsumexp(log_weights, -2)
    return log_weights - total, total


def _row_sum(forward: Array, transition: Array) -> Array:
    return logsumexp(forward[..., :, None, :] + transition, -3)


def _products(log_transitions: Array, log_likelihoods: Array) -> tuple[Array, Array]:
    """Log of products of transitions with likelihoods, up to each bin, less their largest, and that.

    Products of a long chain would have no digits left for the modes.
    """

    def multiply(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        product = logsumexp(first[0][..., :, :, None, :] + second[0][..., None, :, :, :], -3)
        largest = jnp.max(product, (-3, -2), keepdims=True)
        return product - largest, first[1] + second[1] + largest

    factors = log_transitions + log_likelihoods[1:, None]
    products, largest = jax.lax.associative_scan(multiply, (factors, jnp.zeros_like(factors[:, :1, :1])))
    return products, largest[:, 0, 0]


def _forwards(
    backend: str, log_initial: Array, log_transitions: Array, log_likelihoods: Array
) -> tuple[Array, Array]:
    """As `_forward`; probabilities need not add up to one."""
    if backend != "associative" or len(log_transitions) == 0:
        return _forward(log_initial, log_transitions, log_likelihoods)
    first = log_initial + log_likelihoods[0]
    products, largest = _products(log_transitions, log_likelihoods)
    forward = jnp.concatenate([first[None], _row_sum(first, products)])
    return logsumexp(forward[-1], -2) + largest[-1], forward


def _posterior(backend: str, log_transitions: Array, forward: Array) -> tuple[Array, Array]:
    """Probabilities of modes (time, mode, trial) and of pairs (time - 1, from, to, trial).

    Given the bins up to it and the next mode, a mode has the probabilities of `back`, in which no later bin
    takes part; so these come of all bins at once, and what is left to do bin by bin is linear.
    """
    joint = forward[:-1, :, None] + log_transitions
    total = logsumexp(joint, 1, keepdims=True)
    back = jnp.exp(joint - jnp.where(jnp.isfinite(total), total, 0.0))
    last = jax.nn.softmax(forward[-1], 0)
    if backend == "associative":

        def multiply(later: Array, earlier: Array) -> Array:
            return jnp.sum(earlier[..., :, :, None, :] * later[..., None, :, :, :], -3)

        products = jax.lax.associative_scan(multiply, back, reverse=True)
        rest = jnp.sum(products * last, -2)
    else:

        def step(later: Array, back: Array) -> tuple[Array, Array]:
            modes = jnp.sum(back * later, 1)
            return modes, modes

        rest = jax.lax.scan(step, last, back, reverse=True)[1]
    modes = jnp.concatenate([rest, last[None]])
    return modes, back * modes[1:, None]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _with_marginals(
    backend: str, log_initial: Array, log_transitions: Array, log_likelihoods: Array
) -> Array:
    return _forwards(backend, log_initial, log_transitions, log_likelihoods)[0]


def _run(backend: str, *args: Array) -> tuple[Array, tuple]:
    total, forward = _forwards(backend, *args)
    return total, (args[1], forward)


def _gradient(backend: str, residuals: tuple, cotangent: Array) -> tuple[Array, Array, Array]:
    modes, pairs = _posterior(backend, *residuals)
    return cotangent * modes[0], cotangent * pairs, cotangent * modes


_with_marginals.defvjp(_run, _gradient)
