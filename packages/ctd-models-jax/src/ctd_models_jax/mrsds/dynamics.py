"""How the regions' states move: messages between regions and from inputs, in each mode."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.mrsds.config import DynamicsConfig, ModeConfig
from ctd_models_jax.mrsds.gaussian import Covariance
from ctd_models_jax.mrsds.perceptron import Perceptron
from ctd_models_jax.mrsds.regions import Networks, by_place, draw_networks, places, slices


class Dynamics(eqx.Module):
    """x_k ~ N(F_z(x_{k-1}, u_k), Q), F a sum of messages; and of the first bin N(m_z, S).

    Attributes:
        networks: f, between regions.
        input_networks: g, from inputs, without biases; None where there are no inputs.
        noise: Q.
        initial_mean: m, (mode, state).
        initial_noise: S.
        increment: Whether networks give x_k - x_{k-1} rather than x_k.
    """

    networks: Networks
    input_networks: Networks | None
    noise: Covariance
    initial_mean: Array
    initial_noise: Covariance
    increment: bool = eqx.field(static=True)

    @classmethod
    def draw(
        cls, key: Array, sizes: tuple[int, ...], inputs: int, modes: int, settings: DynamicsConfig
    ) -> Dynamics:
        """Parameters at first."""
        keys = jax.random.split(key, 3)
        increment = settings.output == "increment"
        networks = draw_networks(
            *(keys[0], modes, sizes, sizes, tuple(settings.layers)),
            activation=settings.activation,
            by_mode=settings.by_mode,
            linear_between=settings.communication == "additive-linear",
            conditional=settings.communication == "conditional",
            gain=0.1 if increment else 1.0,
        )
        sources = (1,) * inputs if settings.input_networks == "separate" else (inputs,)
        input_networks = None
        if inputs:
            input_networks = draw_networks(
                *(keys[1], modes, sizes, sources, tuple(settings.input_layers)),
                activation=settings.input_activation,
                by_mode=settings.by_mode,
                bias=False,
                gain=0.1 if increment else 1.0,
            )
        full, n_states = settings.noise == "full", sum(sizes)
        return cls(
            networks=networks,
            input_networks=input_networks,
            noise=Covariance.start(n_states, settings.noise_std, full=full),
            initial_mean=0.1 * jax.random.normal(keys[2], (modes, n_states)),
            initial_noise=Covariance.start(n_states, settings.initial_std, full=full),
            increment=increment,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """States of each region."""
        return self.networks.sizes

    @property
    def modes(self) -> int:
        """How many."""
        return self.initial_mean.shape[0]

    def driven(self, u: Array) -> Array:
        """What inputs (..., input) add, (..., mode, state): the part outside the loop over time."""
        return self.input_messages(u).sum(-2)

    def means(self, x: Array, driven: Array | float) -> Array:
        """F in each mode, (..., mode, state), of states (..., state) and what `driven` gives."""
        new = self.networks(x, x).sum(-2) + driven
        return new + x[..., None, :] if self.increment else new

    def slopes(self, x: Array) -> Array:
        """dF/dx of states (..., state), (..., mode, state, state), or of one mode where all have the same."""
        still = jnp.zeros_like(x)
        _, along = jax.linearize(self.networks, x, x)
        told = by_place(lambda step: along(step, still), x, self.sizes)
        slopes = jnp.concatenate([told[..., j, :, :size] for j, size in enumerate(self.sizes)], -1)
        if self.networks.local_weights is not None:
            own = by_place(lambda step: along(still, step).sum(-2), x, self.sizes)
            region = places(self.sizes)[0]
            each = jnp.concatenate([own[..., :size] for size in self.sizes], -1)
            slopes = slopes + jnp.where(region[:, None] == region, each, 0.0)
        return slopes + jnp.eye(x.shape[-1]) if self.increment else slopes

    def messages(self, x: Array, reference: Array | None = None) -> Array:
        """What each region tells each state, in each mode, (..., mode, region, state).

        With the messages of inputs they add up to F(x, u) - x. A region's message to itself is its local
        part.

        Args:
            x: (..., state).
            reference: (state,) at which no region tells others anything: what it tells there counts as local.
        """
        region, states = places(self.sizes)[0], np.arange(sum(self.sizes))
        told = self.networks(x, x)
        told = jnp.broadcast_to(told, (*x.shape[:-1], self.modes, *told.shape[-2:]))
        if reference is not None:
            others = region != np.arange(len(self.sizes))[:, None]
            silent = self.networks(jnp.broadcast_to(reference, x.shape), x)
            silent = jnp.where(others, silent, 0.0)
            told = (told - silent).at[..., region, states].add(silent.sum(-2))
        return told if self.increment else told.at[..., region, states].add(-x[..., None, :])

    def input_messages(self, u: Array) -> Array:
        """What each input network tells each state, in each mode, (..., mode, input network, state)."""
        n_states = sum(self.sizes)
        if self.input_networks is None:
            return jnp.zeros((*u.shape[:-1], self.modes, 0, n_states))
        told = self.input_networks(u, jnp.zeros((*u.shape[:-1], n_states)))
        return jnp.broadcast_to(told, (*u.shape[:-1], self.modes, *told.shape[-2:]))

    def lengths(self, told: Array) -> Array:
        """Euclidean norms (..., source, region) of what sources tell each region, (..., source, state)."""
        return jnp.stack([jnp.linalg.norm(told[..., mine], axis=-1) for mine in slices(self.sizes)], -1)

    def vector_field(
        self, region: int, points: Array, *, others: Array | None = None, inputs: Array | None = None
    ) -> Array:
        """Where the states of one region go in each mode while all others stay: its part of F(x, u) - x.

        Args:
            region: Which, from 0.
            points: (..., state of the region).
            others: (state,) of all regions, of which the region's own don't count; by default zeros.
            inputs: (input,); by default none add anything.

        Returns:
            (..., mode, state of the region).
        """
        mine, n_states = slices(self.sizes)[region], sum(self.sizes)
        x = jnp.zeros(n_states) if others is None else jnp.asarray(others)
        x = jnp.broadcast_to(x, (*points.shape[:-1], n_states)).at[..., mine].set(points)
        driven = 0.0 if inputs is None else self.driven(inputs)
        return (self.means(x, driven) - x[..., None, :])[..., mine]


class ModePrior(eqx.Module):
    """p(z_k | z_{k-1}, x_{k-1}, u_k): a softmax of logits, a matrix plus a network of states and inputs.

    Attributes:
        initial: (mode,) logits of the first bin's mode; only their softmax counts.
        logits: (from, to).
        network: To (from · to) more of them; None where transitions depend on nothing, or there is one mode.
        recurrence: What the network sees: ``states``, ``inputs``, ``both``, or ``none``.
    """

    initial: Array
    logits: Array
    network: Perceptron | None
    recurrence: str = eqx.field(static=True)

    @classmethod
    def draw(cls, key: Array, states: int, inputs: int, modes: int, settings: ModeConfig) -> ModePrior:
        """Modes that stay, at first."""
        seen = {"states": states, "inputs": inputs, "both": states + inputs, "none": 0}[settings.recurrence]
        sizes = (seen, *settings.layers, modes**2)
        network = Perceptron.draw(key, sizes, settings.activation, gain=0.1)
        return cls(
            initial=jnp.zeros(modes),
            logits=settings.persistence * jnp.eye(modes),
            network=network if seen and modes > 1 else None,
            recurrence=settings.recurrence,
        )

    def log_initial(self) -> Array:
        """Log probabilities (mode,)."""
        return jax.nn.log_softmax(self.initial)

    def log_transitions(self, x: Array, u: Array) -> Array:
        """Log probabilities (..., from, to), of states (..., state) and the inputs of the bin after."""
        logits = jnp.broadcast_to(self.logits, (*x.shape[:-1], *self.logits.shape))
        if self.network is not None:
            seen = {"states": (x,), "inputs": (u,), "both": (x, u)}[self.recurrence]
            logits = logits + self.network(jnp.concatenate(seen, -1)).reshape(logits.shape)
        return jax.nn.log_softmax(logits, -1)
