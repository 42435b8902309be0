"""Discrete neural ODEs, x' = x + delta MLP([x, u]), over whole sequences."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from ctd_contract.torch.sequences.arguments import BACKENDS, at, choose, count_bins, unroll
from ctd_contract.torch.sequences.cells import joined, mlp
from ctd_contract.torch.sequences.residual_mlp_kernel import ResidualMLPKernel
from ctd_contract.torch.sequences.scan import Recurrence, scan


def residual_mlp(
    inputs: Tensor | None,
    initial_state: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    *,
    delta: float,
    activation: str = "relu",
    noise: Tensor | None = None,
    n_time: int | None = None,
    backend: str = "fast",
) -> Tensor:
    """Run x' = x + delta MLP([x, u]) over all bins.

    Args:
        inputs: (trial, time, input), or None for an autonomous system.
        initial_state: (trial, state), the state before the first bin.
        weights: Of the layers; the first (hidden, state + input), the last (state, hidden) and linear.
        biases: Of the layers.
        delta: Size of the step.
        activation: ``"relu"``, ``"tanh"`` or ``"softplus"`` between the layers.
        noise: (trial, time, state), added to each new state; drawn by the caller.
        n_time: Number of bins where neither inputs nor noise tell it.
        backend: ``"fast"``, or ``"plain"`` for the loop that it is tested against.

    Returns:
        States (trial, time, state); ``[:, k]`` is the state after the input of bin k.
    """
    bins = count_bins(inputs, noise, initial_state, n_time)
    choose("activation", activation, ("relu", "tanh", "softplus"))
    # A single layer is linear and has nothing to keep: the loop is as good.
    if choose("backend", backend, BACKENDS) == "fast" and len(weights) > 1:
        make = partial(
            ResidualMLPKernel, state_size=initial_state.shape[1], delta=delta, activation=activation
        )
        return scan(Recurrence(make, inputs, initial_state, noise, (*weights, *biases), bins))[0]

    def step(state: Tensor, index: int) -> Tensor:
        return state + delta * mlp(joined(state, at(inputs, index)), weights, biases, activation)

    return unroll(step, initial_state, bins, noise)
