"""Gated recurrent units of all regions at once: batched products, bin by bin, forwards and backwards.

Arrays are (region, trial, unit), those of all bins (region, time, trial, unit), so that all bins of a region
are one matrix. Smaller regions are padded with zeros, which stay zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ctd_contract.torch.sequences.kernel import tanh_


class StackedUnit(ABC):
    """Units of one kind, and what is kept of them between forward and backward.

    Args:
        driven: (region, time, trial, 3 unit), what early inputs and biases give r, z and n; not changed.
        initial: (region, trial, unit).
        late: (region, late, 3 unit), transposed weights of the inputs that come bin by bin.
        recurrent: (region, unit, 3 unit), transposed recurrent weights.
        clip: New states are clamped to ±clip, or None.
    """

    def __init__(
        self, driven: Tensor, initial: Tensor, late: Tensor, recurrent: Tensor, clip: float | None
    ) -> None:
        self.size, self.clip = initial.shape[2], clip
        self.late, self.recurrent = late, recurrent
        self.late_t, self.recurrent_t = (
            late.transpose(1, 2).contiguous(),
            recurrent.transpose(1, 2).contiguous(),
        )
        self.gates = driven.clone()
        regions, bins, trials = driven.shape[:3]
        self.states = initial.new_empty(regions, bins + 1, trials, self.size)
        self.states[:, 0] = initial

    def forward(self, index: int, late: Tensor) -> Tensor:
        """Advance by a bin; returns the new states."""
        gates, state, new = self.gates[:, index], self.states[:, index], self.states[:, index + 1]
        gates.baddbmm_(late, self.late)
        _, z, n = gates.split(self.size, dim=2)
        self._open(gates, state)
        torch.lerp(n, state, z, out=new)
        if self._clips(index):
            new.clamp_(-self.clip, self.clip)  # type: ignore[operator]
        return new

    def _clips(self, index: int) -> bool:
        # z h + (1-z) n lies between h and n, and |n| < 1: from the second bin on nothing leaves ±clip.
        return self.clip is not None and (index == 0 or self.clip < 1.0)

    @abstractmethod
    def _open(self, gates: Tensor, state: Tensor) -> None:
        """Make r, z and n of their driven parts, in place."""

    def prepare(self) -> None:
        """Make room for the gradients of all pre-activations."""
        self.deltas = torch.empty_like(self.gates)

    def backward(self, index: int, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Go back by a bin.

        Args:
            index: The bin.
            grad: (region, trial, unit), of the new states.

        Returns:
            Gradients of the states before, and of the late inputs.
        """
        if self._clips(index):
            grad = grad * (self.states[:, index + 1].abs() < self.clip)  # type: ignore[operator]
        state, deltas = self.states[:, index], self.deltas[:, index]
        r, z, n = self.gates[:, index].split(self.size, dim=2)
        to_r, to_z, to_n = deltas.split(self.size, dim=2)
        torch.mul(grad, 1.0 - z, out=to_n)
        torch.mul(to_n, state - n, out=to_z).mul_(z)
        to_n.mul_(1.0 - n * n)
        before = self._back(index, grad * z, r, to_r, to_n)
        return before, torch.bmm(deltas, self.late_t)

    @abstractmethod
    def _back(self, index: int, before: Tensor, r: Tensor, to_r: Tensor, to_n: Tensor) -> Tensor:
        """Write the delta of r and add to the gradient of the states before."""

    @abstractmethod
    def recurrent_grad(self) -> Tensor:
        """Gradient of ``recurrent``, one product over all bins."""

    def late_grad(self, late: Tensor) -> Tensor:
        """Gradient of ``late``, given the inputs (region, time, trial, late) of all bins."""
        return over_bins(late, self.deltas)


class StackedBefore(StackedUnit):
    """r multiplies the state."""

    def _open(self, gates: Tensor, state: Tensor) -> None:
        size = self.size
        both, n = gates[..., : 2 * size], gates[..., 2 * size :]
        both.baddbmm_(state, self.recurrent[..., : 2 * size]).sigmoid_()
        tanh_(n.baddbmm_(both[..., :size] * state, self.recurrent[..., 2 * size :]))

    def _back(self, index: int, before: Tensor, r: Tensor, to_r: Tensor, to_n: Tensor) -> Tensor:
        size = self.size
        through = torch.bmm(to_n, self.recurrent_t[:, 2 * size :])
        torch.mul(through, self.states[:, index], out=to_r).mul_(r * (1.0 - r))
        before.addcmul_(through, r)
        return before.baddbmm_(self.deltas[:, index, :, : 2 * size], self.recurrent_t[:, : 2 * size])

    def recurrent_grad(self) -> Tensor:
        """See StackedUnit."""
        size, states = self.size, self.states[:, :-1]
        gated = states * self.gates[..., :size]
        both, new = self.deltas[..., : 2 * size], self.deltas[..., 2 * size :]
        return torch.cat([over_bins(states, both), over_bins(gated, new)], dim=2)


class StackedAfter(StackedUnit):
    """r multiplies the recurrent product."""

    def _open(self, gates: Tensor, state: Tensor) -> None:
        size = self.size
        both, n = gates[..., : 2 * size], gates[..., 2 * size :]
        both.baddbmm_(state, self.recurrent[..., : 2 * size]).sigmoid_()
        tanh_(n.addcmul_(both[..., :size], torch.bmm(state, self.recurrent[..., 2 * size :])))

    def prepare(self) -> None:
        """See StackedUnit."""
        super().prepare()
        states = self.states[:, :-1]
        self.hidden = torch.bmm(states.flatten(1, 2), self.recurrent[..., 2 * self.size :]).view_as(states)

    def _back(self, index: int, before: Tensor, r: Tensor, to_r: Tensor, to_n: Tensor) -> Tensor:
        torch.mul(to_n, self.hidden[:, index], out=to_r).mul_(r * (1.0 - r))
        return before.baddbmm_(self._recurrent_deltas(index), self.recurrent_t)

    def _recurrent_deltas(self, index: int | slice) -> Tensor:
        both, new = self.deltas[:, index].split([2 * self.size, self.size], dim=-1)
        return torch.cat([both, new * self.gates[:, index, ..., : self.size]], dim=-1)

    def recurrent_grad(self) -> Tensor:
        """See StackedUnit."""
        return over_bins(self.states[:, :-1], self._recurrent_deltas(slice(None)))


def over_bins(inputs: Tensor, deltas: Tensor) -> Tensor:
    """Sum over bins and trials of the products of inputs and deltas, (region, input, delta)."""
    return torch.bmm(inputs.flatten(1, 2).transpose(1, 2), deltas.flatten(1, 2))


UNITS: dict[str, type[StackedUnit]] = {"before": StackedBefore, "after": StackedAfter}
