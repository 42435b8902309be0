"""Sequential autoencoders: an encoder infers the initial state, dynamics with known inputs do the rest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Probe
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.autoencoder.encoder import BidirectionalEncoder
from ctd_models_torch.base import Draw, Inferred, LatentModel
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.coordinated_dropout import coordinated_dropout, dropout
from ctd_models_torch.decoders import Decoder
from ctd_models_torch.initial_weights import uniform
from ctd_models_torch.losses import Observation, masked_mean
from ctd_models_torch.observations import portable
from ctd_models_torch.readouts import Readout
from ctd_models_torch.standardization import Standardization


class SequentialAutoencoder(LatentModel):
    """Encoder, initial state, decoder, readout (Versteeg et al. 2025; Sedler et al. 2023).

    Args:
        encoder: Reads what `view` shows.
        decoder: The dynamics.
        readout: From states to predictions.
        observation: From predictions to data.
        view: Which bins and neurons the encoder sees.
        standardization: Shift and scale of what it sees.
        dropout: Ordinary dropout on code and initial state, in training.
        coordinated_dropout: Share of the encoder's entries that are hidden in training.
        generator: Stream of the initial weights.
    """

    def __init__(
        self,
        encoder: BidirectionalEncoder,
        decoder: Decoder,
        readout: Readout,
        observation: Observation,
        *,
        view: View,
        standardization: Standardization,
        dropout: float = 0.0,
        coordinated_dropout: float = 0.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.readout, self.observation = encoder, decoder, readout, observation
        self.view, self.standardization = view, standardization
        self.dropout = dropout
        self.coordinated_dropout = coordinated_dropout
        shape = (decoder.state_size, encoder.code_size)
        self.initial_weight = nn.Parameter(uniform(shape, encoder.code_size, generator))
        self.initial_bias = nn.Parameter(torch.zeros(decoder.state_size))

    def infer(self, batch: Batch) -> Inferred:
        """See LatentModel."""
        return self._run(self._seen(batch), batch, batch.n_time, None)

    def losses(self, batch: Batch, draw: Draw, *, n_time: int, epoch: int) -> dict[str, Tensor]:  # noqa: ARG002
        """See LatentModel."""
        seen, weight = self._seen(batch), None
        if self.coordinated_dropout > 0:
            seen, weight = coordinated_dropout(
                seen,
                self.view,
                batch.data.shape,
                rate=self.coordinated_dropout,
                generator=draw("coordinated dropout"),
            )
            weight = weight[:, :n_time]
        inferred = self._run(seen, batch, n_time, draw("dropout") if self.dropout > 0 else None)
        nll = self.observation.nll(inferred.prediction, batch.data[:, :n_time])
        return {"reconstruction": masked_mean(nll, batch.scored[:, :n_time], weight)}

    def _seen(self, batch: Batch) -> Tensor:
        return self.standardization(batch, self.view)

    def initial_state(
        self, seen: Tensor, lengths: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """State before the first bin, (trial, state).

        Args:
            seen: (trial, seen bin, seen neuron).
            lengths: (trial,) seen bins before the padding; None for whole trials.
            generator: Stream of dropout; None for none.
        """
        code = dropout(self.encoder(seen, lengths), self.dropout, generator)
        initial = nn.functional.linear(code, self.initial_weight, self.initial_bias)
        return dropout(initial, self.dropout, generator)

    def _run(self, seen: Tensor, batch: Batch, n_time: int, generator: torch.Generator | None) -> Inferred:
        lengths = self.view.seen_lengths(batch.lengths).clamp_min(1)
        initial = self.initial_state(seen, lengths, generator)
        drive = None if batch.inputs is None else batch.inputs[:, :n_time]
        states = self.decoder(drive, initial, n_time)
        return Inferred(self.readout(states), states, initial, drive)

    def dynamics(self) -> Dynamics:
        """See LatentModel."""
        return self.decoder.dynamics(("inputs",))

    def probe(self, states: np.ndarray, drive: np.ndarray | None) -> Probe:
        """See LatentModel."""
        return self.decoder.probe(states, drive)

    def portable_readout(self, bin_width_s: float) -> PortableReadout:
        """See LatentModel."""
        return portable(self.readout, self.observation, bin_width_s)
