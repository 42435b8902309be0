"""One bin of each kind of dynamics in plain torch: the slow, obvious twins of the sequence functions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "softplus": functional.softplus}


def gru_cell(
    inputs: Tensor | None,
    state: Tensor,
    weight_input: Tensor | None,
    weight_state: Tensor,
    bias_input: Tensor | None,
    bias_state: Tensor | None,
    *,
    reset: str = "after",
    clip: float | None = None,
) -> Tensor:
    """Advance a gated recurrent unit (Cho et al. 2014) by one bin; gates in torch's order r, z, n."""
    size = state.shape[-1]
    driven = state.new_zeros(3 * size) if bias_input is None else bias_input
    if inputs is not None:
        driven = functional.linear(inputs, _given(weight_input), driven)
    driven_r, driven_z, driven_n = driven.split(size, dim=-1)
    if reset == "after":
        r, z, n = functional.linear(state, weight_state, bias_state).split(size, dim=-1)
        r, z = torch.sigmoid(driven_r + r), torch.sigmoid(driven_z + z)
        n = torch.tanh(driven_n + r * n)
    else:
        bias = state.new_zeros(3 * size) if bias_state is None else bias_state
        r, z = functional.linear(state, weight_state[: 2 * size], bias[: 2 * size]).split(size, dim=-1)
        r, z = torch.sigmoid(driven_r + r), torch.sigmoid(driven_z + z)
        n = torch.tanh(driven_n + functional.linear(r * state, weight_state[2 * size :], bias[2 * size :]))
    new = n + z * (state - n)
    return new if clip is None else new.clamp(-clip, clip)


def rnn_cell(
    inputs: Tensor | None,
    state: Tensor,
    weight_input: Tensor | None,
    weight_state: Tensor,
    bias: Tensor | None,
    *,
    alpha: float = 1.0,
    nonlinearity: str = "tanh",
    noise: Tensor | None = None,
) -> Tensor:
    """Advance x' = (1-alpha) x + alpha phi(W x + U u + b + noise) by one bin."""
    drive = functional.linear(state, weight_state, bias)
    if inputs is not None:
        drive = drive + functional.linear(inputs, _given(weight_input))
    if noise is not None:
        drive = drive + noise
    return (1.0 - alpha) * state + alpha * NONLINEARITIES[nonlinearity](drive)


def mlp(values: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: str) -> Tensor:
    """Run a multilayer perceptron whose last layer is linear."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        values = NONLINEARITIES[activation](functional.linear(values, weight, bias))
    return functional.linear(values, weights[-1], biases[-1])


def joined(state: Tensor, inputs: Tensor | None) -> Tensor:
    """Concatenate state and inputs, as the vector fields of the contract take them."""
    return state if inputs is None else torch.cat([state, inputs], dim=-1)


def _given(weight: Tensor | None) -> Tensor:
    if weight is None:
        raise ValueError("weight_input is None although there are inputs: pass the weights of the inputs")
    return weight
