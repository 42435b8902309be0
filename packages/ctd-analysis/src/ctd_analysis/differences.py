"""Differences between models in every metric, with intervals over trials that both share.

Trials differ more than models do: a trial with many spikes is easy for all of them. Resamples of the same
trials carry this to both models and the difference is free of it, so that its interval is narrower than the
two intervals of the numbers make believe.

Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8 (paired data).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.results import Difference, Floats, MetricRow


@dataclass(frozen=True)
class Resampled:
    """A number with what it is in each resample of the trials.

    Attributes:
        row: The number.
        values: In each resample, (resample,); None without resamples.
    """

    row: MetricRow
    values: Floats | None


def paired_differences(
    found: Iterable[Resampled], reference: str | None, bootstrap: Bootstrap
) -> tuple[Difference, ...]:
    """Every model's numbers less the reference's, in the order of their first appearance.

    Args:
        found: Numbers of all models and seeds; their resamples are of the same trials.
        reference: Name of the model that is subtracted; of several seeds, their mean is. None gives no rows.
        bootstrap: Settings of the intervals.

    Returns:
        One row per seed and, where a model has several, one of their mean. Metrics that the reference lacks
        have none.
    """
    if reference is None:
        return ()
    models: dict[tuple[str, str, str, str], dict[str, list[Resampled]]] = {}
    for item in found:
        row = item.row
        key = (row.dataset, row.split, row.metric, row.definition)
        models.setdefault(key, {}).setdefault(row.model, []).append(item)
    rows = []
    for key, of_models in models.items():
        subtracted = of_models.pop(reference, [])
        for model, seeds in of_models.items() if subtracted else ():
            chosen = [(item.row.seed, [item]) for item in seeds]
            if len(seeds) > 1:
                chosen.append((-1, seeds))
            for seed, items in chosen:
                dataset, split, metric, definition = key
                names = (dataset, model, seed, reference, split, metric, definition)
                rows.append(Difference(*names, *_difference(items, subtracted, bootstrap), len(items)))
    return tuple(rows)


def _difference(
    items: Sequence[Resampled], subtracted: Sequence[Resampled], bootstrap: Bootstrap
) -> tuple[float, float | None, float | None]:
    """The difference of two means over seeds, and its interval."""
    value, other = (float(np.mean([item.row.value for item in part])) for part in (items, subtracted))
    resamples = [[item.values for item in part if item.values is not None] for part in (items, subtracted)]
    if not all(resamples):
        return value - other, None, None
    low, high = bootstrap.interval(np.mean(resamples[0], axis=0) - np.mean(resamples[1], axis=0))
    return value - other, low, high
