"""Encoder: two GRUs that read a sequence from both ends."""

from typing import NamedTuple

import torch
from torch import Tensor

from ctd_contract.torch.sequences.arguments import BACKENDS, choose, count_bins
from ctd_contract.torch.sequences.cells import gru_cell


class BidirectionalStates(NamedTuple):
    """States of the two directions.

    Attributes:
        forward_last: (trial, state), after the last valid bin.
        backward_last: (trial, state), after the first bin.
        forward_all: (trial, time, state), ``[:, k]`` after bins 0..k; None unless asked for.
        backward_all: (trial, time, state), ``[:, k]`` after bins last..k; None unless asked for.
    """

    forward_last: Tensor
    backward_last: Tensor
    forward_all: Tensor | None
    backward_all: Tensor | None


class GRUParameters(NamedTuple):
    """Parameters of one direction, in torch's shapes and order of gates."""

    weight_input: Tensor
    weight_state: Tensor
    bias_input: Tensor | None
    bias_state: Tensor | None


def bidirectional_gru(
    inputs: Tensor,
    initial_forward: Tensor,
    initial_backward: Tensor,
    forward: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    backward: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    reset: str = "after",
    clip: float | None = None,
    lengths: Tensor | None = None,
    all_states: bool = False,
    backend: str = "fast",
) -> BidirectionalStates:
    """Run one GRU forwards and one backwards in time over the same inputs.

    Args:
        inputs: (trial, time, input).
        initial_forward: (trial, state), the forward state before the first bin.
        initial_backward: (trial, state), the backward state behind the last valid bin.
        forward: weight_input, weight_state, bias_input, bias_state of the forward direction, as in ``gru``.
        backward: The same of the backward direction.
        reset: As in ``gru``.
        clip: As in ``gru``.
        lengths: (trial,) number of valid bins, at least 1. What is in the padding never changes a result:
            there the states stay what they were.
        all_states: Also return the states of all bins.
        backend: ``"fast"``, or ``"plain"`` for the loop of cells that it is tested against.

    Returns:
        Last states of both directions, and those of all bins if asked for.
    """
    bins = count_bins(inputs, None, initial_forward, None)
    choose("reset", reset, ("after", "before"))
    choose("backend", backend, BACKENDS)

    def read(state: Tensor, parameters: GRUParameters, order: range) -> dict[int, Tensor]:
        states = {}
        for index in order:
            new = gru_cell(inputs[:, index], state, *parameters, reset=reset, clip=clip)
            state = new if lengths is None else torch.where((lengths > index)[:, None], new, state)
            states[index] = state
        return states

    ahead = read(initial_forward, GRUParameters(*forward), range(bins))
    back = read(initial_backward, GRUParameters(*backward), range(bins - 1, -1, -1))
    stacked = [
        torch.stack([side[k] for k in range(bins)], 1) if all_states else None for side in (ahead, back)
    ]
    return BidirectionalStates(ahead[bins - 1], back[0], stacked[0], stacked[1])
