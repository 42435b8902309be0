"""Some trials of LFADS's decoder: the forward pass, and what the backward pass needs of it.

All arrays in here are time-major, so that every bin's matrix is one piece of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctd_contract.torch.sequences.workspace import Workspace
from ctd_models_torch.lfads.decoder_loop.arguments import DecoderArguments
from ctd_models_torch.lfads.decoder_loop.weights import Weights

# Bins of a chunk: enough for a full product, few enough for the cache. A GPU rather wants few launches.
_CHUNK = {"cpu": 8, "cuda": 32}


class Chunk(NamedTuple):
    """A few bins of a block.

    Attributes:
        start: First bin.
        bins: Their number.
        controller: (bins + 1, trials, row), the controller's rows.
        generator: (bins + 1, trials, row), the generator's.
        statistics: (bins, trials, 2 control), means and log-variances of the controls.
    """

    start: int
    bins: int
    controller: Tensor
    generator: Tensor
    statistics: Tensor


class Block:
    """Some trials, and what is kept of them between forward and backward."""

    def __init__(self, weights: Weights, arguments: DecoderArguments, rows: slice) -> None:
        self.weights, self.arguments, self.rows = weights, arguments, rows
        self.trials = len(arguments.generator_state[rows])
        self.bins = arguments.n_time
        self.size = min(self.bins, _CHUNK.get(arguments.generator_state.device.type, 1))

    def forward(self, outputs: Sequence[Tensor], keep: bool) -> None:
        """Write the outputs of these trials; without ``keep`` only one chunk is ever held."""
        weights, trials = self.weights, self.trials
        held = self.bins if keep else self.size
        kept = sum(unit.row for unit in weights.units) * (held + 1) + 2 * weights.controls * held
        passing = (sum(self.columns) + weights.factors) * self.size + weights.generator.size
        workspace = Workspace(trials * (kept + passing), self.arguments.generator_state)
        rows = [workspace.cut(held + 1, trials, unit.row) for unit in weights.units]
        self.kept = (*rows, workspace.cut(held, trials, 2 * weights.controls))
        driven = self.driven(workspace)
        factors = workspace.cut(self.size, trials, weights.factors)
        masked = workspace.cut(trials, weights.generator.size)
        self._begin(masked)
        for start in self.starts():
            if start and not keep:
                self._carry()
            chunk = self.chunk(start, start if keep else 0)
            for unit, here, early in zip(weights.units, chunk[2:4], self.early(driven, chunk), strict=True):
                unit.drive(here[:-1], early)
            self._advance(chunk, factors, masked)
            self._write(outputs, chunk, factors)
        if keep:
            self.workspace = workspace
        else:
            del self.kept

    def starts(self) -> range:
        """First bins of the chunks."""
        return range(0, self.bins, self.size)

    def chunk(self, start: int, at: int) -> Chunk:
        """View the chunk that starts with a bin, which is held in place ``at``."""
        bins = min(self.size, self.bins - start)
        of_controller, of_generator, statistics = self.kept
        rows = slice(at, at + bins + 1)
        return Chunk(start, bins, of_controller[rows], of_generator[rows], statistics[at : at + bins])

    @property
    def columns(self) -> list[int]:
        """Early inputs of both units, with the column of ones."""
        both = self.arguments.encoded, self.arguments.external
        return [1 if one is None else one.shape[2] + 1 for one in both]

    def driven(self, workspace: Workspace) -> list[Tensor]:
        """Cut room for the early inputs of a chunk, with ones behind them."""
        driven = [workspace.cut(self.size, self.trials, columns) for columns in self.columns]
        for one in driven:
            one[..., -1] = 1.0
        return driven

    def early(self, driven: Sequence[Tensor], chunk: Chunk) -> list[Tensor]:
        """Copy the early inputs of a chunk, with the mask on what the controller reads."""
        of_controller, of_generator = (one[: chunk.bins] for one in driven)
        arguments = self.arguments
        if arguments.encoded is not None:
            encoded = of_controller[..., :-1]
            encoded.copy_(self.view(arguments.encoded, chunk))
            if arguments.controller_mask is not None:
                encoded.mul_(self.view(arguments.controller_mask, chunk)[..., : encoded.shape[2]])
        if arguments.external is not None:
            of_generator[..., :-1] = self.view(arguments.external, chunk)
        return [of_controller, of_generator]

    def view(self, values: Tensor, chunk: Chunk, ahead: int = 0) -> Tensor:
        """View a chunk's bins of (trial, time, ...), or those some bins ahead, as (bins, trials, ...)."""
        start = chunk.start + ahead
        return values[self.rows, start : start + chunk.bins].transpose(0, 1)

    def steps(self, values: Tensor | None, chunk: Chunk) -> Sequence[Tensor] | None:
        """View every bin of a chunk of (trial, time, ...) or of nothing."""
        return None if values is None else self.view(values, chunk).unbind(0)

    def next_masks(self, chunk: Chunk) -> tuple[Sequence[Tensor] | None, Sequence[Tensor] | None]:
        """Per bin what multiplies its factors where the next bin's controller reads them, and its state.

        There is no next bin after the last one, so the first list may end before the chunk does.
        """
        of_controller, of_states = self.arguments.controller_mask, self.arguments.factor_mask
        return (
            None if of_controller is None
            else self.view(of_controller[..., -self.weights.factors :], chunk, ahead=1).unbind(0),
            None if of_states is None else self.view(of_states, chunk, ahead=1).unbind(0),
        )  # fmt: skip

    def first_masks(self) -> tuple[Tensor | None, Tensor | None]:
        """The same of the initial factors and state."""
        of_controller, of_states = self.arguments.controller_mask, self.arguments.factor_mask
        return (
            None if of_controller is None else of_controller[self.rows, 0, -self.weights.factors :],
            None if of_states is None else of_states[self.rows, 0],
        )

    def _begin(self, masked: Tensor) -> None:
        """Set the first states, and the factors that the controller reads in the first bin."""
        weights, arguments = self.weights, self.arguments
        of_controller, of_generator, _ = self.kept
        state = arguments.generator_state[self.rows]
        weights.generator.states(of_generator[0]).copy_(state)
        weights.controller.states(of_controller[0]).copy_(arguments.controller_state[self.rows])  # type: ignore[index]
        of_factors, of_states = self.first_masks()
        if of_states is not None:
            state = torch.mul(state, of_states, out=masked)
        factors = weights.controller.lates(of_controller[0])
        torch.mm(state, weights.factor_weight_t, out=factors)
        if of_factors is not None:
            factors.mul_(of_factors)

    def _carry(self) -> None:
        """Begin a chunk where the last one ended, if none is kept."""
        for unit, rows in zip(self.weights.units, self.kept[:2], strict=True):
            rows[0, :, : unit.size + unit.late] = rows[self.size, :, : unit.size + unit.late]

    def _advance(self, chunk: Chunk, factors: Tensor, masked: Tensor) -> None:
        """Go through the bins of a chunk."""
        weights, first = self.weights, chunk.start == 0
        controller, generator = weights.units
        noise = self.steps(self.arguments.noise, chunk)
        of_factors, of_states = self.next_masks(chunk)
        step_controller = controller.forward(chunk.controller, first)
        step_generator = generator.forward(chunk.generator, first)
        steps = zip(
            controller.states(chunk.controller[1:]).unbind(0),
            controller.lates(chunk.controller[1:]).unbind(0),
            generator.states(chunk.generator[1:]).unbind(0),
            generator.lates(chunk.generator[:-1]).unbind(0),
            chunk.statistics.unbind(0), *(half.unbind(0) for half in chunk.statistics.chunk(2, dim=-1)),
            factors[: chunk.bins].unbind(0), strict=True,
        )  # fmt: skip
        for k, (reading, late, state, control, both, mean, log_variance, made) in enumerate(steps):
            next(step_controller)
            torch.addmm(weights.control_bias, reading, weights.control_weight_t, out=both)
            if noise is None:
                control.copy_(mean)
            else:
                torch.mul(log_variance, 0.5, out=control).exp_().mul_(noise[k]).add_(mean)
            next(step_generator)
            seen = state if of_states is None else torch.mul(state, of_states[k], out=masked)
            torch.mm(seen, weights.factor_weight_t, out=made)
            if of_factors is None:
                late.copy_(made)
            elif k < len(of_factors):
                torch.mul(made, of_factors[k], out=late)

    def _write(self, outputs: Sequence[Tensor], chunk: Chunk, factors: Tensor) -> None:
        """Copy a chunk's results to the outputs, which are in the order of Decoded."""
        controller, generator = self.weights.units
        results = (
            generator.states(chunk.generator[1:]), factors[: chunk.bins],
            *chunk.statistics.chunk(2, dim=-1),
            generator.lates(chunk.generator[:-1]), controller.states(chunk.controller[1:]),
        )  # fmt: skip
        for output, result in zip(outputs, results, strict=True):
            self.view(output, chunk).copy_(result)
