"""Settings of the reference predictions: the values among which the valid split chooses."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _widths() -> list[float]:
    return [0.007, 0.01, 0.014, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.6]


def _ridges() -> list[float]:
    return [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0]


@dataclass
class BaselineConfig:
    """What all of them have.

    Attributes:
        width_s: Standard deviations of the Gaussian that smooths over time, in s.
    """

    width_s: list[float] = field(default_factory=_widths)

    def __post_init__(self) -> None:
        for item in fields(self):
            values = getattr(self, item.name)
            if not values:
                raise ValueError(f"{item.name} is empty: name the values to choose from")
            least = 0.0 if item.name == "prior_trials" else 1e-9
            if min(values) < least:
                raise ValueError(f"{item.name} has {min(values)}: values have to be above 0")


@dataclass
class ConditionAverageConfig(BaselineConfig):
    """Smoothed counts, averaged over the training trials of each condition; settings are each neuron's own.

    Attributes:
        prior_trials: Weights of the average over all conditions, in trials, that shrink those of a condition.
    """

    prior_trials: list[float] = field(default_factory=lambda: [0.0, 1.0, 3.0, 10.0, 30.0, 100.0])


@dataclass
class SmoothingConfig(BaselineConfig):
    """Smoothed counts of held-in neurons, and Poisson regressions on their logarithms for all else.

    Held-in neurons have a width of their own; the regressions share one.

    Attributes:
        prior_bins: Weights of a held-in neuron's mean, in bins, that shrink its smoothed counts.
        ridge: Penalties of the regressions on squared weights, per training row and unit of spread.
    """

    prior_bins: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
    ridge: list[float] = field(default_factory=_ridges)


@dataclass
class FactorAnalysisConfig(BaselineConfig):
    """Factors of the held-in neurons' smoothed counts, and Poisson regressions on them.

    Attributes:
        n_factors: Numbers of factors.
        ridge: Penalties of the regressions on squared weights, per training row and unit of spread.
    """

    n_factors: list[int] = field(default_factory=lambda: [2, 4, 6, 8, 12, 16, 24, 32])
    ridge: list[float] = field(default_factory=_ridges)


BASELINES: dict[str, type[BaselineConfig]] = {
    "condition_average": ConditionAverageConfig,
    "smoothing": SmoothingConfig,
    "factor_analysis": FactorAnalysisConfig,
}
"""Name of each reference prediction to its settings."""
