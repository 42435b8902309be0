"""Latent-dynamics models of neural recordings in JAX.

A model is described by a small object that holds neither data nor parameters:
``params, trainable = model.initialize(key, ...)``; everything else is a pure function of the parameters.
"""

__version__ = "0.1.0"
