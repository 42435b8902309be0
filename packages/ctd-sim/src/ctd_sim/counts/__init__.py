"""Spike counts of a given mean and Fano factor."""

import numpy as np

from ctd_sim.counts.base import CountModel, Generators
from ctd_sim.counts.negative_binomial import NegativeBinomial
from ctd_sim.counts.poisson import Poisson
from ctd_sim.counts.underdispersed import Underdispersed

__all__ = ["CountModel", "Generators", "NegativeBinomial", "Poisson", "Underdispersed", "count_model"]


def count_model(fano: float) -> CountModel:
    """The count model whose variance is `fano` times its mean in every bin, as far as one exists.

    Args:
        fano: 1 gives Poisson counts, more negative binomial ones, less `Underdispersed` ones.
    """
    if not np.isfinite(fano) or fano < 0:
        raise ValueError(f"a Fano factor is finite and not negative, got fano={fano}")
    if fano == 1:
        return Poisson()
    return NegativeBinomial(fano) if fano > 1 else Underdispersed(fano)
