"""What a model is made for, and what a recording must have to be given to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import ctd_contract as cc
from ctd_models_torch.batch import View
from ctd_models_torch.recording import Recording


@dataclass(frozen=True)
class Shape:
    """What a model is made for, and what a recording must have to be given to it.

    Attributes:
        signal: ``"spikes"`` or ``"activity"``.
        neurons: Ids of the neurons, in order.
        held_out: For each of them, whether encoders never see it.
        seen_bins: Bins that the encoder reads.
        inputs: Known inputs: their signal, or None.
        input_size: Channels of it.
        bin_width_s: Width of a bin, s.
        regions: Region of each neuron, an index into `region_names`; None where the recording has none.
        region_names: Names of the regions.
        name: What the recording is called.
        bins: Bins of its time axis.
        behavior: Channels of the behaviour that is predicted as well; 0 for none.
        behavior_unit: Its unit, or None.
    """

    signal: str
    neurons: list[int]
    held_out: list[bool]
    seen_bins: list[int]
    inputs: str | None
    input_size: int
    bin_width_s: float
    regions: list[int] | None = None
    region_names: list[str] | None = None
    name: str = ""
    bins: int = 0
    behavior: int = 0
    behavior_unit: str | None = None

    @classmethod
    def of(cls, recording: Recording, window: int | None) -> Shape:
        """Take it from a recording."""
        file = recording.file
        regions = file.tables.get("neurons", {}).get("region")
        return cls(
            signal=recording.signal,
            neurons=file.axis("neuron").tolist(),
            held_out=file.held_out.tolist(),
            seen_bins=recording.view(window).bins.tolist(),
            inputs=recording.input_signal,
            input_size=recording.input_size,
            bin_width_s=file.bin_width_s,
            regions=None if regions is None else regions.tolist(),
            region_names=None if regions is None else _names(file),
            name=recording.name,
            bins=len(file.time),
            behavior=recording.behavior_size,
            behavior_unit=recording.behavior_unit,
        )

    @property
    def view(self) -> View:
        """What encoders see."""
        neurons = np.flatnonzero(~np.asarray(self.held_out))
        return View(torch.tensor(self.seen_bins), torch.from_numpy(neurons))


def _names(file: cc.ContractFile) -> list[str]:
    return file.names("region") or [str(region) for region in file.axis("region").tolist()]
