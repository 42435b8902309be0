"""Mean and spread of each metric over the seeds of a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ctd_analysis.results import CEILINGS, TRUTH, MetricRow, SeedSummary


def summarise_seeds(rows: Iterable[MetricRow]) -> tuple[SeedSummary, ...]:
    """One row per dataset, model, split, metric and definition, in the order of their first appearance."""
    values: dict[tuple[str, str, str, str, str], list[float]] = {}
    for row in rows:
        if row.model not in (TRUTH, *CEILINGS):
            key = (row.dataset, row.model, row.split, row.metric, row.definition)
            values.setdefault(key, []).append(row.value)
    return tuple(
        SeedSummary(
            *key,
            n_seeds=len(found),
            mean=float(np.mean(found)),
            sd=float(np.std(found, ddof=1)) if len(found) > 1 else None,
        )
        for key, found in values.items()
    )
