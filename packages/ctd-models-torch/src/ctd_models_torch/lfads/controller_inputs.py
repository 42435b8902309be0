"""Which part of its encoder's states the controller is given in each bin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def controller_inputs(
    states: Sequence[Tensor], bins: Tensor, lengths: Tensor | None, *, n_time: int, lag: int
) -> Tensor:
    """Lay the encoder's states on the time axis, each direction shifted by the lag.

    In bin t the controller gets the forward state after bin t - lag and the backward state after bin t + lag
    (which has read from the end down to it), and zeros where the encoder read no such bin: outside the trial,
    in its padding, in forward bins, and in the bins that are the initial condition's alone.

    Args:
        states: (trial, bin, unit) after each bin that the encoder read, forwards, and unless it is causal
            backwards.
        bins: (bin,) positions of these bins on the time axis, in the host's memory.
        lengths: (trial,) bins before the padding; None for whole trials.
        n_time: Bins of the time axis.
        lag: Bins.

    Returns:
        (trial, time, encoded), forward states first.
    """
    device = states[0].device
    kept = None if lengths is None else (bins.to(device) < lengths[:, None])[..., None]
    # Bins in a row are laid by cutting and joining, much faster than by an index.
    in_a_row = len(bins) > 0 and int(bins[-1] - bins[0]) == len(bins) - 1

    def lay(side: Tensor, shift: int) -> Tensor:
        if kept is not None:
            side = torch.where(kept, side, 0.0)
        # The positions are worked out where they are, on the host: a GPU then waits for nothing.
        inside = ((bins + shift >= 0) & (bins + shift < n_time)).nonzero()[:, 0]
        if in_a_row and len(inside):
            first = int(bins[inside[0]]) + shift
            before, after = (
                side.new_zeros(len(side), k, side.shape[2]) for k in (first, n_time - first - len(inside))
            )
            return torch.cat([before, side.narrow(1, int(inside[0]), len(inside)), after], dim=1)
        laid = side.new_zeros(len(side), n_time, side.shape[2])
        source = side.index_select(1, inside.to(device))
        return laid.index_copy(1, (bins[inside] + shift).to(device), source)

    return torch.cat([lay(side, shift) for side, shift in zip(states, (lag, -lag), strict=False)], dim=2)
