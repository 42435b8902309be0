"""MR-SDS: regions whose states talk to each other through networks that switch between modes.

O. Karniol-Tambour and others, Modeling state-dependent communication between brain regions with switching
nonlinear dynamical systems, ICLR 2024:

    z_k ~ p(z_k | z_{k-1}, x_{k-1}, u_k)        x_k ~ N(sum_j f^z_ij(x^j_{k-1}) + sum_l g^z_il(u_k^l), Q)
    y_k ~ p(y_k | x_k), each region's neurons by its own states

The objective is the evidence lower bound: E_q[log p(y | x)] + E_q[log p(x)] + H[q(x)], with the modes summed
over exactly in p(x) for every posterior, so that it stays below log p(y) whatever the parameters are.
`published` has the original's objectives, which are no bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ctd_models_jax.mrsds import mode_posterior, published
from ctd_models_jax.mrsds.beta import Beta
from ctd_models_jax.mrsds.chain import Links
from ctd_models_jax.mrsds.config import MRSDSConfig
from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.emissions import Emissions
from ctd_models_jax.mrsds.encoder import Encoder
from ctd_models_jax.mrsds.gaussian import Covariance, divergence, entropy, scaled
from ctd_models_jax.mrsds.laplace import laplace
from ctd_models_jax.mrsds.overshooting import advance, overshooting
from ctd_models_jax.mrsds.posterior import Code, Path, chain, decode, mean_field, structured
from ctd_models_jax.mrsds.results import Bound, Inferred, Messages, Sample
from ctd_models_jax.mrsds.smoothness import roughness
from ctd_models_jax.recording import Trials
from ctd_models_jax.training import all_trainable


class Parameters(NamedTuple):
    """Parameters; `encoder`, `encoder_noise` and `links`, which a chain alone has, are the posterior's."""

    encoder: Encoder
    encoder_noise: Covariance
    dynamics: Dynamics
    mode_prior: ModePrior
    emissions: Emissions
    links: Links | None = None


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
        stds = {name: getattr(settings.dynamics, name) for name in ("noise_std", "initial_std")}
        is_chain = settings.posterior == "chain"
        params = Parameters(
            encoder=Encoder.draw(keys[0], *given),
            encoder_noise=Covariance.start(n_states, settings.dynamics.noise_std, full=full),
            dynamics=Dynamics.draw(keys[1], self.sizes, self.inputs, modes, settings.dynamics),
            mode_prior=ModePrior.draw(keys[2], n_states, self.inputs, modes, settings.mode_transitions),
            emissions=Emissions.draw(
                *(keys[3], self.sizes, self.neuron_regions, self.family, settings.emissions, mean, std)
            ),
            links=Links.start(n_states, self.inputs, modes, full=full, **stds) if is_chain else None,
        )
        fixed = eqx.tree_at(lambda p: (p.encoder.mean, p.encoder.std), all_trainable(params), (False, False))
        return params, fixed

    def encode(self, params: Parameters, trials: Trials, key: Array | None = None) -> Code:
        """The posterior's parts; with a key, neurons are dropped as in training."""
        shown = jnp.asarray(trials.scored)
        if key is not None:
            shown = shown * self.kept_neurons(key, shown.shape[0])[:, None]
        visible = jnp.asarray(trials.visible)
        output = params.encoder(jnp.asarray(trials.values), shown, visible, jnp.asarray(trials.inputs))
        seen = shown * visible[..., None] * jnp.asarray(self.held_in)
        return decode(output, params.encoder_noise, self.settings.modes, seen)

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
        shape, inputs = code.offset.shape, jnp.asarray(trials.inputs)
        normal = jnp.zeros(shape) if key is None else jax.random.normal(key, shape)
        if self.settings.posterior == "mean_field":
            return mean_field(params.dynamics, code, inputs, normal)
        valid = jnp.asarray(trials.valid)
        if params.links is not None:
            return chain(params.dynamics, params.links, code, inputs, normal, valid)
        if self.settings.posterior == "laplace":
            given = (params.dynamics, params.mode_prior, params.emissions, code.offset)
            known = (jnp.asarray(trials.values), code.seen, inputs, valid, normal)
            return laplace(*given, *known, steps=self.settings.laplace_steps)
        if self.settings.objective == "published":
            return published.rollout(params.dynamics, params.mode_prior, code, inputs, key)
        return structured(params.dynamics, params.mode_prior, code, inputs, normal)

    def bound(
        self, params: Parameters, trials: Trials, *, key: Array, dropout_key: Array | None = None
    ) -> Bound:
        """A sample of the evidence lower bound of each trial, whose mean is below log p(y | u).

        With `dropout_key` neurons are hidden from the encoder, which leaves it a bound.
        """
        if self.settings.objective == "published":
            raise ValueError("model.objective=published is no bound: choose bound, or call `loss` or `score`")
        path = self.path(params, self.encode(params, trials, dropout_key), trials, key)
        valid = jnp.asarray(trials.valid)
        values, scored = jnp.asarray(trials.values), jnp.asarray(trials.scored)
        emissions = jnp.sum(params.emissions.log_likelihood(values, path.states, scored), -1)
        if self.settings.modes == 1:
            states = -jnp.sum(jnp.where(valid > 0, self._divergences(params, path), 0.0), -1)
        else:
            spread = jnp.where(valid > 0, entropy(path.factor, diagonal=path.diagonal), 0.0).sum(-1)
            states = mode_posterior.log_prior(*self._of_modes(params, path, trials)) + spread
        return Bound(emissions, states, path)

    def _divergences(self, params: Parameters, path: Path) -> Array:
        """KL(q(x_k | x_{k-1}) || p(x_k | x_{k-1})) with one mode, given the path so far, (trial, time)."""
        parts, offset = [], path.centre - path.means[:, :, 0]
        for bins, noise in (
            (slice(0, 1), params.dynamics.initial_noise),
            (slice(1, None), params.dynamics.noise),
        ):
            here = (offset[:, bins], path.factor[:, bins])
            parts.append(divergence(*here, noise.factor(), diagonal=path.diagonal))
        return jnp.concatenate(parts, 1)

    def _of_modes(self, params: Parameters, path: Path, trials: Trials) -> tuple[Any, ...]:
        given = (jnp.asarray(trials.inputs), jnp.asarray(trials.valid))
        return (params.dynamics, params.mode_prior, path, *given)

    def loss(
        self,
        params: Parameters,
        trials: Trials,
        *,
        key: Array,
        step: Array | int = 0,
        states_warm_up: int = 0,
        beta: Beta | None = None,
    ) -> dict[str, Array]:
        """Negative objective per scored value, by its parts; overshooting and smoothness are terms apart.

        Args:
            params: The parameters.
            trials: A batch.
            key: Of noise and dropout.
            step: Updates so far.
            states_warm_up: Updates over which the weight of the states' part rises from 0 to 1.
            beta: A further weight of that part.
        """
        drops = self.settings.dropout_neurons and self.settings.dropout_trials
        weight = jnp.minimum((step + 1) / max(states_warm_up, 1), 1.0) if states_warm_up else 1.0
        weight = weight if beta is None else weight * beta(step)
        return self._terms(params, trials, *self._keys(key, drop=bool(drops)), weight)

    def score(self, params: Parameters, trials: Trials, *, key: Array) -> dict[str, Array]:
        """The loss with nothing dropped and all weights 1, and the negative objective alone, as `monitor`."""
        terms = self._terms(params, trials, key, None, 1.0)
        apart = ("overshooting", "smoothness")
        parts = jnp.stack([term for name, term in terms.items() if name not in apart])
        return terms | {self.monitor: parts.sum()}

    @property
    def monitor(self) -> str:
        """What `score` calls the negative objective: ``bound``, or ``published_objective``."""
        return "bound" if self.settings.objective == "bound" else "published_objective"

    def _keys(self, key: Array, *, drop: bool) -> tuple[Array, Array | None]:
        noise_key, dropout_key = jax.random.split(key)
        return noise_key, dropout_key if drop else None

    def _terms(
        self, params: Parameters, trials: Trials, key: Array, dropout_key: Array | None, weight: Array | float
    ) -> dict[str, Array]:
        count = jnp.maximum(jnp.sum(jnp.asarray(trials.scored)), 1.0)
        if self.settings.objective == "bound":
            bound = self.bound(params, trials, key=key, dropout_key=dropout_key)
            path, parts = bound.path, {"emissions": bound.emissions, "states": weight * bound.states}
        else:
            found = self._published(params, trials, key, dropout_key)
            path, parts = found.path, found.parts(weight)
        terms = {name: -jnp.sum(part) / count for name, part in parts.items()}
        if self.settings.overshooting:
            term = overshooting(
                *(params.dynamics, params.mode_prior, params.emissions, path.states),
                *(self._modes(params, path, trials), trials, self.settings.overshooting),
            )
            terms["overshooting"] = self.settings.overshooting_weight * term
        if self.settings.smoothness:
            rough = jnp.sum(roughness(path.states, jnp.asarray(trials.valid)))
            terms["smoothness"] = self.settings.smoothness * rough / count
        return terms

    def _published(
        self, params: Parameters, trials: Trials, key: Array, dropout_key: Array | None
    ) -> published.Published:
        code = self.encode(params, trials, dropout_key)
        if self.settings.posterior == "mean_field":
            return published.of_mean_field(params, self.path(params, code, trials, key), trials)
        return published.of_structured(params, code, trials, key, self.settings.published)

    def _modes(self, params: Parameters, path: Path, trials: Trials) -> Array:
        return mode_posterior.probabilities(*self._of_modes(params, path, trials))

    def infer(self, params: Parameters, trials: Trials, *, start: Array | None = None) -> Inferred:
        """States, modes and predictions of trials, from the neurons that are held in.

        Args:
            params: The parameters.
            trials: The trials.
            start: (trial, time, state) where Newton's method begins, of a Laplace posterior; by default where
                the encoder says.

        Raises:
            ValueError: There is a start, but no Laplace posterior.
        """
        code = self.encode(params, trials)
        if start is not None:
            if self.settings.posterior != "laplace":
                raise ValueError(f"start needs posterior=laplace, got {self.settings.posterior}")
            code = code._replace(offset=start)
        path = self.path(params, code, trials, None)
        probabilities = self._modes(params, path, trials)
        return Inferred(path.states, probabilities, params.emissions.mean(path.states))

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

        by_mode = (
            dynamics.messages(inferred.states[:, :-1], reference),
            dynamics.input_messages(inputs[:, 1:]),
        )
        return Messages(*(from_second(values) for values in (*map(average, by_mode), *by_mode)))

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

    def expected(self, params: Parameters, inputs: Array) -> Array:
        """States (trial, time, state) that the dynamics lead to from their own beginning, noise left out.

        Args:
            params: The parameters.
            inputs: (trial, time, input).
        """
        modes = jnp.tile(jnp.exp(params.mode_prior.log_initial()), (len(inputs), 1))
        first = modes @ params.dynamics.initial_mean
        later = self.forecast(params, first, modes, inputs[:, 1:])[0]
        return jnp.concatenate([first[:, None], later], 1)

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
