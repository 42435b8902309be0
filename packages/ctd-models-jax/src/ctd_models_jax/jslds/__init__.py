"""Jacobian switching linear dynamical systems, co-trained with the networks that they explain."""

from ctd_models_jax.jslds.config import LossWeights
from ctd_models_jax.jslds.expansion import Expansion
from ctd_models_jax.jslds.model import JSLDS, Parameters, Rollout, relative_error
from ctd_models_jax.jslds.step import linear_step

__all__ = ["JSLDS", "Expansion", "LossWeights", "Parameters", "Rollout", "linear_step", "relative_error"]
