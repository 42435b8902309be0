"""Whole sequences of a gated recurrent unit without late inputs."""

from __future__ import annotations

import numpy as np

from ctd_contract.torch.compiled import gru_before
from ctd_contract.torch.compiled.gru_before import Numbers
from ctd_contract.torch.compiled.jit import compiled
from ctd_contract.torch.compiled.products import multiply


@compiled
def run_forward(
    inputs: Numbers, reverse: bool, bins: int, rows: Numbers,
    weight_inputs: Numbers, weight_gates: Numbers, weight_new: Numbers, bias: Numbers, clip: float,
    output: Numbers,
) -> None:  # fmt: skip
    """Advance through all bins.

    Args:
        inputs: (trials, time, input), maybe none.
        reverse: From the last bin to the first.
        bins: How many.
        rows: (bins + 1, trials, row), the state of the first one given; with only two, they take turns.
        weight_inputs: (input, 3 state) of r, z and n.
        weight_gates: See ``gru_before``.
        weight_new: Likewise.
        bias: Likewise.
        clip: Likewise.
        output: (trials, time, state), to be written; or without bins.
    """
    driven = inputs.shape[2] > 0
    size = weight_new.shape[1]
    for step in range(bins):
        time = bins - 1 - step if reverse else step
        at, after = step % len(rows), (step + 1) % len(rows)
        if driven:
            multiply(rows[at, :, 2 * size :], inputs[:, time], weight_inputs, False, False, False)
        gru_before.forward(rows, at, after, weight_gates, weight_new, bias, clip, driven, output, time)


@compiled
def run_backward(
    inputs: Numbers, reverse: bool, rows: Numbers, arriving: Numbers,
    weight_inputs: Numbers, weight_gates: Numbers, weight_new: Numbers, clip: float,
    grad: Numbers, deltas: Numbers, sum_inputs: Numbers, sum_gates: Numbers, sum_new: Numbers,
    to_inputs: Numbers,
) -> None:  # fmt: skip
    """Go back through all bins.

    Args:
        inputs: As forward.
        reverse: As forward.
        rows: (bins + 1, trials, row) as ``run_forward`` left them.
        arriving: (trials, time, state), gradients of the output; without bins if there is none.
        weight_inputs: As forward.
        weight_gates: As forward.
        weight_new: As forward.
        clip: As forward.
        grad: (trials, 2 state), begins with the gradient of the last state, which becomes that of the first.
        deltas: (trials, 3 state), scratch.
        sum_inputs: (input + 1, 3 state), gradient of ``weight_inputs`` and the bias, to be added to.
        sum_gates: That of ``weight_gates``.
        sum_new: That of ``weight_new``.
        to_inputs: (trials, time, input), to be written with the gradient of the inputs; or without bins.
    """
    bins, trials, size = len(rows) - 1, rows.shape[1], weight_new.shape[1]
    ones = np.ones((1, trials), rows.dtype)
    for step in range(bins - 1, -1, -1):
        time = bins - 1 - step if reverse else step
        if arriving.shape[1] > 0:
            for i in range(trials):
                grad[i, :size] += arriving[i, time]
        gru_before.backward(
            rows,
            step,
            weight_gates,
            weight_new,
            clip,
            grad,
            deltas,
            ones,
            sum_gates,
            sum_new,
            sum_inputs[-1:],
        )
        if inputs.shape[2] > 0:
            multiply(sum_inputs[:-1], inputs[:, time], deltas, True, False, True)
        if to_inputs.shape[1] > 0:
            multiply(to_inputs[:, time], deltas, weight_inputs, False, True, False)
