"""Stand-ins for the other packages' commands, and the runs that use them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# What every stand-in does: notes that it runs, obeys settings of its own, writes a result.
STUB = """
import os, pathlib, sys, time

command = sys.argv[1] if "=" not in sys.argv[1] else ""
settings = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
out = pathlib.Path(settings["out"][1:-1].replace("\\\\'", "'"))
package = pathlib.Path(sys.argv[0]).parent.name
journal = pathlib.Path(os.environ["STUB_JOURNAL"])
out.mkdir(parents=True, exist_ok=True)

def note(what):
    with journal.open("a") as file:
        file.write(f"{what} {package} {out.name} {' '.join(sorted(sys.argv[1:]))}\\n")

if (out / "begun").exists() and not {"resume", "overwrite"} & set(settings):
    sys.exit("interrupted earlier, and neither resume nor overwrite")
(out / "begun").touch()
note("start")
try:
    os.close(os.open(out / "active", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    note("clash")
print("threads", os.environ["OMP_NUM_THREADS"], flush=True)
gate = settings.get("gate")
deadline = time.monotonic() + 60
while gate and not pathlib.Path(gate).exists() and time.monotonic() < deadline:
    time.sleep(0.02)
time.sleep(float(settings.get("sleep", 0)))
(out / "active").unlink()
if settings.get("fail") == "true":
    print("first line\\nthe last words", flush=True)
    sys.exit(1)
result = {"ctd_tasks": "task.h5", "ctd_sim": "recording.h5", "ctd_analysis": "analysis.h5"}
path = out / ("inference.h5" if command else result.get(package, "inference.h5"))
if "predict" in settings and not pathlib.Path(settings["predict"][1:-1]).read_text().startswith("fit of ["):
    sys.exit("predict= names no fit of several recordings")
if settings.get("data", "").startswith("["):
    path = out / "sessions.json"
if path.name == "analysis.h5":
    import ctd_contract as cc
    n = settings["inference"].count(".h5")
    path.unlink(missing_ok=True)
    with cc.create(path, "analysis", name="stub", producer="stub") as writer:
        writer.metrics({
            "dataset": ["toy"] * n, "model": [f"model-{i}" for i in range(n)], "seed": list(range(n)),
            "split": ["test"] * n, "metric": ["rate_r2"] * n, "definition": ["plain-1"] * n,
            "value": [0.5 + i / 10 for i in range(n)], "low": [0.4] * n, "high": [float("nan")] * n,
        })
    (out / "report.html").write_text(f"report of {n} models")
else:
    if settings.get("writes"):
        (out / settings["writes"]).write_text(package)
    path.write_text(f"fit of {settings['data']}" if path.suffix == ".json" else package)
note("end")
"""
PACKAGES = ("ctd-tasks", "ctd-sim", "ctd-models-torch", "ctd-models-jax", "ctd-analysis")


def install(folder, version="9.9"):
    """Put the stand-ins into a folder, as if installed there."""
    for package in PACKAGES:
        module = package.replace("-", "_")
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").touch()
        (folder / module / "__main__.py").write_text(STUB)
        about = folder / f"{module}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return folder


SUITE = """
tasks: {toy: {expected_s: 1}}
simulators: {plain: {}}
models:
  a: {seeds: [0, 1], expected_s: 5}
  b: {package: ctd-models-jax}
"""


class Bench:
    """A folder with a suite, in which the benchmark runs against the stand-ins."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.journal = folder / "journal.txt"
        self.journal.touch()
        self.packages = install(folder / "packages")
        self.suite(SUITE)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.packages),
            "STUB_JOURNAL": str(self.journal),
        }

    def suite(self, text, name="own"):
        (self.folder / f"{name}.yaml").write_text(text)

    def start(self, *arguments, suite="own.yaml", **options):
        line = [sys.executable, "-m", "ctd_benchmark", f"suite={suite}", *arguments]
        return subprocess.Popen(
            line,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A job in a shell's background ignores interrupts and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        )

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        process.out, process.err = process.communicate(timeout=120)
        return process

    def events(self, what):
        """Words of the journal's lines of one kind: package, folder, arguments."""
        lines = [line.split() for line in self.journal.read_text().splitlines()]
        return [line[1:] for line in lines if line[0] == what]

    def leaderboard(self, name="own"):
        return (self.folder / f"outputs/benchmark/{name}/leaderboard.csv").read_text().splitlines()


@pytest.fixture
def bench(tmp_path):
    """A benchmark of stand-ins in a folder of its own."""
    return Bench(tmp_path)


@pytest.fixture
def install_stubs():
    """The function that puts stand-ins into a folder."""
    return install
