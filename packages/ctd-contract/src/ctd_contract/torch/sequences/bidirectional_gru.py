"""Encoder: two GRUs that read a sequence from both ends."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ctd_contract.torch.sequences.arguments import BACKENDS, choose, count_bins
from ctd_contract.torch.sequences.cells import gru_cell
from ctd_contract.torch.sequences.gru_kernel import GRUAfter, GRUBefore
from ctd_contract.torch.sequences.scan import Recurrence, scan


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


# weight_input, weight_state, bias_input and bias_state of one direction, in torch's shapes and order.
Parameters = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


def bidirectional_gru(
    inputs: Tensor,
    initial_forward: Tensor,
    initial_backward: Tensor,
    forward: Parameters,
    backward: Parameters,
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
    if choose("backend", backend, BACKENDS) == "plain":
        read = partial(_read_plain, inputs, lengths=lengths, reset=reset, clip=clip)
        ahead = read(initial_forward, forward, range(bins))
        back = read(initial_backward, backward, range(bins - 1, -1, -1))
        if not all_states:
            return BidirectionalStates(ahead[bins - 1], back[0], None, None)
        return _with_last([torch.stack([side[k] for k in range(bins)], dim=1) for side in (ahead, back)])
    make = partial(
        GRUAfter if reset == "after" else GRUBefore, clip=clip, noisy=False, padded=lengths is not None
    )
    invalid = None if lengths is None else torch.arange(bins, device=inputs.device) >= lengths[:, None]
    states = scan(
        Recurrence(make, inputs, initial_forward, None, forward, bins, False, invalid, all_states),
        Recurrence(make, inputs, initial_backward, None, backward, bins, True, invalid, all_states),
    )
    return _with_last(states) if all_states else BidirectionalStates(states[0], states[1], None, None)


def _with_last(states: Sequence[Tensor]) -> BidirectionalStates:
    ahead, back = states
    return BidirectionalStates(ahead[:, -1], back[:, 0], ahead, back)


def _read_plain(
    inputs: Tensor,
    state: Tensor,
    parameters: Parameters,
    order: range,
    *,
    lengths: Tensor | None,
    reset: str,
    clip: float | None,
) -> dict[int, Tensor]:
    """Read bins one after the other; returns the state after each."""
    states = {}
    for index in order:
        new = gru_cell(inputs[:, index], state, *parameters, reset=reset, clip=clip)
        # A masked choice and no product: padding may hold NaN.
        state = new if lengths is None else torch.where((lengths > index)[:, None], new, state)
        states[index] = state
    return states
