"""Both generators, network g and linear system a, side by side through all bins.

They start at the same state and receive the same inputs. In each bin

    c_t = C([encoding_t, f_{t-1}], c_{t-1}),    u_t ~ q(u_t | c_t)
    g_t = F(g_{t-1}, [u_t, known_t]),           f_t = the factors of g_t
    a_t = e_t + dF/dh(e_t, u*) (a_{t-1} - e_t) + dF/du(e_t, u*) ([u_t, known_t] - u*),    e_t = E(a_{t-1})

so the controller hears of the network alone.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.cells import GatedCell
from ctd_models_jax.jslds.expansion import Expansion
from ctd_models_jax.lfads_jslds.controller import Controller
from ctd_models_jax.lfads_jslds.fast_steps import Product, controller_step, generator_steps
from ctd_models_jax.lfads_jslds.priors import Normal, bounded_normal

Backend = Literal["fast", "plain"]


class Shared(NamedTuple):
    """Parameters of the loop.

    Attributes:
        cell: F, whose inputs are the inferred ones, then the known ones.
        expansion: E.
        controller: Or None.
        factor_weight: (factor, state) from states to factors.
    """

    cell: GatedCell
    expansion: Expansion
    controller: Controller | None
    factor_weight: Array


class Given(NamedTuple):
    """What the loop is given for each bin.

    Attributes:
        known: (trial, time, input) known inputs.
        kept: (input,) which of them the network is linearised about where they are, u* = u.
        encoded: (trial, time, encoded) what the controller sees; None without one.
        noise: (trial, time, control) standard normal; None passes the means on.
        factor_mask: (trial, time, factor) of the dropout of what the controller hears, or None.
        state_mask: (trial, time + 1, state) likewise, of the states that factors are made of, the initial one
            first.
    """

    known: Array
    kept: Array
    encoded: Array | None = None
    noise: Array | None = None
    factor_mask: Array | None = None
    state_mask: Array | None = None


class Course(NamedTuple):
    """What the loop gives.

    Attributes:
        states: (trial, time, state) g, after each input.
        linear_states: (trial, time, state) a, likewise.
        points: (trial, time, state) e, at which the step to a was linearised.
        drift: (trial, time, state) F(e, u*) - e.
        controls: (trial, time, control) what was passed on as inferred inputs.
        posterior: Of the inferred inputs.
    """

    states: Array
    linear_states: Array
    points: Array
    drift: Array
    controls: Array
    posterior: Normal


def run(
    shared: Shared, start: Array, given: Given, *, smallest_variance: float, backend: Backend = "fast"
) -> Course:
    """Run both generators through all bins.

    Args:
        shared: The parameters.
        start: (trial, state) of both.
        given: What they get.
        smallest_variance: Of the inferred inputs' posterior.
        backend: ``fast``: the network, the expansion point and the way from it go through each weight as one
            product; ``plain``: cells one by one, the linear system by `jslds.step.linear_step`: a slow twin.
    """
    cell, controller = shared.cell, shared.controller
    n_known = given.known.shape[-1]
    weight = cell.weight_input[:, cell.weight_input.shape[1] - n_known :]
    at_point = jnp.where(given.kept, given.known, 0.0)
    xs = {"driven": given.known @ weight.T + cell.bias, "at_point": at_point @ weight.T + cell.bias}
    fixed = {"noise": given.noise, "factor_mask": given.factor_mask}
    carry, first = {"g": start, "a": start}, start
    if given.state_mask is not None:
        first, fixed["state_mask"] = start * given.state_mask[:, 0], given.state_mask[:, 1:]
    if controller is not None:
        if given.encoded is None:
            raise ValueError("encoded: a controller needs what its encoder read, got None")
        xs["read"] = controller.read(given.encoded)
        carry["f"] = first @ shared.factor_weight.T
        carry["c"] = jnp.broadcast_to(controller.start, (len(start), len(controller.start)))
    xs, fixed = ({k: jnp.swapaxes(x, 0, 1) for k, x in part.items() if x is not None} for part in (xs, fixed))
    along = (_fast if backend == "fast" else _plain)(shared, carry, xs, fixed, smallest_variance)
    found = {name: jnp.swapaxes(x, 0, 1) for name, x in along.items()}
    none = jnp.zeros((*given.known.shape[:2], 0))
    posterior = Normal(found.get("mean", none), found.get("log_variance", none))
    return Course(found["g"], found["a"], found["point"], found["drift"], found.get("u", none), posterior)


def _fast(shared: Shared, carry: dict, xs: dict, fixed: dict, smallest_variance: float) -> dict[str, Array]:
    cell, expansion, controller, factor_weight = shared
    units = factor_weight.shape[1]
    weights = {"gates": cell.weight_state[: 2 * units], "candidate": cell.weight_state[2 * units :]}
    weights |= {f"expansion_{k}": weight for k, weight in enumerate(expansion.weights)}
    others: dict[str, Any] = {"expansion": expansion.biases}
    if controller is not None:
        size = len(controller.start)
        controls, heard = (
            len(controller.head.bias) // 2,
            controller.cell.weight_input[:, -len(factor_weight) :],
        )
        weights |= {
            "heard": heard,
            "controller_gates": controller.cell.weight_state[: 2 * size],
            "controller_candidate": controller.cell.weight_state[2 * size :],
            "head": controller.head.weight,
            "control": cell.weight_input[:, :controls],
            "factors": factor_weight,
        }
        others["head"] = controller.head.bias

    def step(carry: dict, both: tuple[dict, dict]) -> tuple[dict, dict]:
        def product(name: str, values: Array) -> Array:
            return values @ weights[name].T

        return _fast_step(product, others, carry, *both, controller is not None, smallest_variance)

    # Steps are computed again on the way back: reading all that they made costs more than making it.
    return jax.lax.scan(jax.checkpoint(step), carry, (xs, fixed))[1]


def _fast_step(
    product: Product,
    others: dict[str, Any],
    carry: dict[str, Array],
    x: dict[str, Array],
    fixed: dict[str, Array],
    controlled: bool,
    smallest_variance: float,
) -> tuple[dict[str, Array], dict[str, Array]]:
    kept, new, driven = {}, {}, x["driven"]
    if controlled:
        new["c"], values = controller_step(product, others["head"], carry, x["read"], fixed)
        kept |= _control(values, fixed, smallest_variance)
        driven = driven + product("control", kept["u"])
    states = generator_steps(product, others["expansion"], carry["g"], carry["a"], driven, x["at_point"])
    new |= {name: states[name] for name in ("g", "a")}
    if controlled:
        new["f"] = product("factors", _masked(new["g"], fixed, "state_mask"))
    return new, kept | states


def _plain(shared: Shared, carry: dict, xs: dict, fixed: dict, smallest_variance: float) -> dict[str, Array]:
    from ctd_models_jax.jslds.step import linear_step

    cell, expansion, controller, factor_weight = shared

    def step(carry: dict, both: tuple[dict, dict]) -> tuple[dict, dict]:
        x, fixed = both
        new, kept, driven = {}, {}, x["driven"]
        if controller is not None:
            heard = _masked(carry["f"], fixed, "factor_mask")
            weight = controller.cell.weight_input[:, -len(factor_weight) :]
            new["c"] = controller.cell(carry["c"], x["read"] + heard @ weight.T)
            kept |= _control(controller.head(new["c"]), fixed, smallest_variance)
            driven = driven + kept["u"] @ cell.weight_input[:, : kept["u"].shape[-1]].T
        point = expansion(carry["a"])
        found = linear_step(cell, carry["a"], driven, point, x["at_point"])
        new |= {"g": cell(carry["g"], driven), "a": found.state}
        if controller is not None:
            new["f"] = _masked(new["g"], fixed, "state_mask") @ factor_weight.T
        return new, kept | {"g": new["g"], "a": new["a"], "point": point, "drift": found.drift}

    return jax.lax.scan(step, carry, (xs, fixed))[1]


def _control(values: Array, fixed: dict[str, Array], smallest_variance: float) -> dict[str, Array]:
    """The inferred inputs and their posterior, of what the controller's head says."""
    posterior = bounded_normal(values, smallest_variance)
    u = posterior.mean + posterior.std * fixed["noise"] if "noise" in fixed else posterior.mean
    return {"u": u, "mean": posterior.mean, "log_variance": posterior.log_variance}


def _masked(values: Array, fixed: dict[str, Array], name: str) -> Array:
    return values * fixed[name] if name in fixed else values
