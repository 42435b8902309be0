"""Settings of the reference predictions: the values among which the valid split chooses."""

from __future__ import annotations

from dataclasses import dataclass, field


def _widths() -> list[float]:
    return [0.007, 0.01, 0.014, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.6]


def _ridges() -> list[float]:
    return [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0]


@dataclass
class BaselineConfig:
    """What all of them have: lists of values to choose from."""

    def __post_init__(self) -> None:
        """Refuse lists that leave nothing to choose or hold what makes no sense.

        Raises:
            ValueError: Names the list.
        """
        for name, values in vars(self).items():
            if not values and name != "forecasts":
                raise ValueError(f"{name} is empty: name the values to choose from")
            least = 0.0 if name == "prior_trials" else 1e-9
            if values and min(values) < least:
                raise ValueError(f"{name} has {min(values)}: values have to be above 0")


@dataclass
class WidthConfig(BaselineConfig):
    """What those that smooth over time have.

    Attributes:
        width_s: Standard deviations of the Gaussian that smooths over time, in s.
    """

    width_s: list[float] = field(default_factory=_widths)


@dataclass
class ConditionAverageConfig(WidthConfig):
    """Smoothed counts, averaged over the training trials of each condition; settings are each neuron's own.

    Attributes:
        prior_trials: Weights of the average over all conditions, in trials, that shrink those of a condition.
    """

    prior_trials: list[float] = field(default_factory=lambda: [0.0, 1.0, 3.0, 10.0, 30.0, 100.0])


@dataclass
class SmoothingConfig(WidthConfig):
    """Smoothed counts of held-in neurons, and Poisson regressions on their logarithms for all else.

    Held-in neurons have a width of their own; the regressions share one.

    Attributes:
        prior_bins: Weights of a held-in neuron's mean, in bins, that shrink its smoothed counts.
        ridge: Penalties of the regressions on squared weights, per training row and unit of spread.
    """

    prior_bins: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
    ridge: list[float] = field(default_factory=_ridges)


@dataclass
class FactorAnalysisConfig(WidthConfig):
    """Factors of the held-in neurons' smoothed counts, and Poisson regressions on them.

    Attributes:
        n_factors: Numbers of factors.
        ridge: Penalties of the regressions on squared weights, per training row and unit of spread.
    """

    n_factors: list[int] = field(default_factory=lambda: [2, 4, 6, 8, 12, 16, 24, 32])
    ridge: list[float] = field(default_factory=_ridges)


@dataclass
class ReducedRankConfig(WidthConfig):
    """Poisson regressions on the few combinations of held-in neurons that best predict the held-out ones.

    Attributes:
        rank: Numbers of combinations.
        ridge: Penalties of all regressions on squared weights, per training row and unit of spread.
    """

    rank: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 6, 8, 12])
    ridge: list[float] = field(default_factory=_ridges)


@dataclass
class LinearDynamicsConfig(BaselineConfig):
    """A linear dynamical system of all regions, and regressions on its states; of continuous activity too.

    Forecasts take the penalty that is best for held-out neurons, and numbers of latents of their own.

    Attributes:
        n_latents: Numbers of latents of each region.
        ridge: Penalties of the regressions on squared weights, per training row and unit of spread.
        forecasts: How many bins ahead neurons are to be predicted as well.
    """

    n_latents: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 6, 8])
    ridge: list[float] = field(default_factory=lambda: [1e-4, 0.01, 1.0])
    forecasts: list[int] = field(default_factory=lambda: [1, 5, 10])


BASELINES: dict[str, type[BaselineConfig]] = {
    "condition_average": ConditionAverageConfig,
    "smoothing": SmoothingConfig,
    "factor_analysis": FactorAnalysisConfig,
    "reduced_rank": ReducedRankConfig,
    "linear_dynamics": LinearDynamicsConfig,
}
"""Name of each reference prediction to its settings."""
