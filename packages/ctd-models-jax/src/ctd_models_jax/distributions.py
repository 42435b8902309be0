"""Probability distributions and bijectors: the one place that imports TensorFlow Probability's substrate.

``tfp-nightly`` still reads a few of JAX's deprecated names while it loads; nothing that we call does.
Loading takes seconds, so models that need no distributions don't import this module.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from tensorflow_probability.substrates.jax import bijectors as tfb
    from tensorflow_probability.substrates.jax import distributions as tfd

__all__ = ["tfb", "tfd"]
