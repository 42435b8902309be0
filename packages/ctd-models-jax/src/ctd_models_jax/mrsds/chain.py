"""A Gaussian chain: a linear system, each of whose bins something is known of.

    q(x) ∝ N(x_1; m, S) prod_k N(x_k; A_k x_{k-1} + b_k, Q) prod_k exp(h_k · x_k - x_k · J_k x_k / 2)

Its precision is block tridiagonal. Messages from the last bin to the first turn it into steps onwards,
q(x_k | x_{k-1}) = N(G_k x_{k-1} + g_k, P_k), which are drawn from, and whose entropies add up to the chain's.
Bins of which nothing is known (J = 0, h = 0) at the end change nothing before them, so padding drops out.

Source: the two-filter form of the Rauch-Tung-Striebel smoother (D. Q. Mayne, Automatica 4, 1966), whitened by
the noise so that nothing is inverted that could be singular; as a posterior E. Archer and others, Black box
variational inference for state space models, 2015, with the pair potentials of a linear system instead of
free blocks, because then potentials of each bin alone suffice for the exact posterior of a linear system.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.lax.linalg import cholesky, triangular_solve

from ctd_models_jax.mrsds.gaussian import Covariance


class Links(eqx.Module):
    """The chain's linear system, in each mode; the encoder says how modes are mixed in each bin.

    Attributes:
        maps: A, (mode, state, state).
        shifts: (mode, state).
        input_maps: (mode, state, input).
        noise: Q.
        initial_mean: m, (state,).
        initial_noise: S.
    """

    maps: Array
    shifts: Array
    input_maps: Array
    noise: Covariance
    initial_mean: Array
    initial_noise: Covariance

    @classmethod
    def start(
        cls, states: int, inputs: int, modes: int, *, noise_std: float, initial_std: float, full: bool
    ) -> Links:
        """A random walk that inputs don't move."""
        return cls(
            maps=jnp.tile(jnp.eye(states), (modes, 1, 1)),
            shifts=jnp.zeros((modes, states)),
            input_maps=jnp.zeros((modes, states, inputs)),
            noise=Covariance.start(states, noise_std, full=full),
            initial_mean=jnp.zeros(states),
            initial_noise=Covariance.start(states, initial_std, full=full),
        )

    def steps(self, weights: Array, inputs: Array) -> tuple[Array, Array, Array]:
        """A and b of each bin, and the Cholesky factor of its noise; the first bin's have A = 0.

        Args:
            weights: (trial, time, mode) of the modes.
            inputs: (trial, time, input).

        Returns:
            (trial, time, state, state), (trial, time, state) and what `factors` gives.
        """
        maps = jnp.einsum("btk,kij->btij", weights, self.maps).at[:, 0].set(0.0)
        by_mode = self.shifts + jnp.einsum("kiu,btu->btki", self.input_maps, inputs)
        shifts = jnp.einsum("btk,btki->bti", weights, by_mode).at[:, 0].set(self.initial_mean)
        return maps, shifts, factors(self.initial_noise, self.noise, inputs.shape[1])


def factors(initial: Covariance, later: Covariance, bins: int) -> Array:
    """Cholesky factors of the noise of each bin, (time, state, state); (time, state) of diagonal ones."""
    first, rest = initial.factor(), later.factor()
    if first.ndim != rest.ndim:
        first, rest = (jnp.diag(each) if each.ndim == 1 else each for each in (first, rest))
    return jnp.concatenate([first[None], jnp.broadcast_to(rest, (bins - 1, *rest.shape))])


class Onwards(NamedTuple):
    """Steps q(x_k | x_{k-1}) of a chain.

    Attributes:
        maps: (trial, time, state, state) G, zero in the first bin.
        shifts: (trial, time, state) g.
        factors: (trial, time, state, state) Cholesky factor of P, lower triangular.
    """

    maps: Array
    shifts: Array
    factors: Array

    def draw(self, normal: Array) -> tuple[Array, Array]:
        """A path of standard normal numbers (trial, time, state), and each bin's mean given the one before.

        With zeros both are the chain's mean.
        """
        noise = jnp.einsum("btij,btj->bti", self.factors, normal)

        def step(x: Array, along: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            map_, shift, noise = along
            centre = jnp.einsum("bij,bj->bi", map_, x) + shift
            return centre + noise, (centre + noise, centre)

        along = jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), (self.maps, self.shifts, noise))
        path, centres = jax.lax.scan(step, jnp.zeros_like(self.shifts[:, 0]), along)[1]
        return jnp.swapaxes(path, 0, 1), jnp.swapaxes(centres, 0, 1)


def onwards(maps: Array, shifts: Array, noise: Array, precision: Array, linear: Array) -> Onwards:
    """The chain's steps.

    Args:
        maps: (trial, time, state, state) A; the first bin's is zero.
        shifts: (trial, time, state) b; the first bin's is its mean.
        noise: Lower Cholesky factors L of Q as `factors` gives them; the first bin's of S.
        precision: (trial, time, state, state) J, zero where nothing is known.
        linear: (trial, time, state) h, likewise.
    """
    # In units of the noise, x = L v.
    size, inverse = maps.shape[-1], _inverse(noise)
    unit = jnp.eye(size)
    maps = _from_left(inverse, _from_right(maps, _earlier(noise)))
    shifts = _from_left(inverse, shifts[..., None])[..., 0]
    precision = _from_left(_turned(noise), _from_right(precision, noise))
    linear = _from_left(_turned(noise), linear[..., None])[..., 0]

    def step(message: tuple[Array, Array], along: tuple[Array, ...]) -> tuple[tuple, tuple]:
        map_, shift, known, towards = along
        known, towards = known + message[0], towards + message[1]
        root = triangular_solve(_upper(known + unit), jnp.broadcast_to(unit, known.shape), left_side=True)
        # Of what is known of x_k, K, its noise lets (1 + K)⁻¹ K through.
        through = known @ jnp.concatenate([map_, shift[..., None]], -1)
        sums = jnp.stack([towards - through[..., -1], towards + shift], -1)
        half = root @ jnp.concatenate([map_, through[..., :-1], sums], -1)
        back = jnp.swapaxes(half[..., :size], -1, -2) @ half[..., size:-1]
        return (back[..., :-1], back[..., -1]), (root, half[..., :size], half[..., -1:])

    nothing = (jnp.zeros_like(precision[:, 0]), jnp.zeros_like(linear[:, 0]))
    along = jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), (maps, shifts, precision, linear))
    found = jax.lax.scan(step, nothing, along, reverse=True)[1]
    root, *halves = (jnp.swapaxes(array, 0, 1) for array in found)
    turned = _from_left(noise, jnp.swapaxes(root, -1, -2))
    whole = turned @ jnp.concatenate(halves, -1)
    steps = _from_right(whole[..., :size], _earlier(inverse))
    return Onwards(steps, whole[..., size], turned)


def _earlier(noise: Array) -> Array:
    """Of the bin before; the first bin's stands for that of none."""
    return jnp.concatenate([noise[:1], noise[:-1]])


def _inverse(noise: Array) -> Array:
    """L⁻¹ of factors as `factors` gives them, which so do all below."""
    if noise.ndim == 2:
        return 1 / noise
    unit = jnp.broadcast_to(jnp.eye(noise.shape[-1]), noise.shape)
    return triangular_solve(noise, unit, left_side=True, lower=True)


def _turned(noise: Array) -> Array:
    """L'."""
    return noise if noise.ndim == 2 else jnp.swapaxes(noise, -1, -2)


def _from_left(noise: Array, values: Array) -> Array:
    """L values, (trial, time, state, column)."""
    return noise[..., None] * values if noise.ndim == 2 else noise @ values


def _from_right(values: Array, noise: Array) -> Array:
    """Values L, (trial, time, row, state)."""
    return values * noise[:, None] if noise.ndim == 2 else values @ noise


def _upper(matrix: Array) -> Array:
    """U of matrix = U U', upper triangular: then L U'⁻¹ is P's Cholesky factor."""
    return cholesky(matrix[..., ::-1, ::-1], symmetrize_input=False)[..., ::-1, ::-1]
