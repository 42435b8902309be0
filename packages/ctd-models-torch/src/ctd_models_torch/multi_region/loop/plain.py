"""MR-LFADS's loop, region by region and bin by bin in plain torch: the slow, obvious twin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ctd_contract.torch.sequences.arguments import at
from ctd_contract.torch.sequences.cells import gru_cell
from ctd_models_torch.multi_region.loop.arguments import (
    LoopArguments,
    Looped,
    RegionParameters,
    Sampled,
    bounded_log_variance,
    slot,
)


def loop_plain(regions: Sequence[RegionParameters], arguments: LoopArguments) -> Looped:
    """Call the cells of every region in every bin; see ``loop``."""
    options = {"reset": arguments.reset, "clip": arguments.clip}
    count, states = range(len(regions)), list(arguments.generator_states)
    readings = None if arguments.controller_states is None else list(arguments.controller_states)
    factors, outgoing = _emit_all(regions, arguments, states, 0)
    rows: list[list[list[Tensor]]] = []
    for index in range(arguments.n_time):
        row: list[list[Tensor]] = []
        new_states = []
        for region, parameters in enumerate(regions):
            given, found = [], []
            if readings is not None and parameters.controller is not None:
                seen = _seen(arguments, region, index, factors[region])
                readings[region] = gru_cell(seen, readings[region], *parameters.controller, **options)
                weight: Tensor = parameters.control_weight  # type: ignore[assignment]
                raw = functional.linear(readings[region], weight, parameters.control_bias)
                noise = at(arguments.control_noise, index)
                mean, raw = raw.chunk(2, -1)
                found = _sample(mean, raw, None if noise is None else noise[:, region])
                given.append(found[2])
            arriving = [
                outgoing[source][:, slot(source, region)].chunk(2, -1) for source in count if source != region
            ]
            mean, raw = (torch.cat(part, dim=-1) for part in zip(*arriving, strict=True))
            noise = at(arguments.message_noise, index)
            mean, log_variance, message = _sample(mean, raw, None if noise is None else noise[:, region])
            if arguments.channels is not None:
                message = message * arguments.channels[index, region]
            given.append(message)
            if arguments.external is not None:
                given.append(arguments.external[:, index])
            state = gru_cell(torch.cat(given, dim=-1), states[region], *parameters.generator, **options)
            new_states.append(state)
            row.append([mean, log_variance, message, *found])
        states = new_states
        factors, outgoing = _emit_all(regions, arguments, states, index + 1)
        for region, one in enumerate(row):
            one += [states[region], factors[region]]
        rows.append(row)
    return _stack(rows, has_controls=readings is not None)


def _emit_all(
    regions: Sequence[RegionParameters], arguments: LoopArguments, states: Sequence[Tensor], index: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Factors, and what each region sends, (trial, target, 2 message)."""
    factors, outgoing = [], []
    for region, (parameters, state) in enumerate(zip(regions, states, strict=True)):
        masks = arguments.state_masks
        shown = state if masks is None else state * masks[region][:, index]
        factors.append(functional.linear(shown, parameters.factor_weight))
        emission = parameters.emission.of(shown, factors[-1])
        sent = functional.linear(emission, parameters.message_weight, parameters.message_bias)
        outgoing.append(sent.unflatten(1, (len(regions) - 1, -1)))
    return factors, outgoing


def _seen(arguments: LoopArguments, region: int, index: int, factors: Tensor) -> Tensor:
    encoded: Sequence[Tensor] = arguments.encoded  # type: ignore[assignment]
    seen = torch.cat([encoded[region][:, index], factors], dim=-1)
    masks = arguments.controller_masks
    return seen if masks is None else seen * masks[region][:, index]


def _sample(mean: Tensor, raw: Tensor, noise: Tensor | None) -> list[Tensor]:
    """Mean, log-variance, and a sample or the mean."""
    log_variance = bounded_log_variance(raw)
    value = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise
    return [mean, log_variance, value]


def _stack(rows: list[list[list[Tensor]]], *, has_controls: bool) -> Looped:
    """Lay (bin, region, part) tensors along the time axis."""
    columns = [
        [torch.stack(part, dim=1) for part in zip(*bins, strict=True)] for bins in zip(*rows, strict=True)
    ]
    parts = list(zip(*columns, strict=True))
    messages = Sampled(*(torch.stack(part, dim=2) for part in parts[:3]))
    controls = Sampled(*(torch.stack(part, dim=2) for part in parts[3:6])) if has_controls else None
    return Looped(list(parts[-2]), list(parts[-1]), controls, messages)
