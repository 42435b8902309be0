"""Runs the benchmarks, all or those named, each in a process of its own, and writes results.json.

python benchmarks/run.py
python benchmarks/run.py noisy_gru_step gru_sae_step
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
# Modules that time nothing, and one that takes minutes and is only run by name.
HELPERS = ("run", "timing", "lfads_step", "stability")
BY_NAME = ("time_to_score",)
REQUIRED = ("name", "ratio", "fast_s", "slow_s")
# glibc keeps what is freed: otherwise it is luck, process by process, whether each large buffer of the plain
# side costs page faults, which make it half as slow again.
ALLOCATION = {
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "2000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def names(asked: list[str]) -> list[str]:
    """Names of the benchmarks to run; an unknown one is an error."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HELPERS)
    for name in asked:
        if name not in known:
            raise SystemExit(f"there is no benchmark {name!r}; there are {', '.join(known)}")
    return asked or [name for name in known if name not in BY_NAME]


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def measure(name: str) -> dict:
    """Run one benchmark and read the JSON in the last line that it prints."""
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    environment = os.environ | ALLOCATION
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{name} ended with code {done.returncode}")
    result = json.loads(done.stdout.splitlines()[-1])
    missing = [key for key in REQUIRED if key not in result]
    if missing:
        raise RuntimeError(f"{name} gives no {', '.join(missing)}")
    machine = {"system": platform.system(), "processor": processor(), "cores": os.cpu_count()}
    return result | {"machine": machine | {"python": platform.python_version()}}


def main() -> None:
    """Run, print and write; results of benchmarks that were not run now are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="benchmarks to run; all but the longest if none is named")
    results = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    failed = []
    for name in names(parser.parse_args().names):
        try:
            entry = measure(name)
        except RuntimeError as error:
            failed.append(str(error))
            continue
        results[entry["name"]] = entry
        seconds = f"{entry['fast_s']:.3g} s against {entry['slow_s']:.3g} s"
        print(f"{name}: {entry['ratio']:.2f} times as fast, {seconds}")
        RESULTS.write_text(json.dumps(list(results.values()), indent=2) + "\n")
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
