"""What of LFADS belongs to one recording; everything else is shared by all recordings of a fit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ctd_models_torch.base import Draw
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.coordinated_dropout import coordinated_dropout
from ctd_models_torch.lfads.augmentation import augment
from ctd_models_torch.lfads.behavior import BehaviorReadout
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.lfads.read_in import ReadIn
from ctd_models_torch.lfads.sample_validation import hidden_entries
from ctd_models_torch.losses import Observation
from ctd_models_torch.readouts import Readout
from ctd_models_torch.standardization import Standardization


class SessionParts(nn.Module):
    """From a recording's data to what encoders read, and from factors to predictions of it.

    Args:
        name: What the recording is called; names its random streams where there are several.
        config: Settings of the model.
        view: Which bins and neurons encoders see.
        standardization: Shift and scale of what they see.
        read_in: From the seen neurons to the channels that encoders read; None gives them the neurons.
        readout: From factors to predictions.
        observation: From predictions to data.

    Attributes:
        behavior: From factors to behaviour, of BAND.
    """

    def __init__(
        self,
        name: str,
        config: LFADSConfig,
        *,
        view: View,
        standardization: Standardization,
        read_in: ReadIn | None,
        readout: Readout,
        observation: Observation,
    ) -> None:
        super().__init__()
        self.name, self.config, self.view = name, config, view
        self.standardization, self.read_in = standardization, read_in
        self.readout, self.observation = readout, observation
        self.behavior: BehaviorReadout | None = None

    def see(self, batch: Batch) -> Tensor:
        """What may be seen of a batch, (trial, seen bin, seen neuron); 0 for nothing known."""
        return self.standardization(batch, self.view)

    def read(self, seen: Tensor) -> Tensor:
        """What encoders read of it, (trial, seen bin, channel)."""
        return seen if self.read_in is None else self.read_in(seen)

    def behavior_costs(
        self, factors: Tensor, batch: Batch, n_time: int, draw: Draw
    ) -> tuple[Tensor, Tensor] | None:
        """What predictions of behaviour cost in a training step and where; None without any to predict."""
        if self.behavior is None or batch.behavior is None:
            return None
        stream = draw("dropout of behaviour") if self.behavior.config.dropout > 0 else None
        return self.behavior.costs(factors, batch.lengths, batch.behavior[:, :n_time], stream)

    def shown(self, batch: Batch, draw: Draw) -> tuple[Tensor, Tensor | None]:
        """What is seen of a batch in a training step, and the weight of the reconstruction's entries."""
        config, rate = self.config, self.config.augmentation.sample_validation
        hidden = self.kept_back(batch) if rate > 0 else None
        given = batch if hidden is None else self._without(batch, hidden)
        seen, weight = self.see(augment(given, config.augmentation, draw)), None
        if config.coordinated_dropout > 0:
            seen, weight = coordinated_dropout(
                seen,
                self.view,
                batch.data.shape,
                rate=config.coordinated_dropout,
                generator=draw("coordinated dropout"),
            )
        if hidden is not None:
            kept = ~self.view.see(hidden)
            seen = seen * kept
            share = self.view.spread(kept.to(seen.dtype) / (1.0 - rate), batch.data.shape, 1.0)
            weight = share if weight is None else weight * share
        return seen, weight

    def _without(self, batch: Batch, hidden: Tensor) -> Batch:
        """Put means in the place of entries, lest an augmentation moves these to where they are seen."""
        center = self.standardization.center.expand_as(self.view.see(batch.data))
        mean = self.view.spread(center, batch.data.shape, 0.0)
        return replace(batch, data=torch.where(hidden & batch.scored, mean, batch.data))

    def kept_back(self, batch: Batch) -> Tensor:
        """Entries of sample validation, bool (trial, time, neuron)."""
        settings = self.config.augmentation
        hidden = hidden_entries(
            batch.rows,
            batch.data.shape,
            rate=settings.sample_validation,
            seed=settings.sample_validation_seed,
        )
        return self.view.spread(self.view.see(hidden), hidden.shape, 0.0)
