"""The units and linear maps of LFADS's decoder as the fast loop wants them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctd_models_torch.lfads.decoder_loop.arguments import DecoderParameters
from ctd_models_torch.lfads.decoder_loop.cells import LateUnit


class Weights:
    """What all blocks share: the units and the linear maps, made once per call."""

    def __init__(self, parameters: DecoderParameters, *, reset: str, clip: float | None) -> None:
        controller, generator = parameters.controller, parameters.generator
        self.control_weight: Tensor = parameters.control_weight  # type: ignore[assignment]
        self.factor_weight = parameters.factor_weight
        self.controls = self.control_weight.shape[0] // 2
        self.factors = self.factor_weight.shape[0]
        weight: Tensor = controller.weight_input  # type: ignore[union-attr, assignment]
        encoded = weight.shape[1] - self.factors
        self.controller = LateUnit.make(
            weight[:, :encoded], weight[:, encoded:], controller.weight_state, controller[2:],  # type: ignore[union-attr]
            reset=reset, clip=clip,
        )  # fmt: skip
        weight = generator.weight_input  # type: ignore[assignment]
        self.generator = LateUnit.make(
            weight[:, self.controls :], weight[:, : self.controls], generator.weight_state, generator[2:],
            reset=reset, clip=clip,
        )  # fmt: skip
        bias = parameters.control_bias
        self.control_bias = self.control_weight.new_zeros(2 * self.controls) if bias is None else bias
        self.has_control_bias = bias is not None
        self.control_weight_t = self.control_weight.t().contiguous()
        self.factor_weight_t = self.factor_weight.t().contiguous()

    @property
    def units(self) -> tuple[LateUnit, LateUnit]:
        """Controller and generator."""
        return self.controller, self.generator

    def sums(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Zeros for the gradients of the controller, the generator, and the linear maps."""
        linear = (self.control_weight, self.control_bias, self.factor_weight)
        return self.controller.sums(), self.generator.sums(), [torch.zeros_like(one) for one in linear]

    def parameter_grads(self, sums: Sequence[Sequence[Tensor]]) -> list[Tensor | None]:
        """Gradients of the parameters in the order of DecoderParameters, from the whole sums."""
        controller, generator, (control_weight, control_bias, factor_weight) = sums
        encoded, factors, *rest = self.controller.parameter_grads(controller)
        external, controls, *others = self.generator.parameter_grads(generator)
        return [
            torch.cat([encoded, factors], dim=1), *rest,  # type: ignore[list-item]
            control_weight, control_bias if self.has_control_bias else None,
            torch.cat([controls, external], dim=1), *others,  # type: ignore[list-item]
            factor_weight,
        ]  # fmt: skip
