"""Which inputs change what a task asks for: of pulses on a memory, the ones that flip it."""

from __future__ import annotations

import numpy as np

from ctd_analysis.results import Flags, Floats


def target_changes(targets: Floats) -> Flags:
    """Where a target differs from the bin before; before the first bin it is 0, (trial, time, target)."""
    return np.diff(targets, axis=1, prepend=0.0) != 0.0


def changing_inputs(inputs: Floats, changes: Flags) -> Floats:
    """Inputs of the bins in which the target of their channel changes, 0 elsewhere.

    A pulse that sets a bit which is set already leaves no trace in the network's state: nobody can infer it.

    Args:
        inputs: Before noise, (trial, time, input).
        changes: Of the target of each channel, the same shape.
    """
    return np.where(changes, inputs, 0.0)
