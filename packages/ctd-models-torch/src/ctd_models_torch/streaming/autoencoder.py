"""Sequential autoencoders in a stream: after the bins that the encoder reads the dynamics run on alone."""

from __future__ import annotations

import torch
from torch import Tensor

from ctd_models_torch.autoencoder.model import SequentialAutoencoder
from ctd_models_torch.base import Inferred
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.errors import InputError
from ctd_models_torch.shape import Shape
from ctd_models_torch.streaming.base import Course


class AutoencoderCourse(Course):
    """One model in the course of some trials.

    Args:
        model: The model.
        shape: What it is for.

    Raises:
        InputError: The encoder reads all bins of a trial.
    """

    def __init__(self, model: SequentialAutoencoder, shape: Shape) -> None:
        if len(shape.seen_bins) >= shape.bins:
            raise InputError(
                "the model can't be run while trials are running: its encoder reads all bins of a trial (set "
                "model.encoder.window); fit one that can"
            )
        self.segment, self.model = len(shape.seen_bins), model
        self.view = View(torch.zeros(1, dtype=torch.int64), model.view.neurons)
        self.state = torch.empty(0)

    def see(self, batch: Batch) -> Tensor:
        """See Course."""
        return self.model.standardization(batch, self.view)[:, 0]

    def begin(self, segment: Tensor) -> None:
        """See Course."""
        self.state = self.model.initial_state(segment, None, None)

    def advance(self, seen: Tensor | None, external: Tensor | None, bins: int) -> Inferred:  # noqa: ARG002
        """See Course."""
        states = self.model.decoder(external, self.state, bins)
        self.state = states[:, -1]
        return Inferred(self.model.readout(states), states, self.state, None)
