"""Some trials of LFADS's decoder: the backward pass.

The loop over bins finds only the gradients of the pre-activations ("deltas"); those of weights and early
inputs are one product per chunk of bins, while the chunk is still in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctd_contract.torch.sequences.workspace import Workspace
from ctd_models_torch.lfads.decoder_loop.arguments import Decoded
from ctd_models_torch.lfads.decoder_loop.block import Block, Chunk


class Targets(NamedTuple):
    """Gradients that blocks write their trials of; None where nobody needs them."""

    generator_state: Tensor
    controller_state: Tensor
    encoded: Tensor | None
    external: Tensor | None


def go_back(block: Block, arriving: Sequence[Tensor | None], targets: Targets) -> tuple[list[Tensor], ...]:
    """Write the gradients of a block's trials.

    Args:
        block: After its forward pass, whose arrays stay as they are.
        arriving: Gradients of the outputs in the order of Decoded, None where there is none.
        targets: Where to write.

    Returns:
        Sums of which ``Weights.parameter_grads`` makes the gradients of the parameters.
    """
    way = _WayBack(block, arriving, targets)
    for start in reversed(block.starts()):
        way.pass_chunk(block.chunk(start, start))
    way.finish()
    return way.sums


class _WayBack:
    def __init__(self, block: Block, arriving: Sequence[Tensor | None], targets: Targets) -> None:
        self.block, self.targets, self.weights = block, targets, block.weights
        # Decoded is made for outputs; here it names their gradients, any of which may be missing.
        self.arriving = Decoded(*arriving)  # type: ignore[arg-type]
        self.sums = self.weights.sums()
        weights, trials, size = self.weights, block.trials, block.size
        widths = [4 * unit.size for unit in weights.units]
        generator, controls = weights.generator.size, weights.controls
        per_bin = sum(widths) + sum(block.columns) + weights.factors + generator + 3 * controls
        once = sum(unit.grad for unit in weights.units) + generator
        # Held as long as what is cut from it: afterwards its buffer goes to whoever asks next.
        self.workspace = workspace = Workspace(
            trials * (size * per_bin + once), block.arguments.generator_state
        )
        self.deltas = [workspace.cut(size, trials, width) for width in widths]
        self.driven = block.driven(workspace)
        self.factors, self.masked, self.statistics, self.spread = (
            workspace.cut(size, trials, width)
            for width in (weights.factors, generator, 2 * controls, controls)
        )
        self.grads = [workspace.cut(trials, unit.grad).zero_() for unit in weights.units]
        self.scratch = workspace.cut(trials, generator)

    def pass_chunk(self, chunk: Chunk) -> None:
        """Go back through a chunk and collect its part of all gradients."""
        mean, log_variance = self.statistics[: chunk.bins].chunk(2, dim=-1)
        arriving = self.arriving
        for buffer, given in (
            (self.factors[: chunk.bins], arriving.factors),
            (mean, arriving.control_mean),
            (log_variance, arriving.control_log_variance),
        ):
            buffer.zero_() if given is None else buffer.copy_(self.block.view(given, chunk))
        # u = mu + exp(log v / 2) noise, so du / d log v is half of u - mu.
        controls = self.weights.generator.lates(chunk.generator[:-1])
        means = chunk.statistics[..., : self.weights.controls]
        torch.sub(controls, means, out=self.spread[: chunk.bins]).mul_(0.5)
        self._step_back(chunk)
        self._collect(chunk)
        self._write_inputs(chunk)

    def _step_back(self, chunk: Chunk) -> None:
        """Find the deltas of all bins of a chunk."""
        weights, block, first = self.weights, self.block, chunk.start == 0
        controller, generator = weights.units
        to_states, to_controls, to_readings = (
            block.steps(given, chunk)
            for given in (self.arriving.states, self.arriving.controls, self.arriving.controller_states)
        )
        of_factors, of_states = block.next_masks(chunk)
        of_controller, of_generator = self.grads
        reading, late = controller.states(of_controller), controller.lates(of_controller)
        state, control = generator.states(of_generator), generator.lates(of_generator)
        back_controller, back_generator = (
            unit.backward(rows, deltas[: chunk.bins], grad, first)
            for unit, rows, deltas, grad in zip(
                weights.units, chunk[2:4], self.deltas, self.grads, strict=True
            )
        )
        factors, statistics, spread = (
            buffer[: chunk.bins].unbind(0) for buffer in (self.factors, self.statistics, self.spread)
        )
        for k in range(chunk.bins - 1, -1, -1):
            if of_factors is None:
                factors[k].add_(late)
            elif k < len(of_factors):
                factors[k].addcmul_(late, of_factors[k])
            if to_states is not None:
                state.add_(to_states[k])
            self._through_factors(factors[k], None if of_states is None else of_states[k], state)
            next(back_generator)
            if to_controls is not None:
                control.add_(to_controls[k])
            mean, log_variance = statistics[k].chunk(2, dim=-1)
            mean.add_(control)
            log_variance.addcmul_(control, spread[k])
            if to_readings is not None:
                reading.add_(to_readings[k])
            reading.addmm_(statistics[k], weights.control_weight)
            next(back_controller)

    def _through_factors(self, factors: Tensor, mask: Tensor | None, state: Tensor) -> None:
        """Add what comes back from factors to the gradient of their state."""
        weight = self.weights.factor_weight
        if mask is None:
            state.addmm_(factors, weight)
        else:
            state.addcmul_(torch.mm(factors, weight, out=self.scratch), mask)

    def _collect(self, chunk: Chunk) -> None:
        """Add a chunk's part of the gradients of the parameters."""
        weights, block, bins = self.weights, self.block, chunk.bins
        early = block.early(self.driven, chunk)
        parts = zip(weights.units, self.sums, chunk[2:4], self.deltas, early, strict=False)
        for unit, sums, rows, deltas, driven in parts:
            unit.collect(sums, *(one.flatten(0, 1) for one in (rows[:-1], deltas[:bins], driven)))
        control_weight, control_bias, factor_weight = self.sums[2]
        statistics = self.statistics[:bins].flatten(0, 1)
        readings = weights.controller.states(chunk.controller[1:]).flatten(0, 1)
        control_weight.addmm_(statistics.t(), readings)
        control_bias.add_(statistics.sum(0))
        states = weights.generator.states(chunk.generator[1:])
        mask = block.arguments.factor_mask
        if mask is not None:
            states = torch.mul(states, block.view(mask, chunk, ahead=1), out=self.masked[:bins])
        factor_weight.addmm_(self.factors[:bins].flatten(0, 1).t(), states.flatten(0, 1))

    def _write_inputs(self, chunk: Chunk) -> None:
        """Write the gradients of the early inputs."""
        mask, block = self.block.arguments.controller_mask, self.block
        found = zip(
            self.weights.units, self.deltas, (self.targets.encoded, self.targets.external), (mask, None),
            strict=True,
        )  # fmt: skip
        for unit, deltas, target, early_mask in found:
            if target is None:
                continue
            grad = unit.kernel.input_grad(deltas[: chunk.bins].flatten(0, 1))
            grad = grad.view(chunk.bins, block.trials, -1)
            if early_mask is not None:
                grad.mul_(block.view(early_mask, chunk)[..., : grad.shape[2]])
            block.view(target, chunk).copy_(grad)

    def finish(self) -> None:
        """Go back through the factors of the initial state, and write the gradients of both states."""
        block, weights = self.block, self.weights
        of_controller, of_generator = self.grads
        factors, state = weights.controller.lates(of_controller), weights.generator.states(of_generator)
        of_factors, of_states = block.first_masks()
        if of_factors is not None:
            factors.mul_(of_factors)
        self._through_factors(factors, of_states, state)
        initial = block.arguments.generator_state[block.rows]
        seen = initial if of_states is None else initial * of_states
        self.sums[2][2].addmm_(factors.t(), seen)
        self.targets.generator_state[block.rows] = state
        self.targets.controller_state[block.rows] = weights.controller.states(of_controller)
