"""Gated recurrent units over whole sequences."""

from functools import partial

from torch import Tensor

from ctd_contract.torch.sequences.arguments import BACKENDS, at, choose, count_bins, unroll
from ctd_contract.torch.sequences.cells import gru_cell
from ctd_contract.torch.sequences.gru_kernel import GRUAfter, GRUBefore
from ctd_contract.torch.sequences.scan import Recurrence, scan


def gru(
    inputs: Tensor | None,
    initial_state: Tensor,
    weight_input: Tensor | None,
    weight_state: Tensor,
    bias_input: Tensor | None,
    bias_state: Tensor | None,
    *,
    reset: str = "after",
    clip: float | None = None,
    noise: Tensor | None = None,
    n_time: int | None = None,
    backend: str = "fast",
) -> Tensor:
    """Run a GRU (Cho et al. 2014) over all bins.

    h' = (1 - z) n + z h with gates in torch's order r, z, n. ``reset="after"`` is torch's own form, in which
    r multiplies U_n h + b_hn; with ``"before"`` it multiplies h.

    Args:
        inputs: (trial, time, input), or None for an autonomous unit.
        initial_state: (trial, state), the state before the first bin.
        weight_input: (3 state, input); None without inputs.
        weight_state: (3 state, state).
        bias_input: (3 state,) or None.
        bias_state: (3 state,) or None.
        reset: ``"after"`` or ``"before"`` the recurrent product.
        clip: New states are clamped to ±clip, before the noise.
        noise: (trial, time, state), added to each new state and so carried on; drawn by the caller.
        n_time: Number of bins where neither inputs nor noise tell it.
        backend: ``"fast"``, or ``"plain"`` for the loop of cells that it is tested against.

    Returns:
        States (trial, time, state); ``[:, k]`` is the state after the input of bin k.
    """
    bins = count_bins(inputs, noise, initial_state, n_time)
    choose("reset", reset, ("after", "before"))
    choose("backend", backend, BACKENDS)
    parameters = (weight_input, weight_state, bias_input, bias_state)
    if backend == "fast":
        kind = GRUAfter if reset == "after" else GRUBefore
        make = partial(kind, clip=clip, noisy=noise is not None, padded=False)
        return scan(Recurrence(make, inputs, initial_state, noise, parameters, bins))[0]

    def step(state: Tensor, index: int) -> Tensor:
        return gru_cell(at(inputs, index), state, *parameters, reset=reset, clip=clip)

    return unroll(step, initial_state, bins, noise)
