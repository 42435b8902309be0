"""LFADS's decoder: generator, controller and factors, by whichever loop suits them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.torch.sequences.cells import gru_cell, joined
from ctd_models_torch.coordinated_dropout import dropout_mask
from ctd_models_torch.decoders import Decoder
from ctd_models_torch.lfads.config import ControllerConfig
from ctd_models_torch.lfads.decoder_loop.decode import Decoded, DecoderParameters, decode
from ctd_models_torch.lfads.generators import GRUGenerator
from ctd_models_torch.lfads.initial_weights import GRUParameters, normal
from ctd_models_torch.lfads.posterior import NormalHead


@dataclass(frozen=True)
class Masks:
    """Inverted-dropout masks of a training step, None for none.

    Attributes:
        controller: (trial, time, encoded + factor), of the controller's inputs.
        factors: (trial, time + 1, generator), of the states that factors are made of, initial one first.
    """

    controller: Tensor | None = None
    factors: Tensor | None = None


class Controller(nn.Module):
    """Infers inputs from what its encoder read and from the factors of the bin before.

    Args:
        config: Its settings.
        factors: Number of factors.
        random: Stream of the initial weights.

    Attributes:
        encoded_size: Columns that it gets of its encoder.
    """

    def __init__(self, config: ControllerConfig, factors: int, *, random: torch.Generator) -> None:
        super().__init__()
        self.encoded_size = config.encoder_size * (1 if config.causal else 2)
        inputs = self.encoded_size + factors
        self.unit = GRUParameters(inputs, config.size, joint=False, generator=random)
        self.head = NormalHead(config.size, config.controls, generator=random)
        self.initial = nn.Parameter(torch.zeros(config.size))
        self.controls = config.controls


class LFADSDecoder(nn.Module):
    """From an initial state to states, controls and factors.

    Args:
        generator: The dynamics.
        controller: Or None.
        factors: Number of factors.
        reset: Of the controller, as in `GeneratorConfig`.
        clip: Of the controller, likewise.
        random: Stream of the initial weights.

    Attributes:
        backend: ``"fast"`` or ``"plain"``, as in `Decoder`.
    """

    def __init__(
        self,
        generator: Decoder,
        controller: Controller | None,
        factors: int,
        *,
        reset: str,
        clip: float | None,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        self.generator, self.controller = generator, controller
        self.reset, self.clip = reset, clip
        self.backend = "fast"
        shape = (factors, generator.state_size)
        self.raw_factor_weight = nn.Parameter(normal(shape, generator.state_size, random))

    @property
    def factor_weight(self) -> Tensor:
        """(factor, state), rows of length 1."""
        return functional.normalize(self.raw_factor_weight, dim=1)

    def masks(self, trials: int, n_time: int, rate: float, stream: torch.Generator | None) -> Masks:
        """Draw the masks of a step; None for the stream draws none."""
        if stream is None or rate == 0.0:
            return Masks()
        like, factors = self.raw_factor_weight, self.raw_factor_weight.shape[0]
        of_states = dropout_mask((trials, n_time + 1, self.generator.state_size), like, rate, stream)
        if self.controller is None:
            return Masks(factors=of_states)
        columns = self.controller.encoded_size + factors
        return Masks(dropout_mask((trials, n_time, columns), like, rate, stream), of_states)

    def forward(
        self,
        initial: Tensor,
        encoded: Tensor | None,
        external: Tensor | None,
        noise: Tensor | None,
        masks: Masks,
        n_time: int,
        controller_state: Tensor | None = None,
    ) -> Decoded:
        """Run all bins.

        Args:
            initial: (trial, state), before the first bin.
            encoded: (trial, time, encoded), what the controller is given; None without one.
            external: (trial, time, input), known inputs, or None.
            noise: (trial, time, control), standard normal; None passes the means on.
            masks: Of dropout.
            n_time: Bins.
            controller_state: (trial, controller), before the first bin; None for the learned one.
        """
        if self.controller is None:
            states = self.generator(external, initial, n_time)
            shown = states if masks.factors is None else states * masks.factors[:, 1:]
            return Decoded(states, functional.linear(shown, self.factor_weight))
        if encoded is None:
            raise ValueError("a controller needs what its encoder read, got None")
        start = controller_state
        if start is None:
            start = self.controller.initial.expand(len(initial), -1)
        if not isinstance(self.generator, GRUGenerator):
            return self._bin_by_bin(self.controller, initial, start, encoded, external, noise, masks)
        weight, bias = self.controller.head.bounded()
        parameters = DecoderParameters(
            self.controller.unit.weights, weight, bias, self.generator.unit.weights, self.factor_weight
        )
        return decode(
            parameters,
            generator_state=initial,
            controller_state=start,
            encoded=encoded,
            external=external,
            noise=noise,
            controller_mask=masks.controller,
            factor_mask=masks.factors,
            n_time=n_time,
            clip=self.clip,
            reset=self.reset,
            backend=self.backend,
        )

    def _bin_by_bin(
        self,
        controller: Controller,
        state: Tensor,
        control_state: Tensor,
        encoded: Tensor,
        external: Tensor | None,
        noise: Tensor | None,
        masks: Masks,
    ) -> Decoded:
        """As `decode`, for generators that are not gated units."""
        factor_weight, (weight, bias) = self.factor_weight, controller.head.bounded()

        def factors_of(state: Tensor, index: int) -> Tensor:
            shown = state if masks.factors is None else state * masks.factors[:, index]
            return functional.linear(shown, factor_weight)

        factors, rows = factors_of(state, 0), []
        for index in range(encoded.shape[1]):
            given = torch.cat([encoded[:, index], factors], dim=1)
            given = given if masks.controller is None else given * masks.controller[:, index]
            options = {"reset": self.reset, "clip": self.clip}
            control_state = gru_cell(given, control_state, *controller.unit.weights, **options)
            mean, log_variance = functional.linear(control_state, weight, bias).chunk(2, -1)
            control = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise[:, index]
            drive = joined(control, None if external is None else external[:, index])
            state = self.generator(drive[:, None], state, 1)[:, 0]
            factors = factors_of(state, index + 1)
            rows.append((state, factors, mean, log_variance, control, control_state))
        return Decoded(*(torch.stack(column, dim=1) for column in zip(*rows, strict=True)))
