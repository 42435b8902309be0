"""Rates straight from a bidirectional network: what can be predicted of a recording without any dynamics."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Opaque, Probe
from ctd_contract.readout import Readout as PortableReadout
from ctd_contract.torch.sequences import bidirectional_gru
from ctd_models_torch.base import Draw, Inferred, LatentModel
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.config import ReadoutConfig, SmootherConfig
from ctd_models_torch.coordinated_dropout import coordinated_dropout, dropout
from ctd_models_torch.lfads.initial_weights import GRUParameters
from ctd_models_torch.losses import Observation, masked_mean
from ctd_models_torch.observations import make_observation, portable
from ctd_models_torch.readouts import Readout
from ctd_models_torch.readouts.build import build_readout
from ctd_models_torch.recording import Statistics
from ctd_models_torch.shape import Shape
from ctd_models_torch.standardization import Standardization


class Smoother(LatentModel):
    """Two gated recurrent units read a trial from both ends, and each bin is read out of both their states.

    Nothing holds the states to dynamics of their own, so its predictions are a practical ceiling for models
    that have some. Coordinated dropout keeps it from copying what it reads (Keshtkaran & Pandarinath 2019).

    Args:
        config: Its settings.
        readout: From states to predictions.
        observation: From predictions to data.
        view: Which bins and neurons are read.
        standardization: Shift and scale of these.
        input_size: Channels of the known inputs, which are read as well; 0 for none.
        random: Stream of the initial weights.
    """

    def __init__(
        self,
        config: SmootherConfig,
        readout: Readout,
        observation: Observation,
        *,
        view: View,
        standardization: Standardization,
        input_size: int,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.readout, self.observation = config, readout, observation
        self.view, self.standardization = view, standardization
        channels = len(view.neurons) + input_size
        self.forwards, self.backwards = (
            GRUParameters(channels, config.size, joint=True, generator=random) for _ in range(2)
        )
        self.initial = nn.Parameter(torch.zeros(2, config.size))
        self.backend = "fast"

    def infer(self, batch: Batch) -> Inferred:
        """See LatentModel; the states are both units', forwards first."""
        return self._run(self.standardization(batch, self.view), batch, None)

    def losses(self, batch: Batch, draw: Draw, *, n_time: int, epoch: int) -> dict[str, Tensor]:  # noqa: ARG002
        """See LatentModel."""
        seen, weight, rate = self.standardization(batch, self.view), None, self.config.coordinated_dropout
        if rate > 0:
            stream = draw("coordinated dropout")
            seen, weight = coordinated_dropout(seen, self.view, batch.data.shape, rate=rate, generator=stream)
            weight = weight[:, :n_time]
        inferred = self._run(seen, batch, draw("dropout") if self.config.dropout > 0 else None)
        nll = self.observation.nll(inferred.prediction[:, :n_time], batch.data[:, :n_time])
        return {"reconstruction": masked_mean(nll, batch.scored[:, :n_time], weight)}

    def _run(self, seen: Tensor, batch: Batch, stream: torch.Generator | None) -> Inferred:
        # Bins that may not be seen are zeros, the mean, to be read across.
        shape = torch.Size((len(seen), batch.n_time, seen.shape[2]))
        every = View(self.view.bins, torch.arange(seen.shape[2]))
        values = dropout(every.spread(seen, shape, 0.0), self.config.dropout, stream)
        if batch.inputs is not None:
            values = torch.cat([values, batch.inputs], dim=2)
        initial = self.initial[:, None].expand(-1, len(seen), -1)
        states = bidirectional_gru(
            values,
            initial[0],
            initial[1],
            self.forwards.parts,
            self.backwards.parts,
            lengths=batch.lengths if batch.padded else None,
            all_states=True,
            reset="before",
            backend=self.backend,
        )
        both = torch.cat([side for side in (states.forward_all, states.backward_all) if side is not None], 2)
        return Inferred(self.readout(dropout(both, self.config.dropout, stream)), both, None, batch.inputs)

    def dynamics(self) -> Dynamics:
        """See LatentModel; there are none."""
        return Opaque(2 * self.config.size, inputs=())

    def probe(self, states: np.ndarray, drive: np.ndarray | None) -> Probe | None:  # noqa: ARG002
        """See LatentModel."""
        return None

    def portable_readout(self, bin_width_s: float) -> PortableReadout:
        """See LatentModel."""
        return portable(self.readout, self.observation, bin_width_s)


def build_smoother(
    model: SmootherConfig,
    readout: ReadoutConfig,
    shape: Shape,
    statistics: Statistics,
    random: torch.Generator,
) -> Smoother:
    """Make a smoother; see `ctd_models_torch.build.build_model`."""
    observation, bias = make_observation(model.observation, shape.signal, statistics)
    return Smoother(
        model,
        build_readout(readout, 2 * model.size, bias, random),
        observation,
        view=shape.view,
        standardization=Standardization.of(shape.view, statistics, on=model.standardize),
        input_size=shape.input_size,
        random=random,
    )
