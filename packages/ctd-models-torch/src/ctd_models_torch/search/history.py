"""What a search leaves to be read: a row per member and generation, a row per check, and a summary."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MEMBERS, CHECKS, SUMMARY, FIGURE = "members.csv", "checks.csv", "search.json", "search.png"


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under the columns of the fullest of them; what a row lacks stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write plain data as JSON."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(summary, indent=1) + "\n")
    os.replace(partial, path)
