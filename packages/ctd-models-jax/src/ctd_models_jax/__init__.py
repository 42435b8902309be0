"""Latent-dynamics models of neural recordings in JAX.

A model is described by a small object that holds neither data nor parameters:
``params, trainable = model.initialize(key, ...)``; everything else is a pure function of the parameters.
"""

from ctd_models_jax.accelerator import leave_cuda_without_driver

__version__ = "0.1.0"

leave_cuda_without_driver()
