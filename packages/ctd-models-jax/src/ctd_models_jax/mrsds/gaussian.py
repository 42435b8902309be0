"""Normal distributions by the Cholesky factor of their covariance, and learned covariances."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular

LOG_2PI = 1.8378770664093453


class Covariance(eqx.Module):
    """A learned covariance C = L L', L = diag(exp(log_scale)) M with M unit lower triangular.

    Attributes:
        log_scale: (state,); of a diagonal covariance, the logs of the standard deviations.
        lower: (state, state), of which the part below the diagonal is M's; None for a diagonal covariance.
    """

    log_scale: Array
    lower: Array | None

    @classmethod
    def start(cls, size: int, scale: float, *, full: bool) -> Covariance:
        """Independent entries of one standard deviation."""
        return cls(jnp.full(size, jnp.log(scale)), jnp.zeros((size, size)) if full else None)

    @property
    def diagonal(self) -> bool:
        """Whether entries are independent."""
        return self.lower is None

    def factor(self, log_scale: Array | float = 0.0) -> Array:
        """L, its rows times exp(log_scale), (..., state, state); of a diagonal covariance (..., state)."""
        scale = jnp.exp(self.log_scale + log_scale)
        if self.lower is None:
            return scale
        unit = jnp.tril(self.lower, -1) + jnp.eye(len(self.log_scale))
        return scale[..., None] * unit


def scaled(factor: Array, values: Array, *, diagonal: bool) -> Array:
    """L values, of factors as `Covariance.factor` gives them and values (..., state)."""
    return factor * values if diagonal else jnp.einsum("...ij,...j->...i", factor, values)


def log_determinant(factor: Array, *, diagonal: bool) -> Array:
    """Log |L|, (...,)."""
    if not diagonal:
        factor = jnp.diagonal(factor, axis1=-2, axis2=-1)
    return jnp.sum(jnp.log(factor), -1)


def whitened(factor: Array, values: Array) -> Array:
    """L⁻¹ values, with one L for all of them: (state,) or (state, state)."""
    if factor.ndim == 1:
        return values / factor
    flat = values.reshape(-1, values.shape[-1])
    return solve_triangular(factor, flat.T, lower=True).T.reshape(values.shape)


def log_density(residual: Array, factor: Array) -> Array:
    """Log density of residuals (..., state) under N(0, L L') with one L, (...,)."""
    squares = jnp.sum(whitened(factor, residual) ** 2, -1)
    logs = log_determinant(factor, diagonal=factor.ndim == 1)
    return -0.5 * (squares + residual.shape[-1] * LOG_2PI) - logs


def entropy(factor: Array, *, diagonal: bool) -> Array:
    """Of N(., L L'), (...,)."""
    return log_determinant(factor, diagonal=diagonal) + 0.5 * factor.shape[-1] * (1 + LOG_2PI)


def divergence(offset: Array, factor: Array, prior: Array, *, diagonal: bool) -> Array:
    """KL(N(m + offset, S) || N(m, Q)), (...,).

    Args:
        offset: (..., state).
        factor: L of S, (..., state) or (..., state, state).
        prior: L of Q, one for all, diagonal or not.
        diagonal: Whether `factor` is the diagonal.
    """
    size = offset.shape[-1]
    if diagonal and prior.ndim == 1:
        trace = jnp.sum((factor / prior) ** 2, -1)
    else:
        columns = factor[..., :, None] * jnp.eye(size) if diagonal else factor
        columns = jnp.broadcast_to(jnp.swapaxes(columns, -1, -2), (*offset.shape, size))
        trace = jnp.sum(whitened(prior, columns) ** 2, (-1, -2))
    squares = jnp.sum(whitened(prior, offset) ** 2, -1)
    logs = log_determinant(prior, diagonal=prior.ndim == 1) - log_determinant(factor, diagonal=diagonal)
    return 0.5 * (trace + squares - size) + logs
