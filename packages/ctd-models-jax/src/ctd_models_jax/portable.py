"""Cells as dynamics of the contract, and the probe that proves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctd_contract.dynamics import GRU, JSLDS, RNN, Affine, Dynamics, Opaque, Probe
from ctd_models_jax.cells import EquinoxCell, GatedCell, VanillaCell
from ctd_models_jax.jslds.expansion import Expansion
from ctd_models_jax.sequences import AffineCell


def portable(cell: Any, inputs: Sequence[str], *, state_size: int, input_size: int) -> Dynamics:
    """A cell as the contract's dynamics; one that has no portable form is opaque.

    Args:
        cell: Of this package, or Equinox's GRU.
        inputs: Signals that drive it.
        state_size: Length of its state.
        input_size: Length of its input.
    """
    cell = cell.cell if isinstance(cell, EquinoxCell) else cell
    arrays: Any = jax.tree.map(lambda a: np.asarray(a, np.float64) if eqx.is_inexact_array(a) else a, cell)
    names = tuple(inputs)
    match arrays:
        case AffineCell():
            return Affine(arrays.A, arrays.B, arrays.c, inputs=names)
        case VanillaCell():
            weights = (arrays.weight_state, arrays.weight_input, arrays.bias)
            return RNN(*weights, nonlinearity=arrays.nonlinearity, inputs=names)
        case GatedCell():
            weights, zeros = (arrays.weight_input, arrays.weight_state), np.zeros_like(arrays.bias)
            return GRU(*weights, arrays.bias, zeros, reset="before", inputs=names)
        case eqx.nn.GRUCell(use_bias=True, bias=bias, bias_n=bias_n):
            bias_state = np.concatenate([np.zeros(2 * state_size), np.asarray(bias_n)])
            weights = (arrays.weight_ih, arrays.weight_hh)
            return GRU(*weights, np.asarray(bias), bias_state, reset="after", inputs=names)
        case _:
            return Opaque(state_size, input_size, inputs=names)


def portable_jslds(network: Dynamics, expansion: Expansion, *, kept: Any, learned: bool = False) -> Dynamics:
    """The linear system of a network and its expansion network; opaque where the network is.

    Args:
        network: The network's dynamics, in portable form.
        expansion: E.
        kept: (input,) which inputs have u* = u.
        learned: Whether E gives u* as well.
    """
    if not isinstance(network, GRU | RNN):
        return network
    weights, biases = (
        [np.asarray(a, np.float64) for a in part] for part in (expansion.weights, expansion.biases)
    )
    return JSLDS(
        network,
        weights,
        biases,
        input_kept=np.asarray(kept, np.float64),
        input_expansion="learned" if learned else "fixed",
        activation=expansion.activation,
    )


def float64_probe(
    step: Callable[[Any, jax.Array, jax.Array], jax.Array],
    params: Any,
    states: Any,
    inputs: Any,
    *,
    seed: int,
) -> Probe:
    """Visited states and inputs, and where our own code takes them, in float64.

    Args:
        step: ``step(params, states, inputs)``, (point, state) and (point, input) to (point, state).
        params: The parameters.
        states: (trial, time, state) visited states.
        inputs: (trial, time, input).
        seed: Of the choice.
    """
    state, given = Probe.points(states, inputs, seed)
    with jax.enable_x64(True):
        exact = step(in_float64(params), jnp.asarray(state), jnp.asarray(given))
        return Probe(state, given, np.asarray(exact))


def in_float64(tree: Any) -> Any:
    """Parameters in double precision, which has to be enabled."""
    return jax.tree.map(
        lambda a: jnp.asarray(np.asarray(a), jnp.float64) if eqx.is_inexact_array(a) else a, tree
    )


def network_step(params: Any, state: jax.Array, given: jax.Array) -> jax.Array:
    """The next state (point, state) of a model's network, its ``params.cell``."""
    return params.cell(state, params.cell.project(given))
