"""Regions that talk to each other through perceptrons, in several modes: the dynamics of MR-SDS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .base import Dynamics, add_to_diagonal
from .checks import finite_array, one_of, whole_number
from .nonlinearity import FloatArray
from .region_networks import RegionNetworks, Stack

COMMUNICATION = ("additive", "additive-linear", "conditional")
OUTPUTS = ("next_state", "increment")


class SwitchingMLP(Dynamics):
    """New state of region i in mode k: sum_j f^k_ij(x_j) + sum_l g^k_il(u_l), and x_i with `increment`.

    Every f and g is a perceptron without activation after its last layer. Weights and biases are stacked
    over modes, target regions and sources, and padded where regions differ in size: what lies past a
    region's size does nothing. Where the mode axis of an array has length 1, all modes share it; networks
    that take the one-hot mode at every layer are biases with a mode axis and weights without.

    Args:
        weights: (mode, target region, source region, out, in) of each layer.
        biases: (mode, target region, source region, out) of each layer.
        region_sizes: States of each region, in their order.
        activation: Between the layers of f, by name.
        communication: "additive"; "additive-linear", where f_ij has no activations for j other than i; or
            "conditional", where f_ij takes x_i as well, at every layer.
        output: What the networks give, "next_state" or "increment".
        local_weights: (mode, target region, source region, out, state of a region) of each layer, from x_i,
            for conditional communication alone; those of a region to itself do nothing.
        input_weights: (mode, target region, input network, out, in) of each layer of g.
        input_biases: (mode, target region, input network, out) of each layer of g.
        input_sizes: Channels of each input network: 1 for each channel, or one number for a joint one.
        input_activation: Between the layers of g.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.

    Source: O. Karniol-Tambour and others, Modeling state-dependent communication between brain regions with
    switching nonlinear dynamical systems, ICLR 2024.
    """

    kind = "switching_mlp"
    setting_names = (
        "region_sizes",
        "activation",
        "communication",
        "output",
        "input_sizes",
        "input_activation",
    )

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        *,
        region_sizes: Sequence[int],
        activation: str,
        communication: str = "additive",
        output: str = "next_state",
        local_weights: Sequence[ArrayLike] | None = None,
        input_weights: Sequence[ArrayLike] | None = None,
        input_biases: Sequence[ArrayLike] | None = None,
        input_sizes: Sequence[int] | None = None,
        input_activation: str | None = None,
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        self.region_sizes = _sizes("region_sizes", region_sizes)
        self.communication = one_of("communication", communication, COMMUNICATION)
        self.output = one_of("output", output, OUTPUTS)
        self.activation, self.input_activation = activation, input_activation
        if (local_weights is not None) != (communication == "conditional"):
            raise ValueError(
                f"local_weights: expected with conditional communication and no other, got {communication} "
                f"{'with' if local_weights is not None else 'without'}"
            )
        self._stacks = [Stack(weights, biases, local_weights, self.region_sizes, self.region_sizes)]
        given = [value is not None for value in (input_weights, input_biases, input_sizes, input_activation)]
        if any(given) != all(given):
            raise ValueError(
                "input_weights, input_biases, input_sizes and input_activation: expected all or none, got "
                f"{sum(given)} of them"
            )
        self.input_sizes: tuple[int, ...] | None = None
        if input_weights is not None and input_biases is not None and input_sizes is not None:
            self.input_sizes = _sizes("input_sizes", input_sizes)
            self._stacks.append(
                Stack(input_weights, input_biases, None, self.input_sizes, self.region_sizes, "input_")
            )
        n_states, n_inputs = sum(self.region_sizes), sum(self.input_sizes or ())
        super().__init__(n_states, n_inputs, inputs=inputs, noise_std=noise_std)
        self.modes = self._count_modes()
        self._region = np.repeat(np.arange(len(self.region_sizes)), self.region_sizes)
        # Dynamics of one mode hold the networks, those of several hold dynamics of one mode each.
        self._single = [self._alone(mode) for mode in range(self.modes)] if self.modes > 1 else []
        if self.modes == 1:
            linear = communication == "additive-linear"
            self._networks = RegionNetworks(self._stacks[0], activation, linear_between=linear)
            self._input_networks = (
                RegionNetworks(self._stacks[1], input_activation) if input_activation is not None else None
            )

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """weight_0, bias_0, local_weight_0, ..., input_weight_0, input_bias_0, ..."""
        return {name: array for stack in self._stacks for name, array in stack.arrays.items()}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, ArrayLike], **settings: Any) -> Self:
        """Rebuild from weight_0, bias_0, ...; KeyError names one that is missing."""

        def layers(name: str, like: str) -> list[ArrayLike]:
            return [parameters[f"{name}_{layer}"] for layer in range(_depth(parameters, like))]

        optional: dict[str, Any] = {}
        if _depth(parameters, "local_weight"):
            optional["local_weights"] = layers("local_weight", "weight")
        if _depth(parameters, "input_weight"):
            optional["input_weights"] = layers("input_weight", "input_weight")
            optional["input_biases"] = layers("input_bias", "input_weight")
        weights = [parameters[f"weight_{layer}"] for layer in range(max(1, _depth(parameters, "weight")))]
        biases = [parameters[f"bias_{layer}"] for layer in range(len(weights))]
        return cls(weights, biases, **optional, **settings)

    def in_mode(self, mode: int) -> SwitchingMLP:
        """The dynamics of one mode alone, which need no mode to be named."""
        if not 0 <= mode < self.modes:
            raise ValueError(f"mode: expected a whole number from 0 to {self.modes - 1}, got {mode}")
        return self._single[mode] if self._single else self

    def step(self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None) -> FloatArray:
        """Return F(x, u) in each point's mode; as in the base class."""
        return self._of_modes(x, u, mode, lambda single, x, u: single._step(x, u))

    def step_and_jacobian(
        self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return F(x, u) and dF/dx."""

        def both(single: SwitchingMLP, x: FloatArray, u: FloatArray) -> FloatArray:
            new_state, jacobian = single._step_and_jacobian(x, u)
            return np.concatenate([new_state[..., None], jacobian], axis=-1)

        joint = self._of_modes(x, u, mode, both)
        return joint[..., 0], joint[..., 1:]

    def jacobian_state(
        self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None
    ) -> FloatArray:
        """Return dF/dx at (x, u), (..., state, state)."""
        return self.step_and_jacobian(x, u, mode)[1]

    def jacobian_input(
        self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None
    ) -> FloatArray:
        """Return dF/du at (x, u), (..., state, input)."""
        return self._of_modes(x, u, mode, lambda single, x, u: single._jacobian_input(x, u))

    def messages(
        self, x: ArrayLike, mode: ArrayLike | None = None, *, reference: ArrayLike | None = None
    ) -> FloatArray:
        """What each region tells each state: with `input_messages` it adds up to F(x, u) - x.

        A region's message to itself is its local part, less its state where networks give the next state.

        Args:
            x: (..., state).
            mode: (...,); None where there is one mode.
            reference: (state,) at which no region says anything: f_ij(x_j, x_i) - f_ij(reference_j, x_i) is
                j's message to i, and the rest is local. Without, what a conditional network says of its
                target's own state counts as its message; the reference decides which share is whose.

        Returns:
            (..., region, state).
        """
        if reference is not None:
            reference = finite_array("reference", reference, {"state": self.state_size})
        u = np.zeros(self.input_size) if self.input_size else None
        return self._of_modes(x, u, mode, lambda single, x, _: single._messages(x, reference))

    def input_messages(self, u: ArrayLike, mode: ArrayLike | None = None) -> FloatArray:
        """What each input network tells each state, (..., input network, state); u is (..., input)."""
        if self.input_sizes is None:
            raise ValueError("autonomous dynamics have no input messages")
        x = np.zeros(self.state_size)
        return self._of_modes(x, u, mode, lambda single, x, u: single._told(x, u))

    def _messages(self, x: FloatArray, reference: FloatArray | None) -> FloatArray:
        messages = self._networks.messages(x, x)
        own = (slice(None), self._region, np.arange(self.state_size))
        if reference is not None:
            silent = self._networks.messages(np.broadcast_to(reference, x.shape), x)
            silent[own] = 0.0
            messages = messages - silent
            messages[own] += silent.sum(axis=1)
        if self.output == "next_state":
            messages[own] -= x
        return messages

    def _told(self, x: FloatArray, u: FloatArray) -> FloatArray:
        if self._input_networks is None:
            return np.zeros((len(x), 0, self.state_size))
        return self._input_networks.messages(u, x)

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        new_state = self._networks.messages(x, x).sum(axis=1) + self._told(x, u).sum(axis=1)
        return new_state + x if self.output == "increment" else new_state

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        messages, through_source, through_local = self._networks.with_jacobians(x, x)
        jacobian = through_source + through_local
        new_state = messages.sum(axis=1) + self._told(x, u).sum(axis=1)
        if self.output == "increment":
            add_to_diagonal(jacobian, 1.0)
            new_state = new_state + x
        return new_state, jacobian

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        if self._input_networks is None:
            return np.zeros((len(x), self.state_size, 0))
        return self._input_networks.with_jacobians(u, x)[1]

    def _of_modes(
        self,
        x: ArrayLike,
        u: ArrayLike | None,
        mode: ArrayLike | None,
        function: Callable[[SwitchingMLP, FloatArray, FloatArray], FloatArray],
    ) -> FloatArray:
        """Evaluate at the points of each mode; the function takes (point, state) and (point, input)."""
        x, u = self._point(x, u, None)
        modes = self._checked_modes(mode)
        shape = np.broadcast_shapes(x.shape[:-1], u.shape[:-1], modes.shape)
        x = np.broadcast_to(x, (*shape, x.shape[-1])).reshape(-1, x.shape[-1])
        u = np.broadcast_to(u, (*shape, u.shape[-1])).reshape(len(x), u.shape[-1])
        modes = np.broadcast_to(modes, shape).reshape(-1)
        kinds = np.unique(modes)
        if len(kinds) <= 1:
            values = function(self.in_mode(int(kinds[0]) if len(kinds) else 0), x, u)
            return values.reshape(*shape, *values.shape[1:])
        parts = {int(k): modes == k for k in kinds}
        found = {k: function(self.in_mode(k), x[rows], u[rows]) for k, rows in parts.items()}
        values = np.empty((len(x), *next(iter(found.values())).shape[1:]))
        for k, rows in parts.items():
            values[rows] = found[k]
        return values.reshape(*shape, *values.shape[1:])

    def _checked_modes(self, mode: ArrayLike | None) -> np.ndarray:
        if mode is None:
            if self.modes > 1:
                raise ValueError(f"expected mode with whole numbers from 0 to {self.modes - 1}, got none")
            return np.zeros((), np.int64)
        modes = np.asarray(mode)
        if modes.dtype.kind not in "iu" or ((modes < 0) | (modes >= self.modes)).any():
            raise ValueError(f"expected mode with whole numbers from 0 to {self.modes - 1}, got {mode!r}")
        return modes

    def _count_modes(self) -> int:
        lengths = set().union(*(stack.modes for stack in self._stacks)) - {1}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"expected one number of modes, or 1 for all of them, got {sorted(lengths)}")
        return lengths.pop() if lengths else 1

    def _alone(self, mode: int) -> SwitchingMLP:
        arrays = {name: array for stack in self._stacks for name, array in stack.in_mode(mode).items()}
        return SwitchingMLP.from_parameters(
            arrays, **self.settings, inputs=self.inputs, noise_std=self.noise_std
        )


def _sizes(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """Whole numbers above zero, one or more."""
    found = tuple(whole_number(f"{name}[{i}]", size, least=1) for i, size in enumerate(np.atleast_1d(sizes)))
    if not found:
        raise ValueError(f"{name}: expected one or more, got none")
    return found


def _depth(parameters: Mapping[str, ArrayLike], name: str) -> int:
    """How many layers have an array of this name."""
    return sum(key.rpartition("_")[0] == name for key in parameters)
