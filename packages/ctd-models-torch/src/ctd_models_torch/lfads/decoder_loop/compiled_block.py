"""Some trials of LFADS's decoder, run by compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from ctd_contract.torch.sequences.compiled_block import array, bound, compilable
from ctd_contract.torch.sequences.workspace import Workspace
from ctd_models_torch.lfads.decoder_loop.arguments import DecoderArguments
from ctd_models_torch.lfads.decoder_loop.backward import Targets
from ctd_models_torch.lfads.decoder_loop.cells import LateBefore, LateUnit
from ctd_models_torch.lfads.decoder_loop.weights import Weights


class CompiledBlock:
    """Some trials, and what is kept of them between forward and backward; see ``Block``."""

    def __init__(self, weights: Weights, arguments: DecoderArguments, rows: slice) -> None:
        self.weights, self.arguments, self.rows = weights, arguments, rows
        self.trials = len(arguments.generator_state[rows])
        self.like = arguments.generator_state[rows]

    @staticmethod
    def takes(weights: Weights, arguments: DecoderArguments) -> bool:
        """Tell whether there is a compiled loop for these units."""
        before = all(isinstance(unit, LateBefore) for unit in weights.units)
        return before and compilable(arguments.generator_state)

    def forward(self, outputs: Sequence[Tensor], keep: bool) -> None:
        """Write the outputs of these trials; without ``keep`` only two bins are ever held."""
        from ctd_models_torch.lfads.decoder_loop import compiled as loop

        weights, arguments, trials = self.weights, self.arguments, self.trials
        held = arguments.n_time + 1 if keep else 2
        widths = [*(unit.row for unit in weights.units), 2 * weights.controls]
        workspace = Workspace(trials * held * sum(widths), self.like)
        bins = [workspace.cut(held, trials, width) for width in widths]
        states = arguments.controller_state, arguments.generator_state
        for rows, unit, state in zip(bins, weights.units, states, strict=False):
            unit.states(rows[0]).copy_(state[self.rows])  # type: ignore[index]
        self.bins = loop.Bins(*(one.numpy() for one in bins))
        loop.run_forward(*self._both_ways(), loop.Results(*(output[self.rows].numpy() for output in outputs)))
        if keep:
            self.workspace = workspace
        else:
            del self.bins

    def backward(self, arriving: Sequence[Tensor | None], targets: Targets) -> tuple[list[Tensor], ...]:
        """Write the gradients of these trials; returns sums for those of the parameters."""
        from ctd_models_torch.lfads.decoder_loop import compiled as loop

        units = self.weights.units
        of_units = [self.like.new_zeros(self.trials, unit.grad) for unit in units]
        widths = [*(3 * unit.size for unit in units), 2 * self.weights.controls]
        scratch = [self.like.new_empty(self.trials, width) for width in widths]
        sums = self.weights.sums()
        found = self._arrays(targets.encoded, targets.external, None, None, None)
        loop.run_backward(
            *self._both_ways(), loop.Results(*self._arrays(*arriving)),
            loop.Grads(*(one.numpy() for one in (*of_units, *scratch))),
            *(loop.UnitArrays(*(total.numpy() for total in part)) for part in sums[:2]),
            loop.MapArrays(*(total.numpy() for total in sums[2])), loop.Given(*found),
        )  # fmt: skip
        states = targets.controller_state, targets.generator_state
        for target, unit, grad in zip(states, units, of_units, strict=True):
            target[self.rows] = unit.states(grad)
        return sums

    def _both_ways(self) -> tuple[Any, ...]:
        """Arguments that both loops begin with."""
        from ctd_models_torch.lfads.decoder_loop import compiled as loop

        weights, arguments, trials = self.weights, self.arguments, self.trials
        given = self._arrays(
            arguments.encoded, arguments.external, arguments.noise,
            arguments.controller_mask, arguments.factor_mask,
        )  # fmt: skip
        encoded = 0 if arguments.encoded is None else arguments.encoded.shape[2]
        size = weights.generator.size
        scratch = [self.like.new_empty(trials, columns) for columns in (encoded, size, size, weights.factors)]
        maps = weights.control_weight, weights.control_bias, weights.factor_weight
        return (
            loop.Given(*given), self.bins, loop.Scratch(*(one.numpy() for one in scratch)),
            *(loop.UnitArrays(*_weights(unit)) for unit in weights.units),
            loop.MapArrays(*(array(one, self.like) for one in maps)),
            bound(weights.generator.kernel.clip, self.like),
        )  # fmt: skip

    def _arrays(self, *values: Tensor | None) -> list[NDArray[Any]]:
        """View these trials of (trial, time, ...)."""
        return [array(None if one is None else one[self.rows], self.like) for one in values]


def _weights(unit: LateUnit) -> list[NDArray[Any]]:
    assert isinstance(unit, LateBefore)
    return [one.numpy() for one in (unit.weight_gates_t, unit.weight_new_t, unit.kernel.weight_driven)]
