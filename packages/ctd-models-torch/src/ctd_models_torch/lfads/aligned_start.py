"""Read-ins and readouts that start in one space for all recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.read_in_config import ReadInConfig
from ctd_models_torch.lfads.session_parts import SessionParts
from ctd_models_torch.readouts.linear import LinearReadout
from ctd_models_torch.recording import Recording
from ctd_models_torch.sessions.alignment import Aligned, align, condition_averages


def aligned_recordings(
    recordings: Sequence[Recording], bins: np.ndarray, size: int, settings: ReadInConfig
) -> list[Aligned]:
    """Bring recordings into a common space, as settings say; see `align`."""
    averages = [
        condition_averages(recording, bins, column=settings.conditions, smoothing_s=settings.smoothing_s)
        for recording in recordings
    ]
    return align(averages, size, settings.ridge)


def start_read_ins(
    sessions: Sequence[SessionParts],
    recordings: Sequence[Recording],
    aligned: Sequence[Aligned] | None,
    settings: ReadInConfig,
) -> None:
    """Start the recordings' read-ins in a common space, where one is given or asked for; see `start_aligned`.

    Args:
        sessions: Parts of each recording.
        recordings: These.
        aligned: The recordings in the space; None finds it if the settings say so.
        settings: Of the read-ins.
    """
    first = sessions[0]
    if aligned is None and settings.initialize != "random" and first.read_in is not None:
        size = len(first.read_in.bias)
        aligned = aligned_recordings(recordings, first.view.bins.numpy(), size, settings)
    for parts, own in zip(sessions, aligned or (), strict=aligned is not None):
        start_aligned(parts, own)


@torch.no_grad()
def start_aligned(parts: SessionParts, aligned: Aligned) -> None:
    """Start a recording's read-in, and a linear readout of as many factors, where the common space says.

    A readout whose link is exponential gets slopes of the logarithm: changes of a neuron over its mean. Where
    it starts remains the mean rate.

    Args:
        parts: Of the recording.
        aligned: The recording in the common space.

    Raises:
        InputError: There is no read-in, or it has another size.
    """
    read_in, own = parts.read_in, parts.standardization
    if read_in is None or tuple(read_in.weight.shape) != aligned.weight.shape:
        got = (
            "none" if read_in is None else f"one from {read_in.weight.shape[1]} to {read_in.weight.shape[0]}"
        )
        raise InputError(
            f"{parts.name}: its start is that of a read-in from {aligned.weight.shape[1]} neurons to "
            f"{aligned.weight.shape[0]} channels, and the model has {got}: set model.read_in.size to "
            f"{aligned.weight.shape[0]}"
        )
    weight = torch.from_numpy(aligned.weight)
    # Encoders get standardised neurons: (x - center) / scale.
    read_in.weight.copy_(weight * own.scale)
    read_in.bias.copy_(torch.from_numpy(aligned.bias) + weight @ own.center.double())
    readout, link = parts.readout, parts.observation.link
    if not isinstance(readout, LinearReadout) or tuple(readout.weight.shape) != aligned.readout.shape:
        return
    slope = np.maximum(aligned.mean, 1e-3)[:, None] if link == "exp" else 1.0
    readout.weight.copy_(torch.from_numpy(aligned.readout / slope))
