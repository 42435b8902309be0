"""Linear dynamical systems over whole sequences."""

from functools import partial

from torch import Tensor
from torch.nn import functional

from ctd_contract.torch.sequences.arguments import BACKENDS, choose, count_bins, unroll
from ctd_contract.torch.sequences.rnn_kernel import RNNKernel
from ctd_contract.torch.sequences.scan import Recurrence, scan


def affine(
    inputs: Tensor | None,
    initial_state: Tensor,
    A: Tensor,
    B: Tensor | None,
    c: Tensor | None,
    *,
    noise: Tensor | None = None,
    n_time: int | None = None,
    backend: str = "fast",
) -> Tensor:
    """Run x' = A x + B u + c over all bins.

    Args:
        inputs: (trial, time, input), or None for an autonomous system.
        initial_state: (trial, state), the state before the first bin.
        A: (state, state).
        B: (state, input); None without inputs.
        c: (state,) or None.
        noise: (trial, time, state), added to each new state; drawn by the caller.
        n_time: Number of bins where neither inputs nor noise tell it.
        backend: ``"fast"``, or ``"plain"`` for the loop that it is tested against.

    Returns:
        States (trial, time, state); ``[:, k]`` is the state after the input of bin k.
    """
    bins = count_bins(inputs, noise, initial_state, n_time)
    if inputs is not None and B is None:
        raise ValueError("there are inputs but B is None: pass the weights of the inputs")
    if choose("backend", backend, BACKENDS) == "fast":
        make = partial(RNNKernel, alpha=1.0, nonlinearity="identity", noise_inside=False)
        return scan(Recurrence(make, inputs, initial_state, noise, (B, A, c), bins))[0]

    def step(state: Tensor, index: int) -> Tensor:
        new = functional.linear(state, A, c)
        if inputs is not None and B is not None:
            new = new + functional.linear(inputs[:, index], B)
        return new

    return unroll(step, initial_state, bins, noise)
