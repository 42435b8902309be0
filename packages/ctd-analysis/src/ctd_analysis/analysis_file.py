"""Writing what an analysis found: a contract file of kind `analysis`, and the table as CSV."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

import ctd_contract as cc
from ctd_analysis.results import TRUTH, AnalysisResult, Difference, FixedPoints, MetricRow, SeedSummary

COLUMNS = ("dataset", "model", "seed", "split", "metric", "definition", "value", "low", "high")


def write_analysis(
    result: AnalysisResult,
    path: str | os.PathLike[str],
    *,
    parents: Iterable[cc.Parent] = (),
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    run: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes `/metrics`, `/differences` where models were compared, and `/fixed_points`.

    Args:
        result: The analysis.
        path: The file to write.
        parents: The files that went into it.
        config: Configuration, JSON-compatible.
        seed: The run's seed.
        run: Its id.
        overwrite: Replace an existing file.
    """
    ids = {TRUTH: result.dataset_id} | {model.label: model.file_id for model in result.models}
    with cc.create(
        path,
        "analysis",
        name=f"analysis of {result.dataset}",
        producer=f"ctd-analysis {result.software['ctd-analysis']}",
        config=config,
        seed=seed,
        run=run,
        parents=parents,
        overwrite=overwrite,
    ) as writer:
        writer.metrics(
            {column: [_for_file(getattr(row, column)) for row in result.metrics] for column in COLUMNS}
        )
        for column in fields(Difference) if result.differences else ():
            values = [_for_file(getattr(row, column.name)) for row in result.differences]
            writer.column("differences", column.name, values)
        for label, space in result.spaces.items():
            if space.points is not None:
                writer.fixed_points(_group_name(label, ids), _arrays(space.points), source=ids[label])


def write_table(rows: Iterable[MetricRow | SeedSummary | Difference], path: str | os.PathLike[str]) -> None:
    """Writes rows as CSV, a column per field; metrics have those of `/metrics`. What isn't there is empty.

    Args:
        rows: All of one kind.
        path: The file to write; an older one is replaced whole or not at all.
    """
    rows = list(rows)
    columns = [column.name for column in fields(rows[0])] if rows else list(COLUMNS)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(columns)
            table.writerows([_for_table(getattr(row, column)) for column in columns] for row in rows)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _for_file(value: str | float | None) -> str | float:
    return float("nan") if value is None else value


def _for_table(value: str | float | None) -> str | float:
    return "" if value is None else value


def _group_name(label: str, ids: Mapping[str, str]) -> str:
    """A name that the contract allows, unique among the labels: `lfads seed 1` is `lfads_seed_1`."""

    def allowed(text: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
        return name if name[:1].isalpha() else f"model_{name}"

    same = [other for other in ids if allowed(other) == allowed(label)]
    return allowed(label) if len(same) == 1 else f"{allowed(label)}_{same.index(label)}"


def _arrays(points: FixedPoints) -> dict[str, np.ndarray]:
    return {
        "state": points.state,
        "input": points.input,
        "mode": points.mode,
        "speed": points.speed,
        "jacobian": points.jacobian,
        "eigenvalues": points.eigenvalues,
        "stable": points.stable,
        "slow": points.is_slow,
    }
