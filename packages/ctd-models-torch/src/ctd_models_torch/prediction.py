"""Fitted models on recordings that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ctd_contract as cc
from ctd_contract.command.sessions import session_names
from ctd_models_torch import inference
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError, shortened
from ctd_models_torch.recording import Recording
from ctd_models_torch.saved import load_model
from ctd_models_torch.shape import Shape


def predict(
    folder: str | Path,
    recording: str | Path,
    path: str | Path,
    *,
    session: str | None = None,
    memory_mb: int = RecordingConfig.memory_mb,
    accelerator: str = "auto",
    name: str | None = None,
    run: str | None = None,
    overwrite: bool = False,
) -> None:
    """Infer all trials of a recording with a model that was fitted before.

    Args:
        folder: Folder of the finished fit.
        recording: A recording with the same neurons, bin width and inputs.
        path: The inference file to write.
        session: Of a model of several recordings: name of the one whose neurons these are. By default the one
            that they fit, and where they fit several the one with the recording's own name.
        memory_mb: As in `RecordingConfig`.
        accelerator: As in `FitConfig`.
        name: What it is called in tables and figures; by default the model's name.
        run: Id of the run, for provenance.
        overwrite: Replace an existing file.

    Raises:
        InputError: There is no model in the folder, or the recording differs from what it is for, or fits
            several of its sessions.
    """
    fitted = load_model(folder)
    with cc.open(recording) as file:
        data = Recording(file, RecordingConfig(fitted.shapes[0].inputs, memory_mb=memory_mb))
        saved = fitted.one_session(session_of(fitted.shapes, data, session))
        inference.write(
            Path(path),
            saved.model,
            data,
            model=saved.kind,
            name=name,
            config=saved.config,
            seed=saved.seed,
            run=run,
            device=inference.device_of(accelerator),
            overwrite=overwrite,
        )


def session_of(shapes: Sequence[Shape], data: Recording, name: str | None) -> int:
    """Position of the session that a recording is one of; see `predict`."""
    names = [shape.name for shape in shapes]
    if name is not None or len(names) == 1:
        if name is not None and name not in names:
            raise InputError(f"session={name}: the model was fitted to {', '.join(names)}")
        index = 0 if name is None else names.index(name)
        check_fits(shapes[index], data)
        return index
    fitting, reasons = [], []
    for index, shape in enumerate(shapes):
        try:
            check_fits(shape, data)
            fitting.append(index)
        except InputError as error:
            reasons.append(f"{shape.name}: {error}")
    if not fitting:
        raise InputError(
            f"{data.file.path} fits none of the {len(names)} recordings that the model was fitted to; "
            f"{'; '.join(reasons)}"
        )
    own = session_names([data.name])[0]
    chosen = [index for index in fitting if names[index] == own] or fitting
    if len(chosen) > 1:
        raise InputError(
            f"{data.file.path} fits several of the recordings that the model was fitted to, and is called "
            "like none of them: say which one's neurons these are with session= one of "
            f"{', '.join(names[index] for index in chosen)}"
        )
    return chosen[0]


def check_fits(shape: Shape, data: Recording) -> None:
    """Refuse a recording that a model can't be given."""
    found = Shape.of(data, None)
    bins = len(data.file.time)
    pairs = (
        ("observations", shape.signal, found.signal),
        ("number of neurons", len(shape.neurons), len(found.neurons)),
        ("ids of the neurons", shape.neurons, found.neurons),
        ("held-out neurons", shape.held_out, found.held_out),
        # Most models don't care, and a recording need not tell.
        ("regions of the neurons", shape.regions if found.regions else None, found.regions),
        ("number of input channels", shape.input_size, found.input_size),
        ("bin width in s", shape.bin_width_s, found.bin_width_s),
    )
    for what, expected, got in pairs:
        if expected != got:
            raise InputError(
                f"{data.file.path} differs from what the model was fitted to in the {what}: "
                f"expected {shortened(expected)}, got {shortened(got)}"
            )
    last = max(shape.seen_bins)
    if last >= bins:
        raise InputError(f"{data.file.path} has {bins} bins, but the model's encoder reads up to bin {last}")
