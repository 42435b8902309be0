"""Running a fitted model over all trials of a recording, and writing what it infers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

import ctd_contract as cc
from ctd_models_torch.base import Inferred, LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording

# Fixed, not a setting: results must not depend on it, and matrix products round differently for other sizes.
BATCH_SIZE = 128
PACKAGE = "ctd-models-torch"
PREDICTION = {"spikes": "rates", "activity": "activity_prediction"}
# Makes named signals, (trial, time, ...) or (trial, ...), of a batch.
Signals = Callable[[Batch], Mapping[str, Tensor]]


def infer(
    model: LatentModel,
    recording: Recording,
    *,
    by: Signals | None = None,
    scratch: Path | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, np.ndarray]:
    """Infer every trial of every split, without dropout.

    Args:
        model: A fitted model.
        recording: What it was fitted to, or another one of its shape.
        by: What makes named signals of a batch; by default what the model infers, see `signals_of`.
        scratch: Folder for files that hold the results in memory's place; None keeps them in memory.
        device: Where to compute.

    Returns:
        float32 arrays under the contract's names: ``rates`` in spikes/s or ``activity_prediction``,
        ``states``, ``initial_state``, ``inputs`` where the dynamics are driven by known ones, and what else
        the model infers. Padding is zero.
    """
    was_training = model.training
    model.eval().to(device)
    found: dict[str, np.ndarray] = {}
    count = recording.file.sizes["trial"]
    with torch.no_grad():
        for rows in np.array_split(np.arange(count), -(-count // BATCH_SIZE)):
            batch = Batch.of(recording.read(rows, device))
            found_here = signals_of(model, recording, model.infer(batch)) if by is None else by(batch)
            for name, values in _unpadded(found_here, batch).items():
                if name not in found:
                    path = None if scratch is None else scratch / name
                    found[name] = _empty((count, *values.shape[1:]), path)
                found[name][rows] = values.cpu().numpy()
    model.train(was_training)
    return found


def signals_of(model: LatentModel, recording: Recording, inferred: Inferred) -> dict[str, Tensor]:
    """What a model infers from a batch under the contract's names, (trial, time, ...) or (trial, ...)."""
    expected = expected_of(model, recording.signal, recording.file.bin_width_s, inferred)
    own = {PREDICTION[recording.signal]: expected, "states": inferred.states}
    start = {} if inferred.initial_state is None else {"initial_state": inferred.initial_state}
    return {**own, **start, **inferred.signals}


def expected_of(model: LatentModel, signal: str, bin_width_s: float, inferred: Inferred) -> Tensor:
    """Rates in spikes/s, or activity, (trial, time, neuron)."""
    expected = model.observation.expected(inferred.prediction)
    return expected / bin_width_s if signal == "spikes" else expected


def _unpadded(signals: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """With zeros in the padding, and with the known inputs."""
    known = {} if batch.inputs is None else {"inputs": batch.inputs}
    bins = torch.arange(batch.n_time, device=batch.data.device)
    kept = (bins < batch.lengths[:, None])[..., None]
    return {
        name: torch.where(kept, values, 0.0) if values.dim() == 3 else values
        for name, values in (dict(signals) | known).items()
    }


def _empty(shape: tuple[int, ...], path: Path | None) -> np.ndarray:
    return np.empty(shape, np.float32) if path is None else np.memmap(path, np.float32, "w+", shape=shape)


def write(
    path: Path,
    fitted: LatentModel,
    recording: Recording,
    *,
    by: Signals | None = None,
    device: torch.device | str = "cpu",
    **provenance: Any,
) -> None:
    """Infer all trials and write them with the model's dynamics, its probe and its readout.

    Args:
        path: The inference file.
        fitted: The model.
        recording: As in `infer`.
        by: As in `infer`.
        device: Where to compute.
        **provenance: ``model`` (its kind), ``name``, ``config``, ``seed``, ``run`` and ``overwrite``, as in
            `ctd_contract.write_inference`.
    """
    if fitted.by_region and "region" not in recording.file.tables["neurons"]:
        raise InputError(f"{recording.file.path} has no column neurons/region, which the model needs: add it")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # What others make of a batch may be much more than the recording.
        scratch = None if recording.in_memory and by is None else Path(folder)
        found = infer(fitted, recording, by=by, scratch=scratch, device=device)
        # Points for the probe: the first trials' own bins, not their padding.
        visited = slice(0, 64)
        shortest = int(recording.file.lengths[visited].min())
        dynamics = fitted.dynamics()
        states = found["states"][visited, :shortest]
        drive = [found[name][visited, :shortest] for name in dynamics.inputs]
        cc.write_inference(
            path,
            recording.file,
            producer=f"{PACKAGE} {version(PACKAGE)}",
            dynamics=dynamics,
            probe=fitted.probe(states, np.concatenate(drive, axis=2) if drive else None),
            readout=fitted.portable_readout(recording.file.bin_width_s),
            columns=fitted.columns(),
            units=fitted.units(),
            **provenance,
            **cast(dict[str, Any], found),
        )


def device_of(accelerator: str) -> torch.device:
    """Where inference runs, given where training did."""
    return torch.device("cuda" if accelerator in ("auto", "gpu") and torch.cuda.is_available() else "cpu")
