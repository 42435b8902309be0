"""Mean rates that neurons should have, and the biases that give them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS = 100
MAX_STEP = 5.0
TOLERANCE = 1e-10


class TargetRateConfig(ABC):
    """Settings for the mean rate of each neuron."""

    @abstractmethod
    def rates(self, n_neurons: int, rng: np.random.Generator) -> NDArray[np.float64] | None:
        """Target mean rate (neuron,) in spikes/s; None leaves the rates as the activations give them."""


@dataclass
class NoTargetConfig(TargetRateConfig):
    """No bias: rates are what the activations give."""

    def rates(self, n_neurons: int, rng: np.random.Generator) -> None:
        """No target."""
        del n_neurons, rng


@dataclass
class ConstantTargetConfig(TargetRateConfig):
    """The same mean rate for every neuron."""

    rate_hz: float = 5.0

    def rates(self, n_neurons: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """The rate, repeated."""
        del rng
        return _positive(np.full(n_neurons, self.rate_hz))


@dataclass
class ListedTargetConfig(TargetRateConfig):
    """A mean rate for each neuron by name: first the held-in neurons, then the held-out ones."""

    rates_hz: list[float] = field(default_factory=list)

    def rates(self, n_neurons: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """The list."""
        del rng
        if len(self.rates_hz) != n_neurons:
            raise ValueError(
                f"target_rate.rates_hz must list a rate for each of the {n_neurons} neurons, "
                f"got {len(self.rates_hz)}"
            )
        return _positive(np.asarray(self.rates_hz, np.float64))


@dataclass
class LognormalTargetConfig(TargetRateConfig):
    """Mean rates drawn from a lognormal distribution, as in cortex: few fast neurons, many slow ones.

    Attributes:
        mean_hz: Mean of the distribution, in spikes/s.
        log_std: Standard deviation of the natural logarithm of the rate.
    """

    mean_hz: float = 5.0
    log_std: float = 0.8

    def rates(self, n_neurons: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """A draw."""
        if self.log_std < 0:
            raise ValueError(f"target_rate.log_std must not be negative, got {self.log_std}")
        spread = self.log_std * rng.standard_normal(n_neurons)
        return _positive(self.mean_hz * np.exp(spread - self.log_std**2 / 2))


@dataclass
class LogUniformTargetConfig(TargetRateConfig):
    """Mean rates spread evenly on a logarithmic scale between two.

    Attributes:
        low_hz: Lowest mean rate, in spikes/s.
        high_hz: Highest.
    """

    low_hz: float = 30.0
    high_hz: float = 200.0

    def rates(self, n_neurons: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """A draw."""
        if not 0.0 < self.low_hz <= self.high_hz:
            raise ValueError(
                f"target_rate.low_hz must be above 0 and at most target_rate.high_hz, "
                f"got {self.low_hz} and {self.high_hz}"
            )
        return _positive(np.exp(rng.uniform(np.log(self.low_hz), np.log(self.high_hz), n_neurons)))


TARGET_RATES: dict[str, type[TargetRateConfig]] = {
    "none": NoTargetConfig,
    "constant": ConstantTargetConfig,
    "listed": ListedTargetConfig,
    "lognormal": LognormalTargetConfig,
    "loguniform": LogUniformTargetConfig,
}


def _positive(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise ValueError(
            f"a target rate is finite and above zero, got {rates.min()} to {rates.max()} spikes/s"
        )
    return rates


def solve_bias(
    mean_and_slope: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    target: NDArray[np.float64],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Biases at which each neuron's mean is its target, by Newton's method on the logarithm of the mean.

    The logarithm is linear in the bias for exp (one step is exact) and for the far left of softplus and
    sigmoid, so steps stay short wherever they start.

    Args:
        mean_and_slope: Gives the mean and its derivative for biases (neuron,), one pass over the data.
        target: (neuron,) in the mean's unit.
        start: (neuron,) first guess.

    Raises:
        ValueError: Some target can't be reached.
    """
    bias, error = start, np.zeros_like(start)
    for _ in range(MAX_ITERATIONS):
        mean, slope = mean_and_slope(bias)
        error = np.log(mean) - np.log(target)
        if np.abs(error).max() < TOLERANCE:
            return bias
        bias = bias - np.clip(error * mean / slope, -MAX_STEP, MAX_STEP)
    worst = int(np.abs(error).argmax())
    raise ValueError(
        f"no bias gives neuron {worst} its target rate: the mean stays {np.exp(error[worst]):.3g} times "
        "what was asked "
        "(a sigmoid's rate lies below gain_hz)"
    )
