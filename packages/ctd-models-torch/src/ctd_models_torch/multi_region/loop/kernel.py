"""MR-LFADS's loop as one node of the graph, all regions in batched products, with a hand-written backward.

The loop backwards finds only the gradients of pre-activations; those of the weights are one product over all
bins. What is kept grows linearly with the bins. Arrays are as in `stacked_unit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctd_models_torch.multi_region.loop.arguments import bounded_log_variance, log_variance_slope
from ctd_models_torch.multi_region.stacked_unit import UNITS, StackedUnit, over_bins


@dataclass(frozen=True)
class Drawn:
    """What takes no gradient, and the form of the units.

    Attributes:
        noise: (region, time, trial, late), standard normal, or None to pass the means on.
        factor_mask: (region, time, trial, factor), multiplies the factors that controllers get; or None.
        state_mask: (region, time + 1, trial, state), multiplies what factors and messages are of; or None.
        channels: (region, time, 1, late), multiplies what generators receive; or None.
        controls: Inferred inputs of a region; 0 without controllers.
        factors: Factors of the region with the most.
        reset: ``"before"`` or ``"after"``.
        clip: Of the units.
    """

    noise: Tensor | None
    factor_mask: Tensor | None
    state_mask: Tensor | None
    channels: Tensor | None
    controls: int
    factors: int
    reset: str
    clip: float | None

    def to(self, dtype: torch.dtype) -> Drawn:
        """The same in another precision."""
        cast = {name: one.to(dtype) for name, one in vars(self).items() if isinstance(one, Tensor)}
        return replace(self, **cast)


class Kernel(torch.autograd.Function):
    """Call with a `Drawn` and the tensors of `forward`."""

    @staticmethod
    def forward(
        ctx: Any,
        drawn: Drawn,
        controller_driven: Tensor,
        controller_state: Tensor,
        controller_late: Tensor,
        controller_recurrent: Tensor,
        control_weight: Tensor,
        control_bias: Tensor,
        generator_driven: Tensor,
        generator_state: Tensor,
        generator_late: Tensor,
        generator_recurrent: Tensor,
        emit_weight: Tensor,
        emit_bias: Tensor,
    ) -> tuple[Tensor, ...]:
        """Run all bins.

        Args:
            ctx: Of the graph.
            drawn: See `Drawn`.
            controller_driven: As in `StackedUnit`, as the next three; without columns if there are none.
            controller_state: Initial state.
            controller_late: Weights of the factors.
            controller_recurrent: Recurrent weights.
            control_weight: (region, controller, 2 control), means first.
            control_bias: (region, 1, 2 control).
            generator_driven: As in `StackedUnit`, as the next three.
            generator_state: Initial state.
            generator_late: Weights of controls and messages.
            generator_recurrent: Recurrent weights.
            emit_weight: (region, state, factor + sent), from states under dropout to factors and to what is
                sent: (target, mean or log-variance, channel).
            emit_bias: (region, 1, factor + sent).

        Returns:
            States, factors, and means, log-variances and values of controls and messages,
            (region, time, trial, ...).
        """
        unit = UNITS[drawn.reset]
        controller = unit(
            controller_driven, controller_state, controller_late, controller_recurrent, drawn.clip
        )
        generator = unit(generator_driven, generator_state, generator_late, generator_recurrent, drawn.clip)
        linear = (control_weight, control_bias, emit_weight, emit_bias)
        tape = Tape(drawn, controller, generator, *linear)
        tape.run()
        if any(ctx.needs_input_grad):
            ctx.tape = tape
        ctx.set_materialize_grads(False)
        # Copies: whoever changes an output in place must not change what backward reads.
        return tuple(output.clone() for output in tape.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Run all bins backwards."""
        return (None, *ctx.tape.go_back(*grads))


class Tape:
    """The loop, and what is kept of it."""

    def __init__(
        self,
        drawn: Drawn,
        controller: StackedUnit,
        generator: StackedUnit,
        control_weight: Tensor,
        control_bias: Tensor,
        emit_weight: Tensor,
        emit_bias: Tensor,
    ) -> None:
        self.drawn, self.controller, self.generator = drawn, controller, generator
        self.control_weight, self.control_bias = control_weight, control_bias
        self.emit_weight, self.emit_bias = emit_weight, emit_bias
        regions, self.bins, trials = generator.gates.shape[:3]
        late = generator.late.shape[1]
        like = generator.states
        self.emitted = like.new_empty(regions, self.bins + 1, trials, emit_weight.shape[2])
        self.mean, self.raw, self.log_variance, self.values = (
            like.new_empty(regions, self.bins, trials, late) for _ in range(4)
        )
        self.turn = exchange(regions, like.device)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """In the order of `Kernel.forward`."""
        factors = self.emitted[:, 1:, :, : self.drawn.factors]
        return self.generator.states[:, 1:], factors, self.mean, self.log_variance, self.values

    def run(self) -> None:
        """Go through all bins."""
        self._emit(0)
        for index in range(self.bins):
            self._receive(index)
            self.generator.forward(index, self.values[:, index])
            self._emit(index + 1)

    def _shown(self, bins: int | slice) -> Tensor:
        """States under dropout."""
        states, mask = self.generator.states[:, bins], self.drawn.state_mask
        return states if mask is None else states * mask[:, bins]

    def _emit(self, index: int) -> None:
        torch.baddbmm(self.emit_bias, self._shown(index), self.emit_weight, out=self.emitted[:, index])

    def _factors(self, bins: int | slice) -> Tensor:
        """Factors that controllers get in the bin, or bins, after these."""
        factors, mask = self.emitted[:, bins, ..., : self.drawn.factors], self.drawn.factor_mask
        return factors if mask is None else factors * mask[:, bins]

    def _receive(self, index: int) -> None:
        """Find what the generators receive in a bin."""
        drawn = self.drawn
        mean, raw = self.mean[:, index], self.raw[:, index]
        if drawn.controls:
            reading = self.controller.forward(index, self._factors(index))
            both = torch.baddbmm(self.control_bias, reading, self.control_weight)
            mean[..., : drawn.controls], raw[..., : drawn.controls] = both.chunk(2, dim=-1)
        sent = self.emitted[:, index, :, drawn.factors :]
        mean[..., drawn.controls :], raw[..., drawn.controls :] = received(sent, self.turn)
        self.log_variance[:, index] = bounded_log_variance(raw)
        value = self.values[:, index]
        if drawn.noise is None:
            value.copy_(mean)
        else:
            torch.addcmul(
                mean, torch.exp(0.5 * self.log_variance[:, index]), drawn.noise[:, index], out=value
            )
        if drawn.channels is not None:
            value.mul_(drawn.channels[:, index])

    def go_back(
        self,
        states: Tensor | None,
        factors: Tensor | None,
        mean: Tensor | None,
        log_variance: Tensor | None,
        values: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Gradients of the tensors of `Kernel.forward`, given those of its outputs."""
        drawn, controller, generator = self.drawn, self.controller, self.generator
        controls, units = drawn.controls, (controller, generator)
        for unit in units:
            unit.prepare()
        to_emitted = torch.zeros_like(self.emitted)
        if factors is not None:
            to_emitted[:, 1:, :, : drawn.factors] = factors
        to_mean, to_raw = (
            torch.zeros_like(self.mean) if g is None else g.clone() for g in (mean, log_variance)
        )
        slope = log_variance_slope(self.raw)
        half = None if drawn.noise is None else 0.5 * torch.exp(0.5 * self.log_variance) * drawn.noise
        of_state, of_reading = (torch.zeros_like(unit.states[:, 0]) for unit in (generator, controller))
        for index in range(self.bins - 1, -1, -1):
            self._through_emission(of_state, to_emitted, index + 1)
            if states is not None:
                of_state.add_(states[:, index])
            of_state, of_value = generator.backward(index, of_state)
            if values is not None:
                of_value.add_(values[:, index])
            if drawn.channels is not None:
                of_value.mul_(drawn.channels[:, index])
            of_mean, of_raw = to_mean[:, index].add_(of_value), to_raw[:, index]
            if half is not None:
                of_raw.addcmul_(of_value, half[:, index])
            of_raw.mul_(slope[:, index])
            to_emitted[:, index, :, drawn.factors :] = returned(
                of_mean[..., controls:], of_raw[..., controls:], self.turn
            )
            if controls:
                both = torch.cat([of_mean[..., :controls], of_raw[..., :controls]], dim=-1)
                of_reading.baddbmm_(both, self.control_weight.transpose(1, 2))
                of_reading, of_factors = controller.backward(index, of_reading)
                if drawn.factor_mask is not None:
                    of_factors.mul_(drawn.factor_mask[:, index])
                to_emitted[:, index, :, : drawn.factors] += of_factors
        self._through_emission(of_state, to_emitted, 0)
        return self._collect(of_state, of_reading, to_emitted, to_mean, to_raw)

    def _through_emission(self, of_state: Tensor, to_emitted: Tensor, index: int) -> None:
        """Add what comes back from factors and messages to the gradient of their states."""
        found = torch.bmm(to_emitted[:, index], self.emit_weight.transpose(1, 2))
        mask = self.drawn.state_mask
        of_state.add_(found) if mask is None else of_state.addcmul_(found, mask[:, index])

    def _collect(
        self, of_state: Tensor, of_reading: Tensor, to_emitted: Tensor, to_mean: Tensor, to_raw: Tensor
    ) -> tuple[Tensor, ...]:
        controls, controller, generator = self.drawn.controls, self.controller, self.generator
        if controls:
            both = torch.cat([to_mean[..., :controls], to_raw[..., :controls]], dim=-1)
            of_controller = (
                controller.deltas,
                of_reading,
                controller.late_grad(self._factors(slice(0, self.bins))),
                controller.recurrent_grad(),
                over_bins(controller.states[:, 1:], both),
                both.sum((1, 2))[:, None],
            )
        else:
            parts = (controller.gates, of_reading, controller.late, controller.recurrent)
            linear = (self.control_weight, self.control_bias)
            of_controller = tuple(torch.zeros_like(one) for one in (*parts, *linear))
        return (
            *of_controller,
            generator.deltas,
            of_state,
            generator.late_grad(self.values),
            generator.recurrent_grad(),
            over_bins(self._shown(slice(None)), to_emitted),
            to_emitted.sum((1, 2))[:, None],
        )


def exchange(regions: int, device: torch.device) -> Tensor:
    """Where pairs (target, source) lie among pairs (source, target), and as well the other way round."""
    pairs = [(a, b) for a in range(regions) for b in range(regions) if a != b]
    return torch.tensor([pairs.index((b, a)) for a, b in pairs], device=device)


def received(sent: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """What arrives of what is sent.

    Args:
        sent: (source, trial, target mean-or-log-variance channel).
        turn: See `exchange`.

    Returns:
        Means and raw log-variances, (target, trial, source channel).
    """
    regions, trials = sent.shape[:2]
    pairs = sent.view(regions, trials, regions - 1, -1).transpose(1, 2).flatten(0, 1)
    pairs = pairs.index_select(0, turn).view(regions, regions - 1, trials, 2, -1)
    mean, raw = pairs.permute(3, 0, 2, 1, 4).flatten(3)
    return mean, raw


def returned(mean: Tensor, raw: Tensor, turn: Tensor) -> Tensor:
    """What goes back to ``sent`` of what `received` gives."""
    regions, trials = mean.shape[:2]
    both = torch.stack([mean, raw]).view(2, regions, trials, regions - 1, -1).permute(1, 3, 2, 0, 4)
    pairs = both.flatten(0, 1).index_select(0, turn).view(regions, regions - 1, trials, -1)
    return pairs.transpose(1, 2).flatten(2)
