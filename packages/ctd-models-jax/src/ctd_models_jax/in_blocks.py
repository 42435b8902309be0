"""Functions of many trials, a block of them at a time."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np


def in_blocks(function: Any, params: Any, trials: Any, *, size: int = 128) -> Any:
    """A function of parameters and trials, block by block, as NumPy arrays."""
    compiled, n_trials = eqx.filter_jit(function), len(jax.tree.leaves(trials)[0])
    blocks = [
        jax.device_get(compiled(params, jax.tree.map(lambda a, at=at: a[at : at + size], trials)))
        for at in range(0, n_trials, size)
    ]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
