"""Checks of arguments that all sequence functions share."""

from collections.abc import Callable

import torch
from torch import Tensor

BACKENDS = ("fast", "plain")


def count_bins(inputs: Tensor | None, noise: Tensor | None, initial_state: Tensor, n_time: int | None) -> int:
    """Check the shapes of a sequence and return its number of bins.

    Args:
        inputs: (trial, time, input) or None.
        noise: (trial, time, state) or None.
        initial_state: (trial, state).
        n_time: Number of bins where neither inputs nor noise say it.
    """
    if initial_state.dim() != 2:
        raise ValueError(f"initial_state is (trial, state), got shape {tuple(initial_state.shape)}")
    trials, size = initial_state.shape
    lengths = set() if n_time is None else {n_time}
    if inputs is not None:
        if inputs.dim() != 3 or inputs.shape[0] != trials:
            raise ValueError(f"inputs are ({trials}, time, input), got shape {tuple(inputs.shape)}")
        lengths.add(inputs.shape[1])
    if noise is not None:
        if noise.dim() != 3 or noise.shape[0] != trials or noise.shape[2] != size:
            raise ValueError(f"noise is ({trials}, time, {size}), got shape {tuple(noise.shape)}")
        lengths.add(noise.shape[1])
    if len(lengths) != 1:
        raise ValueError(f"inputs, noise and n_time must agree on one number of bins, got {sorted(lengths)}")
    (bins,) = lengths
    if bins < 1:
        raise ValueError(f"a sequence has at least one bin, got {bins}")
    return bins


def choose(name: str, value: str, valid: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of the valid ones."""
    if value not in valid:
        raise ValueError(f"{name} is one of {', '.join(valid)}, got {value!r}")
    return value


def at(values: Tensor | None, bin_index: int) -> Tensor | None:
    """Values of one bin, (trial, channel), of (trial, time, channel) or of nothing."""
    return None if values is None else values[:, bin_index]


def unroll(step: Callable[[Tensor, int], Tensor], state: Tensor, bins: int, noise: Tensor | None) -> Tensor:
    """Apply ``step(state, bin)`` and add noise, bin by bin; stack the new states to (trial, time, state)."""
    states = []
    for index in range(bins):
        state = step(state, index)
        if noise is not None:
            state = state + noise[:, index]
        states.append(state)
    return torch.stack(states, dim=1)
