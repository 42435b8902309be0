"""JSLDS: a recurrent network co-trained with a switching linear system that mimics it.

J. T. H. Smith, S. W. Linderman, D. Sussillo, Reverse engineering recurrent neural networks with Jacobian
switching linear dynamical systems, NeurIPS 2021 (arXiv:2111.01256). An expansion network E names the point at
which the network F is linearised in each step:

    h_t = F(h_{t-1}, u_t)
    a_t = e_t + dF/dh(e_t, u*) (a_{t-1} - e_t) + dF/du(e_t, u*) (u_t - u*),    e_t = E(a_{t-1})

Both start at the same learned state and share a readout. Training asks both for the task's outputs, E for
fixed points of F, and a for closeness to h.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.cells import NONLINEARITIES, Cell, EquinoxCell, GatedCell, VanillaCell, normal
from ctd_models_jax.checks import require_choice, require_not_negative, require_positive
from ctd_models_jax.jslds.config import LossWeights
from ctd_models_jax.jslds.expansion import Expansion
from ctd_models_jax.jslds.step import Backend, linear_step
from ctd_models_jax.tasks.trials import Trials
from ctd_models_jax.training import all_trainable

CELLS = ("gru", "tanh", "relu", "equinox")


class Parameters(NamedTuple):
    """Parameters of a network and its JSLDS."""

    cell: Cell
    expansion: Expansion
    initial_state: Array
    readout_weight: Array
    readout_bias: Array


class Rollout(NamedTuple):
    """Both systems' run through trials; time is an axis of every array.

    Attributes:
        states: (trial, time, state) h, after each input.
        outputs: (trial, time, output) those of h.
        linear_states: (trial, time, state) a.
        linear_outputs: (trial, time, output) those of a.
        points: (trial, time, state) e, at which the step to a was linearised.
        drift: (trial, time, state) F(e, u*) - e.
        input_points: (trial, time, input) u*.
    """

    states: Array
    outputs: Array
    linear_states: Array
    linear_outputs: Array
    points: Array
    drift: Array
    input_points: Array


@dataclass(frozen=True)
class JSLDS:
    """Sizes and kind of a co-trained network; holds neither data nor parameters.

    Attributes:
        inputs: Number of inputs.
        outputs: Number of outputs.
        cell: F: ``gru``, ``tanh``, ``relu`` (vanilla networks), or ``equinox``, then given to `initialize`.
        units: Size of the state.
        gain: Spectral radius, roughly, of the recurrent weights at first.
        layers: Layers of the expansion network.
        activation: Its nonlinearity: ``tanh``, or ``relu`` for cells whose states are not negative.
        learned_input_point: Whether E gives u* too, from a and u: (e_t, u*_t) = E([a_{t-1}, u_t]).
        input_kept: Which inputs have u* = u, a bool an input; () for none.
        weights: Of the loss.
        noise_std: Standard deviation of the noise that training adds to every new h and, another, to every a.
    """

    inputs: int
    outputs: int
    cell: str = "gru"
    units: int = 100
    gain: float = 0.9
    layers: int = 2
    activation: str = "tanh"
    learned_input_point: bool = False
    input_kept: tuple[bool, ...] = ()
    weights: LossWeights = field(default_factory=LossWeights)
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "outputs", "units", "gain", "layers")
        require_not_negative(self, "inputs", "noise_std")
        require_choice(self, "cell", CELLS)
        require_choice(self, "activation", tuple(NONLINEARITIES))
        if len(self.input_kept) not in (0, self.inputs):
            kept = f"{len(self.input_kept)}: {self.input_kept}"
            raise ValueError(f"input_kept must have a bool for each of {self.inputs} inputs, got {kept}")

    def initialize(self, key: Array, cell: eqx.Module | None = None) -> tuple[Parameters, Parameters]:
        """Draw parameters as published: normal weights, zeros in the expansion network.

        Args:
            key: Of the draw.
            cell: With ``cell="equinox"``: the cell.

        Returns:
            The parameters, and which of them are trained (all: set leaves to False to freeze them).
        """
        cell_key, state_key, readout_key = jax.random.split(key, 3)
        width = self.units + self.inputs * self.learned_input_point
        params = Parameters(
            cell=self._cell(cell_key, cell),
            expansion=Expansion.start(width, self.layers, self.activation),
            initial_state=0.1 * jax.random.normal(state_key, (self.units,)),
            readout_weight=normal(readout_key, (self.outputs, self.units), self.units),
            readout_bias=jnp.zeros(self.outputs),
        )
        return params, all_trainable(params)

    def _cell(self, key: Array, cell: eqx.Module | None) -> Cell:
        if (self.cell == "equinox") != (cell is not None):
            raise ValueError(f"expected a cell exactly with cell='equinox', got {cell} with {self.cell!r}")
        if cell is not None:
            return self._checked(EquinoxCell(cell))
        if self.cell == "gru":
            return GatedCell.draw(key, self.inputs, self.units, gain=self.gain)
        return VanillaCell.draw(key, self.inputs, self.units, gain=self.gain, nonlinearity=self.cell)

    def _checked(self, cell: EquinoxCell) -> EquinoxCell:
        """The cell, once its states have been seen to be vectors of the model's size."""
        state, given = jnp.zeros((1, self.units)), jnp.zeros((1, self.inputs))
        name = type(cell.cell).__name__
        expected = f"expected a cell that takes inputs ({self.inputs},) and states ({self.units},) to states"
        try:
            new = jax.eval_shape(cell, state, given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{expected}, got an error from {name}: {error}") from error
        if getattr(new, "shape", None) != state.shape:
            raise ValueError(f"{expected}, got {jax.tree.map(lambda a: a.shape[1:], new)} from {name}")
        return cell

    def kept(self) -> Array:
        """(input,) which inputs have u* = u."""
        return jnp.asarray(self.input_kept or (False,) * self.inputs, bool)

    def infer(
        self, params: Parameters, inputs: Array, *, noise: Array | None = None, backend: Backend = "fast"
    ) -> Rollout:
        """Run the network and its linear system through inputs.

        Args:
            params: The parameters.
            inputs: (trial, time, input).
            noise: (2, trial, time, state) added to the new h and to the new a; None for none.
            backend: Of each step, see `linear_step`.
        """
        cell, kept = params.cell, self.kept()
        over_time = jnp.swapaxes(inputs, 0, 1)
        projected = cell.project(over_time)
        fixed = jnp.where(kept, over_time, 0.0)
        start = jnp.broadcast_to(params.initial_state, (inputs.shape[0], self.units))

        def step(carry: tuple[Array, Array], x: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple]:
            (h, a), (u, p, u_point, p_point, (of_h, of_a)) = carry, x
            point = params.expansion(jnp.concatenate([a, u], -1) if self.learned_input_point else a)
            if self.learned_input_point:
                u_point = jnp.where(kept, u, point[:, self.units :])
                point, p_point = point[:, : self.units], cell.project(u_point)
            new = linear_step(cell, a, p, point, p_point, backend=backend)
            h, a = cell(h, p) + of_h, new.state + of_a
            return (h, a), (h, a, point, new.drift, u_point)

        added = jnp.zeros((len(over_time), 2)) if noise is None else jnp.transpose(noise, (2, 0, 1, 3))
        given = (over_time, projected, fixed, cell.project(fixed), added)
        along = jax.lax.scan(step, (start, start), given)[1]
        h, a, points, drift, input_points = (jnp.swapaxes(values, 0, 1) for values in along)
        return Rollout(h, self.read(params, h), a, self.read(params, a), points, drift, input_points)

    def read(self, params: Parameters, states: Array) -> Array:
        """Outputs (..., output) of states (..., state)."""
        return states @ params.readout_weight.T + params.readout_bias

    def loss(
        self, params: Parameters, trials: Trials, *, key: Array | None = None, step: Array | int = 0
    ) -> dict[str, Array]:
        """The published terms: errors of both in the task, drift at the points, distance of a from h, L2.

        Args:
            params: The parameters.
            trials: The batch.
            key: Of the noise on the states, if there is any; without a key there is none.
            step: Counts for nothing here.
        """
        del step
        noise = None
        if self.noise_std and key is not None:
            noise = self.noise_std * jax.random.normal(key, (2, *trials.inputs.shape[:2], self.units))
        return self.terms(params, self.infer(params, trials.inputs, noise=noise), trials)

    def terms(self, params: Parameters, run: Rollout, trials: Trials) -> dict[str, Array]:
        """The terms of the loss of a rollout."""
        weights, mask = self.weights, trials.mask[:, None]
        share = jnp.mean(trials.mask)

        def error(outputs: Array) -> Array:
            return jnp.mean(mask * (outputs - trials.targets) ** 2) / share

        terms = {
            "rnn": weights.rnn * error(run.outputs),
            "jslds": weights.jslds * error(run.linear_outputs),
            "fixed_point": weights.fixed_point * jnp.mean(run.drift**2),
            "agreement": weights.agreement * jnp.mean((run.states - run.linear_states) ** 2),
        }
        if weights.l2:
            arrays = jax.tree.leaves(eqx.filter(params, eqx.is_inexact_array))
            terms["l2"] = weights.l2 * jnp.sum(jnp.stack([jnp.sum(array**2) for array in arrays]))
        if self.learned_input_point:
            mean = trials.inputs.mean(1, keepdims=True)
            terms["input_point"] = weights.input_point * jnp.mean((run.input_points - mean) ** 2)
        return terms

    def score(self, params: Parameters, trials: Trials, *, key: Array | None = None) -> dict[str, Array]:
        """The loss's terms, their sum, and how far the linear system is from the network."""
        del key
        run = self.infer(params, trials.inputs)
        terms = self.terms(params, run, trials)
        total = jnp.sum(jnp.stack(list(terms.values())))
        return terms | {"loss": total, "relative_error": relative_error(run).mean()}


def relative_error(run: Rollout) -> Array:
    """‖h - a‖ / ‖h‖ in each bin of each trial, (trial, time); where h is 0, 1 unless a is 0 too."""
    norm = jnp.linalg.norm(run.states, axis=-1)
    error = jnp.linalg.norm(run.states - run.linear_states, axis=-1)
    return jnp.where(norm > 0, error / jnp.where(norm > 0, norm, 1.0), error > 0)
