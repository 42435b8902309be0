"""Some trials of a recurrence, run by compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from ctd_contract.torch.compiled.blas import addresses
from ctd_contract.torch.sequences.gru_kernel import GRUBefore
from ctd_contract.torch.sequences.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctd_contract.torch.sequences.scan import Recurrence, Targets


def compilable(values: Tensor) -> bool:
    """Tell whether compiled loops take tensors like this one."""
    numbers = values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64)
    return numbers and addresses() is not None


def array(values: Tensor | None, like: Tensor, axes: int = 3) -> NDArray[Any]:
    """View a tensor as an array whose numbers are in order; nothing as one without any."""
    if values is None:
        values = like.new_empty((len(like), *[0] * (axes - 1)))
    return values.detach().contiguous().numpy()


def bound(clip: float | None, like: Tensor) -> Any:
    """Return what states are clamped to as a number of the precision of ``like``."""
    return like.detach().numpy().dtype.type(torch.inf if clip is None else clip)


class CompiledBlock:
    """Some trials of a gated recurrent unit whose reset gate multiplies the state.

    It does what the block of torch's operations in ``scan`` does.
    """

    def __init__(self, recurrence: Recurrence, kernel: GRUBefore, rows: slice) -> None:
        self.recurrence, self.kernel, self.rows = recurrence, kernel, rows
        self.trials, self.size = recurrence.initial[rows].shape

    @staticmethod
    def takes(kernel: object, recurrence: Recurrence) -> TypeGuard[GRUBefore]:
        """Tell whether there is a compiled loop for a recurrence."""
        plain = recurrence.noise is None and recurrence.invalid is None
        return isinstance(kernel, GRUBefore) and plain and compilable(recurrence.initial)

    def forward(self, output: Tensor, keep: bool) -> None:
        """Write the states of these trials; without ``keep`` only two bins are ever held."""
        from ctd_contract.torch.compiled.gru_scan import run_forward

        one = self.recurrence
        held = one.bins + 1 if keep else 2
        workspace = Workspace(held * self.trials * 5 * self.size, one.initial)
        bins = workspace.cut(held, self.trials, 5 * self.size)
        bins[0, :, : self.size] = one.initial[self.rows]
        states = output[self.rows].numpy() if one.all_states else array(None, bins[0])
        run_forward(
            self._inputs(), one.reverse, one.bins, bins.numpy(),
            *self._weights(), self._bias(), self._clip(), states,
        )  # fmt: skip
        if not one.all_states:
            output[self.rows] = bins[one.bins % held, :, : self.size]
        if keep:
            self.workspace, self.bins = workspace, bins

    def backward(self, arriving: Tensor, targets: Targets) -> list[Tensor]:
        """Write the gradients of these trials; returns sums for those of the parameters."""
        from ctd_contract.torch.compiled.gru_scan import run_backward

        one, size = self.recurrence, self.size
        workspace = Workspace(self.trials * 5 * size, self.bins)
        grad, deltas = workspace.cut(self.trials, 2 * size), workspace.cut(self.trials, 3 * size)
        grad[:, :size] = 0.0 if one.all_states else arriving[self.rows]
        sums = self.kernel.sums()
        of_gates, of_new, of_inputs = (total.numpy() for total in sums)
        run_backward(
            self._inputs(), one.reverse, self.bins.numpy(),
            array(arriving[self.rows] if one.all_states else None, grad),
            *self._weights(), self._clip(), grad.numpy(), deltas.numpy(), of_inputs, of_gates, of_new,
            array(None if targets.inputs is None else targets.inputs[self.rows], grad),
        )  # fmt: skip
        if targets.initial is not None:
            targets.initial[self.rows] = grad[:, :size]
        return sums

    def _inputs(self) -> NDArray[Any]:
        one = self.recurrence
        return array(None if one.inputs is None else one.inputs[self.rows], one.initial[self.rows])

    def _weights(self) -> list[NDArray[Any]]:
        kernel = self.kernel
        weights = kernel.weight_driven[:-1], kernel.weight_gates_t, kernel.weight_new_t
        return [weight.numpy() for weight in weights]

    def _bias(self) -> NDArray[Any]:
        return self.kernel.weight_driven[-1].numpy()

    def _clip(self) -> Any:
        return bound(self.kernel.clip, self.kernel.weight_new_t)
