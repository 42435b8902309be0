"""Gaussian smoothing over time that knows of padding, gaps and the ends of trials."""

from __future__ import annotations

import numpy as np

from ctd_analysis.results import Flags, Floats, Integers


def smooth(
    counts: Floats,
    recorded: Flags,
    bins: Integers,
    width_bins: float,
    *,
    otherwise: Floats,
    prior_bins: float = 0.0,
    own: bool = True,
) -> Floats:
    """Weighted means over the recorded bins of a trial, weights falling off as a Gaussian with distance.

    Ends, padding and gaps lose weight to the bins that are there, so that constant counts stay constant.

    Args:
        counts: (trial, time, neuron).
        recorded: Which of them count, the same shape.
        bins: Positions of the bins in time, (time,).
        width_bins: Standard deviation of the Gaussian in bins.
        otherwise: Value where no recorded bin is near, (neuron,).
        prior_bins: Weight of that value everywhere, in bins: the mean of the posterior under a gamma prior.
        own: Whether a bin's own count takes part.

    Returns:
        The means, in the shape of `counts`.
    """
    distance = (bins[:, None] - bins[None, :]) / width_bins
    kernel = np.exp(-0.5 * distance**2)
    if not own:
        np.fill_diagonal(kernel, 0.0)
    weights = recorded.astype(np.float64)
    total = np.einsum("st,itn->isn", kernel, weights, optimize=True)
    summed = np.einsum("st,itn->isn", kernel, np.where(recorded, counts, 0.0), optimize=True)
    total, summed = total + prior_bins, summed + prior_bins * otherwise
    return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), otherwise)
