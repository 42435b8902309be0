"""LFADS in a stream."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor
from torch.nn import functional

from ctd_contract.torch.sequences import gru
from ctd_models_torch.base import Inferred
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.decoder import Masks
from ctd_models_torch.lfads.model import LFADS, VARIANCE_FLOOR
from ctd_models_torch.shape import Shape
from ctd_models_torch.streaming.base import Course


class LFADSCourse(Course):
    """The means of the posteriors are passed on, as in inference of whole trials.

    Args:
        model: Of one recording.
        shape: What it is for.
        trials: Their number.

    Raises:
        InputError: The model needs later bins.
    """

    def __init__(self, model: LFADS, shape: Shape, trials: int) -> None:
        self.segment = _segment(model, shape)
        self.model, self.trials = model, trials
        parts, self.controller = model.session, model.decoder.controller
        self.view = View(torch.zeros(1, dtype=torch.int64), parts.view.neurons)
        self.state, self.control_state = torch.empty(0), None
        self.encoder_state, self.delayed = torch.empty(0), deque[Tensor]()
        encoder = model.control_encoder
        if encoder is not None and self.controller is not None:
            self.encoder_state = encoder.initial[0].expand(trials, -1)
            nothing = torch.zeros_like(self.encoder_state)
            lag = model.config.controller.lag
            self.delayed = deque([nothing] * (lag + 1), maxlen=lag + 1)
        # Factors that a decoder of behaviour still looks back on.
        behavior = parts.behavior
        self.behavior = behavior if behavior is not None and behavior.decoder.future_bins == 0 else None
        past = 0 if self.behavior is None else self.behavior.decoder.past_bins or 0
        self.factors = torch.zeros(trials, past, model.config.factors)

    def see(self, batch: Batch) -> Tensor:
        """See Course."""
        parts = self.model.session
        return parts.read(parts.standardization(batch, self.view))[:, 0]

    def begin(self, segment: Tensor) -> None:
        """See Course."""
        model = self.model
        code = model.head(model.encoder.last(segment, None), floor=VARIANCE_FLOOR).mean
        self.state = functional.linear(code, model.initial_weight, model.initial_bias)

    def advance(self, seen: Tensor | None, external: Tensor | None, bins: int) -> Inferred:
        """See Course."""
        encoded = None
        if self.controller is not None:
            encoded = self._encoded(seen)[:, None].expand(-1, bins, -1)
        model, none = self.model, Masks()
        decoded = model.decoder(self.state, encoded, external, None, none, bins, self.control_state)
        self.state = decoded.states[:, -1]
        if decoded.controller_states is not None:
            self.control_state = decoded.controller_states[:, -1]
        signals = {"factors": decoded.factors}
        if decoded.control_mean is not None:
            signals["inferred_inputs"] = decoded.control_mean
        if self.behavior is not None:
            signals["behavior_prediction"] = self._behavior(decoded.factors)
        prediction = model.session.readout(decoded.factors)
        return Inferred(prediction, decoded.states, self.state, None, signals)

    def _encoded(self, seen: Tensor | None) -> Tensor:
        """What the controller is given: the state of its encoder so many bins ago as its lag says."""
        encoder = self.model.control_encoder
        latest = torch.zeros_like(self.encoder_state)
        if encoder is not None and seen is not None:
            options = {"reset": encoder.reset, "clip": encoder.clip, "backend": encoder.backend}
            after = gru(seen[:, None], self.encoder_state, *encoder.forwards.parts, **options)
            latest = self.encoder_state = after[:, 0]
        self.delayed.append(latest)
        return self.delayed[0]

    def _behavior(self, factors: Tensor) -> Tensor:
        """Behaviour of the bins of these factors."""
        if self.behavior is None:
            raise ValueError("the model decodes no behaviour")
        bins, known = factors.shape[1], torch.cat([self.factors, factors], dim=1)
        self.factors = known[:, known.shape[1] - self.factors.shape[1] :]
        lengths = torch.full((len(known),), known.shape[1])
        return self.behavior(known, lengths)[:, -bins:]


def _segment(model: LFADS, shape: Shape) -> int:
    """Bins of the initial condition; refuses a model for which they are not the first ones alone."""
    config, missing = model.config, []
    if config.encoder.bins is None and (model.decoder.controller or len(shape.seen_bins) >= shape.bins):
        missing.append("its initial condition is inferred from all bins of a trial (set model.encoder.bins)")
    if model.decoder.controller is not None and not config.controller.causal:
        missing.append("its controller also reads later bins (set model.controller.causal=true)")
    if missing:
        raise InputError(
            f"the model can't be run while trials are running: {' and '.join(missing)}; fit one that can"
        )
    return min(len(shape.seen_bins), config.encoder.bins or len(shape.seen_bins))
