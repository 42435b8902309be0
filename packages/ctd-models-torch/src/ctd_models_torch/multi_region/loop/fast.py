"""MR-LFADS's loop with all regions stacked: smaller ones are padded with zeros, and nothing of that shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ctd_models_torch.lfads.decoder_loop.decode import GRUWeights
from ctd_models_torch.multi_region.loop.arguments import LoopArguments, Looped, RegionParameters, Sampled
from ctd_models_torch.multi_region.loop.kernel import Drawn, Kernel


def loop_fast(regions: Sequence[RegionParameters], arguments: LoopArguments) -> Looped | None:
    """Run all regions in batched products; see ``loop``. None if an emission isn't affine."""
    emitters = _emitters(regions)
    if emitters is None:
        return None
    controls = 0 if arguments.controller_states is None else _controls(regions)
    factors = max(len(one.factor_weight) for one in regions)
    drawn = _drawn(regions, arguments, controls, factors)
    tensors = (
        *_controller(regions, arguments, factors),
        *_generator(regions, arguments, controls),
        *emitters,
    )
    # In the parameters' precision, also behind layers of half precision.
    dtype = regions[0].factor_weight.dtype
    with torch.autocast(emitters[0].device.type, enabled=False):
        outputs = Kernel.apply(drawn.to(dtype), *(one.to(dtype) for one in tensors))
    states, all_factors, *sampled = (one.transpose(1, 2) for one in outputs)
    sampled = [one.permute(1, 2, 0, 3) for one in sampled]
    parts = [one.split([controls, one.shape[3] - controls], dim=3) for one in sampled]
    found, messages = (Sampled(*column) for column in zip(*parts, strict=True))
    return Looped(
        [own[..., : one.generator.state_size] for own, one in zip(states, regions, strict=True)],
        [own[..., : len(one.factor_weight)] for own, one in zip(all_factors, regions, strict=True)],
        found if controls else None,
        messages,
    )


def _controls(regions: Sequence[RegionParameters]) -> int:
    weight = regions[0].control_weight
    return 0 if weight is None else len(weight) // 2


def _emitters(regions: Sequence[RegionParameters]) -> tuple[Tensor, Tensor] | None:
    """Weight (region, state, factor + sent) and bias, from states to factors and to what is sent."""
    weights, biases = [], []
    size = max(len(one.factor_weight) for one in regions)
    states = max(one.generator.state_size for one in regions)
    for one in regions:
        affine = one.emission.affine(one.factor_weight)
        if affine is None:
            return None
        weight, bias = affine
        sent = one.message_weight if weight is None else one.message_weight @ weight
        sent_bias = one.message_bias if bias is None else one.message_bias + one.message_weight @ bias
        own = functional.pad(one.factor_weight, (0, 0, 0, size - len(one.factor_weight)))
        weights.append(_widened(torch.cat([own, sent]), states).t())
        biases.append(functional.pad(sent_bias, (size, 0)))
    return torch.stack(weights), torch.stack(biases)[:, None]


def _controller(
    regions: Sequence[RegionParameters], arguments: LoopArguments, factors: int
) -> tuple[Tensor, ...]:
    """Driven part, initial state and weights of the controllers, and their linear map."""
    trials, bins = len(arguments.generator_states[0]), arguments.n_time
    like, count = arguments.generator_states[0], len(regions)
    if arguments.controller_states is None or arguments.encoded is None:
        shapes = (bins, trials, 0), (trials, 0), (factors, 0), (0, 0), (0, 0), (1, 0)
        return tuple(like.new_zeros(count, *shape) for shape in shapes)
    driven, lates, recurrent, linear = [], [], [], []
    for index, one in enumerate(regions):
        if one.controller is None or one.control_weight is None or one.control_bias is None:
            raise ValueError("all regions have a controller or none has: give parameters of all")
        encoded = arguments.encoded[index]
        width = encoded.shape[2]
        if arguments.controller_masks is not None:
            encoded = encoded * arguments.controller_masks[index][..., :width]
        weight: Tensor = one.controller.weight_input  # type: ignore[assignment]
        driven.append(functional.linear(encoded, weight[:, :width], _bias(one.controller)).transpose(0, 1))
        own = weight[:, width:].t()
        lates.append(functional.pad(own, (0, 0, 0, factors - len(own))))
        recurrent.append(one.controller.weight_state.t())
        linear.append((one.control_weight.t(), one.control_bias[None]))
    weights, biases = zip(*linear, strict=True)
    return (
        *(torch.stack(part) for part in (driven, list(arguments.controller_states), lates, recurrent)),
        torch.stack(weights),
        torch.stack(biases),
    )


def _generator(
    regions: Sequence[RegionParameters], arguments: LoopArguments, controls: int
) -> tuple[Tensor, ...]:
    """Driven part, initial state and weights of the generators."""
    trials, bins = len(arguments.generator_states[0]), arguments.n_time
    size = max(one.generator.state_size for one in regions)
    driven, lates, recurrent = [], [], []
    for one in regions:
        weight: Tensor = one.generator.weight_input  # type: ignore[assignment]
        late = controls + len(one.message_weight) // 2
        gates, bias = _by_gate(weight, size), _by_gate(_bias(one.generator), size)
        lates.append(gates[:, :late].t())
        if arguments.external is None:
            driven.append(bias.expand(bins, trials, -1))
        else:
            external = arguments.external.to(gates.dtype)
            driven.append(functional.linear(external, gates[:, late:], bias).transpose(0, 1))
        recurrent.append(_widened(_by_gate(one.generator.weight_state, size), size).t())
    states = [_widened(one, size) for one in arguments.generator_states]
    return tuple(torch.stack(part) for part in (driven, states, lates, recurrent))


def _bias(unit: GRUWeights) -> Tensor:
    """Both biases; that of the state may stand with the inputs' as long as it is none, as here."""
    if unit.bias_input is None or unit.bias_state is not None:
        raise ValueError("units have a bias of their inputs and none of their state")
    return unit.bias_input


def _by_gate(stacked: Tensor, size: int) -> Tensor:
    """(3 state, ...) of a smaller unit as (3 size, ...), each gate padded with zeros."""
    gates = stacked.unflatten(0, (3, -1))
    missing = size - gates.shape[1]
    return functional.pad(gates, (*(0, 0) * (gates.dim() - 2), 0, missing)).flatten(0, 1)


def _widened(values: Tensor, size: int) -> Tensor:
    """(..., channel) padded with zeros to so many channels."""
    return functional.pad(values, (0, size - values.shape[-1]))


def _drawn(
    regions: Sequence[RegionParameters], arguments: LoopArguments, controls: int, factors: int
) -> Drawn:
    """Noise and masks, stacked."""
    parts = [one for one in (arguments.control_noise, arguments.message_noise) if one is not None]
    noise = torch.cat(parts, dim=3).permute(2, 1, 0, 3) if parts else None
    factor_mask = state_mask = channels = None
    if arguments.controller_masks is not None:
        factor_mask = torch.stack([
            _widened(mask[..., mask.shape[2] - len(one.factor_weight) :], factors).transpose(0, 1)
            for mask, one in zip(arguments.controller_masks, regions, strict=True)
        ])  # fmt: skip
    if arguments.state_masks is not None:
        size = max(one.generator.state_size for one in regions)
        state_mask = torch.stack([_widened(mask, size).transpose(0, 1) for mask in arguments.state_masks])
    if arguments.channels is not None:
        kept = functional.pad(arguments.channels, (controls, 0), value=1.0)
        channels = kept.transpose(0, 1)[:, :, None]
    return Drawn(noise, factor_mask, state_mask, channels, controls, factors, arguments.reset, arguments.clip)
