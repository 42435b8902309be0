"""How well a model says some bins ahead what neurons will do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Estimates, Metric, block_of, score_arrays
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition, Flags, Floats

_FORMULA = (
    "1 - sum_n sum_b (y_bn - f_bn)^2 / sum_n sum_b (y_bn - mean_b y_bn)^2, b over bins as far "
    "into their trial as the forecast reaches ahead, or farther; f = forecast, y = {what}"
)
TRUE = Definition(
    name="truth-1",
    metric="forecast_r2",
    formula=_FORMULA.format(what="true rates, or true activity without noise"),
    text="Part of the variance of what neurons would do on average that was known so many bins before. "
    "1 is perfect, 0 no better than each neuron's mean; all neurons pooled, held-out ones too.",
    source="MR-SDS",
)
OBSERVED = Definition(
    name="observed-1",
    metric="forecast_r2",
    formula=_FORMULA.format(what="counts over bin width, or observed activity"),
    text="The same of what was recorded, noise included, in bins in which all neurons were: the best of all "
    "forecasts stays well below 1.",
    source="MR-SDS",
)
_NAME = re.compile(r"forecast_([1-9][0-9]*)")


class ForecastR2(Metric):
    """R² of a forecast.

    Args:
        bins: How far it reaches ahead.
        truth: Signal of the truth, `true_rates` or `true_activity`; "" without any.
        observed: `spikes` or `activity`.
    """

    name = "forecast_r2"
    requires = ()

    def __init__(self, bins: int, truth: str, observed: str) -> None:
        self._bins = bins
        self.name = f"forecast_r2 {bins}"
        chosen = {form.name: signal for form, signal in ((TRUE, truth), (OBSERVED, observed)) if signal}
        self._signals = chosen
        self.requires = (f"forecast_{bins}", *chosen.values())
        self.definitions = tuple(
            replace(form, metric=self.name) for form in (TRUE, OBSERVED) if form.name in chosen
        )
        self._parts: dict[str, list[TrialR2]] = {name: [] for name in chosen}

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        forecast = block.signals[f"forecast_{self._bins}"]
        reached = block.valid & (np.arange(forecast.shape[1]) >= self._bins)
        for name, signal in self._signals.items():
            scored, target = reached, block.signals[signal]
            if signal == "spikes":
                target = target / block.session.bin_width_s
            if signal in ("spikes", "activity") and "observed" in block.signals:
                scored = scored & (block.signals["observed"] > 0).all(axis=2)
            self._parts[name].append(TrialR2.of(target, forecast, scored))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Against the truth, and against what was observed."""
        found: Estimates = []
        for definition in self.definitions:
            parts = self._parts[definition.name]
            if not parts or not sum(part.bins.sum() for part in parts):
                found.append((definition, Undefined("trials are no longer than the forecast reaches")))
                continue
            sums = TrialR2.concatenate(parts)
            found.append((definition, bootstrap.estimate(sums.variance_weighted, len(sums.bins))))
        return found


def forecast_metrics(signals: Iterable[str]) -> list[ForecastR2]:
    """A metric for each forecast among the signals, the shortest first."""
    names = set(signals)
    truth = next((name for name in ("true_rates", "true_activity") if name in names), "")
    observed = next((name for name in ("spikes", "activity") if name in names), "")
    ahead = sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))
    return [ForecastR2(bins, truth, observed) for bins in ahead if truth or observed]


def forecast_r2(
    forecast: Floats,
    *,
    bins: int,
    true_rates: Floats | None = None,
    spikes: Floats | None = None,
    bin_width_s: float = 0.01,
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of forecasts of rates.

    Args:
        forecast: Spikes/s; row k is of bin k, told by the bins up to k - bins, (trial, time, neuron).
        bins: How far it reaches ahead.
        true_rates: Spikes/s, the same shape.
        spikes: Counts, the same shape.
        bin_width_s: Width of a bin in s.
        valid: Bins that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    given = {"true_rates": true_rates, "spikes": spikes, f"forecast_{bins}": forecast}
    signals = {name: array for name, array in given.items() if array is not None}
    block = block_of(valid=valid, bin_width_s=bin_width_s, **signals)
    (metric,) = forecast_metrics(signals)
    return score_arrays(metric, block, None, bootstrap)
