"""MR-SDS: switching dynamical systems of several regions."""

from ctd_models_jax.mrsds.data import Trials
from ctd_models_jax.mrsds.model import MRSDS, Bound, Inferred, Parameters

__all__ = ["MRSDS", "Bound", "Inferred", "Parameters", "Trials"]
