"""One batch of trials, and what of it an encoder may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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
        padded: Whether trials may be shorter than the time axis. It and the next are known without a look at
            tensors, for which a GPU would have to be waited for.
        complete: Whether everything is scored.
    """

    data: Tensor
    scored: Tensor
    inputs: Tensor | None
    lengths: Tensor
    rows: Tensor
    behavior: Tensor | None = None
    padded: bool = True
    complete: bool = False

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Batch:
        """Make a batch of what `Recording.read` gives.

        Args:
            tensors: ``data`` (trial, time, neuron), ``rows`` (trial,), and where there are any ``lengths``
                (trial,), ``inputs`` (trial, time, input), ``observed`` (trial, time, neuron) and
                ``behavior`` (trial, time, behavior). Without lengths all trials are whole.
        """
        data, rows = tensors["data"].to(torch.float32), tensors["rows"]
        lengths, observed = tensors.get("lengths"), tensors.get("observed")
        padded, complete = lengths is not None, lengths is None and observed is None
        if lengths is None:
            lengths = torch.full_like(rows, data.shape[1])
        bins = torch.arange(data.shape[1], device=data.device)
        scored = (bins < lengths[:, None])[..., None]
        if observed is not None:
            scored = scored & (observed != 0)
        # What isn't scored may be NaN, and a gradient of NaN times zero is NaN.
        data = data if complete else torch.where(scored, data, 0.0)
        inputs, behavior = tensors.get("inputs"), tensors.get("behavior")
        return cls(data, scored, inputs, lengths, rows, behavior, padded=padded, complete=complete)

    @classmethod
    def of_sessions(cls, tensors: Mapping[str, Tensor]) -> dict[int, Batch]:
        """Make a batch of each recording that there are trials of.

        Args:
            tensors: As for `of`, with ``0/``, ``1/``, ... before the names of the first recording's, the
                second's, and so on; without it they are the only one's.

        Returns:
            By the recordings' positions.
        """
        sessions: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            session, _, own = name.rpartition("/")
            sessions.setdefault(int(session or 0), {})[own] = tensor
        return {index: cls.of(own) for index, own in sessions.items()}

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

    def spread(self, seen: Tensor, shape: torch.Size, fill: float) -> Tensor:
        """Lay ``seen`` (trial, seen bin, seen neuron) into a ``shape`` (trial, time, neuron) of ``fill``."""
        if _leads(self.bins) and _leads(self.neurons):
            later, others = shape[1] - len(self.bins), shape[2] - len(self.neurons)
            return functional.pad(seen, (0, others, 0, later), value=fill)
        bins, neurons = self.bins.to(seen.device), self.neurons.to(seen.device)
        # Out of place, as batching over models (torch.vmap) needs it.
        rows = seen.new_full((shape[0], len(bins), shape[2]), fill).index_copy(2, neurons, seen)
        return seen.new_full(shape, fill).index_copy(1, bins, rows)


def measured_entries(behavior: Tensor, lengths: Tensor) -> Tensor:
    """Which entries of (trial, time, behavior) were measured and lie before the padding, bool."""
    bins = torch.arange(behavior.shape[1], device=behavior.device)
    return (bins < lengths[:, None])[..., None] & behavior.isfinite()


def _take(values: Tensor, axis: int, index: Tensor) -> Tensor:
    # A view spares a copy of the whole batch.
    if _leads(index):
        return values.narrow(axis, 0, len(index))
    return values.index_select(axis, index.to(values.device))


def _leads(index: Tensor) -> bool:
    """Whether these positions are a leading block, as they nearly always are."""
    return len(index) > 0 and int(index[-1]) == len(index) - 1
