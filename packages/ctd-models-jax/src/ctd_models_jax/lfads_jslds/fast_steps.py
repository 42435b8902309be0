"""Steps of controller and generators in which everything goes through each weight as one product.

The cells are `cells.GatedCell`; of the network's, with gates r, z and candidate n, the derivative at (e, p*)
along (δ, q) is written out:

    r' = r (1 - r) (q_r + U_r δ),    z' likewise,    n' = (1 - n²) (q_n + U_n (r' ⊙ e + r ⊙ δ))
    F(e) = n + z (e - n),            F' = n' + z' (e - n) + z (δ - n')
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

# product(name, values) gives values (..., in) times the transpose of the weight of that name, (out, in).
Product = Callable[[str, Array], Array]


def controller_step(
    product: Product, bias: Array, carry: dict[str, Array], read: Array, fixed: dict[str, Array]
) -> tuple[Array, Array]:
    """The controller's next state, (trial, unit), and what its head says of it, (trial, 2 · control).

    Args:
        product: With the weights ``heard``, ``controller_gates``, ``controller_candidate`` and ``head``.
        bias: Of the head.
        carry: Its state ``c`` and the factors ``f`` before the bin.
        read: (trial, 3 · unit) what its cell needs of the encoding.
        fixed: ``factor_mask``, if there is one.
    """
    state, heard = carry["c"], carry["f"]
    heard = heard * fixed["factor_mask"] if "factor_mask" in fixed else heard
    given, units = read + product("heard", heard), state.shape[-1]
    gates = jax.nn.sigmoid(given[:, : 2 * units] + product("controller_gates", state))
    reset, keep = jnp.split(gates, 2, -1)
    candidate = jnp.tanh(given[:, 2 * units :] + product("controller_candidate", reset * state))
    new = candidate + keep * (state - candidate)
    return new, product("head", new) + bias


def generator_steps(
    product: Product, biases: Sequence[Array], g: Array, a: Array, driven: Array, at_point: Array
) -> dict[str, Array]:
    """Both generators' next states ``g`` and ``a``, the ``point`` e and the ``drift`` F(e, u*) - e.

    Args:
        product: With the weights ``gates``, ``candidate`` and ``expansion_0``, ``expansion_1``, ...
        biases: Of the expansion network.
        g: (trial, state) of the network.
        a: (trial, state) of the linear system.
        driven: (trial, 3 · state) p, what the cell needs of the inputs.
        at_point: (trial, 3 · state) p*, likewise of u*.
    """
    point, units = a, a.shape[-1]
    for k, bias in enumerate(biases):
        point = jnp.tanh(point + product(f"expansion_{k}", point) + bias)
    away, change = a - point, driven - at_point
    to_gates = jnp.split(product("gates", jnp.concatenate([g, point, away])), 3)
    gates = jax.nn.sigmoid(driven[:, : 2 * units] + to_gates[0])
    (reset_g, keep_g), at = jnp.split(gates, 2, -1), jax.nn.sigmoid(at_point[:, : 2 * units] + to_gates[1])
    (reset, keep) = jnp.split(at, 2, -1)
    slope = at * (1 - at) * (change[:, : 2 * units] + to_gates[2])
    reset_slope, keep_slope = jnp.split(slope, 2, -1)
    before = [reset_g * g, reset * point, reset_slope * point + reset * away]
    to_candidate = jnp.split(product("candidate", jnp.concatenate(before)), 3)
    candidate_g = jnp.tanh(driven[:, 2 * units :] + to_candidate[0])
    candidate = jnp.tanh(at_point[:, 2 * units :] + to_candidate[1])
    candidate_slope = (1 - candidate**2) * (change[:, 2 * units :] + to_candidate[2])
    apart = point - candidate
    along = candidate_slope + keep_slope * apart + keep * (away - candidate_slope)
    return {
        "g": candidate_g + keep_g * (g - candidate_g),
        "a": point + along,
        "point": point,
        "drift": (keep - 1) * apart,
    }
