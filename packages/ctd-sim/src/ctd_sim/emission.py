"""What is recorded of neurons: counts drawn from rates, or continuous activity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ctd_sim.counts import Generators, count_model
from ctd_sim.observation import Observation, ObservationConfig
from ctd_sim.random_streams import stream


class Emission(ABC):
    """Records trials in order, block by block.

    Class attributes:
        units: Unit of each array that has one of its own, by its place.
    """

    units: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def record(self, states: NDArray, valid: NDArray[np.bool_], block: int) -> dict[str, NDArray]:
        """Arrays (trial, time, neuron) by their place in the file, zero in padding.

        Args:
            states: (trial, time, state).
            valid: (trial, time) bins that are no padding.
            block: Logical block that the trials belong to; they follow those recorded of it before.
        """

    @abstractmethod
    def columns(self) -> dict[str, NDArray]:
        """What is known of each neuron once all trials are recorded, for the table of neurons."""


class Counts(Emission):
    """Spikes whose means are the rates, and the Fano factor that they really have.

    Args:
        observation: The fitted map.
        fano: Variance over mean of a bin's count.
        bin_width_s: Width of a bin.
        seed: Of the counts.
    """

    def __init__(self, observation: Observation, fano: float, *, bin_width_s: float, seed: int) -> None:
        self._observation, self._bin_width_s, self._seed = observation, bin_width_s, seed
        self._counts = count_model(fano)
        self._dtype = count_dtype(observation.largest_rate_hz * bin_width_s, fano)
        self._block, self._generators = 0, Generators(seed, 0)
        self._variance = self._mean = np.zeros(len(observation.mean))

    def record(self, states: NDArray, valid: NDArray[np.bool_], block: int) -> dict[str, NDArray]:
        """Rates in spikes/s, and counts."""
        if block != self._block:
            self._block, self._generators = block, Generators(self._seed, block)
        # What the file will say: the counts then come from exactly the rates that it calls the truth.
        rates = (self._observation.rates(states) * valid[..., None]).astype(np.float32)
        mean = rates * np.float64(self._bin_width_s)
        spikes = self._counts.draw(mean, self._generators)
        if spikes.max(initial=0) > np.iinfo(self._dtype).max:
            raise ValueError(
                f"a bin has {spikes.max()} spikes, more than {np.iinfo(self._dtype).max}: lower the rates"
            )
        # Adding trials one by one keeps the sums free of how trials were cut.
        for trial_variance, trial_mean in zip(self._counts.variance(mean), mean, strict=True):
            self._variance = self._variance + trial_variance.sum(axis=0)
            self._mean = self._mean + trial_mean.sum(axis=0)
        return {"spikes": spikes.astype(self._dtype), "truth/rates": rates}

    def columns(self) -> dict[str, NDArray]:
        """The Fano factor that the counts have: sum of their variances over sum of their means."""
        mean = self._mean
        achieved = np.divide(self._variance, mean, out=np.full_like(mean, np.nan), where=mean > 0)
        return {"fano_achieved": achieved}


class Activity(Emission):
    """Continuous activity, standardised activations with an offset of each neuron, and Gaussian noise.

    Args:
        observation: The fitted map.
        signal_to_noise: Variance of a neuron's activity over that of its noise; infinite for none.
        seed: Of the noise.
    """

    units: ClassVar = {"activity": "1", "truth/activity_prediction": "1"}

    def __init__(self, observation: Observation, signal_to_noise: float, *, seed: int) -> None:
        self._observation, self._seed = observation, seed
        self._noise_std = observation.spread / np.sqrt(signal_to_noise)
        self._block, self._random = 0, stream(seed, "activity noise")

    def record(self, states: NDArray, valid: NDArray[np.bool_], block: int) -> dict[str, NDArray]:
        """Activity with noise, and what it is without."""
        if block != self._block:
            self._block, self._random = block, stream(self._seed, "activity noise", block)
        clean = self._observation.rates(states)
        noisy = clean + self._noise_std * self._random.standard_normal(clean.shape)
        there = valid[..., None]
        return {
            "activity": (noisy * there).astype(np.float32),
            "truth/activity_prediction": (clean * there).astype(np.float32),
        }

    def columns(self) -> dict[str, NDArray]:
        """Standard deviation of each neuron's noise."""
        return {"noise_std": self._noise_std}


def make_emission(
    observation: Observation, config: ObservationConfig, *, bin_width_s: float, seed: int
) -> Emission:
    """What `config.emission` names, of a fitted map."""
    if config.emission == "counts":
        return Counts(observation, config.fano, bin_width_s=bin_width_s, seed=seed)
    ratio = config.signal_to_noise if config.emission == "gaussian" else np.inf
    return Activity(observation, ratio, seed=seed)


def count_dtype(largest_mean: float, fano: float) -> type[np.unsignedinteger]:
    """The smaller type that counts fit, whatever is drawn.

    Args:
        largest_mean: Largest expected count of any bin.
        fano: Variance over mean.

    Raises:
        ValueError: No type holds such counts.
    """
    # Far beyond any draw: the tail of a negative binomial count falls off like exp(-count / fano).
    bound = largest_mean + 12 * np.sqrt(max(fano, 1.0) * largest_mean) + 40 * max(fano, 1.0)
    if not bound <= np.iinfo(np.uint16).max:
        raise ValueError(
            f"a bin would have up to {largest_mean:.3g} expected spikes: "
            "standardise the activations, raise factor or give a target rate"
        )
    return np.uint8 if bound <= np.iinfo(np.uint8).max else np.uint16
