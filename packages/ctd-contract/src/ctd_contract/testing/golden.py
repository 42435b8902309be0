"""Golden files: one of each kind and version, which every later reader must read.

Their numbers come from small integers and fractions of two, so that they are the same on every machine.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ctd_contract import reader, writer
from ctd_contract.dynamics import Affine, Probe
from ctd_contract.readout import Layer, Readout

FOLDER = Path(__file__).parent / "golden"
PRODUCER = "ctd-contract.testing 1"
TRIALS, BINS, NEURONS = 4, 6, 3
BIN_WIDTH_S = 0.0078125

GOLDEN_DIGESTS = {
    "task-1.0": "09969cd372990e87bffd91e081d374bbc6c74600e01de9b567a4f41bfa64af72",
    "recording-1.0": "08a5d9eea862186d547c7ff9b6f8fa87782f952df8c339145449233c4f7e93c9",
    "inference-1.0": "769ebe18f821351b3c105e6657a262d133a12de8ffdbba20490873ab33fd0414",
    "analysis-1.0": "48130c06a2b419cd255d0f8bb4c0af796b5ad25c9cb8e1ea3b23bad099f45979",
}


def golden_path(kind: str, version: str = "1.0") -> Path:
    """Path of the golden file of a kind (``task``, ``recording``, ``inference``, ``analysis``)."""
    path = FOLDER / f"{kind}-{version}.h5"
    if not path.is_file():
        raise ValueError(f"no golden file of kind {kind!r} and version {version!r}")
    return path


def write_golden(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Write the golden files of this version; their digests by name."""
    folder = Path(folder)
    digests = {}
    for write in (_task, _recording, _inference, _analysis):
        path = write(folder)
        with reader.open(path) as file:
            digests[path.stem] = file.digest
    return digests


DYNAMICS = Affine([[0.5, 0.25], [-0.25, 0.5]], [[1.0], [0.5]], [0.125, 0.0])
READOUT = Readout([Layer([[8.0, 0.0], [0.0, 8.0], [4.0, 4.0]], [16.0, 16.0, 16.0], "relu")])


def _simulate() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, states and initial states: exact in float32, whatever the machine."""
    trial, time = np.arange(TRIALS)[:, None], np.arange(BINS)
    inputs = (((3 * trial + time) % 3) - 1.0)[..., None]
    initial = np.stack([np.arange(TRIALS) - 1.0, 0.5 * np.arange(TRIALS)], axis=1)
    states, state = np.empty((TRIALS, BINS, 2)), initial
    for index in range(BINS):
        state = DYNAMICS.step(state, inputs[:, index])
        states[:, index] = state
    return inputs, states, initial


def _probe(dynamics: Affine) -> Probe:
    points = np.arange(64) % np.array([[5], [7], [3]]) - 2.0
    state, inputs = points[:2].T, points[2:].T
    return Probe(state, inputs, dynamics.step(state, inputs))


def _create(path: Path, kind: str, **options) -> writer.Writer:
    trials = {"trial": np.arange(TRIALS) * 10 + 7, "time": BINS, "bin_width_s": BIN_WIDTH_S}
    return writer.create(
        path,
        kind,
        name=f"golden {kind}",
        producer=PRODUCER,
        seed=1,
        config={"golden": True},
        title="Golden file of version 1.0",
        overwrite=True,
        **({} if kind == "analysis" else trials),
        **options,
    )


def _task(folder: Path) -> Path:
    path = folder / "task-1.0.h5"
    inputs, states, initial = _simulate()
    with _create(path, "task", axes={"input": [3]}) as file:
        file.column("trials", "split", [0, 0, 1, 2])
        file.column("trials", "condition", [0, 1, -1, 0])
        file.column("trials", "reward", [0.5, 1.0, 0.0, 2.0], unit="ml")
        file.names("condition", ["links", "größer"])
        file.names("input", ["pulse"])
        file.phase("go", [[0, 3], [1, 6], [-1, -1], [2, 2]])
        for name in ("inputs", "inputs_clean", "perturbations", "targets"):
            file.signal(name, inputs, unit="V")
        file.signal("outputs", states[..., :1])
        file.signal("states", states)
        file.signal("initial_state", initial)
        file.dynamics(DYNAMICS, _probe(DYNAMICS))
        file.readout(Readout([Layer([[1.0, 0.0]])]))
    return path


def _recording(folder: Path) -> Path:
    path = folder / "recording-1.0.h5"
    inputs, states, initial = _simulate()
    lengths = np.array([6, 4, 6, 5])
    valid = (np.arange(BINS) < lengths[:, None])[..., None]
    spikes = np.add.outer(np.arange(TRIALS), np.add.outer(np.arange(BINS), 2 * np.arange(NEURONS))) % 4
    behavior = states.copy()
    behavior[:, 0] = np.nan
    with (
        reader.open(folder / "task-1.0.h5") as task,
        _create(path, "recording", parents=[task.parent("source")]) as file,
    ):
        file.column("trials", "split", [0, 0, 1, 2])
        file.column("trials", "split_fold1", [1, 0, 0, 2])
        file.column("trials", "length", lengths)
        file.column("times", "forward", [0, 0, 0, 0, 0, 1])
        file.axis("neuron", [5, 6, 9])
        file.column("neurons", "held_out", [0, 0, 1])
        file.column("neurons", "region", [0, 0, 1])
        file.names("region", ["M1", "PMd"])
        file.signal("spikes", np.where(valid, spikes, 0).astype(np.uint8))
        file.signal("observed", np.where(valid, spikes > 0, False))
        file.signal("inputs", np.where(valid, inputs, 0), unit="V")
        file.signal("behavior", np.where(valid, behavior, 0), unit="cm/s")
        file.truth("rates", np.where(valid, READOUT.evaluate(states), 0))
        file.truth("states", np.where(valid, states, 0))
        file.truth("inputs", np.where(valid, inputs, 0), unit="V")
        file.truth("initial_state", initial)
        file.truth_dynamics(DYNAMICS, _probe(DYNAMICS))
        file.truth_readout(READOUT)
    return path


def _inference(folder: Path) -> Path:
    path = folder / "inference-1.0.h5"
    with (
        reader.open(folder / "recording-1.0.h5") as source,
        _create(path, "inference", axes={"neuron": source.axis("neuron")}, parents=[source.parent()]) as file,
    ):
        file.column("trials", "split", source.tables["trials"]["split"])
        file.column("trials", "length", source.lengths)
        # The two states change places.
        turned = Affine(DYNAMICS.A[::-1, ::-1], DYNAMICS.B[::-1], DYNAMICS.c[::-1])
        states = source.truth["states"][:][..., ::-1]
        file.signal("rates", source.truth["rates"][:])
        file.signal("rates_std", 0.5 * source.truth["rates"][:])
        file.signal("states", states)
        file.signal("factors", states[..., :1])
        file.signal("inputs", source.signals["inputs"][:], unit="V")
        file.signal("initial_state", source.truth["initial_state"][:][:, ::-1])
        file.dynamics(turned, _probe(turned))
        first = READOUT.layers[0]
        file.readout(Readout([Layer(first.weight[:, ::-1], first.bias, "relu")]))
    return path


def _analysis(folder: Path) -> Path:
    path = folder / "analysis-1.0.h5"
    with (
        reader.open(folder / "recording-1.0.h5") as truth,
        reader.open(folder / "inference-1.0.h5") as model,
        _create(path, "analysis", parents=[truth.parent("truth"), model.parent("inference")]) as file,
    ):
        file.metrics(
            {
                "dataset": [truth.name] * 2,
                "model": [model.name] * 2,
                "seed": [1, 1],
                "split": ["test", "valid"],
                "metric": ["rate_r2", "rate_r2"],
                "definition": ["rate_r2 1"] * 2,
                "value": [1.0, 0.5],
                "low": [0.75, 0.25],
                "high": [1.0, np.nan],
            }
        )
        arrays = {
            "state": [[0.125, -0.25]],
            "input": [[0.0]],
            "speed": [0.0],
            "jacobian": [DYNAMICS.A],
            "eigenvalues": [[0.5 + 0.25j, 0.5 - 0.25j]],
            "stable": [True],
        }
        file.fixed_points("truth", arrays, source=truth.id)
    return path
