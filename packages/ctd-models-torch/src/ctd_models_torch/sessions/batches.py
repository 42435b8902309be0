"""Batches of several recordings: balanced ones to train on, and one recording's after the other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ctd_contract.torch.random import generator
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording, RecordingBatches


class BalancedBatches:
    """Every step sees every recording, with as many trials of each, but for one at most.

    An epoch is as long as the recording needs that takes the most steps. It and all others begin anew, in
    another order, when their trials are used up, so that every step is whole.

    Args:
        recordings: Of the fit.
        batch_size: Trials of a step, of all recordings together.
        seed: Of the orders, which depend on it, the epoch and the recording's name.

    Raises:
        InputError: The trials of a step are fewer than the recordings, or a recording has fewer training
            trials than its share.
    """

    def __init__(self, recordings: Sequence[Recording], batch_size: int, *, seed: int) -> None:
        if batch_size < len(recordings):
            raise InputError(
                f"training.batch_size={batch_size} is less than the {len(recordings)} recordings, of which "
                "each step sees every one: take at least as many"
            )
        self.recordings, self.seed = list(recordings), seed
        self.trials = [recording.rows("train") for recording in recordings]
        whole, rest = divmod(batch_size, len(recordings))
        self.shares = [whole + (index < rest) for index in range(len(recordings))]
        for recording, rows, share in zip(recordings, self.trials, self.shares, strict=True):
            if share > len(rows):
                raise InputError(
                    f"{recording.file.path}: its share of training.batch_size={batch_size} is {share} "
                    f"trials, more than the {len(rows)} that it has to train on: take a batch_size of at "
                    f"most {min(map(len, self.trials)) * len(recordings)}"
                )

    def __len__(self) -> int:
        return max(-(-len(rows) // share) for rows, share in zip(self.trials, self.shares, strict=True))

    def epoch(self, epoch: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """Iterate over the steps of one epoch; see `Batch.of_sessions` for their form."""
        orders = [self._order(index, epoch) for index in range(len(self.recordings))]
        for step in range(len(self)):
            batch: dict[str, Tensor] = {}
            for index, (recording, share) in enumerate(zip(self.recordings, self.shares, strict=True)):
                rows = orders[index][step * share : (step + 1) * share]
                batch |= _of_session(index, recording.read(rows, device))
            yield batch

    def _order(self, index: int, epoch: int) -> np.ndarray:
        """Trials of a recording in the order in which an epoch takes them."""
        rows, name = self.trials[index], self.recordings[index].name
        rounds = -(-len(self) * self.shares[index] // len(rows))
        streams = (generator(self.seed, "order of trials", epoch, name, again) for again in range(rounds))
        return np.concatenate([rows[torch.randperm(len(rows), generator=s).numpy()] for s in streams])


class SuccessiveBatches:
    """All batches of the first recording, then all of the second, and so on.

    Args:
        batches: Of each recording.
    """

    def __init__(self, batches: Sequence[RecordingBatches]) -> None:
        self.batches = list(batches)

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def epoch(self, epoch: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """Iterate over the batches of one epoch; see `Batch.of_sessions` for their form."""
        for index, batches in enumerate(self.batches):
            for batch in batches.epoch(epoch, device):
                yield _of_session(index, batch)


def _of_session(index: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{index}/{name}": tensor for name, tensor in tensors.items()}
