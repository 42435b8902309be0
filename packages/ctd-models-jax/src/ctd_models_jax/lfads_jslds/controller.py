"""The controller, which infers inputs."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.cells import GatedCell
from ctd_models_jax.lfads_jslds.encoder import KEEP, Affine


class Controller(eqx.Module):
    """Infers inputs from what the encoder read and from the network's factors of the bin before.

    Attributes:
        cell: Its input is the encoding, then the factors.
        start: (unit,) its state before the first bin.
        head: To mean and log-variance of the inferred inputs.
    """

    cell: GatedCell
    start: Array
    head: Affine

    @classmethod
    def draw(cls, key: Array, encoded: int, factors: int, units: int, controls: int) -> Controller:
        """Parameters at first."""
        cell, head = jax.random.split(key)
        return cls(
            cell=GatedCell.draw(cell, encoded + factors, units, gain=1.0, gate_bias=KEEP),
            start=jnp.zeros(units),
            head=Affine.draw(head, units, 2 * controls),
        )

    def read(self, encoded: Array) -> Array:
        """What its cell needs of encodings (..., encoded)."""
        return encoded @ self.cell.weight_input[:, : encoded.shape[-1]].T + self.cell.bias
