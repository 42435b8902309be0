"""MR-SDS: switching dynamical systems of several regions."""

from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.results import Bound, Inferred, Messages, Sample
from ctd_models_jax.recording import Trials

__all__ = ["MRSDS", "Bound", "Inferred", "Messages", "Parameters", "Sample", "Trials"]
