"""Which observation model a recording gets, and where its predictions start."""

from __future__ import annotations

import torch
from torch import Tensor

from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.errors import InputError
from ctd_models_torch.losses import (
    Gamma,
    Gaussian,
    Observation,
    Poisson,
    SquaredError,
    VaryingGaussian,
    ZeroInflatedGamma,
)
from ctd_models_torch.readouts import Readout
from ctd_models_torch.recording import Statistics

# What each signal may be observed by; the first is the default.
OBSERVATIONS: dict[str, dict[str, type[Observation]]] = {
    "spikes": {"poisson": Poisson},
    "activity": {
        "gaussian": Gaussian,
        "varying_gaussian": VaryingGaussian,
        "gamma": Gamma,
        "zero_inflated_gamma": ZeroInflatedGamma,
        "mean_squared_error": SquaredError,
    },
}
# Below this a neuron's activity is not what the observation model describes.
_FLOORS = {"gamma": "positive", "zero_inflated_gamma": "non-negative"}


def make_observation(name: str, signal: str, statistics: Statistics) -> tuple[Observation, Tensor]:
    """Make an observation model.

    Args:
        name: As in `ModelConfig.observation`.
        signal: ``"spikes"`` or ``"activity"``.
        statistics: Of the training trials.

    Returns:
        The observation model, and the prediction (prediction,) at which it expects the mean of each neuron.

    Raises:
        InputError: There is no such model, or it doesn't suit the recording.
    """
    suitable = OBSERVATIONS[signal]
    name = next(iter(suitable)) if name == "auto" else name
    if name not in suitable:
        raise InputError(
            f"model.observation={name} doesn't suit a recording of {signal}: take auto or one of "
            f"{', '.join(suitable)}"
        )
    if name in _FLOORS:
        least = float(statistics.least.min())
        if least < 0 or (least == 0 and _FLOORS[name] == "positive"):
            raise InputError(
                f"model.observation={name} is for {_FLOORS[name]} activity, and the least value of the "
                f"training trials is {least:g}: take another observation, or shift the recording"
            )
    mean, variance = (torch.from_numpy(v).to(torch.float32) for v in (statistics.mean, statistics.variance))
    observation = suitable[name].of(variance)
    return observation, observation.start(mean, variance)


def portable(readout: Readout, observation: Observation, bin_width_s: float) -> PortableReadout:
    """The contract's form of a readout followed by its observation's expected value."""
    if observation.link is None:
        return PortableReadout.opaque()
    scale = 1.0 / bin_width_s if isinstance(observation, Poisson) else 1.0
    chain = readout.portable(observation.link, scale)
    if observation.n_parameters == 1 or chain.is_opaque:
        return chain
    # The first of the parameters is the mean's; the others describe the spread around it.
    last = chain.layers[-1]
    neurons = len(last.bias) // observation.n_parameters
    mean = Layer(last.weight[:neurons], last.bias[:neurons], last.nonlinearity)
    return PortableReadout([*chain.layers[:-1], mean], scale=scale)
