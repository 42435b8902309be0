"""LFADS-JSLDS: LFADS whose generator, a network, is accompanied by a switching linear system."""

from ctd_models_jax.lfads_jslds.model import LFADSJSLDS, Inferred, Parameters
from ctd_models_jax.lfads_jslds.objective import Objective

__all__ = ["LFADSJSLDS", "Inferred", "Objective", "Parameters"]
