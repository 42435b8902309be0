"""LFADS: latent factor analysis via dynamical systems."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Probe
from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.base import Draw, Inferred, LatentModel
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.coordinated_dropout import dropout
from ctd_models_torch.decoders.base import array
from ctd_models_torch.lfads.aligned_start import start_read_ins
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.lfads.controller_inputs import controller_inputs
from ctd_models_torch.lfads.decoder import LFADSDecoder, Masks
from ctd_models_torch.lfads.decoder_loop.decode import Decoded
from ctd_models_torch.lfads.encoders import Encoder
from ctd_models_torch.lfads.initial_weights import normal
from ctd_models_torch.lfads.objective import Objective, Scored
from ctd_models_torch.lfads.posterior import Normal, NormalHead, standard_normal
from ctd_models_torch.lfads.priors import Prior
from ctd_models_torch.lfads.session_parts import SessionParts
from ctd_models_torch.losses import Observation
from ctd_models_torch.observations import portable
from ctd_models_torch.recording import Recording
from ctd_models_torch.sessions.alignment import Aligned

# Least variance of the initial condition's posterior.
VARIANCE_FLOOR = 1e-4


@dataclass(frozen=True)
class Encoding:
    """What the encoders made of a batch.

    Attributes:
        initial: Posterior of the initial condition's code.
        encoded: (trial, time, encoded), what the controller is given, or None.
        external: (trial, time, input), known inputs as the generator gets them, or None.
    """

    initial: Normal
    encoded: Tensor | None
    external: Tensor | None


@dataclass(frozen=True)
class Trials:
    """What of a step's trials the shared core needs beside what encoders read, all sessions' in a row.

    Attributes:
        lengths: (trial,) bins before the padding.
        inputs: (trial, time, input), or None without known ones.
        n_time: Bins of the time axis.
        padded: Whether trials may be shorter than that.
    """

    lengths: Tensor
    inputs: Tensor | None
    n_time: int
    padded: bool = True

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Trials:
        """Put one session's trials after the other's."""
        inputs = [batch.inputs for batch in batches if batch.inputs is not None]
        lengths = _joined([batch.lengths for batch in batches])
        padded = any(batch.padded for batch in batches)
        return cls(lengths, _joined(inputs) if inputs else None, batches[0].n_time, padded)


@dataclass(frozen=True)
class Pass:
    """What one pass of the shared core computed.

    Attributes:
        initial: Posterior of the initial condition's code.
        code: (trial, code), its sample or mean.
        state: (trial, state), before the first bin.
        decoded: States, factors and controls.
        drive: (trial, time, input), what the generator received, or None.
    """

    initial: Normal
    code: Tensor
    state: Tensor
    decoded: Decoded
    drive: Tensor | None

    @property
    def controls(self) -> Normal | None:
        """Posterior of the inferred inputs."""
        mean, log_variance = self.decoded.control_mean, self.decoded.control_log_variance
        return None if mean is None or log_variance is None else Normal(mean, log_variance)


class LFADS(LatentModel):
    """Encoders infer an initial condition and inputs, a generator does the rest (Pandarinath et al. 2018).

    Each recording has `SessionParts` of its own, encoders, generator and controller are shared.

    Args:
        config: Its settings.
        sessions: Parts of each recording; all see the same bins.
        encoder: Of the initial condition.
        control_encoder: Of the controller, or None.
        decoder: Generator, controller and factors.
        initial_prior: Of the initial condition's code.
        control_prior: Of the inferred inputs, or None.
        input_size: Channels of the known inputs, 0 for none.
        random: Stream of the initial weights.
    """

    def __init__(
        self,
        config: LFADSConfig,
        *,
        sessions: Sequence[SessionParts],
        encoder: Encoder,
        control_encoder: Encoder | None,
        decoder: LFADSDecoder,
        initial_prior: Prior,
        control_prior: Prior | None,
        input_size: int,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.input_size = config, input_size
        self.encoder, self.control_encoder, self.decoder = encoder, control_encoder, decoder
        self.sessions = nn.ModuleList(sessions)
        self.initial_prior, self.control_prior = initial_prior, control_prior
        self.head = NormalHead(2 * encoder.size, config.initial_condition, generator=random)
        shape = (config.size, config.initial_condition)
        self.initial_weight = nn.Parameter(normal(shape, config.initial_condition, random))
        self.initial_bias = nn.Parameter(torch.zeros(config.size))
        self.objective = Objective(config)

    @property
    def all_parts(self) -> list[SessionParts]:
        """Parts of each recording."""
        return [cast(SessionParts, parts) for parts in self.sessions]

    @property
    def session(self) -> SessionParts:
        """Parts of the recording of a model of one; `one_session` makes one of a model of several."""
        if len(self.sessions) > 1:
            raise ValueError(
                f"this is a model of {len(self.sessions)} recordings: take its one_session first"
            )
        return self.all_parts[0]

    @property
    def observation(self) -> Observation:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See LatentModel."""
        return self.session.observation

    def one_session(self, index: int) -> LFADS:
        """See LatentModel."""
        if len(self.sessions) == 1 and index == 0:
            return self
        twin = copy.copy(self)
        twin._modules = self._modules | {"sessions": nn.ModuleList([self.sessions[index]])}
        return twin

    def start_from(self, recordings: Sequence[Recording], aligned: Sequence[Aligned] | None) -> None:
        """See LatentModel: read-ins may start in a space that is common to the recordings."""
        start_read_ins(self.all_parts, recordings, aligned, self.config.read_in)

    def infer(self, batch: Batch) -> Inferred:
        """See LatentModel; the means of the posteriors are passed on."""
        found = self.passed(batch)
        nats = self._divergences(found, Trials.of([batch]), None)
        figures = {f"kl_{name}": values for name, values in nats.items()}
        return replace(self.inferred_of(found, batch.lengths), figures=figures)

    def passed(self, batch: Batch) -> Pass:
        """One pass over all bins without randomness."""
        parts = self.session
        return self._run(parts.read(parts.see(batch)), Trials.of([batch]), batch.n_time, None)

    def inferred_of(self, found: Pass, lengths: Tensor) -> Inferred:
        """What one pass found, of trials of these lengths, (trial,)."""
        signals = {"factors": found.decoded.factors}
        inferred = (
            ("initial_condition", found.initial, self.initial_prior),
            ("inferred_inputs", found.controls, self.control_prior),
        )
        for name, posterior, prior in inferred:
            if posterior is not None and prior is not None:
                signals[name] = posterior.mean
                # Where means are passed on nothing has trained the spread.
                signals |= {f"{name}_std": posterior.std} if prior.samples else {}
        if self.session.behavior is not None:
            signals["behavior_prediction"] = self.session.behavior(found.decoded.factors, lengths)
        prediction = self.session.readout(found.decoded.factors)
        return Inferred(prediction, found.decoded.states, found.state, found.drive, signals)

    def losses(self, batch: Batch, draw: Draw, *, n_time: int, epoch: int) -> dict[str, Tensor]:
        """See LatentModel."""
        return self.session_losses([batch], draw, n_time=n_time, epoch=epoch)

    def session_losses(
        self, batches: Sequence[Batch], draw: Draw, *, n_time: int, epoch: int
    ) -> dict[str, Tensor]:
        """See LatentModel; all sessions' trials go through the shared core at once."""
        sessions = list(zip(self.all_parts, batches, strict=True))
        streams = [_streams_of(parts.name, draw) if len(sessions) > 1 else draw for parts, _ in sessions]
        shown = [parts.shown(batch, own) for (parts, batch), own in zip(sessions, streams, strict=True)]
        read = [parts.read(seen) for (parts, _), (seen, _) in zip(sessions, shown, strict=True)]
        trials = Trials.of(batches)
        found = self._run(_joined(read), trials, n_time, draw)
        sizes = [len(batch) for batch in batches]
        factors = found.decoded.factors.split(sizes)
        divergences = {
            name: nats.split(sizes) for name, nats in self._divergences(found, trials, draw).items()
        }
        terms = []
        for index, (parts, batch) in enumerate(sessions):
            weight = shown[index][1]
            terms.append(
                self.objective.session_terms(
                    Scored(
                        parts.observation,
                        parts.readout(factors[index]),
                        batch.data[:, :n_time],
                        None if batch.complete else batch.scored[:, :n_time],
                        None if weight is None else weight[:, :n_time],
                    ),
                    {name: nats[index] for name, nats in divergences.items()},
                    epoch,
                    parts.behavior_costs(factors[index], batch, n_time, streams[index]),
                )
            )
        return self.objective.terms(terms, self._recurrent_weights(), epoch)

    def figures(self, inferred: Inferred, batch: Batch) -> dict[str, Tensor]:
        """See LatentModel."""
        parts = self.session
        if self.config.augmentation.sample_validation == 0:
            return inferred.figures
        hidden = parts.kept_back(batch)
        seen = parts.see(batch) * ~parts.view.see(hidden)
        found = self._run(parts.read(seen), Trials.of([batch]), batch.n_time, None)
        nll = parts.observation.nll(parts.readout(found.decoded.factors), batch.data)
        scored = batch.scored & hidden
        mean = torch.where(scored, nll, 0.0).sum((1, 2)) / scored.sum((1, 2)).clamp_min(1)
        return inferred.figures | {"sample_validation": mean}

    def _run(self, read: Tensor, trials: Trials, n_time: int, draw: Draw | None) -> Pass:
        """Encode and decode; samples and dropout where there is something to draw from."""
        rate = self.config.dropout
        stream = draw("dropout") if draw is not None and rate > 0 else None
        encoding = self.encode(read, trials, n_time, stream)
        sampled = draw is not None and self.initial_prior.samples
        initial = encoding.initial
        code = initial.sample(draw("initial condition")) if sampled and draw is not None else initial.mean
        masks = self.decoder.masks(len(read), n_time, rate, stream)
        return self.decode(encoding, code, self._noise(code, n_time, draw), masks, n_time)

    def encode(self, read: Tensor, trials: Trials, n_time: int, stream: torch.Generator | None) -> Encoding:
        """Run the encoders.

        Args:
            read: (trial, seen bin, channel), as `SessionParts.read` gives it.
            trials: The rest of these trials.
            n_time: Bins that will be decoded.
            stream: Of dropout; None for none.
        """
        rate = self.config.dropout
        read = dropout(read, rate, stream)
        lengths = self._view.seen_lengths(trials.lengths) if trials.padded else None
        first = self._segment
        summary = self.encoder.last(read[:, :first], None if lengths is None else lengths.clamp(1, first))
        initial = self.head(dropout(summary, rate, stream), floor=VARIANCE_FLOOR)
        external = None if trials.inputs is None else dropout(trials.inputs[:, :n_time], rate, stream)
        return Encoding(initial, self._encoded(read, trials, lengths, n_time), external)

    def decode(
        self, encoding: Encoding, code: Tensor, noise: Tensor | None, masks: Masks, n_time: int
    ) -> Pass:
        """Run the decoder.

        Args:
            encoding: What the encoders made of the trials.
            code: (trial, code), of the initial condition.
            noise: (trial, time, control), standard normal; None passes the means on.
            masks: Of dropout.
            n_time: Bins.
        """
        state = nn.functional.linear(code, self.initial_weight, self.initial_bias)
        external = encoding.external
        decoded = self.decoder(state, encoding.encoded, external, noise, masks, n_time)
        given = [part for part in (decoded.controls, external) if part is not None]
        drive = torch.cat(given, dim=2) if given else None
        return Pass(encoding.initial, code, state, decoded, drive)

    @property
    def _view(self) -> View:
        """Of any session: all see the same bins."""
        return self.all_parts[0].view

    @property
    def _segment(self) -> int:
        """Seen bins that the initial condition is inferred from."""
        seen = len(self._view.bins)
        return min(seen, self.config.encoder.bins or seen)

    def _encoded(self, read: Tensor, trials: Trials, lengths: Tensor | None, n_time: int) -> Tensor | None:
        """What the controller is given, (trial, time, encoded)."""
        if self.control_encoder is None:
            return None
        start = self._segment if self.config.encoder.bins else 0
        return controller_inputs(
            self.control_encoder.all(
                read[:, start:], None if lengths is None else (lengths - start).clamp_min(1)
            ),
            self._view.bins[start:],
            trials.lengths if trials.padded else None,
            n_time=trials.n_time,
            lag=self.config.controller.lag,
        )[:, :n_time]

    def _noise(self, like: Tensor, n_time: int, draw: Draw | None) -> Tensor | None:
        """Standard normal, (trial, time, control); None where the means are passed on."""
        if draw is None or self.control_prior is None or not self.control_prior.samples:
            return None
        shape = (len(like), n_time, self.config.controller.controls)
        return standard_normal(like.new_empty(shape), draw("inferred inputs"))

    def _divergences(self, found: Pass, trials: Trials, draw: Draw | None) -> dict[str, Tensor]:
        """KL of each trial in nats, (trial,), by the names of `KLConfig`; exact where nothing was drawn."""
        divergences = {}
        if self.initial_prior.samples:
            sample = None if draw is None else found.code
            divergences["initial_condition"] = self.initial_prior.kl(found.initial, sample)
        controls = found.controls
        if self.control_prior is not None and controls is not None and self.control_prior.samples:
            sample = None if draw is None else found.decoded.controls
            bins = torch.arange(controls.mean.shape[1], device=trials.lengths.device)
            kept = bins < trials.lengths[:, None]
            divergences["controls"] = self.control_prior.kl(controls, sample, kept)
        return divergences

    def _recurrent_weights(self) -> dict[str, list[Tensor]]:
        """Recurrent matrices by the names of `L2Config`."""
        encoders = [e for e in (self.encoder, self.control_encoder) if e is not None]
        controller = self.decoder.controller
        return {
            "generator": list(self.decoder.generator.recurrent_weights()),
            "controller": [] if controller is None else [controller.unit.weight_state],
            "encoders": [matrix for encoder in encoders for matrix in encoder.recurrent_weights()],
        }

    def dynamics(self) -> Dynamics:
        """See LatentModel."""
        signals = ["inferred_inputs"] if self.decoder.controller is not None else []
        return self.decoder.generator.dynamics([*signals, "inputs"] if self.input_size else signals)

    def probe(self, states: np.ndarray, drive: np.ndarray | None) -> Probe:
        """See LatentModel."""
        return self.decoder.generator.probe(states, drive)

    def units(self) -> dict[str, str]:
        """See LatentModel."""
        behavior = self.session.behavior
        if behavior is None or behavior.unit is None:
            return {}
        return dict.fromkeys(("behavior_prediction", "behavior_prediction_std"), behavior.unit)

    def portable_readout(self, bin_width_s: float) -> PortableReadout:
        """See LatentModel; its first layer gives the factors."""
        chain = portable(self.session.readout, self.observation, bin_width_s)
        if chain.is_opaque:
            return chain
        return PortableReadout([Layer(array(self.decoder.factor_weight)), *chain.layers], scale=chain.scale)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Tensors in a row, trials first."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _streams_of(session: str, draw: Draw) -> Draw:
    """Streams of one of several sessions, which draws what others don't."""
    return lambda name: draw(f"{name} of {session}")
