"""Inference files that a fitted model gives in another way than by plain inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctd_contract as cc
from ctd_models_torch import inference
from ctd_models_torch.base import LatentModel
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.prediction import session_of
from ctd_models_torch.recording import Recording
from ctd_models_torch.saved import load_model


@dataclass(frozen=True)
class Source:
    """A fitted model, a recording for it, and where what they give goes.

    Attributes:
        folder: Folder of the finished fit.
        recording: A recording as in `predict`.
        path: The inference file to write.
        session: As in `predict`.
        name: What the result is called in tables and figures; by default it says what was done.
        memory_mb: As in `RecordingConfig`.
        accelerator: As in `FitConfig`.
        run: Id of the run, for provenance.
        overwrite: Replace an existing file.
    """

    folder: str | Path
    recording: str | Path
    path: str | Path
    session: str | None = None
    name: str | None = None
    memory_mb: int = RecordingConfig.memory_mb
    accelerator: str = "auto"
    run: str | None = None
    overwrite: bool = False

    def write(
        self,
        by: Callable[[LatentModel, Recording], inference.Signals],
        *,
        suffix: str,
        settings: Mapping[str, Any],
    ) -> None:
        """Infer all trials and write them with the model's dynamics and readout.

        Args:
            by: Makes of the model and the recording what gives signals of a batch.
            suffix: What was done, for the default name.
            settings: What was done, for provenance.
        """
        fitted = load_model(self.folder)
        with cc.open(self.recording) as file:
            data = Recording(file, RecordingConfig(fitted.shapes[0].inputs, memory_mb=self.memory_mb))
            saved = fitted.one_session(session_of(fitted.shapes, data, self.session))
            inference.write(
                Path(self.path),
                saved.model,
                data,
                by=by(saved.model, data),
                model=saved.kind,
                name=self.name or f"{saved.kind} {suffix}",
                config=saved.config | dict(settings),
                seed=saved.seed,
                run=self.run,
                device=inference.device_of(self.accelerator),
                overwrite=self.overwrite,
            )
