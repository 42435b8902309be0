"""Sample validation: entries that no encoder ever sees and nothing is trained on, of every trial (Keshtkaran
& Pandarinath 2019). What is scored there tells a model that copies spikes from one that predicts them.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Multipliers and shifts of splitmix64 (Steele, Lea & Flood 2014), as signed 64-bit integers.
_MIX = (-4658895280553007687, -7723592293110705685)
_GOLDEN = -7046029254386353131
_MASK_53 = (1 << 53) - 1


def hidden_entries(rows: Tensor, shape: torch.Size, *, rate: float, seed: int) -> Tensor:
    """Which entries are kept back, the same ones whenever a trial comes up.

    Args:
        rows: (trial,) positions of the trials in their recording.
        shape: (trial, time, neuron) of the entries.
        rate: Share that is kept back.
        seed: Of the choice.

    Returns:
        bool (trial, time, neuron).
    """
    _, n_time, neurons = shape
    within = torch.arange(n_time * neurons, device=rows.device).reshape(1, n_time, neurons)
    index = rows[:, None, None] * (n_time * neurons) + within
    mixed = _mix(_mix(index + seed * 0x9E3779B9) + _GOLDEN)
    uniform = (mixed & _MASK_53).to(torch.float64) / (_MASK_53 + 1)
    return uniform < rate


def _mix(value: Tensor) -> Tensor:
    value = value + _GOLDEN
    value = (value ^ _shifted(value, 30)) * _MIX[0]
    value = (value ^ _shifted(value, 27)) * _MIX[1]
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, bits: int) -> Tensor:
    """Logical shift to the right of a signed integer."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
