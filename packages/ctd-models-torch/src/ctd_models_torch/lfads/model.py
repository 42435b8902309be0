"""LFADS: latent factor analysis via dynamical systems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Probe
from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.base import Draw, Inferred, LatentModel
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.coordinated_dropout import coordinated_dropout, dropout
from ctd_models_torch.decoders.base import array
from ctd_models_torch.lfads.augmentation import augment
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.lfads.controller_inputs import controller_inputs
from ctd_models_torch.lfads.decoder import LFADSDecoder, Masks
from ctd_models_torch.lfads.decoder_loop import Decoded
from ctd_models_torch.lfads.encoders import Encoder
from ctd_models_torch.lfads.initial_weights import normal
from ctd_models_torch.lfads.objective import Objective
from ctd_models_torch.lfads.posterior import Normal, NormalHead, standard_normal
from ctd_models_torch.lfads.priors import Prior
from ctd_models_torch.lfads.sample_validation import hidden_entries
from ctd_models_torch.losses import Observation
from ctd_models_torch.observations import portable
from ctd_models_torch.readouts import Readout
from ctd_models_torch.standardization import Standardization

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
class Pass:
    """What one pass over a batch computed.

    Attributes:
        initial: Posterior of the initial condition's code.
        code: (trial, code), its sample or mean.
        state: (trial, state), before the first bin.
        decoded: States, factors and controls.
        prediction: (trial, time, prediction).
        drive: (trial, time, input), what the generator received, or None.
    """

    initial: Normal
    code: Tensor
    state: Tensor
    decoded: Decoded
    prediction: Tensor
    drive: Tensor | None

    @property
    def controls(self) -> Normal | None:
        """Posterior of the inferred inputs."""
        mean, log_variance = self.decoded.control_mean, self.decoded.control_log_variance
        return None if mean is None or log_variance is None else Normal(mean, log_variance)


class LFADS(LatentModel):
    """Encoders infer an initial condition and inputs, a generator does the rest (Pandarinath et al. 2018).

    Args:
        config: Its settings.
        encoder: Of the initial condition.
        control_encoder: Of the controller, or None.
        decoder: Generator, controller and factors.
        readout: From factors to predictions.
        observation: From predictions to data.
        initial_prior: Of the initial condition's code.
        control_prior: Of the inferred inputs, or None.
        view: Which bins and neurons the encoders see.
        standardization: Shift and scale of what they see.
        input_size: Channels of the known inputs, 0 for none.
        random: Stream of the initial weights.
    """

    def __init__(
        self,
        config: LFADSConfig,
        *,
        encoder: Encoder,
        control_encoder: Encoder | None,
        decoder: LFADSDecoder,
        readout: Readout,
        observation: Observation,
        initial_prior: Prior,
        control_prior: Prior | None,
        view: View,
        standardization: Standardization,
        input_size: int,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.view, self.standardization = config, view, standardization
        self.input_size = input_size
        self.encoder, self.control_encoder, self.decoder = encoder, control_encoder, decoder
        self.readout, self.observation = readout, observation
        self.initial_prior, self.control_prior = initial_prior, control_prior
        self.head = NormalHead(2 * encoder.size, config.initial_condition, generator=random)
        shape = (config.size, config.initial_condition)
        self.initial_weight = nn.Parameter(normal(shape, config.initial_condition, random))
        self.initial_bias = nn.Parameter(torch.zeros(config.size))
        self.objective = Objective(config)

    def infer(self, batch: Batch) -> Inferred:
        """See LatentModel; the means of the posteriors are passed on."""
        found = self._run(self.standardization(batch, self.view), batch, batch.n_time, None)
        return self.inferred_of(found, batch)

    def inferred_of(self, found: Pass, batch: Batch) -> Inferred:
        """What one pass without randomness tells of a batch."""
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
        figures = {f"kl_{name}": nats for name, nats in self._divergences(found, batch, None).items()}
        return Inferred(found.prediction, found.decoded.states, found.state, found.drive, signals, figures)

    def losses(self, batch: Batch, draw: Draw, *, n_time: int, epoch: int) -> dict[str, Tensor]:
        """See LatentModel."""
        seen, weight = self._shown(batch, draw)
        weight = None if weight is None else weight[:, :n_time]
        found = self._run(seen, batch, n_time, draw)
        return self.objective.terms(
            self.observation.nll(found.prediction, batch.data[:, :n_time]),
            batch.scored[:, :n_time],
            weight,
            self._divergences(found, batch, draw),
            self._recurrent_weights(),
            epoch,
        )

    def _shown(self, batch: Batch, draw: Draw) -> tuple[Tensor, Tensor | None]:
        """What encoders get in a training step, and the weight of the reconstruction's entries."""
        config = self.config
        augmented = augment(batch, config.augmentation, draw)
        seen, weight = self.standardization(augmented, self.view), None
        if config.coordinated_dropout > 0:
            seen, weight = coordinated_dropout(
                seen,
                self.view,
                batch.data.shape,
                rate=config.coordinated_dropout,
                generator=draw("coordinated dropout"),
            )
        rate = config.augmentation.sample_validation
        if rate > 0:
            kept = ~self.view.see(self._kept_back(batch))
            seen = seen * kept
            share = self.view.spread(kept.to(seen.dtype) / (1.0 - rate), torch.ones_like(batch.data))
            weight = share if weight is None else weight * share
        return seen, weight

    def _kept_back(self, batch: Batch) -> Tensor:
        """Entries of sample validation, bool (trial, time, neuron)."""
        settings = self.config.augmentation
        hidden = hidden_entries(
            batch.rows,
            batch.data.shape,
            rate=settings.sample_validation,
            seed=settings.sample_validation_seed,
        )
        return self.view.spread(self.view.see(hidden), torch.zeros_like(hidden))

    def figures(self, inferred: Inferred, batch: Batch) -> dict[str, Tensor]:
        """See LatentModel."""
        if self.config.augmentation.sample_validation == 0:
            return inferred.figures
        hidden = self._kept_back(batch)
        seen = self.standardization(batch, self.view) * ~self.view.see(hidden)
        found = self._run(seen, batch, batch.n_time, None)
        nll = self.observation.nll(found.prediction, batch.data)
        scored = batch.scored & hidden
        mean = torch.where(scored, nll, 0.0).sum((1, 2)) / scored.sum((1, 2)).clamp_min(1)
        return inferred.figures | {"sample_validation": mean}

    def _run(self, seen: Tensor, batch: Batch, n_time: int, draw: Draw | None) -> Pass:
        """Encode and decode; samples and dropout where there is something to draw from."""
        rate = self.config.dropout
        stream = draw("dropout") if draw is not None and rate > 0 else None
        encoding = self.encode(seen, batch, n_time, stream)
        sampled = draw is not None and self.initial_prior.samples
        initial = encoding.initial
        code = initial.sample(draw("initial condition")) if sampled and draw is not None else initial.mean
        masks = self.decoder.masks(len(seen), n_time, rate, stream)
        return self.decode(encoding, code, self._noise(code, n_time, draw), masks, n_time)

    def encode(self, seen: Tensor, batch: Batch, n_time: int, stream: torch.Generator | None) -> Encoding:
        """Run the encoders.

        Args:
            seen: (trial, seen bin, seen neuron).
            batch: The rest of these trials.
            n_time: Bins that will be decoded.
            stream: Of dropout; None for none.
        """
        rate = self.config.dropout
        seen = dropout(seen, rate, stream)
        lengths = self.view.seen_lengths(batch.lengths)
        first = self._segment
        read = self.encoder.last(seen[:, :first], lengths.clamp(1, first))
        initial = self.head(dropout(read, rate, stream), floor=VARIANCE_FLOOR)
        external = None if batch.inputs is None else dropout(batch.inputs[:, :n_time], rate, stream)
        return Encoding(initial, self._encoded(seen, batch, lengths, n_time), external)

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
        return Pass(encoding.initial, code, state, decoded, self.readout(decoded.factors), drive)

    @property
    def _segment(self) -> int:
        """Seen bins that the initial condition is inferred from."""
        seen = len(self.view.bins)
        return min(seen, self.config.encoder.bins or seen)

    def _encoded(self, seen: Tensor, batch: Batch, lengths: Tensor, n_time: int) -> Tensor | None:
        """What the controller is given, (trial, time, encoded)."""
        if self.control_encoder is None:
            return None
        start = self._segment if self.config.encoder.bins else 0
        return controller_inputs(
            self.control_encoder.all(seen[:, start:], (lengths - start).clamp_min(1)),
            self.view.bins[start:],
            batch.lengths,
            n_time=batch.n_time,
            lag=self.config.controller.lag,
        )[:, :n_time]

    def _noise(self, like: Tensor, n_time: int, draw: Draw | None) -> Tensor | None:
        """Standard normal, (trial, time, control); None where the means are passed on."""
        if draw is None or self.control_prior is None or not self.control_prior.samples:
            return None
        shape = (len(like), n_time, self.config.controller.controls)
        return standard_normal(like.new_empty(shape), draw("inferred inputs"))

    def _divergences(self, found: Pass, batch: Batch, draw: Draw | None) -> dict[str, Tensor]:
        """KL of each trial in nats, (trial,), by the names of `KLConfig`; exact where nothing was drawn."""
        divergences = {}
        if self.initial_prior.samples:
            sample = None if draw is None else found.code
            divergences["initial_condition"] = self.initial_prior.kl(found.initial, sample)
        controls = found.controls
        if self.control_prior is not None and controls is not None and self.control_prior.samples:
            sample = None if draw is None else found.decoded.controls
            bins = torch.arange(controls.mean.shape[1], device=batch.lengths.device)
            kept = bins < batch.lengths[:, None]
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

    def portable_readout(self, bin_width_s: float) -> PortableReadout:
        """See LatentModel; its first layer gives the factors."""
        chain = portable(self.readout, self.observation, bin_width_s)
        if chain.is_opaque:
            return chain
        return PortableReadout([Layer(array(self.decoder.factor_weight)), *chain.layers], scale=chain.scale)
