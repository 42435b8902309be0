"""Parameters of MR-SDS for tests: any numbers of the right shapes, without compiling how they start."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np

from ctd_models_jax.mrsds import MRSDS, Parameters


def random_parameters(model: MRSDS, *, scale: float = 0.4, seed: int = 0) -> Parameters:
    """Standard normal numbers times `scale`; what the encoder standardises by is 1."""
    rng = np.random.default_rng(seed)
    params, _ = eqx.filter_eval_shape(model.initialize, jax.random.key(0))

    def draw(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return (scale * rng.normal(size=leaf.shape)).astype(leaf.dtype)

    params = jax.tree.map(draw, params)
    ones = np.ones(len(model.neuron_regions), np.float32)
    return eqx.tree_at(lambda p: (p.encoder.mean, p.encoder.std), params, (ones, ones))
