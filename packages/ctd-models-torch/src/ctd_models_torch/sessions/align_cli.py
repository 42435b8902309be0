"""The command ``ctd-models-torch align``: a common space for several recordings, to start LFADS in."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ctd_contract.command import Command, CommandConfig, Run
from ctd_contract.command.sessions import listed
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.lfads.read_in_config import ReadInConfig


@dataclass
class AlignConfig(CommandConfig):
    """Settings of the command.

    Attributes:
        data: The recordings, a list or a pattern.
        size: Channels: principal components that are kept.
        conditions: As in `ReadInConfig`.
        smoothing_s: As in `ReadInConfig`.
        ridge: As in `ReadInConfig`.
        memory_mb: As in `RecordingConfig`.
    """

    data: Any = "???"
    size: int = 20
    conditions: str = ReadInConfig.conditions
    smoothing_s: float = ReadInConfig.smoothing_s
    ridge: float = ReadInConfig.ridge
    memory_mb: int = RecordingConfig.memory_mb

    def __post_init__(self) -> None:
        self.data = listed(self.data)
        if self.size < 1:
            raise ValueError(f"size is at least 1, got {self.size}")


def run(config: AlignConfig, job: Run) -> None:
    """Align the recordings and write the file."""
    from ctd_models_torch.lfads.aligned_start import aligned_recordings
    from ctd_models_torch.sessions.alignment_file import save_alignment
    from ctd_models_torch.sessions.recordings import open_recordings

    settings = ReadInConfig(conditions=config.conditions, smoothing_s=config.smoothing_s, ridge=config.ridge)
    with ExitStack() as stack:
        reading = RecordingConfig(inputs=None, memory_mb=config.memory_mb)
        recordings = open_recordings(config.data, reading, stack)
        bins = recordings[0].view().bins.numpy()
        aligned = aligned_recordings(recordings, bins, config.size, settings)
        save_alignment(job.result, recordings, aligned)
    for recording, own in zip(recordings, aligned, strict=True):
        explained = f"{own.weight.shape[1]} neurons explain {own.r2:.1%} of the components' variance"
        print(f"{recording.name}: {explained}", file=sys.stderr)  # noqa: T201


COMMAND = Command(
    name="ctd-models-torch",
    config=AlignConfig,
    run=run,
    result="alignment.safetensors",
    summary="(align) brings the neurons of several recordings into one space, by their condition averages",
    example="ctd-models-torch align data=[monday.h5,tuesday.h5] size=20",
    files=("data",),
)
