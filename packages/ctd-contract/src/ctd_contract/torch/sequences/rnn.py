"""Vanilla and leaky recurrent networks over whole sequences."""

from functools import partial

from torch import Tensor

from ctd_contract.torch.sequences.arguments import BACKENDS, at, choose, count_bins, unroll
from ctd_contract.torch.sequences.cells import rnn_cell
from ctd_contract.torch.sequences.rnn_kernel import RNNKernel
from ctd_contract.torch.sequences.scan import Recurrence, scan


def rnn(
    inputs: Tensor | None,
    initial_state: Tensor,
    weight_input: Tensor | None,
    weight_state: Tensor,
    bias: Tensor | None,
    *,
    alpha: float = 1.0,
    nonlinearity: str = "tanh",
    noise: Tensor | None = None,
    noise_place: str = "state",
    n_time: int | None = None,
    backend: str = "fast",
) -> Tensor:
    """Run x' = (1-alpha) x + alpha phi(W x + U u + b) over all bins.

    Args:
        inputs: (trial, time, input), or None for an autonomous network.
        initial_state: (trial, state), the state before the first bin.
        weight_input: U, (state, input); None without inputs.
        weight_state: W, (state, state).
        bias: b, (state,) or None.
        alpha: Bin width over time constant; 1 is the vanilla network.
        nonlinearity: phi, ``"tanh"`` or ``"relu"``.
        noise: (trial, time, state), drawn by the caller.
        noise_place: ``"state"`` adds the noise to each new state, ``"drive"`` to the argument of phi (as in
            Driscoll et al. 2024).
        n_time: Number of bins where neither inputs nor noise tell it.
        backend: ``"fast"``, or ``"plain"`` for the loop of cells that it is tested against.

    Returns:
        States (trial, time, state); ``[:, k]`` is the state after the input of bin k.
    """
    bins = count_bins(inputs, noise, initial_state, n_time)
    choose("nonlinearity", nonlinearity, ("tanh", "relu"))
    choose("noise_place", noise_place, ("state", "drive"))
    if choose("backend", backend, BACKENDS) == "fast":
        make = partial(RNNKernel, alpha=alpha, nonlinearity=nonlinearity, noise_inside=noise_place == "drive")
        parameters = (weight_input, weight_state, bias)
        return scan(Recurrence(make, inputs, initial_state, noise, parameters, bins))[0]
    inside, outside = (noise, None) if noise_place == "drive" else (None, noise)

    def step(state: Tensor, index: int) -> Tensor:
        return rnn_cell(
            at(inputs, index), state, weight_input, weight_state, bias,
            alpha=alpha, nonlinearity=nonlinearity, noise=at(inside, index),
        )  # fmt: skip

    return unroll(step, initial_state, bins, outside)
