"""The fitted map from states to rates: embedding, standardisation, bias, nonlinearity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Layer, Readout
from ctd_contract.dynamics.nonlinearity import nonlinearity
from ctd_sim.embedding import Embedding, EmbeddingConfig, PermutedConfig
from ctd_sim.embedding.regional import draw_embedding
from ctd_sim.moments import Moments, moments
from ctd_sim.random_streams import stream
from ctd_sim.target_rate import NoTargetConfig, TargetRateConfig, solve_bias

STANDARDISATIONS = ("global", "neuron", "none")
NONLINEARITIES = ("exp", "softplus", "sigmoid")
EMISSIONS = ("counts", "gaussian", "clean")

# Chunks of trials: states (trial, time, state), bins that are no padding, bins to fit the targets on.
Chunks = Callable[[], Iterable[tuple[NDArray, NDArray[np.bool_], NDArray[np.bool_]]]]


@dataclass
class ObservationConfig:
    """How neurons observe states. The defaults are the published simulator.

    Attributes:
        held_in: Neurons that encoders see; of each region where neurons belong to regions.
        held_out: Neurons hidden from encoders, the last ones (of each region).
        embedding: From states to activations.
        standardise: "global" takes one mean and spread over all neurons, "neuron" each neuron's own, "none"
            leaves the activations as they are. Both are taken over all bins of all trials, without padding.
        factor: Spreads that make one unit of standardised activation: x = (a - mean) / (factor · std).
        nonlinearity: "exp", "softplus" or "sigmoid"; of counts.
        gain_hz: Rate = gain_hz · nonlinearity(x + bias); null is one spike per bin.
        target_rate: Mean rate of each neuron over the training trials.
        fano: Variance over mean of a bin's count, given its rate; 1 is Poisson.
        emission: "counts"; or continuous activity, which is x + an offset of each neuron, "gaussian" with
            noise or "clean" without.
        signal_to_noise: Variance of a neuron's activity over that of its noise, for "gaussian".
    """

    held_in: int = 50
    held_out: int = 10
    embedding: EmbeddingConfig = field(default_factory=PermutedConfig)
    standardise: str = "global"
    factor: float = 2.0
    nonlinearity: str = "exp"
    gain_hz: float | None = None
    target_rate: TargetRateConfig = field(default_factory=NoTargetConfig)
    fano: float = 1.0
    emission: str = "counts"
    signal_to_noise: float = 1.0


def check(config: ObservationConfig) -> None:
    """Refuse settings that make no sense.

    Raises:
        ValueError: Names the setting, what it may be and what it is.
    """
    if config.held_in < 1 or config.held_out < 0:
        raise ValueError(
            f"held_in must be at least 1 and held_out at least 0, got {config.held_in} and {config.held_out}"
        )
    if config.standardise not in STANDARDISATIONS:
        raise ValueError(
            f"standardise must be one of {', '.join(STANDARDISATIONS)}, got {config.standardise!r}"
        )
    if config.nonlinearity not in NONLINEARITIES:
        raise ValueError(
            f"nonlinearity must be one of {', '.join(NONLINEARITIES)}, got {config.nonlinearity!r}"
        )
    if not (np.isfinite(config.factor) and config.factor > 0):
        raise ValueError(f"factor must be above 0, got {config.factor}")
    if config.gain_hz is not None and not (np.isfinite(config.gain_hz) and config.gain_hz > 0):
        raise ValueError(f"gain_hz must be above 0, got {config.gain_hz}")
    if not (np.isfinite(config.fano) and config.fano >= 0):
        raise ValueError(f"fano must be finite and not negative, got {config.fano}")
    if config.emission not in EMISSIONS:
        raise ValueError(f"emission must be one of {', '.join(EMISSIONS)}, got {config.emission!r}")
    if not (np.isfinite(config.signal_to_noise) and config.signal_to_noise > 0):
        raise ValueError(f"signal_to_noise must be above 0, got {config.signal_to_noise}")
    if config.emission != "gaussian" and config.signal_to_noise != 1.0:
        raise ValueError("signal_to_noise is of Gaussian noise: add emission=gaussian")
    if config.emission != "counts":
        _check_continuous(config)


def _check_continuous(config: ObservationConfig) -> None:
    """Refuse settings of rates and counts where there are none."""
    counts = ObservationConfig()
    for name in ("nonlinearity", "gain_hz", "fano", "target_rate"):
        if getattr(config, name) != getattr(counts, name):
            raise ValueError(f"{name} is a setting of counts: leave it out, or add emission=counts")


@dataclass(frozen=True)
class Observation:
    """A fitted map: rate = gain_hz · nonlinearity((embedding(state) - mean) / scale + bias).

    Continuous activity is the same with a gain of 1 and no nonlinearity.

    Attributes:
        embedding: From states to activations.
        mean: (neuron,) taken off the activations.
        scale: (neuron,) that they are divided by: factor times standard deviation.
        bias: (neuron,) added after the standardisation.
        nonlinearity: One of `NONLINEARITIES`, or "identity" for continuous activity.
        gain_hz: In spikes/s.
        largest_rate_hz: Largest rate over the data of the fit, in spikes/s.
        spread: (neuron,) standard deviation of the standardised activations.
    """

    embedding: Embedding
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    nonlinearity: str
    gain_hz: float
    largest_rate_hz: float
    spread: NDArray[np.float64]

    def standardised(self, states: NDArray) -> NDArray[np.float64]:
        """Activations (trial, time, neuron) before the bias."""
        x = self.embedding(states)
        x -= self.mean
        x /= self.scale
        return x

    def rates(self, states: NDArray) -> NDArray[np.float64]:
        """Rates (trial, time, neuron) in spikes/s of states (trial, time, state)."""
        x = self.standardised(states)
        x += self.bias
        return self.gain_hz * nonlinearity(self.nonlinearity).function(x)

    @property
    def readout(self) -> Readout:
        """The same map as a readout of the contract, standardisation and bias folded into its last layer."""
        *hidden, last = self.embedding.layers
        weight = last.weight / self.scale[:, None]
        bias = (last.bias - self.mean) / self.scale + self.bias
        return Readout([*hidden, Layer(weight, bias, self.nonlinearity)], scale=self.gain_hz)

    @property
    def columns(self) -> dict[str, NDArray]:
        """The constants of each neuron, for the table of neurons."""
        constants = {"activation_mean": self.mean, "activation_scale": self.scale, "rate_bias": self.bias}
        return {**constants, **self.embedding.columns}


def fit_observation(
    chunks: Chunks,
    config: ObservationConfig,
    *,
    bin_width_s: float,
    seed: int,
    state_regions: NDArray[np.int32] | None = None,
) -> Observation:
    """Draw the embedding and fit the standardisation and the biases.

    Args:
        chunks: Called once for each pass over the data.
        config: What to fit.
        bin_width_s: Width of a bin.
        seed: Of the embedding and the target rates, or the offsets.
        state_regions: (state,) region of each state, where neurons see those of one region alone.

    Raises:
        ValueError: The settings make no sense or can't be met.
    """
    check(config)
    n_states = next(iter(chunks()))[0].shape[2]
    regions = np.zeros(n_states, np.int32) if state_regions is None else state_regions
    state_moments = (
        moments((s, valid) for s, valid, _ in chunks()) if config.embedding.needs_state_moments else None
    )
    embedding = draw_embedding(
        config.embedding, regions, config.held_in + config.held_out, seed, state_moments
    )
    activation = moments((embedding(s), valid) for s, valid, _ in chunks())
    mean, std = _constants(activation, config.standardise)
    scale = config.factor * std
    observation = Observation(
        embedding=embedding,
        mean=mean,
        scale=scale,
        bias=np.zeros(len(mean)),
        nonlinearity=config.nonlinearity,
        gain_hz=1 / bin_width_s if config.gain_hz is None else config.gain_hz,
        largest_rate_hz=np.inf,
        spread=activation.std / scale,
    )
    if config.emission != "counts":
        offset = stream(seed, "offsets").standard_normal(len(mean))
        return replace(observation, bias=offset, nonlinearity="identity", gain_hz=1.0)
    target = config.target_rate.rates(len(mean), stream(seed, "target rates"))
    if target is not None:
        observation = _with_target(observation, target, chunks)
    highest = (activation.largest - mean) / observation.scale + observation.bias
    peak = observation.gain_hz * nonlinearity(config.nonlinearity).function(highest).max()
    return replace(observation, largest_rate_hz=float(peak))


def _constants(activation: Moments, standardise: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (neuron,) to standardise with."""
    n_neurons = len(activation.mean)
    if standardise == "none":
        return np.zeros(n_neurons), np.ones(n_neurons)
    if standardise == "neuron":
        # A neuron that never changes keeps a constant rate; any divisor will do.
        return activation.mean, np.where(activation.std > 0, activation.std, 1.0)
    mean, std = activation.pooled()
    if not std > 0:
        raise ValueError(
            "the activations never change, so they can't be standardised: is the source's network silent?"
        )
    return np.full(n_neurons, mean), np.full(n_neurons, std)


def _with_target(observation: Observation, target: NDArray[np.float64], chunks: Chunks) -> Observation:
    """The same map with biases that give the target mean rates."""
    if observation.nonlinearity == "sigmoid" and target.max() >= observation.gain_hz:
        raise ValueError(
            f"a sigmoid's rate stays below gain_hz = {observation.gain_hz:g} spikes/s, "
            f"but a target rate is {target.max():g}: raise gain_hz"
        )
    phi = nonlinearity(observation.nonlinearity)

    def mean_and_slope(bias: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        total, slope, count = np.zeros_like(bias), np.zeros_like(bias), 0
        for states, _, fitted in chunks():
            rows = fitted.any(axis=1)
            for x, chosen in zip(observation.standardised(states[rows]), fitted[rows], strict=True):
                y = x[chosen] + bias
                total += phi.function(y).sum(axis=0)
                slope += phi.derivative(y).sum(axis=0)
                count += len(y)
        if not count:
            raise ValueError("there is no training trial to fit the target rates on")
        return total / count, slope / count

    bias = solve_bias(mean_and_slope, target / observation.gain_hz, observation.bias)
    return replace(observation, bias=bias)
