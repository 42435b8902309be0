"""Whole-sequence recurrences with a hand-written backward pass, for any ``Kernel``.

The bins are gone through in chunks and the trials in blocks. Forwards, the drive of the inputs is one product
per chunk. Backwards, the loop over bins finds only the gradients of the pre-activations ("deltas"); those of
weights and inputs are one product per chunk, while the deltas are still in the cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctd_contract.torch.sequences.blocks import run_jobs, split_trials
from ctd_contract.torch.sequences.compiled_block import CompiledBlock
from ctd_contract.torch.sequences.kernel import Kernel
from ctd_contract.torch.sequences.workspace import Workspace

# Bins of a chunk: enough for a full product, few enough for the cache. A GPU rather wants few launches.
_CHUNK = {"cpu": 8, "cuda": 32}


@dataclass(frozen=True)
class Recurrence:
    """One recurrence to be run.

    Attributes:
        make: Makes the kernel from the parameters.
        inputs: (trial, time, input) or None.
        initial: (trial, state).
        noise: (trial, time, state) or None.
        parameters: As ``make`` takes them.
        bins: Number of bins.
        reverse: From the last bin to the first.
        invalid: (trial, time) bool, True in the padding, or None.
        all_states: Whether the states of all bins are wanted, or only the last one.
    """

    make: Callable[..., Kernel]
    inputs: Tensor | None
    initial: Tensor
    noise: Tensor | None
    parameters: tuple[Tensor | None, ...]
    bins: int
    reverse: bool = False
    invalid: Tensor | None = None
    all_states: bool = True

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """Everything that may need a gradient."""
        return (self.inputs, self.initial, self.noise, *self.parameters)


def scan(*recurrences: Recurrence) -> tuple[Tensor, ...]:
    """Run recurrences side by side.

    Returns:
        Per recurrence the states (trial, time, state), or the last one (trial, state).
    """
    recurrences = tuple(_in_one_precision(one) for one in recurrences)
    return _Scan.apply(recurrences, *(tensor for one in recurrences for tensor in one.tensors))


class _Scan(torch.autograd.Function):
    """All recurrences as one node of the graph, so that their blocks share the cores."""

    @staticmethod
    def forward(ctx: Any, recurrences: Sequence[Recurrence], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Run all blocks; keep what backward needs only if there will be one."""
        keep = any(ctx.needs_input_grad)
        outputs = [_output(one) for one in recurrences]
        blocks = [_blocks(one, len(recurrences)) for one in recurrences]
        jobs = [(block, output) for row, output in zip(blocks, outputs, strict=True) for block in row]
        run_jobs(lambda job: job[0].forward(job[1], keep), jobs, outputs[0].device)
        if keep:
            # Blocks hold what they need; saving the tensors lets torch refuse ones that were changed since.
            ctx.save_for_backward(*tensors)
            ctx.blocks = blocks
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Run all blocks backwards and add up what they found for the parameters."""
        tensors, needs = list(ctx.saved_tensors), list(ctx.needs_input_grad[1:])
        jobs, targets = [], []
        for row, grad in zip(ctx.blocks, grads, strict=True):
            count = len(row[0].recurrence.tensors)
            targets.append(Targets.make(tensors[:3], needs[:3]))
            del tensors[:count], needs[:count]
            jobs += [(block, grad, targets[-1]) for block in row]
        sums = run_jobs(lambda job: job[0].backward(job[1], job[2]), jobs, grads[0].device)
        result: list[Tensor | None] = []
        for row, target in zip(ctx.blocks, targets, strict=True):
            # Added in a fixed order: the result does not depend on which thread was first.
            total = [sum(parts[1:], parts[0]) for parts in zip(*sums[: len(row)], strict=True)]
            del sums[: len(row)]
            result += [*target, *row[0].kernel.parameter_grads(total)]
        return (None, *result)


class Targets(NamedTuple):
    """Gradients that blocks write their trials of; None where nobody needs them."""

    inputs: Tensor | None
    initial: Tensor | None
    noise: Tensor | None

    @classmethod
    def make(cls, tensors: Sequence[Tensor | None], needs: Sequence[bool]) -> "Targets":
        """Make room for those that are needed."""
        pairs = zip(tensors, needs, strict=True)
        return cls(
            *(
                torch.empty(t.shape, dtype=t.dtype, device=t.device) if n and t is not None else None
                for t, n in pairs
            )
        )


def _in_one_precision(one: Recurrence) -> Recurrence:
    """Compute with the precision of the parameters, also behind a layer of half precision."""
    dtype = next(parameter.dtype for parameter in one.parameters if parameter is not None)
    given = {"inputs": one.inputs, "initial": one.initial, "noise": one.noise}
    cast = {name: values.to(dtype) for name, values in given.items() if values is not None}
    return replace(one, **cast)


def _output(one: Recurrence) -> Tensor:
    trials, size = one.initial.shape
    return one.initial.new_empty((trials, one.bins, size) if one.all_states else (trials, size))


def _blocks(one: Recurrence, beside: int) -> list["_Block | CompiledBlock"]:
    kernel = one.make(*one.parameters)
    rows = split_trials(len(one.initial), one.initial.device, beside=beside)
    if CompiledBlock.takes(kernel, one):
        return [CompiledBlock(one, kernel, block) for block in rows]
    return [_Block(one, kernel, block) for block in rows]


class _Block:
    """Some trials of a recurrence, and what is kept of them between forward and backward."""

    def __init__(self, recurrence: Recurrence, kernel: Kernel, rows: slice) -> None:
        self.recurrence, self.kernel, self.rows = recurrence, kernel, rows
        self.trials, self.size = recurrence.initial[rows].shape
        self.chunk = min(recurrence.bins, _CHUNK.get(recurrence.initial.device.type, 1))
        inputs = recurrence.inputs
        self.columns = 1 if inputs is None else inputs.shape[2] + 1

    def forward(self, output: Tensor, keep: bool) -> None:
        """Write the states of these trials; without ``keep`` only one chunk is ever held."""
        one, trials = self.recurrence, self.trials
        held = one.bins if keep else self.chunk
        room = held * trials * self.kernel.gates + (held + 1) * trials * self.size
        workspace = Workspace(room + self.chunk * trials * self.columns, one.initial)
        gates = workspace.cut(held, trials, self.kernel.gates)
        states = workspace.cut(held + 1, trials, self.size)
        driven = self._driven(workspace)
        states[0] = one.initial[self.rows]
        for start in range(0, one.bins, self.chunk):
            bins = min(self.chunk, one.bins - start)
            at = start if keep else 0
            here, walk = gates[at : at + bins], states[at : at + bins + 1]
            if start and not keep:
                walk[0] = states[self.chunk]
            self._drive(here, driven, start)
            noise = None if one.noise is None else self._steps(one.noise, start, bins)
            self.kernel.forward(here, walk, noise, start == 0)
            if one.all_states:
                self._view(output, start, bins).copy_(self._turned(walk[1:]))
            if not one.all_states and start + bins == one.bins:
                output[self.rows] = walk[-1]
        if keep:
            self.workspace, self.gates, self.states = workspace, gates, states

    def backward(self, arriving: Tensor, targets: Targets) -> list[Tensor]:
        """Write the gradients of these trials; returns sums for those of the parameters."""
        one, trials, kernel = self.recurrence, self.trials, self.kernel
        workspace = Workspace(
            self.chunk * trials * (kernel.deltas + self.columns) + trials * self.size, self.states
        )
        deltas = workspace.cut(self.chunk, trials, kernel.deltas)
        driven, grad = self._driven(workspace), workspace.cut(trials, self.size)
        grad.copy_(arriving[self.rows]) if not one.all_states else grad.zero_()
        sums = kernel.sums()
        for start in reversed(range(0, one.bins, self.chunk)):
            bins = min(self.chunk, one.bins - start)
            here, walk, change = (
                self.gates[start : start + bins],
                self.states[start : start + bins + 1],
                deltas[:bins],
            )
            outside = self._steps(arriving, start, bins) if one.all_states else None
            noise = None if targets.noise is None else self._steps(targets.noise, start, bins)
            kernel.backward(here, walk, change, grad, outside, noise, start == 0)
            flat = self._fetch(driven, start, bins)[0].flatten(0, 1)
            kernel.collect(sums, change.flatten(0, 1), here.flatten(0, 1), walk[:-1].flatten(0, 1), flat)
            if targets.inputs is not None:
                found = kernel.input_grad(change.flatten(0, 1)).view(bins, trials, -1)
                self._view(targets.inputs, start, bins).copy_(self._turned(found))
        if targets.initial is not None:
            targets.initial[self.rows] = grad
        return sums

    def _driven(self, workspace: Workspace) -> Tensor:
        driven = workspace.cut(self.chunk, self.trials, self.columns)
        driven[..., -1] = 1.0
        return driven

    def _fetch(self, driven: Tensor, start: int, bins: int) -> tuple[Tensor, Tensor | None]:
        """Copy the inputs of a chunk, zeros in the padding; returns them and where the padding is."""
        driven, one = driven[:bins], self.recurrence
        invalid = (
            None if one.invalid is None else self._turned(self._view(one.invalid, start, bins))[..., None]
        )
        if one.inputs is not None:
            driven[..., :-1] = self._turned(self._view(one.inputs, start, bins))
        if invalid is not None:
            driven[..., :-1].masked_fill_(invalid, 0.0)
        return driven, invalid

    def _drive(self, gates: Tensor, driven: Tensor, start: int) -> None:
        driven, invalid = self._fetch(driven, start, len(gates))
        self.kernel.drive(gates.flatten(0, 1), driven.flatten(0, 1))
        if invalid is not None:
            self.kernel.hold(gates, invalid)

    def _view(self, values: Tensor, start: int, bins: int) -> Tensor:
        """View the bins of a chunk of (trial, time, ...) as (bins, trials, ...), in the order of time."""
        last = self.recurrence.bins - start
        time = slice(last - bins, last) if self.recurrence.reverse else slice(start, start + bins)
        return values[self.rows, time].transpose(0, 1)

    def _steps(self, values: Tensor, start: int, bins: int) -> Sequence[Tensor]:
        """View every step of a chunk of (trial, time, ...) as (trials, ...), in the order of the steps."""
        steps = self._view(values, start, bins).unbind(0)
        return steps[::-1] if self.recurrence.reverse else steps

    def _turned(self, values: Tensor) -> Tensor:
        """Change (bins, trials, ...) between the order of time and that of the steps."""
        return values.flip(0) if self.recurrence.reverse else values
