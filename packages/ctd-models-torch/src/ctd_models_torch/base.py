"""What every model gives to training, inference and export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Probe
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.batch import Batch
from ctd_models_torch.errors import InputError
from ctd_models_torch.losses import Observation
from ctd_models_torch.recording import Recording
from ctd_models_torch.sessions.alignment import Aligned

Draw = Callable[[str], torch.Generator]


@dataclass
class Inferred:
    """What a model infers from a batch.

    Attributes:
        prediction: (trial, time, neuron), log count of a bin or mean activity.
        states: (trial, time, state), row k after input k.
        initial_state: (trial, state), before bin 0; None of a model without dynamics.
        drive: (trial, time, input), what the dynamics received, or None for autonomous ones.
        signals: Further signals under the contract's names, say ``factors``.
        figures: Named numbers of each trial, (trial,), that are logged for validation trials.
    """

    prediction: Tensor
    states: Tensor
    initial_state: Tensor | None
    drive: Tensor | None
    signals: dict[str, Tensor] = field(default_factory=dict)
    figures: dict[str, Tensor] = field(default_factory=dict)


class LatentModel(nn.Module, ABC):
    """A model of a recording, or of several that share what isn't about their own neurons.

    A model of several trains by `session_losses`; all else is asked of `one_session`.

    Attributes:
        observation: What links predictions to data, see `losses`.
        by_region: Whether it has parts for regions, which a recording must then name.
    """

    by_region: ClassVar[bool] = False

    observation: Observation

    def start_from(self, recordings: Sequence[Recording], aligned: Sequence[Aligned] | None) -> None:  # noqa: ARG002
        """Set initial weights that depend on more of the training trials than their statistics.

        Args:
            recordings: Those that the model was made for.
            aligned: The recordings in a common space, where a fit is to start there.
        """
        if aligned is not None:
            raise InputError(f"an alignment starts the read-ins of LFADS; {type(self).__name__} has none")

    @abstractmethod
    def infer(self, batch: Batch) -> Inferred:
        """Infer everything from all that encoders may see, without any randomness."""

    @abstractmethod
    def losses(self, batch: Batch, draw: Draw, *, n_time: int, epoch: int) -> dict[str, Tensor]:
        """Named loss terms, whose sum is minimised.

        Args:
            batch: Training trials.
            draw: Gives the generator of a named stream of this (seed, epoch, step).
            n_time: Bins that are scored, from the start.
            epoch: From 0, for terms that ramp up.
        """

    def session_losses(
        self, batches: Sequence[Batch], draw: Draw, *, n_time: int, epoch: int
    ) -> dict[str, Tensor]:
        """As `losses`, of a model of several recordings.

        Args:
            batches: Training trials of each recording.
            draw: As for `losses`.
            n_time: As for `losses`.
            epoch: As for `losses`.
        """
        (batch,) = batches
        return self.losses(batch, draw, n_time=n_time, epoch=epoch)

    def one_session(self, index: int) -> LatentModel:
        """The model of one of its recordings: it shares all weights, and infers, scores and is exported."""
        if index != 0:
            raise ValueError(f"a {type(self).__name__} is a model of one recording, got index {index}")
        return self

    @abstractmethod
    def dynamics(self) -> Dynamics:
        """The portable vector field."""

    @abstractmethod
    def probe(self, states: np.ndarray, drive: np.ndarray | None) -> Probe | None:
        """The module's own next states in float64, at points of visited ``states`` (trial, time, state).

        None where the dynamics are opaque.
        """

    @abstractmethod
    def portable_readout(self, bin_width_s: float) -> PortableReadout:
        """The chain from states to rates in spikes/s, or to activity."""

    def units(self) -> dict[str, str]:
        """Units of signals that it infers in a unit of their own, by name; none by default."""
        return {}

    def columns(self) -> dict[tuple[str, str], np.ndarray]:
        """Columns of tables about what it infers, ``("states", "region")`` to its values say; else none."""
        return {}

    def nll(self, inferred: Inferred, batch: Batch) -> Tensor:
        """Negative log-likelihood of each entry, (trial, time, neuron); 0 for what isn't scored."""
        return torch.where(batch.scored, self.observation.nll(inferred.prediction, batch.data), 0.0)

    def figures(self, inferred: Inferred, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """Named numbers of each validation trial, (trial,), that are logged."""
        return inferred.figures

    def score(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of everything that is scored, summed per trial, (trial,)."""
        return self.nll(self.infer(batch), batch).sum((1, 2))
