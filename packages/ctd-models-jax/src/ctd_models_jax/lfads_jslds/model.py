"""LFADS-JSLDS: LFADS with two generators, a network and a switching linear system that mimics it.

J. T. H. Smith, S. W. Linderman, D. Sussillo, Reverse engineering recurrent neural networks with Jacobian
switching linear dynamical systems, NeurIPS 2021 (arXiv:2111.01256), section 5; LFADS: C. Pandarinath et al.,
Nature Methods 2018. An encoder infers the initial state that both generators start at, a controller the
inputs that both receive, and both are read out alike: f = W s with rows of length 1, log-rates (or activity)
C f + d. Training asks both for the data, the expansion network for fixed points of the network, and the
linear system for closeness to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ctd_models_jax.cells import GatedCell, normal
from ctd_models_jax.jslds.expansion import Expansion
from ctd_models_jax.lfads_jslds import generators
from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig
from ctd_models_jax.lfads_jslds.controller import Controller
from ctd_models_jax.lfads_jslds.encoder import KEEP, Affine, BidirectionalGRU, seen_by_controller
from ctd_models_jax.lfads_jslds.generators import Backend, Course, Given, Shared
from ctd_models_jax.lfads_jslds.masks import Masks
from ctd_models_jax.lfads_jslds.priors import Normal, Prior, bounded_normal, make_prior
from ctd_models_jax.lfads_jslds.session import SessionParameters
from ctd_models_jax.recording import Trials


class Parameters(NamedTuple):
    """Parameters.

    Attributes:
        sessions: Of each recording.
        encoder: Of the initial state, and of the controller unless it has its own.
        initial: From the encoder's summary to mean and log-variance of the initial state.
        control_encoder: The controller's own, or None.
        controller: Or None.
        cell: F, the network.
        expansion: E, where the linear system is linearised.
        factor_weight: (factor, state), before its rows are brought to length 1.
        initial_prior: Of the initial state, or None.
        control_prior: Of the inferred inputs, or None.
    """

    sessions: list[SessionParameters]
    encoder: BidirectionalGRU
    initial: Affine
    control_encoder: BidirectionalGRU | None
    controller: Controller | None
    cell: GatedCell
    expansion: Expansion
    factor_weight: Array
    initial_prior: Prior | None
    control_prior: Prior | None

    def factors(self) -> Array:
        """(factor, state) with rows of length 1."""
        return self.factor_weight / jnp.linalg.norm(self.factor_weight, axis=1, keepdims=True)


class Pass(NamedTuple):
    """What one pass of the shared parts gives.

    Attributes:
        initial: Posterior of the initial state, (trial, state).
        start: (trial, state) its sample, or its mean.
        course: Of both generators.
        state_mask: (trial, time + 1, state) of the dropout of both; None without.
    """

    initial: Normal
    start: Array
    course: Course
    state_mask: Array | None


class Inferred(NamedTuple):
    """What the model infers of one recording: posteriors' means, passed on.

    Attributes:
        initial: Posterior of the initial state, (trial, state).
        states: (trial, time, state) of the network after each input.
        linear_states: (trial, time, state) of the linear system.
        points: (trial, time, state) at which the linear system's step was linearised.
        factors: (trial, time, factor) of the network.
        linear_factors: (trial, time, factor) of the linear system.
        prediction: (trial, time, neuron) the network's log of expected counts, or expected activity.
        linear_prediction: (trial, time, neuron) the linear system's.
        inferred_inputs: Posterior of the inferred inputs, (trial, time, control).
    """

    initial: Normal
    states: Array
    linear_states: Array
    points: Array
    factors: Array
    linear_factors: Array
    prediction: Array
    linear_prediction: Array
    inferred_inputs: Normal


@dataclass(frozen=True)
class LFADSJSLDS:
    """Sizes and kind of a model; holds neither data nor parameters.

    Attributes:
        held_in: Of each recording, which neurons the encoder sees.
        inputs: Dimensions of the known inputs.
        family: Of the observations, ``poisson`` or ``gaussian``.
        settings: All else.
    """

    held_in: tuple[tuple[bool, ...], ...]
    inputs: int
    family: str = "poisson"
    settings: LFADSJSLDSConfig = field(default_factory=LFADSJSLDSConfig)

    def __post_init__(self) -> None:
        beyond = [channel for channel in self.settings.kept_inputs if not 0 <= channel < self.inputs]
        if beyond:
            raise ValueError(
                f"kept_inputs: there are {self.inputs} channels, counted from 0, got {beyond[0]}"
            )
        counts = {sum(seen) for seen in self.held_in}
        if self.channels is None and len(counts) > 1:
            raise ValueError("encoder.read_in: recordings of different neurons need a read-in, got none")

    @property
    def channels(self) -> int | None:
        """Channels of the read-ins; None where there are none."""
        several = self.settings.factors if len(self.held_in) > 1 else None
        return self.settings.encoder.read_in or several

    @property
    def kept(self) -> np.ndarray:
        """(input,) which known inputs have u* = u."""
        return np.isin(np.arange(self.inputs), self.settings.kept_inputs)

    def initialize(
        self, key: Array, mean: Sequence[ArrayLike], std: Sequence[ArrayLike]
    ) -> tuple[Parameters, Parameters]:
        """Draw parameters.

        Args:
            key: Of the draw.
            mean: Of each recording's training trials, (neuron,).
            std: Likewise.

        Returns:
            The parameters, and which of them are trained (all but what activity is scaled with).
        """
        settings, keys = self.settings, jax.random.split(key, 8)
        units, encoded, controls = settings.units, 2 * settings.encoder.units, settings.controls
        width = self.channels or sum(self.held_in[0])
        own = controls and settings.encoder.bins
        sessions = [
            SessionParameters.draw(
                jax.random.fold_in(keys[0], index),
                mean=mean[index],
                std=std[index],
                n_held_in=sum(seen),
                channels=self.channels,
                factors=settings.factors,
                family=self.family,
            )
            for index, seen in enumerate(self.held_in)
        ]
        encoders = [BidirectionalGRU.draw(k, width, settings.encoder.units) for k in keys[1:3]]
        control_sizes = (encoded, settings.factors, settings.controller.units, controls)
        params = Parameters(
            sessions=sessions,
            encoder=encoders[0],
            initial=Affine.draw(keys[3], encoded, 2 * units),
            control_encoder=encoders[1] if own else None,
            controller=Controller.draw(keys[4], *control_sizes) if controls else None,
            cell=GatedCell.draw(keys[5], controls + self.inputs, units, gain=1.0, gate_bias=KEEP),
            expansion=Expansion.start(units, settings.expansion_layers, "tanh"),
            factor_weight=normal(keys[6], (settings.factors, units), units),
            initial_prior=make_prior(settings.initial_prior, units),
            control_prior=make_prior(settings.control_prior, controls) if controls else None,
        )
        flags = jax.tree.map(lambda _: True, params)
        return params, flags._replace(sessions=[session.trained() for session in sessions])

    def infer(
        self, params: Parameters, trials: Trials, *, session: int = 0, backend: Backend = "fast"
    ) -> Inferred:
        """Infer trials of one recording; the means of the posteriors are passed on."""
        found = self.run(params, [self.read(params, trials, session)], [trials], backend=backend)
        weight, course = params.factors(), found.course
        factors, linear = course.states @ weight.T, course.linear_states @ weight.T
        readout = params.sessions[session].readout
        return Inferred(
            initial=found.initial,
            states=course.states,
            linear_states=course.linear_states,
            points=course.points,
            factors=factors,
            linear_factors=linear,
            prediction=readout(factors),
            linear_prediction=readout(linear),
            inferred_inputs=course.posterior,
        )

    def seen_bins(self, n_time: int) -> int:
        """How many bins from the start encoders read; without a controller, those of the initial state."""
        bins = self.settings.encoder.bins
        return n_time if bins is None or self.settings.controls else min(bins, n_time)

    def read(self, params: Parameters, trials: Trials, session: int, shown: Array | None = None) -> Array:
        """What encoders read of a recording's trials, (trial, seen bin, channel).

        Args:
            params: The parameters.
            trials: The trials.
            session: Which recording they are of.
            shown: (trial, time, held-in neuron) factors of coordinated dropout; None for none.
        """
        own, rows = params.sessions[session], np.flatnonzero(self.held_in[session])
        values = own.scaled(jnp.asarray(trials.values), jnp.asarray(trials.scored))[..., rows]
        values = values if shown is None else values * shown
        return own.read(values[:, : self.seen_bins(values.shape[1])])

    def run(
        self,
        params: Parameters,
        read: Sequence[Array],
        trials: Sequence[Trials],
        *,
        key: Array | None = None,
        backend: Backend = "fast",
    ) -> Pass:
        """Run the shared parts over all recordings' trials at once.

        Args:
            params: The parameters.
            read: What encoders read of each recording.
            trials: The rest of its trials.
            key: Draws samples and dropout; None passes means on and drops nothing.
            backend: Of the linear system's step.
        """
        values, visible, known = (
            jnp.concatenate([jnp.asarray(part) for part in parts])
            for parts in (read, [t.visible for t in trials], [t.inputs for t in trials])
        )
        settings, n_trials, n_time = self.settings, *visible.shape
        keys = None if key is None else jax.random.split(key, 3)
        mask_key = None if keys is None else keys[0]
        masks = Masks.draw(mask_key, settings, n_trials, n_time, values.shape[1:])
        values = masks.on(values, masks.read)
        initial, encoded = self._encode(params, values, visible, masks)
        start = initial.mean
        if keys is not None and params.initial_prior is not None:
            start = start + initial.std * jax.random.normal(keys[1], start.shape)
        noise = None
        if keys is not None and params.control_prior is not None:
            noise = jax.random.normal(keys[2], (n_trials, n_time, settings.controls))
        given = Given(known, jnp.asarray(self.kept), encoded, noise, masks.factors, masks.states)
        shared = Shared(params.cell, params.expansion, params.controller, params.factors())
        course = generators.run(
            shared, start, given, smallest_variance=settings.smallest_variance, backend=backend
        )
        return Pass(initial, start, course, masks.states)

    def _encode(
        self, params: Parameters, values: Array, visible: Array, masks: Masks
    ) -> tuple[Normal, Array | None]:
        """Posterior of the initial state, and what the controller sees."""
        settings, seen = self.settings, visible[:, : values.shape[1]]
        first = min(settings.encoder.bins or values.shape[1], values.shape[1])
        onwards, back = params.encoder(values[:, :first], seen[:, :first])
        summary = masks.on(jnp.concatenate([onwards[:, -1], back[:, 0]], -1), masks.summary)
        initial = bounded_normal(params.initial(summary), settings.smallest_variance)
        if params.controller is None:
            return initial, None
        if params.control_encoder is not None:
            later = params.control_encoder(values[:, first:], seen[:, first:])
            before = jnp.zeros((len(values), first, onwards.shape[2]))
            onwards, back = (jnp.concatenate([before, side], 1) for side in later)
            visible = visible * (np.arange(visible.shape[1]) >= first)
        encoded = seen_by_controller((onwards, back), visible, settings.controller.lag)
        return initial, masks.on(encoded, masks.encoded)
