"""Neural ODEs with a fixed-step integrator over whole sequences."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ctd_contract.torch.sequences.arguments import BACKENDS, at, choose, count_bins, unroll
from ctd_contract.torch.sequences.cells import NONLINEARITIES, joined, mlp
from ctd_contract.torch.sequences.residual_mlp import residual_mlp

METHODS = ("euler", "midpoint", "rk4")


def ode_mlp(
    inputs: Tensor | None,
    initial_state: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    *,
    dt: float,
    method: str = "rk4",
    substeps: int = 1,
    activation: str = "tanh",
    noise: Tensor | None = None,
    n_time: int | None = None,
    backend: str = "fast",
) -> Tensor:
    """Integrate dx/dt = MLP([x, u]) with u held over each bin.

    Args:
        inputs: (trial, time, input), or None for an autonomous system.
        initial_state: (trial, state), the state before the first bin.
        weights: Of the layers; the first (hidden, state + input), the last (state, hidden) and linear.
        biases: Of the layers.
        dt: Duration of one bin in the ODE's own time.
        method: ``"euler"``, ``"midpoint"`` or ``"rk4"``.
        substeps: Equal integration steps in one bin.
        activation: ``"relu"``, ``"tanh"`` or ``"softplus"`` between the layers.
        noise: (trial, time, state), added to each new state; drawn by the caller.
        n_time: Number of bins where neither inputs nor noise tell it.
        backend: ``"fast"``, or ``"plain"`` for the loop that it is tested against.

    Returns:
        States (trial, time, state); ``[:, k]`` is the state after the input of bin k.
    """
    bins = count_bins(inputs, noise, initial_state, n_time)
    choose("activation", activation, ("relu", "tanh", "softplus"))
    choose("method", method, METHODS)
    if substeps < 1:
        raise ValueError(f"substeps is at least 1, got {substeps}")
    fast = choose("backend", backend, BACKENDS) == "fast"
    if fast and method == "euler" and substeps == 1:
        arguments = {"delta": dt, "activation": activation, "noise": noise, "n_time": n_time}
        return residual_mlp(inputs, initial_state, weights, biases, **arguments)
    size = initial_state.shape[1]
    first, drive_weight = weights[0][:, :size], weights[0][:, size:]
    # The inputs are held over a bin, so their part of the first layer is one product for all bins.
    drives = (
        functional.linear(inputs, drive_weight, biases[0]).unbind(1) if fast and inputs is not None else None
    )

    def field(values: Tensor, index: int) -> Tensor:
        if drives is None:
            return mlp(joined(values, at(inputs, index)), weights, biases, activation)
        hidden = torch.addmm(drives[index], values, first.t())
        return (
            hidden
            if len(weights) == 1
            else mlp(NONLINEARITIES[activation](hidden), weights[1:], biases[1:], activation)
        )

    def step(state: Tensor, index: int) -> Tensor:
        for _ in range(substeps):
            state = integrate(lambda values: field(values, index), state, dt / substeps, method)
        return state

    return unroll(step, initial_state, bins, noise)


def integrate(field: Callable[[Tensor], Tensor], state: Tensor, duration: float, method: str) -> Tensor:
    """Take one step of an explicit Runge-Kutta method along ``field``."""
    first = field(state)
    if method == "euler":
        return state + duration * first
    second = field(state + duration / 2 * first)
    if method == "midpoint":
        return state + duration * second
    third = field(state + duration / 2 * second)
    fourth = field(state + duration * third)
    return state + duration / 6 * (first + 2 * second + 2 * third + fourth)
