"""Broken files: always a ContractError or the true content; never a hang, a crash, a wrong array.

``pytest tests/fuzz -m fuzz --files 10000`` for the whole run; the files run in processes of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ctd_contract as cc

WORKER = Path(__file__).with_name("worker.py")
BATCH = 120
SEED = 20_26


def run(folder: Path, start: int, stop: int, original: Path | None) -> list[str]:
    """Results of the files from `start`; a process that dies or hangs costs one file, as a failure."""
    results: list[str] = []
    while start < stop:
        command = [sys.executable, str(WORKER), str(folder), str(SEED), str(start), str(stop)]
        command += [] if original is None else [str(original)]
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


def fuzz(folder: Path, files: int, original: Path | None = None) -> Counter[str]:
    """Break this many files; what became of them."""
    starts = range(0, files, BATCH)
    with ThreadPoolExecutor(2) as pool:
        batches = pool.map(lambda start: run(folder, start, min(start + BATCH, files), original), starts)
        results = [result for batch in batches for result in batch]
    assert len(results) == files
    failures = [result for result in results if "FAILURE" in result]
    assert not failures, "\n".join(failures[:20])
    counts = Counter(result.split(" ")[1] for result in results)
    print(dict(counts.most_common()))  # noqa: T201  (shown with -s: what the files came to)
    # Else nothing was broken. Half of a tiny file is the heap of the dimension lists, which is never read.
    assert counts["CTD103"] > 0.3 * files
    return counts


def test_a_few_hundred_broken_files(tmp_path: Path):
    fuzz(tmp_path, 240)


@pytest.mark.fuzz
def test_thousands_of_broken_files(tmp_path: Path, request: pytest.FixtureRequest):
    fuzz(tmp_path, request.config.getoption("--files"))


@pytest.mark.fuzz
def test_every_byte_of_a_small_file(tmp_path: Path):
    """What lies in no object, checksum or index may change; nothing that is read may."""
    path = tmp_path / "small.h5"
    with cc.create(path, "task", name="small", producer="t", trial=2, time=2, bin_width_s=0.01) as file:
        file.column("trials", "split", [0, 1])
        file.signal("states", [[[1.0], [2.0]], [[3.0], [4.0]]])
    counts = fuzz(tmp_path, path.stat().st_size, path)
    assert set(counts) <= {"CTD101", "CTD102", "CTD103", "unharmed"}
