"""A gated recurrent unit whose reset gate multiplies the state, for compiled loops.

A bin is a matrix (trials, row) of rows [state, late, x, r, z, n] with x = r h. "Late" are inputs that are
only known in their bin: they stand next to the state, so that one product takes both. As in ``gru_kernel`` n
is 2 sigmoid(2 a) - 1, so all that makes it up comes doubled. Weights are (state + late, 2 state) of r and z,
(late + state, state) of n, and biases (3 state,).
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ctd_contract.torch.compiled.jit import compiled
from ctd_contract.torch.compiled.products import multiply
from ctd_contract.torch.compiled.sigmoid import sigmoid

Numbers = NDArray[Any]


@compiled
def forward(
    rows: Numbers, at: int, after: int, weight_gates: Numbers, weight_new: Numbers, bias: Numbers,
    clip: float, driven: bool, output: Numbers, time: int,
) -> None:  # fmt: skip
    """Advance by one bin.

    Args:
        rows: (bins, trials, row). State and late inputs of the bin are read, the rest is written.
        at: The bin.
        after: The bin whose state is written.
        weight_gates: Of r and z.
        weight_new: Of n.
        bias: Of r, z and n.
        clip: New states are clamped to ±clip.
        driven: Whether r, z and n hold what other inputs drive them by.
        output: (trials, time, state) where the new state is written too, or nothing if it has no bins.
        time: In which bin of ``output``.
    """
    size = weight_new.shape[1]
    seen = weight_gates.shape[0]
    row = rows[at]
    gates = seen + size
    multiply(row[:, gates : gates + 2 * size], row[:, :seen], weight_gates, False, False, driven)
    _open_gates(rows, at, bias, size, seen)
    multiply(row[:, gates + 2 * size :], row[:, size:gates], weight_new, False, False, driven)
    _advance(rows, at, after, bias, clip, size, seen)
    if output.shape[1] > 0:
        for i in range(row.shape[0]):
            output[i, time] = rows[after, i, :size]


@compiled
def _open_gates(rows: Numbers, at: int, bias: Numbers, size: int, seen: int) -> None:
    of_z = bias[size:]
    for i in range(rows.shape[1]):
        state, x = rows[at, i, :size], rows[at, i, seen : seen + size]
        r, z = rows[at, i, seen + size : seen + 2 * size], rows[at, i, seen + 2 * size : seen + 3 * size]
        for j in range(size):
            r[j] = sigmoid(r[j] + bias[j])
            x[j] = r[j] * state[j]
        for j in range(size):
            z[j] = sigmoid(z[j] + of_z[j])


@compiled
def _advance(rows: Numbers, at: int, after: int, bias: Numbers, clip: float, size: int, seen: int) -> None:
    of_n = bias[2 * size :]
    one, two = rows.dtype.type(1), rows.dtype.type(2)
    for i in range(rows.shape[1]):
        state, new = rows[at, i, :size], rows[after, i, :size]
        z, n = rows[at, i, seen + 2 * size : seen + 3 * size], rows[at, i, seen + 3 * size :]
        for j in range(size):
            open_n = two * sigmoid(n[j] + of_n[j]) - one
            n[j] = open_n
            moved = open_n + z[j] * (state[j] - open_n)
            new[j] = -clip if moved < -clip else (clip if moved > clip else moved)


@compiled
def backward(
    rows: Numbers, at: int, weight_gates: Numbers, weight_new: Numbers, clip: float,
    grad: Numbers, deltas: Numbers, ones: Numbers,
    sum_gates: Numbers, sum_new: Numbers, sum_bias: Numbers,
) -> None:  # fmt: skip
    """Go back by one bin.

    Args:
        rows: (bins, trials, row) as ``forward`` left them.
        at: The bin.
        weight_gates: Of r and z.
        weight_new: Of n.
        clip: As forward.
        grad: (trials, state + late + state). Its first part is the new state's gradient and becomes the old
            state's, its second one is written with the late inputs', the rest is scratch.
        deltas: (trials, 3 state), to be written: gradients of what opens r, z and n.
        ones: (1, trials).
        sum_gates: Gradient of ``weight_gates``, to be added to.
        sum_new: Of ``weight_new``.
        sum_bias: (1, 3 state), of the bias.
    """
    size = weight_new.shape[1]
    seen = weight_gates.shape[0]
    row = rows[at]
    _close(rows, at, clip, grad, deltas, size, seen)
    multiply(grad[:, size:], deltas[:, 2 * size :], weight_new, False, True, False)
    _close_reset(rows, at, grad, deltas, size, seen)
    multiply(grad[:, :seen], deltas[:, : 2 * size], weight_gates, False, True, True)
    multiply(sum_gates, row[:, :seen], deltas[:, : 2 * size], True, False, True)
    multiply(sum_new, row[:, size : seen + size], deltas[:, 2 * size :], True, False, True)
    multiply(sum_bias, ones, deltas, False, False, True)


@compiled
def _close(rows: Numbers, at: int, clip: float, grad: Numbers, deltas: Numbers, size: int, seen: int) -> None:
    zero, half, one = grad.dtype.type(0), grad.dtype.type(0.5), grad.dtype.type(1)
    for i in range(rows.shape[1]):
        state, of_state = rows[at, i, :size], grad[i, :size]
        z, n = rows[at, i, seen + 2 * size : seen + 3 * size], rows[at, i, seen + 3 * size :]
        to_z, to_n = deltas[i, size : 2 * size], deltas[i, 2 * size :]
        for j in range(size):
            apart = state[j] - n[j]
            arrived = of_state[j] if abs(n[j] + z[j] * apart) <= clip else zero
            of_n = (one - z[j]) * arrived
            to_z[j] = apart * z[j] * of_n
            to_n[j] = (half - half * n[j] * n[j]) * of_n
            of_state[j] = z[j] * arrived


@compiled
def _close_reset(rows: Numbers, at: int, grad: Numbers, deltas: Numbers, size: int, seen: int) -> None:
    one = grad.dtype.type(1)
    for i in range(rows.shape[1]):
        x, r = rows[at, i, seen : seen + size], rows[at, i, seen + size : seen + 2 * size]
        of_state, of_x, to_r = grad[i, :size], grad[i, seen:], deltas[i, :size]
        for j in range(size):
            to_r[j] = (one - r[j]) * x[j] * of_x[j]
            of_state[j] += r[j] * of_x[j]
