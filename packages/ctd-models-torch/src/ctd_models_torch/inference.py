"""Running a fitted model over all trials of a recording, and writing what it infers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

import ctd_contract as cc
from ctd_models_torch.base import Inferred, LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.recording import Recording

# Fixed, not a setting: results must not depend on it, and matrix products round differently for other sizes.
BATCH_SIZE = 128
PREDICTION = {"spikes": "rates", "activity": "activity_prediction"}


def infer(
    model: LatentModel,
    recording: Recording,
    *,
    scratch: Path | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, np.ndarray]:
    """Infer every trial of every split, without dropout.

    Args:
        model: A fitted model.
        recording: What it was fitted to, or another one of its shape.
        scratch: Folder for temporary files that hold the results of a streamed recording; None keeps them
            in memory.
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
            for name, values in _signals(model, recording, batch, model.infer(batch)).items():
                if name not in found:
                    found[name] = _empty((count, *values.shape[1:]), None if recording.in_memory else scratch)
                found[name][rows] = values.cpu().numpy()
    model.train(was_training)
    return found


def _signals(model: LatentModel, recording: Recording, batch: Batch, inferred: Inferred) -> dict[str, Tensor]:
    expected = model.observation.expected(inferred.prediction)
    if recording.signal == "spikes":
        expected = expected / recording.file.bin_width_s
    signals = {PREDICTION[recording.signal]: expected, "states": inferred.states, **inferred.signals}
    if batch.inputs is not None:
        signals["inputs"] = batch.inputs
    bins = torch.arange(batch.n_time, device=batch.data.device)
    kept = (bins < batch.lengths[:, None])[..., None]
    padded = {
        name: torch.where(kept, values, 0.0) if values.dim() == 3 else values
        for name, values in signals.items()
    }
    return {**padded, "initial_state": inferred.initial_state}


def _empty(shape: tuple[int, ...], scratch: Path | None) -> np.ndarray:
    if scratch is None:
        return np.empty(shape, np.float32)
    return np.memmap(tempfile.TemporaryFile(dir=scratch), np.float32, "w+", shape=shape)


def write(
    path: Path,
    model: LatentModel,
    recording: Recording,
    *,
    kind: str,
    producer: str,
    config: dict[str, Any],
    seed: int,
    run: str | None = None,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
) -> dict[str, np.ndarray]:
    """Infer all trials and write them with the model's dynamics, its probe and its readout.

    Args:
        path: The inference file.
        model: A fitted model.
        recording: As in `infer`.
        kind: What the model is called.
        producer: Program and version.
        config: Of the fit.
        seed: Of the fit.
        run: Id of the run.
        device: Where to compute.
        overwrite: Replace an existing file.

    Returns:
        What was written, as `infer` gives it.
    """
    found = infer(model, recording, scratch=path.parent, device=device)
    drive = found.get("inputs")
    # The probe needs 64 visited points: the first trials' own bins, not their padding.
    visited = slice(0, 64)
    shortest = int(recording.file.lengths[visited].min())
    driven = None if drive is None else drive[visited, :shortest]
    cc.write_inference(
        path,
        recording.file,
        model=kind,
        producer=producer,
        config=config,
        seed=seed,
        run=run,
        dynamics=model.dynamics(),
        probe=model.probe(found["states"][visited, :shortest], driven),
        readout=model.portable_readout(recording.file.bin_width_s),
        overwrite=overwrite,
        **cast(dict[str, Any], found),
    )
    return found
