"""What belongs to one recording alone: its scale, read-in, readout and the noise of its observations."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ctd_models_jax.cells import normal
from ctd_models_jax.lfads_jslds.encoder import Affine


class SessionParameters(NamedTuple):
    """Parameters of one recording; encoder, controller and generators are shared.

    Attributes:
        mean: (neuron,) of the training trials; not trained.
        std: (neuron,) likewise.
        read_in: From the held-in neurons to the channels that recordings share; None for one recording
            without.
        readout: From factors to log-rates, or to expected activity, (neuron, factor).
        log_variance: (neuron,) of activity around what is expected; None for spikes.
    """

    mean: Array
    std: Array
    read_in: Affine | None
    readout: Affine
    log_variance: Array | None

    @classmethod
    def draw(
        cls,
        key: Array,
        *,
        mean: ArrayLike,
        std: ArrayLike,
        n_held_in: int,
        channels: int | None,
        factors: int,
        family: str,
    ) -> SessionParameters:
        """Parameters at first: each neuron is expected to have its mean."""
        mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
        std = jnp.where(std > 0, std, 1.0)
        inwards, outwards = jax.random.split(key)
        # A silent neuron still needs a finite log-rate: that of half a spike in 10,000 bins.
        bias = jnp.log(jnp.maximum(mean, 5e-5)) if family == "poisson" else mean
        scale = 1.0 if family == "poisson" else std[:, None]
        return cls(
            mean=mean,
            std=std,
            read_in=None if channels is None else Affine.draw(inwards, n_held_in, channels),
            readout=Affine(scale * normal(outwards, (len(mean), factors), factors), bias),
            log_variance=None if family == "poisson" else 2 * jnp.log(std),
        )

    def trained(self) -> SessionParameters:
        """For each leaf whether it is trained."""
        flags = jax.tree.map(lambda _: True, self)
        return flags._replace(mean=False, std=False)

    def scaled(self, values: Array, observed: Array) -> Array:
        """Values (..., neuron) with mean 0 and variance 1; 0 where nothing was observed."""
        return jnp.where(observed > 0, (values - self.mean) / self.std, 0.0)

    def read(self, held_in: Array) -> Array:
        """What the encoder reads of scaled values of the held-in neurons, (trial, time, channel)."""
        return held_in if self.read_in is None else self.read_in(held_in)
