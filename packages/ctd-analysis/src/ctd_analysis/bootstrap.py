"""Bootstrap over trials: the trials are resampled, their bins and neurons are not.

A statistic is recomputed from sums over trials, so a resample is a vector of how often each trial was drawn
and a thousand resamples are one matrix product. Whatever was fitted on other trials is held fixed.

Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ctd_analysis.results import Floats


@dataclass(frozen=True)
class Estimate:
    """A number with its percentile interval; None at the ends where too few trials allow none.

    Attributes:
        value: The number.
        low: Lower end of the interval.
        high: Upper end.
        resamples: The number of each resample, NaN where it isn't defined, (resample,); None without any.
    """

    value: float
    low: float | None = None
    high: float | None = None
    resamples: Floats | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Undefined:
    """A number that doesn't exist for these data, with the reason as a sentence."""

    reason: str


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the interval.

    Attributes:
        n_resamples: Resamples of the trials; 0 for no interval.
        coverage: Part of the resampled values inside of the interval.
        seed: Seed of the resampling, the same for all metrics and models, which makes their resamples pairs.
    """

    n_resamples: int = 1000
    coverage: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_resamples < 0:
            raise ValueError(
                f"n_resamples is {self.n_resamples}, it can't be negative; 0 asks for no interval"
            )
        if not 0.0 < self.coverage < 1.0:
            raise ValueError(f"coverage is {self.coverage}, it has to lie between 0 and 1, such as 0.95")

    def weights(self, n_trials: int) -> NDArray[np.float64]:
        """How often each trial is in each resample, (resample, trial)."""
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, n_trials]))
        drawn = generator.multinomial(n_trials, np.full(n_trials, 1.0 / n_trials), size=self.n_resamples)
        return drawn.astype(np.float64)

    def estimate(self, statistic: Callable[[Floats], Floats], n_trials: int) -> Estimate | Undefined:
        """The statistic of all trials and its interval.

        Args:
            statistic: Maps weights (resample, trial) to values (resample,), NaN where it isn't defined.
            n_trials: Number of trials.

        Returns:
            The estimate, or `Undefined` when the statistic of all trials is not a number.
        """
        if n_trials == 0:
            return Undefined("no trial is in the scored split")
        value = float(statistic(np.ones((1, n_trials)))[0])
        if not np.isfinite(value):
            return Undefined("what is to be explained doesn't vary, or there is nothing to be scored")
        if self.n_resamples == 0 or n_trials < 2:
            return Estimate(value)
        values = statistic(self.weights(n_trials))
        return Estimate(value, *self.interval(values), values)

    def interval(self, values: Floats) -> tuple[float, float]:
        """Ends of the percentile interval of resampled values, (resample,); NaNs are left out."""
        tail = 50.0 * (1.0 - self.coverage)
        low, high = np.percentile(values[np.isfinite(values)], [tail, 100.0 - tail])
        return float(low), float(high)
