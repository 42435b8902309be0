"""Gated recurrent units of which some inputs are known beforehand and others only bin by bin.

The first ones ("early") drive all bins of a chunk in one product, as in the sequence functions of the
contract, whose kernels do that part. The others ("late") stand next to the state, so that one product takes
both. A bin is a row [state, late, x, r, z, n], with x = r h where the reset gate multiplies the state and
x = U_n h + b_hn where it multiplies the product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ctd_contract.torch.sequences.gru_kernel import GRUAfter, GRUBefore, GRUKernel


class LateUnit(ABC):
    """A unit, made once per call from its parameters.

    ``forward`` and ``backward`` are generators: every ``next`` does one bin, so that the caller can find the
    late inputs, or the gradient of the new state, in between.

    Attributes:
        row: Numbers of a bin and trial.
        grad: Numbers of a trial that go back from bin to bin, first the state's gradient, then the late
            inputs'.
    """

    grad: int

    def __init__(self, kernel: GRUKernel, late: Tensor) -> None:
        self.kernel, self.size, self.late = kernel, kernel.size, late.shape[1]
        self.row = 5 * self.size + self.late
        self.weight_late = kernel.scale[:, None] * late
        self.has_early = len(kernel.weight_driven) > 1
        if not self.has_early:
            self.constant = late.new_zeros(1, 4 * self.size)
            kernel.drive(self.constant, late.new_ones(1, 1))

    @classmethod
    def make(
        cls, early: Tensor, late: Tensor, weight_state: Tensor, biases: tuple[Tensor | None, Tensor | None],
        *, reset: str, clip: float | None,
    ) -> LateUnit:  # fmt: skip
        """Make the unit from the columns of its input weights; either may be none."""
        options = {"clip": clip, "noisy": False, "padded": False}
        if reset == "before":
            return LateBefore(GRUBefore(early, weight_state, *biases, **options), late)
        return LateAfter(GRUAfter(early, weight_state, *biases, **options), late)

    def states(self, rows: Tensor) -> Tensor:
        """View the states (..., state) before each bin."""
        return rows[..., : self.size]

    def lates(self, rows: Tensor) -> Tensor:
        """View the late inputs (..., late)."""
        return rows[..., self.size : self.size + self.late]

    def gates(self, rows: Tensor) -> Tensor:
        """View what the kernel calls gates, (..., 4 state)."""
        return rows[..., self.size + self.late :]

    def drive(self, rows: Tensor, driven: Tensor) -> None:
        """Set the gates of a chunk from the early inputs with a column of ones behind them."""
        gates = self.gates(rows).flatten(0, 1)
        if self.has_early:
            self.kernel.drive(gates, driven.flatten(0, 1))
        else:
            gates.copy_(self.constant)

    @abstractmethod
    def forward(self, rows: Tensor, first: bool) -> Iterator[None]:
        """Advance by one bin with every ``next``.

        Args:
            rows: (bins + 1, trials, row), driven; the state of each but the first is written.
            first: Whether the sequence starts with this chunk.
        """

    @abstractmethod
    def backward(self, rows: Tensor, deltas: Tensor, grad: Tensor, first: bool) -> Iterator[None]:
        """Go back by one bin with every ``next``.

        Args:
            rows: (bins + 1, trials, row) as ``forward`` left them; not to be changed.
            deltas: (bins, trials, 4 state), to be written.
            grad: (trials, grad); before a ``next`` it holds the new state's gradient, after it the old
                state's and the late inputs'.
            first: Whether the sequence starts with this chunk.
        """

    @abstractmethod
    def sums(self) -> list[Tensor]:
        """Zeros that ``collect`` adds to."""

    @abstractmethod
    def collect(self, sums: Sequence[Tensor], rows: Tensor, deltas: Tensor, driven: Tensor) -> None:
        """Add a chunk's part of the gradients of the weights; arrays are (bins trials, ...)."""

    @abstractmethod
    def parameter_grads(self, sums: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Gradients of early and late input weights, weight_state, bias_input, bias_state."""


class LateBefore(LateUnit):
    """r multiplies h: the products are of [state, late] and of [late, r h]."""

    kernel: GRUBefore

    def __init__(self, kernel: GRUBefore, late: Tensor) -> None:
        super().__init__(kernel, late)
        self.grad = 2 * self.size + self.late
        late_gates, late_new = self.weight_late.split([2 * self.size, self.size])
        self.weight_gates = torch.cat([kernel.weight_gates, late_gates], dim=1)
        self.weight_new = torch.cat([late_new, kernel.weight_new], dim=1)
        self.weight_gates_t = self.weight_gates.t().contiguous()
        self.weight_new_t = self.weight_new.t().contiguous()

    def forward(self, rows: Tensor, first: bool) -> Iterator[None]:
        """Two products and five passes per bin."""
        kernel, size, seen = self.kernel, self.size, self.size + self.late
        here, gates = rows[:-1], self.gates(rows[:-1])
        steps = zip(
            here[..., :seen].unbind(0), here[..., size : seen + size].unbind(0),
            gates[..., size : 3 * size].unbind(0), *(part.unbind(0) for part in kernel.parts(gates)),
            self.states(here).unbind(0), self.states(rows[1:]).unbind(0), strict=True,
        )  # fmt: skip
        for step, (state_late, late_reset, rz, reset, r, z, n, state, new) in enumerate(steps):
            rz.addmm_(state_late, self.weight_gates_t).sigmoid_()
            torch.mul(r, state, out=reset)
            torch.add(kernel.minus_one, n.addmm_(late_reset, self.weight_new_t).sigmoid_(), alpha=2.0, out=n)
            torch.lerp(n, state, z, out=new)
            if kernel.clips(step, first):
                kernel.clamp(new, state, z)
            yield

    def backward(self, rows: Tensor, deltas: Tensor, grad: Tensor, first: bool) -> Iterator[None]:
        """As far as can be for all bins first; then two products per bin."""
        kernel, size, seen = self.kernel, self.size, self.size + self.late
        gates = self.gates(rows[:-1])
        reset, r, _, _ = kernel.parts(gates)
        along = kernel.coefficients(gates, self.states(rows), deltas, first)
        _, to_r, _, to_n = kernel.parts(deltas)
        torch.mul(reset, 1.0 - r, out=to_r)
        split = deltas[..., 2 * size :].unflatten(2, (2, size)).unbind(0)
        steps = zip(
            split, to_r.unbind(0), to_n.unbind(0), deltas[..., size : 3 * size].unbind(0), r.unbind(0),
            along.unbind(0), strict=True,
        )  # fmt: skip
        state, state_late, late_reset, to_reset = (
            grad[:, :size], grad[:, :seen], grad[:, size:], grad[:, seen:]
        )  # fmt: skip
        for both, reset_delta, new_delta, gate_deltas, open_r, kept in reversed(list(steps)):
            both.mul_(state[:, None])
            torch.mm(new_delta, self.weight_new, out=late_reset)
            reset_delta.mul_(to_reset)
            state.mul_(kept).addcmul_(to_reset, open_r)
            state_late.addmm_(gate_deltas, self.weight_gates)
            yield

    def sums(self) -> list[Tensor]:
        """Transposed gradients of the two products' weights, and of the driven ones."""
        shapes = self.weight_gates_t.shape, self.weight_new_t.shape, self.kernel.weight_driven.shape
        return [self.weight_gates.new_zeros(shape) for shape in shapes]

    def collect(self, sums: Sequence[Tensor], rows: Tensor, deltas: Tensor, driven: Tensor) -> None:
        """One product for each of them."""
        size, seen = self.size, self.size + self.late
        sums[0].addmm_(rows[:, :seen].t(), deltas[:, size : 3 * size])
        sums[1].addmm_(rows[:, size : seen + size].t(), deltas[:, 3 * size :])
        sums[2].addmm_(driven.t(), deltas[:, size:])

    def parameter_grads(self, sums: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Parts of the products' weights back in their places."""
        size, kernel = self.size, self.kernel
        gates, new, driven = sums[0].t(), sums[1].t(), sums[2]
        late = kernel.scale[:, None] * torch.cat([gates[:, size:], new[:, : self.late]])
        weight_state = kernel.scale[:, None] * torch.cat([gates[:, :size], new[:, self.late :]])
        biases = kernel.biases(driven[-1], driven[-1])
        return (kernel.input_weight_grad(driven), late, weight_state, *biases)


class LateAfter(LateUnit):
    """r multiplies U_n h + b_hn: the products are of the state and of the late inputs."""

    kernel: GRUAfter

    def __init__(self, kernel: GRUAfter, late: Tensor) -> None:
        super().__init__(kernel, late)
        self.grad = self.size + self.late
        self.weight_late_t = self.weight_late.t().contiguous()

    def forward(self, rows: Tensor, first: bool) -> Iterator[None]:
        """Two products and five passes per bin."""
        kernel, size = self.kernel, self.size
        here, gates = rows[:-1], self.gates(rows[:-1])
        steps = zip(
            gates[..., : 3 * size].unbind(0), gates[..., size:].unbind(0),
            gates[..., size : 3 * size].unbind(0), *(part.unbind(0) for part in kernel.parts(gates)),
            self.lates(here).unbind(0), self.states(here).unbind(0), self.states(rows[1:]).unbind(0),
            strict=True,
        )  # fmt: skip
        for step, (recurrent, rzn, rz, hidden, r, z, n, late, state, new) in enumerate(steps):
            recurrent.addmm_(state, kernel.weight_t)
            rzn.addmm_(late, self.weight_late_t)
            rz.sigmoid_()
            torch.add(kernel.minus_one, n.addcmul_(r, hidden).sigmoid_(), alpha=2.0, out=n)
            torch.lerp(n, state, z, out=new)
            if kernel.clips(step, first):
                kernel.clamp(new, state, z)
            yield

    def backward(self, rows: Tensor, deltas: Tensor, grad: Tensor, first: bool) -> Iterator[None]:
        """Every part's derivative by h' first, for all bins; then two products per bin."""
        kernel, size = self.kernel, self.size
        gates = self.gates(rows[:-1])
        hidden, r, _, _ = kernel.parts(gates)
        along = kernel.coefficients(gates, self.states(rows), deltas, first)
        to_hidden, to_r, _, to_n = kernel.parts(deltas)
        torch.mul(to_n, r, out=to_hidden)
        torch.mul(to_hidden, hidden, out=to_r).mul_(1.0 - r)
        split = deltas.unflatten(2, (4, size)).unbind(0)
        steps = zip(
            split,
            deltas[..., : 3 * size].unbind(0),
            deltas[..., size:].unbind(0),
            along.unbind(0),
            strict=True,
        )
        state, late = grad[:, :size], grad[:, size:]
        for all_four, recurrent, rzn, kept in reversed(list(steps)):
            all_four.mul_(state[:, None])
            state.mul_(kept).addmm_(recurrent, kernel.weight)
            torch.mm(rzn, self.weight_late, out=late)
            yield

    def sums(self) -> list[Tensor]:
        """The kernel's, and the transposed gradient of the late weights."""
        return [*self.kernel.sums(), self.weight_late_t.new_zeros(self.weight_late_t.shape)]

    def collect(self, sums: Sequence[Tensor], rows: Tensor, deltas: Tensor, driven: Tensor) -> None:
        """One product for each of them."""
        self.kernel.collect(sums[:3], deltas, self.gates(rows), self.states(rows), driven)
        sums[3].addmm_(self.lates(rows).t(), deltas[:, self.size :])

    def parameter_grads(self, sums: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The kernel's with the late weights' behind the first."""
        early, *others = self.kernel.parameter_grads(sums[:3])
        return (early, self.kernel.scale[:, None] * sums[3].t(), *others)
