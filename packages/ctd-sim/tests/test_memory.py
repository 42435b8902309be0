"""Files larger than memory stream through."""

import subprocess
import sys

import pytest

# Peak memory of a run on its own, less what Python and its libraries take: in MB.
MEASURE = """
import sys
import numpy as np
import ctd_contract as cc
from ctd_sim import ObservationConfig, Source, simulate

n_trials, n_time, n_states = map(int, sys.argv[2:5])

def read(name, rows):
    rng = np.random.default_rng(rows.start)
    return rng.standard_normal((rows.stop - rows.start, n_time, n_states), dtype=np.float32)

source = Source(
    name="large", trial=np.arange(n_trials), time=np.arange(n_time) * 0.01, bin_width_s=0.01,
    split=np.zeros(n_trials, np.uint8), lengths=np.full(n_trials, n_time, np.int32), n_states=n_states,
    read=read,
)
simulate(source, sys.argv[1], ObservationConfig(), seed=0, producer="tests")
# Of this program alone: ru_maxrss begins with what the parent had.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) / 1024)
"""


def peak_mb(path, *sizes):
    line = [sys.executable, "-c", MEASURE, str(path), *map(str, sizes)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    path.unlink()
    return float(done.stdout)


def test_memory_does_not_grow_with_trials(tmp_path):
    """6000 trials of 100 bins are 240 MB of states and rates, which must not show."""
    few, many = (peak_mb(tmp_path / "r.h5", n, 100, 40) for n in (1000, 6000))
    assert many < 500
    assert many - few < 40


@pytest.mark.slow
def test_100_000_trials_stream_within_500_mb(tmp_path):
    """With 60 neurons and 20 bins: more bins make the file larger and the chunks shorter, not the memory."""
    assert peak_mb(tmp_path / "r.h5", 100_000, 20, 64) < 500
