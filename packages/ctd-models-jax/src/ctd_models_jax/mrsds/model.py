"""MR-SDS: regions whose states talk to each other through networks that switch between modes.

O. Karniol-Tambour and others, Modeling state-dependent communication between brain regions with switching
nonlinear dynamical systems, ICLR 2024:

    z_k ~ p(z_k | z_{k-1}, x_{k-1}, u_k)        x_k ~ N(sum_j f^z_ij(x^j_{k-1}) + sum_l g^z_il(u_k^l), Q)
    y_k ~ p(y_k | x_k), each region's neurons by its own states

The objective is the evidence lower bound: E_q[log p(y | x)] + E_q[log p(x)] + H[q(x)], with the modes summed
over exactly in p(x) for both posteriors, so that it stays below log p(y) whatever the parameters are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ctd_models_jax.mrsds import hmm
from ctd_models_jax.mrsds.config import MRSDSConfig
from ctd_models_jax.mrsds.data import Trials
from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.emissions import Emissions
from ctd_models_jax.mrsds.encoder import Encoder
from ctd_models_jax.mrsds.gaussian import Covariance, divergence, entropy, log_density, scaled
from ctd_models_jax.mrsds.overshooting import advance, overshooting
from ctd_models_jax.mrsds.posterior import Code, Path, decode, mean_field, structured
from ctd_models_jax.training import all_trainable


class Parameters(NamedTuple):
    """Parameters; those of the posterior come first."""

    encoder: Encoder
    encoder_noise: Covariance
    dynamics: Dynamics
    mode_prior: ModePrior
    emissions: Emissions


class Inferred(NamedTuple):
    """What the model infers.

    Attributes:
        states: (trial, time, state) the path of the posterior's means.
        modes: (trial, time, mode) probabilities given that path.
        prediction: (trial, time, neuron) expected counts, or activity.
    """

    states: Array
    modes: Array
    prediction: Array


class Messages(NamedTuple):
    """What moves the states, averaged over modes; both together are F(x_{k-1}, u_k) - x_{k-1}.

    Attributes:
        messages: (trial, time, region, state) from each region; a region's own is its local part.
        input_messages: (trial, time, input network, state).
        by_mode: (trial, time, mode, region, state) messages in each mode.

    No step leads into the first bin, so all are zero there.
    """

    messages: Array
    input_messages: Array
    by_mode: Array


class Sample(NamedTuple):
    """Trials drawn from the model.

    Attributes:
        modes: (trial, time).
        states: (trial, time, state).
        values: (trial, time, neuron) counts or activity.
    """

    modes: Array
    states: Array
    values: Array


class Bound(NamedTuple):
    """Parts of the evidence lower bound, one sample, in nats.

    Attributes:
        emissions: (trial,) log p(y | x).
        states: (trial,) log p(x) - log q(x), in expectation minus a KL divergence.
        path: The sample.
    """

    emissions: Array
    states: Array
    path: Path


@dataclass(frozen=True)
class MRSDS:
    """Sizes and kind of a model; holds neither data nor parameters.

    Attributes:
        neuron_regions: The region of each neuron, from 0.
        held_in: Which neurons the encoder sees.
        inputs: Input channels.
        family: Of the emissions: ``gaussian``, ``poisson`` or ``negative_binomial``.
        settings: All else.
    """

    neuron_regions: tuple[int, ...]
    held_in: tuple[bool, ...]
    inputs: int
    family: str = "poisson"
    settings: MRSDSConfig = field(default_factory=MRSDSConfig)

    def __post_init__(self) -> None:
        regions = max(self.neuron_regions) + 1
        if len(self.settings.states) not in (1, regions):
            raise ValueError(f"states: expected one number or {regions}, got {self.settings.states}")
        if len(self.held_in) != len(self.neuron_regions):
            raise ValueError(f"held_in: expected {len(self.neuron_regions)} neurons, got {len(self.held_in)}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """States of each region."""
        states, regions = self.settings.states, max(self.neuron_regions) + 1
        return tuple(states) * (regions if len(states) == 1 else 1)

    def initialize(
        self, key: Array, mean: ArrayLike | None = None, std: ArrayLike | None = None
    ) -> tuple[Parameters, Parameters]:
        """Draw parameters.

        Args:
            key: Of the draw.
            mean: (neuron,) of the training trials' values, which emissions start at; by default 1.
            std: (neuron,) likewise; by default 1.

        Returns:
            The parameters, and which of them are trained: set leaves to False to freeze them.
        """
        settings, keys = self.settings, jax.random.split(key, 4)
        ones = jnp.ones(len(self.neuron_regions))
        mean, std = (ones if a is None else jnp.asarray(a, jnp.float32) for a in (mean, std))
        std = jnp.maximum(std, 1e-2)
        n_states, modes = sum(self.sizes), settings.modes
        outputs = 2 * n_states + (modes if modes > 1 else 0)
        given = (self.neuron_regions, self.held_in, self.inputs, outputs, settings.encoder, mean, std)
        full = settings.encoder.noise == "full"
        params = Parameters(
            encoder=Encoder.draw(keys[0], *given),
            encoder_noise=Covariance.start(n_states, settings.dynamics.noise_std, full=full),
            dynamics=Dynamics.draw(keys[1], self.sizes, self.inputs, modes, settings.dynamics),
            mode_prior=ModePrior.draw(keys[2], n_states, self.inputs, modes, settings.mode_transitions),
            emissions=Emissions.draw(
                *(keys[3], self.sizes, self.neuron_regions, self.family, settings.emissions, mean, std)
            ),
        )
        fixed = eqx.tree_at(lambda p: (p.encoder.mean, p.encoder.std), all_trainable(params), (False, False))
        return params, fixed

    def encode(self, params: Parameters, trials: Trials, key: Array | None = None) -> Code:
        """The posterior's parts; with a key, neurons are dropped as in training."""
        shown = jnp.asarray(trials.scored)
        if key is not None:
            shown = shown * self.kept_neurons(key, shown.shape[0])[:, None]
        output = params.encoder(
            *(jnp.asarray(trials.values), shown, jnp.asarray(trials.visible), jnp.asarray(trials.inputs))
        )
        return decode(output, params.encoder_noise, self.settings.modes)

    def kept_neurons(self, key: Array, n_trials: int) -> Array:
        """(trial, neuron) 0 for neurons hidden from the encoder: a share of each region's, in some trials."""
        which, how_many = jax.random.split(key)
        regions, held_in = np.asarray(self.neuron_regions), np.asarray(self.held_in)
        of_region = np.bincount(regions)
        before = (np.cumsum(of_region) - of_region)[regions]
        count = np.bincount(regions, weights=held_in)[regions]
        # Places in a random order of each region's neurons, those that are held out last.
        score = jax.random.uniform(which, (n_trials, len(regions)))
        order = jnp.argsort(2.0 * regions + jnp.where(held_in, score, 1.5), -1)
        place = jnp.argsort(order, -1) - before
        dropped = place < np.floor(self.settings.dropout_neurons * count)
        chosen = jax.random.bernoulli(how_many, self.settings.dropout_trials, (n_trials, 1))
        return jnp.where(chosen & dropped, 0.0, 1.0)

    def path(self, params: Parameters, code: Code, trials: Trials, key: Array | None) -> Path:
        """States drawn from the posterior; without a key the path of its means."""
        shape = code.offset.shape
        normal = jnp.zeros(shape) if key is None else jax.random.normal(key, shape)
        draw = structured if self.settings.posterior == "structured" else mean_field
        return draw(params.dynamics, code, jnp.asarray(trials.inputs), normal)

    def bound(
        self, params: Parameters, trials: Trials, *, key: Array, dropout_key: Array | None = None
    ) -> Bound:
        """A sample of the evidence lower bound of each trial, whose mean is below log p(y | u).

        With `dropout_key` neurons are hidden from the encoder, which leaves it a bound.
        """
        code = self.encode(params, trials, dropout_key)
        path = self.path(params, code, trials, key)
        valid = jnp.asarray(trials.valid) > 0
        values, scored = jnp.asarray(trials.values), jnp.asarray(trials.scored)
        emissions = jnp.sum(params.emissions.log_likelihood(values, path.states, scored), -1)
        if self.settings.modes == 1 and self.settings.posterior == "structured":
            states = -jnp.sum(jnp.where(valid, self._divergences(params, code), 0.0), -1)
        else:
            spread = jnp.where(valid, entropy(code.factor, diagonal=code.diagonal), 0.0).sum(-1)
            states = self.log_prior(params, path, trials) + spread
        return Bound(emissions, states, path)

    def _divergences(self, params: Parameters, code: Code) -> Array:
        """KL(q(x_k | x_{k-1}) || p(x_k | x_{k-1})) of a structured posterior with one mode, (trial, time)."""
        parts = []
        for bins, noise in (
            (slice(0, 1), params.dynamics.initial_noise),
            (slice(1, None), params.dynamics.noise),
        ):
            here = (code.offset[:, bins], code.factor[:, bins])
            parts.append(divergence(*here, noise.factor(), diagonal=code.diagonal))
        return jnp.concatenate(parts, 1)

    def log_prior(self, params: Parameters, path: Path, trials: Trials) -> Array:
        """Log p(x | u) of each trial's path, summed over all sequences of modes."""
        likelihoods, valid = self._mode_likelihoods(params, path), jnp.asarray(trials.valid)
        if self.settings.modes == 1:
            return jnp.sum(jnp.where(valid > 0, likelihoods[..., 0], 0.0), -1)
        return hmm.log_normalizer(*self._chain(params, path, trials), likelihoods, valid)

    def _chain(self, params: Parameters, path: Path, trials: Trials) -> tuple[Array, Array]:
        prior, inputs = params.mode_prior, jnp.asarray(trials.inputs)
        return prior.log_initial(), prior.log_transitions(path.states[:, :-1], inputs[:, 1:])

    def _mode_likelihoods(self, params: Parameters, path: Path) -> Array:
        """Log p(x_k | x_{k-1}, z_k), (trial, time, mode)."""
        residual, dynamics = path.states[:, :, None] - path.means, params.dynamics
        first = log_density(residual[:, :1], dynamics.initial_noise.factor())
        return jnp.concatenate([first, log_density(residual[:, 1:], dynamics.noise.factor())], 1)

    def loss(
        self,
        params: Parameters,
        trials: Trials,
        *,
        key: Array,
        step: Array | int = 0,
        states_warm_up: int = 0,
    ) -> dict[str, Array]:
        """Negative bound per scored value, by its parts, and the overshooting term.

        Args:
            params: The parameters.
            trials: A batch.
            key: Of noise and dropout.
            step: Updates so far.
            states_warm_up: Updates over which the weight of the states' part rises from 0 to 1.
        """
        noise_key, dropout_key = jax.random.split(key)
        drops = self.settings.dropout_neurons and self.settings.dropout_trials
        bound = self.bound(params, trials, key=noise_key, dropout_key=dropout_key if drops else None)
        weight = jnp.minimum((step + 1) / max(states_warm_up, 1), 1.0) if states_warm_up else 1.0
        return self._terms(params, trials, bound, weight)

    def score(self, params: Parameters, trials: Trials, *, key: Array) -> dict[str, Array]:
        """The loss with nothing dropped and no warm-up; ``bound`` is the negative bound alone."""
        terms = self._terms(params, trials, self.bound(params, trials, key=key), 1.0)
        return terms | {"bound": terms["emissions"] + terms["states"]}

    def _terms(
        self, params: Parameters, trials: Trials, bound: Bound, weight: Array | float
    ) -> dict[str, Array]:
        count = jnp.maximum(jnp.sum(jnp.asarray(trials.scored)), 1.0)
        terms = {
            "emissions": -jnp.sum(bound.emissions) / count,
            "states": -weight * jnp.sum(bound.states) / count,
        }
        if self.settings.overshooting:
            term = overshooting(
                *(params.dynamics, params.mode_prior, params.emissions, bound.path.states),
                *(self._modes(params, bound.path, trials), trials, self.settings.overshooting),
            )
            terms["overshooting"] = self.settings.overshooting_weight * term
        return terms

    def _modes(self, params: Parameters, path: Path, trials: Trials) -> Array:
        likelihoods = self._mode_likelihoods(params, path)
        if self.settings.modes == 1:
            return jnp.ones_like(likelihoods)
        return hmm.marginals(*self._chain(params, path, trials), likelihoods, jnp.asarray(trials.valid)).modes

    def infer(self, params: Parameters, trials: Trials) -> Inferred:
        """States, modes and predictions of trials, from the neurons that are held in."""
        path = self.path(params, self.encode(params, trials), trials, None)
        modes = self._modes(params, path, trials)
        return Inferred(path.states, modes, params.emissions.mean(path.states))

    def cosmooth(self, params: Parameters, trials: Trials, hidden: Sequence[bool]) -> Array:
        """Predictions (trial, time, neuron) with further neurons hidden from the encoder.

        Args:
            params: The parameters.
            trials: The trials.
            hidden: (neuron,) which neurons the encoder may not see; those not held in it never sees.
        """
        scored = jnp.asarray(trials.scored) * ~jnp.asarray(hidden, bool)
        return self.infer(params, trials._replace(scored=scored)).prediction  # type: ignore[arg-type]

    def messages(
        self, params: Parameters, inferred: Inferred, inputs: Array, reference: Array | None = None
    ) -> Messages:
        """Who moved whom in each bin.

        Args:
            params: The parameters.
            inferred: States and modes.
            inputs: (trial, time, input).
            reference: (state,) at which no region tells others anything; without it each network's output is
                its region's message.
        """
        dynamics, weights = params.dynamics, inferred.modes[:, 1:]

        def average(by_mode: Array) -> Array:
            return jnp.einsum("btk,btkrs->btrs", weights, by_mode)

        def from_second(values: Array) -> Array:
            return jnp.pad(values, [(0, 0), (1, 0)] + [(0, 0)] * (values.ndim - 2))

        by_mode = dynamics.messages(inferred.states[:, :-1], reference)
        told = (average(by_mode), average(dynamics.input_messages(inputs[:, 1:])), by_mode)
        return Messages(*(from_second(values) for values in told))

    def forecast(
        self, params: Parameters, states: Array, modes: Array, inputs: Array
    ) -> tuple[Array, Array, Array]:
        """Expected states, modes and activity from now on, noise left out.

        Args:
            params: The parameters.
            states: (..., state) now.
            modes: (..., mode) probabilities now.
            inputs: (..., time, input) of the bins to come.

        Returns:
            (..., time, state), (..., time, mode) and (..., time, neuron).
        """

        def step(carry: tuple[Array, Array], u: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            new = advance(params.dynamics, params.mode_prior, *carry, u)
            return new, new

        found = jax.lax.scan(step, (states, modes), jnp.moveaxis(inputs, -2, 0))[1]
        states, modes = (jnp.moveaxis(array, 0, -2) for array in found)
        return states, modes, params.emissions.mean(states)

    def sample(self, params: Parameters, inputs: Array, key: Array) -> Sample:
        """Draw trials with inputs (trial, time, input)."""
        dynamics, prior, n_trials = params.dynamics, params.mode_prior, len(inputs)
        first, *keys, last = jax.random.split(key, inputs.shape[1] + 1)
        driven = jnp.swapaxes(dynamics.driven(inputs), 0, 1)

        def draw(key: Array, logits: Array, means: Array, noise: Covariance) -> tuple[Array, Array]:
            mode_key, state_key = jax.random.split(key)
            mode = jax.random.categorical(mode_key, logits)
            normal = jax.random.normal(state_key, (n_trials, means.shape[-1]))
            mean = jnp.take_along_axis(means, mode[:, None, None], 1)[:, 0]
            return mode, mean + scaled(noise.factor(), normal, diagonal=noise.diagonal)

        def step(carry: tuple[Array, Array], along: tuple) -> tuple[tuple[Array, Array], tuple]:
            (mode, x), (key, u, driven) = carry, along
            logits = prior.log_transitions(x, u)[jnp.arange(n_trials), mode]
            new = draw(key, logits, dynamics.means(x, driven), dynamics.noise)
            return new, new

        means = jnp.broadcast_to(dynamics.initial_mean, (n_trials, *dynamics.initial_mean.shape))
        logits = jnp.broadcast_to(prior.log_initial(), (n_trials, dynamics.modes))
        start = draw(first, logits, means, dynamics.initial_noise)
        along = (jnp.stack(keys), jnp.swapaxes(inputs[:, 1:], 0, 1), driven[1:])
        rest = jax.lax.scan(step, start, along)[1]
        modes, states = (
            jnp.swapaxes(jnp.concatenate([a[None], b]), 0, 1) for a, b in zip(start, rest, strict=True)
        )
        return Sample(modes, states, params.emissions.sample(states, last))
