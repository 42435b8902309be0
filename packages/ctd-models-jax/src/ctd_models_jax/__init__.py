"""Latent-dynamics models of neural recordings in JAX."""
