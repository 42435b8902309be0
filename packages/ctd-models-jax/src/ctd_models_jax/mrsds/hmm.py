"""Hidden Markov chains whose transitions change over time: normaliser and marginals, in log space.

Axes in front of the named ones are free and shared by all arguments. Transitions are (..., from, to); those
at index t lead from bin t to bin t + 1. Entries need not be normalised: the normaliser is the log of the sum,
over all paths, of the products along them.

Source: L. R. Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77, 1989 (forward-backward); S. Särkkä,
Á. F. García-Fernández, IEEE Trans. Autom. Control 66, 2021 (the associative form).
"""

from __future__ import annotations

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
    args = _masked(log_initial, log_transitions, log_likelihoods, mask)
    if backend == "plain":
        return _forward(*args)[0]
    return _with_marginals(backend, *args)


def marginals(
    log_initial: Array,
    log_transitions: Array,
    log_likelihoods: Array,
    mask: Array | None = None,
    *,
    backend: Literal["scan", "associative"] = "scan",
) -> Marginals:
    """The posterior of the modes; arguments as in `log_normalizer`."""
    args = _masked(log_initial, log_transitions, log_likelihoods, mask)
    total, forward = _forwards(backend, *args)
    modes, pairs = _posterior(backend, args, forward)
    if mask is not None:
        pairs = jnp.where(mask[..., 1:, None, None] > 0, pairs, 0.0)
    return Marginals(total, modes, pairs)


def _masked(
    log_initial: Array, log_transitions: Array, log_likelihoods: Array, mask: Array | None
) -> tuple[Array, Array, Array]:
    """Bins that are left out get no likelihood and the identity as transition."""
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
    return (
        jnp.broadcast_to(log_initial, (*shape, n_modes)),
        jnp.broadcast_to(log_transitions, (*shape, *expected)),
        jnp.broadcast_to(log_likelihoods, (*shape, n_bins, n_modes)),
    )


def _forward(log_initial: Array, log_transitions: Array, log_likelihoods: Array) -> tuple[Array, Array]:
    """Normaliser, and log probability of each mode given the bins up to it, (..., time, mode).

    Each bin is normalised by itself: sums over a long chain would have no digits left for the modes.
    """

    def step(forward: Array, x: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        transition, likelihood = x
        forward, total = _normalized(_row_sum(forward, transition) + likelihood)
        return forward, (forward, total)

    first, total = _normalized(log_initial + log_likelihoods[..., 0, :])
    along = (jnp.moveaxis(log_transitions, -3, 0), jnp.moveaxis(log_likelihoods[..., 1:, :], -2, 0))
    rest, totals = jax.lax.scan(step, first, along)[1]
    return total + totals.sum(0), jnp.moveaxis(jnp.concatenate([first[None], rest]), 0, -2)


def _backward(log_transitions: Array, log_likelihoods: Array) -> Array:
    """Log of the sum over paths from each mode onwards, less a number of each bin, (..., time, mode)."""

    def step(backward: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        transition, likelihood = x
        onwards, _ = _normalized(backward + likelihood)
        backward = logsumexp(transition + onwards[..., None, :], -1)
        return backward, backward

    last = jnp.zeros_like(log_likelihoods[..., 0, :])
    along = (jnp.moveaxis(log_transitions, -3, 0), jnp.moveaxis(log_likelihoods[..., 1:, :], -2, 0))
    rest = jax.lax.scan(step, last, along, reverse=True)[1]
    return jnp.moveaxis(jnp.concatenate([rest, last[None]]), 0, -2)


def _normalized(log_weights: Array) -> tuple[Array, Array]:
    total = logsumexp(log_weights, -1)
    return log_weights - total[..., None], total


def _row_sum(forward: Array, transition: Array) -> Array:
    return logsumexp(forward[..., :, None] + transition, -2)


def _products(log_transitions: Array, log_likelihoods: Array, *, reverse: bool) -> Array:
    """Log of products of transitions with likelihoods, up to each bin, or from each bin on."""
    factors = jnp.moveaxis(log_transitions + log_likelihoods[..., 1:, None, :], -3, 0)

    def multiply(a: Array, b: Array) -> Array:
        first, second = (b, a) if reverse else (a, b)
        return logsumexp(first[..., :, :, None] + second[..., None, :, :], -2)

    return jnp.moveaxis(jax.lax.associative_scan(multiply, factors, reverse=reverse), 0, -3)


def _forwards(
    backend: str, log_initial: Array, log_transitions: Array, log_likelihoods: Array
) -> tuple[Array, Array]:
    if backend != "associative":
        return _forward(log_initial, log_transitions, log_likelihoods)
    first = log_initial + log_likelihoods[..., 0, :]
    products = _products(log_transitions, log_likelihoods, reverse=False)
    rest = _row_sum(first[..., None, :], products)
    forward = jnp.concatenate([first[..., None, :], rest], -2)
    return logsumexp(forward[..., -1, :], -1), forward


def _posterior(backend: str, args: tuple[Array, Array, Array], forward: Array) -> tuple[Array, Array]:
    """Probabilities of modes and of pairs."""
    _, log_transitions, log_likelihoods = args
    if backend == "associative":
        rest = logsumexp(_products(log_transitions, log_likelihoods, reverse=True), -1)
        backward = jnp.concatenate([rest, jnp.zeros_like(forward[..., -1:, :])], -2)
    else:
        backward = _backward(log_transitions, log_likelihoods)
    onwards = (backward + log_likelihoods)[..., 1:, None, :]
    pairs = forward[..., :-1, :, None] + log_transitions + onwards
    return jax.nn.softmax(forward + backward, -1), jax.nn.softmax(pairs, (-2, -1))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _with_marginals(
    backend: str, log_initial: Array, log_transitions: Array, log_likelihoods: Array
) -> Array:
    return _forwards(backend, log_initial, log_transitions, log_likelihoods)[0]


def _run(backend: str, *args: Array) -> tuple[Array, tuple]:
    total, forward = _forwards(backend, *args)
    return total, (args, forward)


def _gradient(backend: str, residuals: tuple, cotangent: Array) -> tuple[Array, Array, Array]:
    modes, pairs = _posterior(backend, *residuals)
    modes = cotangent[..., None, None] * modes
    return modes[..., 0, :], cotangent[..., None, None, None] * pairs, modes


_with_marginals.defvjp(_run, _gradient)
