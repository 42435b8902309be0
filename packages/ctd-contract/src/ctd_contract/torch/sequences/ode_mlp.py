"""Neural ODEs with a fixed-step integrator over whole sequences."""

from collections.abc import Callable, Sequence

from torch import Tensor

from ctd_contract.torch.sequences.arguments import BACKENDS, at, choose, count_bins, unroll
from ctd_contract.torch.sequences.cells import joined, mlp

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
    choose("backend", backend, BACKENDS)
    if substeps < 1:
        raise ValueError(f"substeps is at least 1, got {substeps}")

    def step(state: Tensor, index: int) -> Tensor:
        drive = at(inputs, index)

        def field(values: Tensor) -> Tensor:
            return mlp(joined(values, drive), weights, biases, activation)

        for _ in range(substeps):
            state = integrate(field, state, dt / substeps, method)
        return state if noise is None else state + noise[:, index]

    return unroll(step, initial_state, bins)


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
