"""Metrics of a run as a table with one row per check."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path


class MetricsFile:
    """``metrics.csv``: the epoch, then one column per metric, appended to at each check."""

    def __init__(self, path: Path, *, last_epoch: int = 0) -> None:
        """Open the table; rows after ``last_epoch``, left by an interrupted run, are dropped."""
        self.path = path
        self.columns: list[str] = []
        rows: list[dict[str, str]] = []
        if path.exists() and last_epoch:
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                # A killed process may leave half a row; the epoch of a whole one is never missing.
                rows = [row for row in reader if row["epoch"].isdigit() and int(row["epoch"]) <= last_epoch]
                self.columns = list(reader.fieldnames or [])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("w", newline="") as file:
            if self.columns:
                writer = csv.DictWriter(file, self.columns)
                writer.writeheader()
                writer.writerows(rows)
        os.replace(partial, path)

    def append(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write one row; the first one settles the columns."""
        header = not self.columns
        self.columns = self.columns or ["epoch", *metrics]
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if header:
                writer.writeheader()
            writer.writerow({"epoch": epoch, **{name: repr(value) for name, value in metrics.items()}})
