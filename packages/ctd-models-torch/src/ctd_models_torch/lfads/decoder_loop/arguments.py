"""What goes into LFADS's decoder and what comes out, and checks that it fits together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ctd_contract.torch.sequences.arguments import choose

RESETS = ("before", "after")
BACKENDS = ("fast", "plain")


class GRUWeights(NamedTuple):
    """A gated recurrent unit, gates in torch's order r, z, n.

    Attributes:
        weight_input: (3 state, input); None without inputs.
        weight_state: (3 state, state).
        bias_input: (3 state,) or None.
        bias_state: (3 state,) or None.
    """

    weight_input: Tensor | None
    weight_state: Tensor
    bias_input: Tensor | None
    bias_state: Tensor | None

    @property
    def state_size(self) -> int:
        """Units."""
        return self.weight_state.shape[1]

    @property
    def input_size(self) -> int:
        """Input channels."""
        return 0 if self.weight_input is None else self.weight_input.shape[1]


class DecoderParameters(NamedTuple):
    """Parameters of the decoder; the first three are None without a controller.

    Attributes:
        controller: Its inputs are the encoded columns first, then the factors.
        control_weight: (2 control, controller), the rows of the means first, then those of the log-variances.
        control_bias: (2 control,) or None.
        generator: Its inputs are the controls first, then the external ones.
        factor_weight: (factor, generator), used as it is given.
    """

    controller: GRUWeights | None
    control_weight: Tensor | None
    control_bias: Tensor | None
    generator: GRUWeights
    factor_weight: Tensor


class Decoded(NamedTuple):
    """What the decoder gives, (trial, time, ...); all but the first two are None without a controller.

    Attributes:
        states: The generator's, without dropout.
        factors: (trial, time, factor).
        control_mean: (trial, time, control).
        control_log_variance: (trial, time, control).
        controls: (trial, time, control), what the generator received.
        controller_states: (trial, time, controller).
    """

    states: Tensor
    factors: Tensor
    control_mean: Tensor | None = None
    control_log_variance: Tensor | None = None
    controls: Tensor | None = None
    controller_states: Tensor | None = None


@dataclass(frozen=True)
class DecoderArguments:
    """Everything but the parameters that ``decode`` takes, under the same names."""

    generator_state: Tensor
    controller_state: Tensor | None
    encoded: Tensor | None
    external: Tensor | None
    noise: Tensor | None
    controller_mask: Tensor | None
    factor_mask: Tensor | None
    n_time: int
    clip: float | None
    reset: str


def check(parameters: DecoderParameters, arguments: DecoderArguments) -> None:
    """Refuse arguments whose shapes contradict the parameters, or that nothing would use."""
    choose("reset", arguments.reset, RESETS)
    if arguments.n_time < 1:
        raise ValueError(f"n_time: decoding takes at least one bin, got {arguments.n_time}")
    if arguments.clip is not None and not arguments.clip > 0.0:
        raise ValueError(f"clip is above 0, or None for no clipping, got {arguments.clip}")
    for name in ("noise", "controller_mask", "factor_mask"):
        drawn: Tensor | None = getattr(arguments, name)
        if drawn is not None and drawn.requires_grad:
            raise ValueError(f"{name} is drawn and takes no gradient: pass {name}.detach()")
    if parameters.controller is None:
        _check_uncontrolled(parameters, arguments)
    else:
        _check_controller(parameters, parameters.controller, arguments)
    trials, time = len(arguments.generator_state), arguments.n_time
    generator, factors = parameters.generator, parameters.factor_weight
    _shape("factor_weight", factors, (factors.shape[0], generator.state_size))
    _shape("generator_state", arguments.generator_state, (trials, generator.state_size))
    _shape("factor_mask", arguments.factor_mask, (trials, time + 1, generator.state_size))
    external = 0 if arguments.external is None else arguments.external.shape[-1]
    _shape("external", arguments.external, (trials, time, external))
    controls = 0 if parameters.control_weight is None else parameters.control_weight.shape[0] // 2
    if generator.input_size != controls + external:
        raise ValueError(
            f"the generator's weight_input has {generator.input_size} columns, but it is given {controls} "
            f"controls and {external} external inputs: make it as wide as both together"
        )


def _check_uncontrolled(parameters: DecoderParameters, arguments: DecoderArguments) -> None:
    useless = {
        "control_weight": parameters.control_weight,
        "control_bias": parameters.control_bias,
        "controller_state": arguments.controller_state,
        "encoded": arguments.encoded,
        "noise": arguments.noise,
        "controller_mask": arguments.controller_mask,
    }
    given = [name for name, value in useless.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)}: nothing uses this without a controller; pass None")


def _check_controller(
    parameters: DecoderParameters, controller: GRUWeights, arguments: DecoderArguments
) -> None:
    if parameters.control_weight is None or arguments.controller_state is None:
        raise ValueError("a controller needs control_weight and controller_state, got None")
    trials, time = len(arguments.generator_state), arguments.n_time
    rows, inputs = parameters.control_weight.shape[0], controller.input_size
    if rows % 2:
        raise ValueError(f"control_weight has a mean and a log-variance row per control, got {rows} rows")
    encoded = inputs - parameters.factor_weight.shape[0]
    if encoded < 0 or (encoded > 0) != (arguments.encoded is not None):
        raise ValueError(
            f"the controller's weight_input has {inputs} columns for encoded and "
            f"{parameters.factor_weight.shape[0]} factors, with encoded "
            f"{'None' if arguments.encoded is None else tuple(arguments.encoded.shape)}: "
            "pass encoded for exactly the columns in front of the factors'"
        )
    _shape("control_weight", parameters.control_weight, (rows, controller.state_size))
    _shape("control_bias", parameters.control_bias, (rows,))
    _shape("controller_state", arguments.controller_state, (trials, controller.state_size))
    _shape("encoded", arguments.encoded, (trials, time, encoded))
    _shape("noise", arguments.noise, (trials, time, rows // 2))
    _shape("controller_mask", arguments.controller_mask, (trials, time, inputs))


def _shape(name: str, value: Tensor | None, expected: tuple[int, ...]) -> None:
    if value is not None and tuple(value.shape) != expected:
        raise ValueError(f"{name} has shape {expected} here, got {tuple(value.shape)}")
