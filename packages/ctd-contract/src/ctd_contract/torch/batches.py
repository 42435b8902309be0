"""Batches of tensors that stay on the device: an index per batch instead of workers that collate."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from ctd_contract.torch.random import generator


class Batches(Protocol):
    """What the runner asks of data. Streamed data implement it too."""

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        ...

    def epoch(self, epoch: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """Iterate over the batches of one epoch; the same epoch gives the same batches every time."""
        ...


class TensorBatches:
    """Batches cut from tensors in memory, in an order drawn from (seed, epoch)."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        """Keep the tensors; they move to the device at the first epoch.

        Args:
            tensors: By name, all with trials first.
            batch_size: Trials in a batch; the last one of an epoch may be smaller.
            shuffle: Draw a new order each epoch.
            seed: Of the orders.
            drop_last: Leave out a smaller last batch, unless it is the only one.
        """
        counts = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(counts.values())) != 1 or min(counts.values()) < 1:
            raise ValueError(f"batches need tensors with one number of trials, at least 1, got {counts}")
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {batch_size}")
        self.tensors = dict(tensors)
        self.trials = next(iter(counts.values()))
        self.batch_size = min(batch_size, self.trials)
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.trials // self.batch_size if self.drop_last else -(-self.trials // self.batch_size)

    def epoch(self, epoch: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """Iterate over the batches of one epoch."""
        self.tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        order = None
        if self.shuffle:
            stream = generator(self.seed, "order of trials", epoch)
            order = torch.randperm(self.trials, generator=stream).to(device)
        for index in range(len(self)):
            rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
            yield {name: t[rows] if order is None else t[order[rows]] for name, t in self.tensors.items()}
