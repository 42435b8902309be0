"""LFADS's decoder over all bins as one node of the graph, with a hand-written backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ctd_contract.torch.sequences import gru
from ctd_contract.torch.sequences.blocks import run_jobs, split_trials
from ctd_models_torch.lfads.decoder_loop.arguments import Decoded, DecoderArguments, DecoderParameters
from ctd_models_torch.lfads.decoder_loop.backward import Targets, go_back
from ctd_models_torch.lfads.decoder_loop.block import Block
from ctd_models_torch.lfads.decoder_loop.compiled_block import CompiledBlock
from ctd_models_torch.lfads.decoder_loop.weights import Weights


def decode_fast(parameters: DecoderParameters, arguments: DecoderArguments) -> Decoded:
    """Run blocks of trials side by side; see ``decode``."""
    arguments = _in_one_precision(arguments, parameters.factor_weight.dtype)
    controller, control_weight, control_bias, generator, factor_weight = parameters
    if controller is None:
        return _decode_uncontrolled(parameters, arguments)
    tensors = (
        *controller, control_weight, control_bias, *generator, factor_weight,
        arguments.generator_state, arguments.controller_state, arguments.encoded, arguments.external,
    )  # fmt: skip
    return Decoded(*_Loop.apply(parameters, arguments, *tensors))


def _decode_uncontrolled(parameters: DecoderParameters, arguments: DecoderArguments) -> Decoded:
    """Nothing that a bin needs is found in the loop: a GRU over all bins, and one product."""
    states = gru(
        arguments.external, arguments.generator_state, *parameters.generator,
        reset=arguments.reset, clip=arguments.clip, n_time=arguments.n_time,
    )  # fmt: skip
    mask = arguments.factor_mask
    seen = states if mask is None else states * mask[:, 1:]
    return Decoded(states, functional.linear(seen, parameters.factor_weight))


def _in_one_precision(arguments: DecoderArguments, dtype: torch.dtype) -> DecoderArguments:
    """Compute with the precision of the parameters, also behind a layer of half precision."""
    cast = {
        name: value.to(dtype)
        for name, value in vars(arguments).items()
        if isinstance(value, Tensor) and value.dtype != dtype
    }
    return replace(arguments, **cast)


class _Loop(torch.autograd.Function):
    """The decoder with a controller."""

    @staticmethod
    def forward(
        ctx: Any, parameters: DecoderParameters, arguments: DecoderArguments, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Run all blocks; keep what backward needs only if there will be one."""
        keep = any(ctx.needs_input_grad)
        ctx.set_materialize_grads(False)
        weights = Weights(parameters, reset=arguments.reset, clip=arguments.clip)
        trials, device = len(arguments.generator_state), arguments.generator_state.device
        make = CompiledBlock if CompiledBlock.takes(weights, arguments) else Block
        blocks = [make(weights, arguments, rows) for rows in split_trials(trials, device)]
        widths = (
            weights.generator.size, weights.factors, *[weights.controls] * 3, weights.controller.size
        )  # fmt: skip
        shape = trials, arguments.n_time
        outputs = tuple(arguments.generator_state.new_empty(*shape, width) for width in widths)
        run_jobs(lambda block: block.forward(outputs, keep), blocks, device)
        if keep:
            # Blocks hold what they need; saving the tensors lets torch refuse ones that were changed since.
            ctx.save_for_backward(*tensors)
            ctx.blocks = blocks
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Run all blocks backwards and add up what they found for the parameters."""
        initial, *early = ctx.saved_tensors[-4:], ctx.needs_input_grad[-2:]
        targets = _targets(initial, *early)
        blocks: list[Block | CompiledBlock] = ctx.blocks

        def back(block: Block | CompiledBlock) -> tuple[list[Tensor], ...]:
            compiled = isinstance(block, CompiledBlock)
            return block.backward(grads, targets) if compiled else go_back(block, grads, targets)

        sums = run_jobs(back, blocks, targets.generator_state.device)
        # Added in a fixed order: the result does not depend on which thread was first.
        total = [[_added(parts) for parts in zip(*group, strict=True)] for group in zip(*sums, strict=True)]
        return (None, None, *blocks[0].weights.parameter_grads(total), *targets)


def _added(parts: Sequence[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0])


def _targets(tensors: Sequence[Tensor], needs_early: Sequence[bool]) -> Targets:
    *states, encoded, external = tensors
    early = [
        torch.empty_like(one, memory_format=torch.contiguous_format) if needed else None
        for one, needed in zip((encoded, external), needs_early, strict=True)
    ]
    return Targets(*(torch.empty_like(one) for one in states), *early)
