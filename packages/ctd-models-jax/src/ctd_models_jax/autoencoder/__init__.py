"""Sequential autoencoders with a gated or a linear decoder."""

from ctd_models_jax.autoencoder.model import Inferred, Parameters, SequentialAutoencoder

__all__ = ["Inferred", "Parameters", "SequentialAutoencoder"]
