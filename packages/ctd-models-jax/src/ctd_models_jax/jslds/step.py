"""One step of a Jacobian switching linear dynamical system, by one forward derivative or by Jacobians."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
from jax import Array

from ctd_models_jax.cells import Cell

Backend = Literal["fast", "plain"]


class Step(NamedTuple):
    """What a step gives.

    Attributes:
        state: (trial, state) e + dF/dh(e, u*) (a - e) + dF/du(e, u*) (u - u*).
        drift: (trial, state) F(e, u*) - e, the term that the step leaves out.
    """

    state: Array
    drift: Array


def linear_step(
    cell: Cell,
    state: Array,
    projected: Array,
    point: Array,
    projected_point: Array,
    *,
    backend: Backend = "fast",
) -> Step:
    """Step from a state with the cell linearised about a point (Smith et al. 2021, equation 4).

    Args:
        cell: F, which takes states and projected inputs; the projection is affine, so that the linearisation
            in it is that in the inputs.
        state: (trial, state) a.
        projected: (trial, ...) the projection of u.
        point: (trial, state) e.
        projected_point: (trial, ...) the projection of u*.
        backend: ``fast``: one Jacobian-vector product; ``plain``: both Jacobians, its slow twin.
    """
    away = (state - point, projected - projected_point)
    if backend == "fast":
        value, along = jax.jvp(cell, (point, projected_point), away)
    else:
        value, along = cell(point, projected_point), _by_jacobians(cell, point, projected_point, away)
    return Step(point + along, value - point)


def _by_jacobians(cell: Cell, point: Array, projected: Array, away: tuple[Array, Array]) -> Array:
    def one(point: Array, projected: Array, state_away: Array, input_away: Array) -> Array:
        def step(h: Array, p: Array) -> Array:
            return cell(h[None], p[None])[0]

        by_state, by_input = jax.jacfwd(step, argnums=(0, 1))(point, projected)
        return by_state @ state_away + by_input @ input_away

    return jax.vmap(one)(point, projected, *away)
