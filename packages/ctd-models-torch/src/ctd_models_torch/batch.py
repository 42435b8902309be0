"""One batch of trials, and what of it an encoder may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some trials of a recording on one device.

    Attributes:
        data: (trial, time, neuron) float: counts or activity, zero where nothing is scored.
        scored: (trial, time, neuron) bool, broadcastable: neither padding nor unobserved.
        inputs: (trial, time, input) float, or None without known ones.
        lengths: (trial,) int64 bins before the padding.
        rows: (trial,) int64 positions of the trials in the recording.
        behavior: (trial, time, behavior) float, NaN where not measured; None unless a model predicts it.
    """

    data: Tensor
    scored: Tensor
    inputs: Tensor | None
    lengths: Tensor
    rows: Tensor
    behavior: Tensor | None = None

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Batch:
        """Make a batch of what `Recording.read` gives.

        Args:
            tensors: ``data`` (trial, time, neuron), ``lengths`` and ``rows`` (trial,), and where there are
                any ``inputs`` (trial, time, input), ``observed`` (trial, time, neuron) and ``behavior``
                (trial, time, behavior).
        """
        data, lengths = tensors["data"].to(torch.float32), tensors["lengths"]
        bins = torch.arange(data.shape[1], device=data.device)
        scored = (bins < lengths[:, None])[..., None]
        if "observed" in tensors:
            scored = scored & (tensors["observed"] != 0)
        # What isn't scored may be NaN, and a gradient of NaN times zero is NaN.
        data = torch.where(scored, data, 0.0)
        return cls(data, scored, tensors.get("inputs"), lengths, tensors["rows"], tensors.get("behavior"))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_time(self) -> int:
        """Bins of the time axis."""
        return self.data.shape[1]


@dataclass(frozen=True)
class View:
    """Which bins and neurons of a recording encoders see: neither forward bins nor held-out neurons.

    Attributes:
        bins: (bin,) int64 positions on the time axis.
        neurons: (neuron,) int64 positions on the neuron axis.
    """

    bins: Tensor
    neurons: Tensor

    def see(self, values: Tensor) -> Tensor:
        """What of (trial, time, neuron) is seen: (trial, seen bin, seen neuron)."""
        return _take(_take(values, 1, self.bins), 2, self.neurons)

    def seen_lengths(self, lengths: Tensor) -> Tensor:
        """How many of the seen bins lie before the padding, (trial,)."""
        return (self.bins.to(lengths.device)[None] < lengths[:, None]).sum(1)

    def spread(self, seen: Tensor, whole: Tensor) -> Tensor:
        """``whole`` (trial, time, neuron) with its seen entries replaced by those of ``seen``."""
        bins, neurons = self.bins.to(whole.device), self.neurons.to(whole.device)
        # Out of place, as batching over models (torch.vmap) needs it.
        rows = whole.index_select(1, bins).index_copy(2, neurons, seen)
        return whole.index_copy(1, bins, rows)


def measured_entries(behavior: Tensor, lengths: Tensor) -> Tensor:
    """Which entries of (trial, time, behavior) were measured and lie before the padding, bool."""
    bins = torch.arange(behavior.shape[1], device=behavior.device)
    return (bins < lengths[:, None])[..., None] & behavior.isfinite()


def _take(values: Tensor, axis: int, index: Tensor) -> Tensor:
    size = len(index)
    # Masks nearly always leave a leading block: a view then spares a copy of the whole batch.
    if size and int(index[-1]) == size - 1:
        return values.narrow(axis, 0, size)
    return values.index_select(axis, index.to(values.device))
