"""Thousands of broken files: always a ContractError or the true content; never a hang, a crash, a wrong array.

``pytest tests/fuzz -m fuzz --files 10000`` for the whole run; the files run in processes of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("worker.py")
BATCH = 120
SEED = 20_26


def run(folder: Path, start: int, stop: int) -> list[str]:
    """Results of the files from `start`; a process that dies or hangs costs one file, as a failure."""
    results: list[str] = []
    while start < stop:
        command = [sys.executable, str(WORKER), str(folder), str(SEED), str(start), str(stop)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20 * BATCH, check=False)
        lines = done.stdout.splitlines()
        ended = [line.split(" ", 2) for line in lines if line.startswith("end ")]
        results += [f"{index} {result}" for _, index, result in ended]
        start += len(ended)
        if done.returncode != 0:
            assert lines, done.stderr
            results.append(f"{start} FAILURE: process ended with {done.returncode}: {done.stderr[-300:]}")
            start += 1
    return results


def fuzz(folder: Path, files: int) -> None:
    """Break this many files and look at what became of them."""
    starts = range(0, files, BATCH)
    with ThreadPoolExecutor(2) as pool:
        batches = pool.map(lambda start: run(folder, start, min(start + BATCH, files)), starts)
        results = [result for batch in batches for result in batch]
    assert len(results) == files
    counts = Counter(result.split(" ")[1] for result in results)
    print(dict(counts.most_common()))  # noqa: T201  (shown with -s: what the files came to)
    failures = [result for result in results if "FAILURE" in result]
    assert not failures, "\n".join(failures[:20])
    assert counts["CTD103"] > 0.2 * files
    assert counts["unharmed"] < 0.5 * files


def test_a_few_hundred_broken_files(tmp_path: Path):
    fuzz(tmp_path, 240)


@pytest.mark.fuzz
def test_thousands_of_broken_files(tmp_path: Path, request: pytest.FixtureRequest):
    fuzz(tmp_path, request.config.getoption("--files"))
