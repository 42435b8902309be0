"""MR-LFADS: one LFADS per brain region, with inferred messages between the regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ctd_contract.dynamics import Dynamics, Probe
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.base import Draw, Inferred, LatentModel
from ctd_models_torch.batch import Batch, View
from ctd_models_torch.coordinated_dropout import coordinated_dropout, dropout
from ctd_models_torch.lfads.initial_weights import GRUParameters
from ctd_models_torch.lfads.objective import Scored
from ctd_models_torch.lfads.posterior import Normal, standard_normal
from ctd_models_torch.losses import Observation
from ctd_models_torch.multi_region import export
from ctd_models_torch.multi_region.config import MRLFADSConfig
from ctd_models_torch.multi_region.decoder import RegionDecoder
from ctd_models_torch.multi_region.encoder import RegionEncoder
from ctd_models_torch.multi_region.loop.arguments import LoopArguments, Looped
from ctd_models_torch.multi_region.loop.run import loop
from ctd_models_torch.multi_region.objective import loss_terms, mean_squares
from ctd_models_torch.multi_region.priors import ZeroMeanPrior
from ctd_models_torch.multi_region.regions import Regions
from ctd_models_torch.observations import portable
from ctd_models_torch.readouts import Readout
from ctd_models_torch.standardization import Standardization


@dataclass(frozen=True)
class Pass:
    """What one pass over a batch computed; lists have an entry per region.

    Attributes:
        initial: Posterior of all regions' codes, (trial, code), one region's after the other's.
        states: (trial, state), before the first bin.
        looped: States, factors, controls and messages.
        prediction: (trial, time, prediction).
        drive: (trial, time, input), what the generators received, as in `export.block_diagonal`.
    """

    initial: Normal
    states: list[Tensor]
    looped: Looped
    prediction: Tensor
    drive: Tensor


class MRLFADS(LatentModel):
    """Every region has encoders, controller, generator and factors of its own; messages connect them.

    What a region sends is an affine map, with a spread, of its emission in the bin before, so that nothing
    but channels of few dimensions connects regions; held-out neurons are no part of it.

    Args:
        config: Its settings.
        regions: The regions.
        encoders: Of each of them.
        decoders: Likewise.
        readouts: From a region's factors to predictions of its neurons.
        observation: From predictions of all neurons to data.
        view: Which bins and neurons encoders see.
        standardization: Shift and scale of what they see.
        input_size: Channels of the known inputs, which all regions receive; 0 for none.

    Attributes:
        backend: ``"fast"`` or ``"plain"``, as in `loop`.
    """

    by_region = True

    def __init__(
        self,
        config: MRLFADSConfig,
        regions: Regions,
        *,
        encoders: Sequence[RegionEncoder],
        decoders: Sequence[RegionDecoder],
        readouts: Sequence[Readout],
        observation: Observation,
        view: View,
        standardization: Standardization,
        input_size: int,
    ) -> None:
        super().__init__()
        self.config, self.regions, self.view = config, regions, view
        self.standardization, self.observation = standardization, observation
        self.input_size, self.backend = input_size, "fast"
        # A list of modules is no sequence of its kind of module to a type checker.
        self.encoders = cast(Sequence[RegionEncoder], nn.ModuleList(encoders))
        self.decoders = cast(Sequence[RegionDecoder], nn.ModuleList(decoders))
        self.readouts = cast(Sequence[Readout], nn.ModuleList(readouts))
        count, kl = len(regions), config.kl
        controls = config.controller.controls if config.controller.exists else 0
        messages = (count - 1) * config.messages.size
        code = count * config.initial_condition
        self.initial_prior = ZeroMeanPrior(code, kl.initial_condition.variance)
        self.control_prior = ZeroMeanPrior(count * controls, kl.controls.variance)
        self.message_prior = ZeroMeanPrior(count * messages, kl.messages.variance)
        self.controls, self.messages = controls, messages
        self.order: Tensor
        self.columns_seen: Tensor
        # Where each prediction lies among those of the regions, and the regions' neurons among those seen.
        neurons = sum(len(region.neurons) for region in regions.every)
        placed = [
            prediction_columns(region.neurons, neurons, observation.n_parameters) for region in regions.every
        ]
        self.register_buffer("order", torch.cat(placed).argsort(), persistent=False)
        columns_seen = torch.cat([region.columns for region in regions.every])
        self.register_buffer("columns_seen", columns_seen, persistent=False)

    def infer(self, batch: Batch, channels: Tensor | None = None) -> Inferred:
        """See LatentModel; the means of the posteriors are passed on.

        Args:
            batch: Trials.
            channels: (time, region, message) that multiply the messages; None leaves them as they are.
        """
        found = self._run(self.standardization(batch, self.view), batch, batch.n_time, None, channels)
        looped = found.looped
        signals = {
            "factors": torch.cat(looped.factors, dim=2),
            "initial_condition": found.initial.mean,
            "initial_condition_std": found.initial.std,
        }
        for name, sampled in (("inferred_inputs", looped.controls), ("communication", looped.messages)):
            if sampled is not None:
                signals[name] = sampled.value.flatten(2)
                signals[f"{name}_std"] = sampled.posterior.std
        if channels is not None:
            # Nothing is uncertain about what is silent.
            signals["communication_std"] = signals["communication_std"] * channels.flatten(1)
        figures = {f"kl_{name}": nats for name, nats in self._divergences(found, batch).items()}
        states, initial = torch.cat(looped.states, dim=2), torch.cat(found.states, dim=1)
        return Inferred(found.prediction, states, initial, found.drive, signals, figures)

    def losses(self, batch: Batch, draw: Draw, *, n_time: int, epoch: int) -> dict[str, Tensor]:
        """See LatentModel."""
        seen, weight = self.standardization(batch, self.view), None
        rate = self.config.coordinated_dropout
        if rate > 0:
            stream = draw("coordinated dropout")
            seen, weight = coordinated_dropout(seen, self.view, batch.data.shape, rate=rate, generator=stream)
            weight = weight[:, :n_time]
        found = self._run(seen, batch, n_time, draw)
        means = found.looped.messages.mean.flatten(2)
        return loss_terms(
            self.config,
            Scored(
                self.observation,
                found.prediction,
                batch.data[:, :n_time],
                None if batch.complete else batch.scored[:, :n_time],
                weight,
            ),
            divergences=self._divergences(found, batch),
            recurrent=self._recurrent_weights(),
            power=mean_squares(means, _kept(batch, n_time), len(self.regions.connections)),
            epoch=epoch,
        )

    def _run(
        self, seen: Tensor, batch: Batch, n_time: int, draw: Draw | None, channels: Tensor | None = None
    ) -> Pass:
        """Encode and decode; samples and dropout where there is something to draw from."""
        rate = self.config.dropout
        stream = draw("dropout") if draw is not None and rate > 0 else None
        seen = dropout(seen, rate, stream)
        lengths = self.view.seen_lengths(batch.lengths)
        own = seen.index_select(2, self.columns_seen).split([len(r.seen) for r in self.regions.every], dim=2)
        initial = _joined([
            encoder.initial(part, lengths, rate, stream)
            for encoder, part in zip(self.encoders, own, strict=True)
        ])  # fmt: skip
        code = initial.mean if draw is None else initial.sample(draw("initial condition"))
        codes = code.split(self.config.initial_condition, dim=1)
        states = [encoder.state(one) for encoder, one in zip(self.encoders, codes, strict=True)]
        encoded = [
            one[:, :n_time]
            for encoder, part in zip(self.encoders, own, strict=True)
            for one in encoder.encoded(part, lengths, self.view, batch.lengths, batch.n_time)
        ]
        external = None if batch.inputs is None else dropout(batch.inputs[:, :n_time], rate, stream)
        arguments = self._arguments(states, encoded or None, external, n_time, draw, stream, channels)
        looped = loop([one.parameters_of_loop for one in self.decoders], arguments, backend=self.backend)
        return Pass(initial, states, looped, self._predicted(looped.factors), _drive(looped, external))

    def _arguments(
        self,
        states: list[Tensor],
        encoded: list[Tensor] | None,
        external: Tensor | None,
        n_time: int,
        draw: Draw | None,
        stream: torch.Generator | None,
        channels: Tensor | None,
    ) -> LoopArguments:
        trials, rate = len(states[0]), self.config.dropout
        readings = controller_masks = state_masks = None
        if self.controls:
            readings = [one.controller_state.expand(trials, -1) for one in self.decoders]
        if stream is not None:
            if self.controls:
                controller_masks = [
                    one.controller_mask(trials, n_time, rate, stream) for one in self.decoders
                ]
            state_masks = [one.state_mask(trials, n_time, rate, stream) for one in self.decoders]

        def noise(name: str, size: int) -> Tensor | None:
            if draw is None or not size:
                return None
            shape = (trials, n_time, len(self.regions), size)
            return standard_normal(self.decoders[0].message_bias.new_empty(shape), draw(name))

        return LoopArguments(
            states,
            readings,
            encoded,
            external,
            noise("inferred inputs", self.controls),
            noise("messages", self.messages),
            controller_masks,
            state_masks,
            channels,
            n_time,
            self.config.reset,
            self.config.clip,
        )

    def _predicted(self, factors: list[Tensor]) -> Tensor:
        """Predictions of all neurons in the recording's order, (trial, time, prediction)."""
        parts = [readout(one) for readout, one in zip(self.readouts, factors, strict=True)]
        return torch.cat(parts, dim=2).index_select(2, self.order)

    def _divergences(self, found: Pass, batch: Batch) -> dict[str, Tensor]:
        """KL of each trial in nats, (trial,), by the names of `RegionKLConfig`."""
        looped = found.looped
        kept = _kept(batch, looped.states[0].shape[1])
        divergences = {"initial_condition": self.initial_prior.kl(found.initial, None)}
        if looped.controls is not None:
            divergences["controls"] = self.control_prior.kl(looped.controls.posterior, None, kept)
        return divergences | {"messages": self.message_prior.kl(looped.messages.posterior, None, kept)}

    def _recurrent_weights(self) -> dict[str, list[Tensor]]:
        """Recurrent matrices by the names of `L2Config`, each once."""
        controllers = [one.controller for one in self.decoders if one.controller is not None]
        return {
            "generator": [one.generator.weight_state for one in self.decoders],
            "controller": [one.weight_state for one in controllers],
            "encoders": [matrix for one in self.encoders for matrix in one.recurrent_weights()],
        }

    def columns(self) -> dict[tuple[str, str], np.ndarray]:
        """See LatentModel."""
        ids, config = np.asarray(self.regions.ids, np.int32), self.config
        ends = np.asarray(self.regions.connections).repeat(config.messages.size, axis=0)
        sizes = [one.sizes for one in self.decoders]
        columns = {
            ("states", "region"): ids.repeat([one.state for one in sizes]),
            ("factors", "region"): ids.repeat([one.factors for one in sizes]),
            ("messages", "from"): ids[ends[:, 0]],
            ("messages", "to"): ids[ends[:, 1]],
        }
        return columns | ({("controls", "region"): ids.repeat(self.controls)} if self.controls else {})

    def dynamics(self) -> Dynamics:
        """See LatentModel; given the messages, the regions' generators side by side are one."""
        names = ["inferred_inputs"] if self.controls else []
        names += ["communication", *(["inputs"] if self.input_size else [])]
        return export.block_diagonal(self._generators(), self._drive_parts(), self.config, names)

    def probe(self, states: np.ndarray, drive: np.ndarray | None) -> Probe:
        """See LatentModel."""
        return export.probe(self._generators(), self._drive_parts(), self.config, states, drive)

    def _generators(self) -> list[GRUParameters]:
        return [one.generator for one in self.decoders]

    def _drive_parts(self) -> tuple[int, int, int]:
        return self.controls, self.messages, self.input_size

    def portable_readout(self, bin_width_s: float) -> PortableReadout:
        """See LatentModel; its first layer gives the factors."""
        chains = [portable(readout, self.observation, bin_width_s) for readout in self.readouts]
        neurons = torch.cat([region.neurons for region in self.regions.every])
        return export.side_by_side(
            [one.factor_weight for one in self.decoders], chains, neurons.argsort().numpy()
        )


def prediction_columns(neurons: Tensor, count: int, parameters: int) -> Tensor:
    """Positions of some neurons' predictions among those of ``count`` neurons, see `Observation`."""
    return torch.cat([neurons + index * count for index in range(parameters)])


def _kept(batch: Batch, n_time: int) -> Tensor:
    """Bins before the padding, bool (trial, time)."""
    return torch.arange(n_time, device=batch.lengths.device) < batch.lengths[:, None]


def _joined(parts: list[Normal]) -> Normal:
    """One distribution of independent ones."""
    means, log_variances = zip(*((part.mean, part.log_variance) for part in parts), strict=True)
    return Normal(torch.cat(means, dim=1), torch.cat(log_variances, dim=1))


def _drive(looped: Looped, external: Tensor | None) -> Tensor:
    sampled = [one.value.flatten(2) for one in (looped.controls, looped.messages) if one is not None]
    return torch.cat([*sampled, *([] if external is None else [external])], dim=2)
