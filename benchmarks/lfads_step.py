"""LFADS's training step both ways: sequence functions against a call per bin and direction.

The plain side is a loop over bins that calls a cell for each unit, as one writes gated recurrent units whose
reset gate multiplies the state (torch has none). Both sides get the same weights, spikes, masks and noise,
drawn before, and share read-out and loss: Poisson with coordinated dropout, and the divergences of initial
condition and controls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from timing import agree, compare
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.torch.random import generator
from ctd_contract.torch.sequences import BidirectionalStates, bidirectional_gru
from ctd_models_torch.lfads.decoder_loop import Decoded, DecoderParameters, GRUWeights, decode

CLIP, DROPOUT, COORDINATED = 5.0, 0.3, 0.3
THREADS = 2


@dataclass(frozen=True)
class Size:
    """Bins and neurons that are seen and that are predicted, and units of every part."""

    bins: tuple[int, int]
    neurons: tuple[int, int]
    initial_encoder: int
    control_encoder: int
    controller: int
    initial: int
    generator: int
    factors: int
    controls: int = 4
    trials: int = 256


class Unit(nn.Module):
    """A gated recurrent unit; called, it takes one bin."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight_input = nn.Parameter(torch.empty(3 * units, inputs))
        self.weight_state = nn.Parameter(torch.empty(3 * units, units))
        self.bias = nn.Parameter(torch.empty(3 * units))

    @property
    def weights(self) -> GRUWeights:
        return GRUWeights(self.weight_input, self.weight_state, self.bias, None)

    def forward(self, inputs: Tensor, state: Tensor) -> Tensor:
        units = state.shape[1]
        from_r, from_z, from_n = functional.linear(inputs, self.weight_input, self.bias).chunk(3, dim=1)
        to_r, to_z = functional.linear(state, self.weight_state[: 2 * units]).chunk(2, dim=1)
        r, z = torch.sigmoid(from_r + to_r), torch.sigmoid(from_z + to_z)
        n = torch.tanh(from_n + functional.linear(r * state, self.weight_state[2 * units :]))
        return torch.clamp(z * state + (1.0 - z) * n, -CLIP, CLIP)


class LFADS(nn.Module):
    """Model, data and both ways to take a step."""

    def __init__(self, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.size, stream = size, generator(0, "lfads_step")
        seen = size.neurons[0]
        self.initial_encoder, self.control_encoder = (
            nn.ModuleList(Unit(seen, units) for _ in range(2))
            for units in (size.initial_encoder, size.control_encoder)
        )
        self.to_initial = nn.Linear(2 * size.initial_encoder, 2 * size.initial)
        self.to_generator = nn.Linear(size.initial, size.generator)
        self.controller = Unit(2 * size.control_encoder + size.factors, size.controller)
        self.to_control = nn.Linear(size.controller, 2 * size.controls)
        self.generator = Unit(size.controls, size.generator)
        self.to_factors = nn.Linear(size.generator, size.factors, bias=False)
        self.readout = nn.Linear(size.factors, size.neurons[1])
        for parameter in self.parameters():
            width = parameter.shape[-1] ** -0.5
            nn.init.uniform_(parameter, -width, width, generator=stream)
        self.to(dtype)
        self._draw(stream, dtype)

    def _draw(self, stream: torch.Generator, dtype: torch.dtype) -> None:
        """Draw spikes, masks and noise."""
        size, (seen, bins) = self.size, self.size.bins

        def mask(rate: float, *shape: int) -> Tensor:
            kept = torch.full((size.trials, *shape), 1.0 - rate, dtype=dtype)
            return torch.bernoulli(kept, generator=stream) / (1.0 - rate)

        normal = partial(torch.randn, generator=stream, dtype=dtype)
        rates = torch.full((size.trials, bins, size.neurons[1]), 0.2, dtype=dtype)
        self.spikes = torch.poisson(rates, generator=stream)
        coordinated = mask(COORDINATED, seen, size.neurons[0])
        self.seen = self.spikes[:, :seen, : size.neurons[0]] * coordinated
        self.seen = self.seen * mask(DROPOUT, seen, size.neurons[0])
        # What was shown is not scored, what was hidden all the more, and what is never seen as it is.
        hidden = (coordinated == 0.0).to(dtype) / COORDINATED
        held_out, later = size.neurons[1] - size.neurons[0], bins - seen
        self.weight = functional.pad(hidden, (0, held_out, 0, later), value=1.0)
        self.mask_initial = mask(DROPOUT, 2 * size.initial_encoder)
        self.mask_controller = mask(DROPOUT, bins, 2 * size.control_encoder + size.factors)
        self.mask_factors = mask(DROPOUT, bins + 1, size.generator)
        self.noise_initial = normal(size.trials, size.initial)
        self.noise_controls = normal(size.trials, bins, size.controls)

    def step(self, side: type[Side]) -> dict[str, Tensor]:
        """Loss and all gradients."""
        self.zero_grad()
        loss = self.loss(side(self))
        loss.backward()
        return {"loss": loss.detach(), **{name: p.grad.clone() for name, p in self.named_parameters()}}

    def loss(self, side: Side) -> Tensor:
        """The bound's, with small weights of the divergences."""
        summary = torch.cat(side.last(self.initial_encoder), dim=1) * self.mask_initial
        mean, log_variance = self.to_initial(summary).chunk(2, dim=1)
        variance = log_variance.exp() + 1e-4
        initial = self.to_generator(mean + variance.sqrt() * self.noise_initial)
        ahead, back = side.all(self.control_encoder)
        missing = self.size.bins[1] - self.size.bins[0]
        # One bin late and one early, and zeros where nothing was seen.
        lagged = (
            functional.pad(ahead[:, :-1], (0, 0, 1, missing)),
            functional.pad(back[:, 1:], (0, 0, 0, 1 + missing)),
        )
        decoded = side.decode(initial, torch.cat(lagged, dim=2))
        each = functional.poisson_nll_loss(self.readout(decoded.factors), self.spikes, reduction="none")
        divergence = 0.5 * (variance + mean.square() - variance.log() - 1.0).sum(1).mean()
        mean, log_variance = decoded.control_mean, decoded.control_log_variance
        of_controls = 0.5 * (log_variance.exp() + mean.square() - log_variance - 1.0).sum((1, 2)).mean()
        return (each * self.weight).mean() + 1e-4 * (divergence + of_controls)


@dataclass
class Side:
    """One way to run the units."""

    model: LFADS

    def zeros(self, units: int) -> Tensor:
        return self.model.spikes.new_zeros(self.model.size.trials, units)


class Plain(Side):
    """A call per bin, unit and direction."""

    def last(self, pair: nn.ModuleList) -> list[Tensor]:
        both = []
        for unit, order in zip(pair, (1, -1), strict=True):
            state = self.zeros(unit.weight_state.shape[1])
            for k in range(self.model.size.bins[0])[::order]:
                state = unit(self.model.seen[:, k], state)
            both.append(state)
        return both

    def all(self, pair: nn.ModuleList) -> list[Tensor]:
        both, bins = [], range(self.model.size.bins[0])
        for unit, order in zip(pair, (bins, bins[::-1]), strict=True):
            state, states = self.zeros(unit.weight_state.shape[1]), {}
            for k in order:
                states[k] = state = unit(self.model.seen[:, k], state)
            both.append(torch.stack([states[k] for k in bins], dim=1))
        return both

    def decode(self, state: Tensor, encoded: Tensor) -> Decoded:
        model, control_state = self.model, self.zeros(self.model.size.controller)
        weight = functional.normalize(model.to_factors.weight, dim=1)
        factors, bins = functional.linear(state * model.mask_factors[:, 0], weight), []
        for k in range(model.size.bins[1]):
            inputs = torch.cat([encoded[:, k], factors], dim=1) * model.mask_controller[:, k]
            control_state = model.controller(inputs, control_state)
            mean, log_variance = model.to_control(control_state).chunk(2, dim=1)
            control = mean + torch.exp(0.5 * log_variance) * model.noise_controls[:, k]
            state = model.generator(control, state)
            factors = functional.linear(state * model.mask_factors[:, k + 1], weight)
            bins.append((state, factors, mean, log_variance, control, control_state))
        return Decoded(*(torch.stack(column, dim=1) for column in zip(*bins, strict=True)))


class Fast(Side):
    """Sequence functions."""

    def last(self, pair: nn.ModuleList) -> tuple[Tensor, Tensor]:
        states = self.read(pair, all_states=False)
        return states.forward_last, states.backward_last

    def all(self, pair: nn.ModuleList) -> tuple[Tensor, Tensor]:
        states = self.read(pair, all_states=True)
        return states.forward_all, states.backward_all

    def read(self, pair: nn.ModuleList, **options: bool) -> BidirectionalStates:
        zeros = self.zeros(pair[0].weight_state.shape[1])
        weights = (unit.weights for unit in pair)
        return bidirectional_gru(
            self.model.seen, zeros, zeros, *weights, reset="before", clip=CLIP, **options
        )

    def decode(self, state: Tensor, encoded: Tensor) -> Decoded:
        model = self.model
        head = model.to_control.weight, model.to_control.bias
        factor_weight = functional.normalize(model.to_factors.weight, dim=1)
        return decode(
            DecoderParameters(model.controller.weights, *head, model.generator.weights, factor_weight),
            generator_state=state,
            controller_state=self.zeros(model.size.controller),
            encoded=encoded,
            noise=model.noise_controls,
            controller_mask=model.mask_controller,
            factor_mask=model.mask_factors,
            n_time=model.size.bins[1],
            clip=CLIP,
        )


def measure_step(name: str, size: Size, *, repeats: int) -> dict:
    """Compare both sides in both precisions, then time them in turn; medians in seconds."""
    torch.set_num_threads(THREADS)
    small = LFADS(replace(size, trials=40), torch.float64)
    difference = agree(small.step(Fast), small.step(Plain))
    model = LFADS(size, torch.float32)
    single = agree(model.step(Fast), model.step(Plain), 1e-4)
    result = compare(name, lambda: model.step(Fast), lambda: model.step(Plain), repeats=repeats)
    return result | {"threads": THREADS, "difference_float64": difference, "difference_float32": single}
