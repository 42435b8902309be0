"""Sequential autoencoder: a bidirectional GRU reads the held-in spikes into an initial state, and a
recurrent decoder, driven by known inputs, unrolls it into log-rates (Sussillo et al. 2016, without
the variational part; the baseline of Versteeg et al. 2023, arXiv:2311.04052).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ctd_models_jax.recording import Trials
from ctd_models_jax.sequences import AffineCell, affine_scan, gru_scan
from ctd_models_jax.training import all_trainable


class Parameters(NamedTuple):
    """Parameters of a sequential autoencoder; `trainable` has the same structure with a bool a leaf."""

    encoder_forward: eqx.nn.GRUCell
    encoder_backward: eqx.nn.GRUCell
    initial_state: eqx.nn.Linear
    decoder: eqx.nn.GRUCell | AffineCell
    readout: eqx.nn.Linear


class Inferred(NamedTuple):
    """What the model infers: log of the expected counts (trial, time, neuron), states (trial, time, state)
    after each input, and the initial state (trial, state).
    """

    log_counts: Array
    states: Array
    initial_state: Array


def decode(cell: eqx.nn.GRUCell | AffineCell, inputs: Array, state: Array) -> Array:
    """States (trial, time, state) of the decoder after each input."""
    return affine_scan(cell, inputs, state) if isinstance(cell, AffineCell) else gru_scan(cell, inputs, state)


@dataclass(frozen=True)
class SequentialAutoencoder:
    """Sizes and kind of a sequential autoencoder; holds neither data nor parameters.

    Attributes:
        held_in: Which neurons the encoder sees, a bool a neuron.
        inputs: Dimensions of the known inputs.
        cell: Kind of the decoder's dynamics.
        units: Dimensions of its state.
        encoder_units: Units of the encoder, per direction.
        dropout: Share of the encoder's summary that is dropped in training.
    """

    held_in: tuple[bool, ...]
    inputs: int
    cell: Literal["gru", "lds"] = "gru"
    units: int = 64
    encoder_units: int = 64
    dropout: float = 0.05

    def initialize(self, key: Array, mean_counts: ArrayLike) -> tuple[Parameters, Parameters]:
        """Draw parameters; the readout's bias is the log of each neuron's mean count (neuron,).

        Returns:
            The parameters, and which of them are trained (all: set leaves to False to freeze them).
        """
        keys = jax.random.split(key, 5)
        seen, hidden = sum(self.held_in), self.encoder_units
        readout = eqx.nn.Linear(self.units, len(self.held_in), key=keys[4])
        params = Parameters(
            encoder_forward=eqx.nn.GRUCell(seen, hidden, key=keys[0]),
            encoder_backward=eqx.nn.GRUCell(seen, hidden, key=keys[1]),
            initial_state=eqx.nn.Linear(2 * hidden, self.units, key=keys[2]),
            decoder=self._decoder(keys[3]),
            readout=eqx.tree_at(
                lambda layer: layer.bias, readout, jnp.log(jnp.maximum(jnp.asarray(mean_counts), 1e-3))
            ),
        )
        return params, all_trainable(params)

    def _decoder(self, key: Array) -> eqx.nn.GRUCell | AffineCell:
        if self.cell == "gru":
            return eqx.nn.GRUCell(self.inputs, self.units, key=key)
        near_identity, drive = jax.random.split(key)
        noise = jax.random.normal(near_identity, (self.units, self.units)) / self.units**0.5
        B = jax.random.normal(drive, (self.units, self.inputs)) / max(self.inputs, 1) ** 0.5
        return AffineCell(A=0.95 * jnp.eye(self.units) + 0.02 * noise, B=B, c=jnp.zeros(self.units))

    def infer(self, params: Parameters, seen: Array, trials: Trials, key: Array | None = None) -> Inferred:
        """Rates and states of trials.

        Args:
            params: The parameters.
            seen: (trial, time, held-in neuron) what the encoder is shown.
            trials: The trials; their visible bins and known inputs count.
            key: Draws the dropout of training; None for inference.
        """
        start = jnp.zeros((seen.shape[0], self.encoder_units))
        visible = jnp.asarray(trials.visible)
        last = gru_scan(params.encoder_forward, seen, start, visible)[:, -1]
        first = gru_scan(params.encoder_backward, seen[:, ::-1], start, visible[:, ::-1])[:, -1]
        summary = jnp.concatenate([last, first], -1)
        if key is not None and self.dropout:
            summary = eqx.nn.Dropout(self.dropout)(summary, key=key)
        initial_state = jax.vmap(params.initial_state)(summary)
        states = decode(params.decoder, jnp.asarray(trials.inputs), initial_state)
        log_counts = states @ params.readout.weight.T + jnp.asarray(params.readout.bias)
        return Inferred(log_counts, states, initial_state)

    def loss(
        self,
        params: Parameters,
        trials: Trials,
        *,
        key: Array | None,
        step: Array | int = 0,
        hidden_share: float = 0.0,
    ) -> dict[str, Array]:
        """``poisson``: the mean negative log-likelihood (without the factorial) over the scored counts.

        With a key, coordinated dropout hides a share of the held-in counts from the encoder, and of the
        held-in ones only these are scored.
        """
        del step
        held_in = jnp.asarray(self.held_in)
        counts, weight = jnp.asarray(trials.values), jnp.asarray(trials.scored)
        seen, dropout_key = counts, None
        if key is not None:
            mask_key, dropout_key = jax.random.split(key)
            if hidden_share:
                hidden = jax.random.bernoulli(mask_key, hidden_share, counts.shape)
                seen = jnp.where(hidden, 0.0, counts) / (1 - hidden_share)
                weight = weight * (hidden | ~held_in)
        log_counts = self.infer(params, self.shown(seen), trials, dropout_key).log_counts
        error = jnp.exp(log_counts) - counts * log_counts
        return {"poisson": jnp.sum(weight * error) / jnp.maximum(jnp.sum(weight), 1.0)}

    def score(self, params: Parameters, trials: Trials, *, key: Array) -> dict[str, Array]:
        """The loss with nothing dropped."""
        del key
        return self.loss(params, trials, key=None)

    def shown(self, counts: Array) -> Array:
        """The held-in neurons of counts (..., neuron): what the encoder is shown."""
        return counts[..., np.flatnonzero(self.held_in)]
