"""LFADS's decoder bin by bin in plain torch: the slow, obvious twin of the fast loop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ctd_contract.torch.sequences.arguments import at
from ctd_contract.torch.sequences.cells import gru_cell, joined
from ctd_models_torch.lfads.decoder_loop.arguments import (
    Decoded,
    DecoderArguments,
    DecoderParameters,
    GRUWeights,
)


def decode_plain(parameters: DecoderParameters, arguments: DecoderArguments) -> Decoded:
    """Call the cells for every bin; see ``decode``."""
    state, control_state = arguments.generator_state, arguments.controller_state
    factors = _factors(parameters, arguments, state, 0)
    states, all_factors, rows = [], [], []
    for index in range(arguments.n_time):
        external, control = at(arguments.external, index), None
        if parameters.controller is not None and control_state is not None:
            seen = _masked(_with(at(arguments.encoded, index), factors), at(arguments.controller_mask, index))
            control_state = _cell(seen, control_state, parameters.controller, arguments)
            mean, log_variance, control = _control(parameters, control_state, at(arguments.noise, index))
            rows.append((mean, log_variance, control, control_state))
        state = _cell(
            external if control is None else joined(control, external), state, parameters.generator, arguments
        )
        factors = _factors(parameters, arguments, state, index + 1)
        states.append(state)
        all_factors.append(factors)
    of_controller = [torch.stack(column, dim=1) for column in zip(*rows, strict=True)]
    return Decoded(torch.stack(states, dim=1), torch.stack(all_factors, dim=1), *of_controller)


def _factors(parameters: DecoderParameters, arguments: DecoderArguments, state: Tensor, index: int) -> Tensor:
    return functional.linear(_masked(state, at(arguments.factor_mask, index)), parameters.factor_weight)


def _control(
    parameters: DecoderParameters, state: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    weight: Tensor = parameters.control_weight  # type: ignore[assignment]
    mean, log_variance = functional.linear(state, weight, parameters.control_bias).chunk(2, dim=-1)
    control = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise
    return mean, log_variance, control


def _cell(inputs: Tensor | None, state: Tensor, weights: GRUWeights, arguments: DecoderArguments) -> Tensor:
    return gru_cell(inputs, state, *weights, reset=arguments.reset, clip=arguments.clip)


def _with(encoded: Tensor | None, factors: Tensor) -> Tensor:
    return factors if encoded is None else torch.cat([encoded, factors], dim=-1)


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values * mask
