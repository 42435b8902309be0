"""Bits per spike of the forward bins: how well a model predicts bins it never saw."""

from __future__ import annotations

import numpy as np

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Estimates, Session, block_of, score_arrays
from ctd_analysis.metrics.poisson_metric import FORMULA, SOURCE, PoissonMetric
from ctd_analysis.results import Definition, Flags, Floats

FORWARD = Definition(
    name="poisson-1",
    metric="fp_bps",
    formula=f"{FORMULA}; n over all neurons, b over the forward bins",
    text="Information that the rates hold on the counts of the bins hidden at the end of the trials, above "
    "each neuron's mean rate there.",
    source=SOURCE,
)


class FpBps(PoissonMetric):
    """Bits per spike of forward bins."""

    name = "fp_bps"
    definitions = (FORWARD,)

    def missing(self, session: Session) -> str | None:
        """Why a recording has no forward bins."""
        return None if session.forward.any() else "the recording has no forward bins"

    def scored(self, definition: Definition, session: Session) -> Flags:
        """All neurons in forward bins, (time, neuron)."""
        del definition
        return np.broadcast_to(session.forward[:, None], (len(session.forward), len(session.held_out)))


def fp_bps(
    spikes: Floats,
    rates: Floats,
    *,
    forward: Flags,
    bin_width_s: float,
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Bits per spike of forward bins.

    Args:
        spikes: Counts, (trial, time, neuron).
        rates: The model's, in spikes/s, the same shape.
        forward: Bins that were to be predicted, (time,).
        bin_width_s: Width of a bin in s.
        valid: Bins that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    block = block_of(valid=valid, forward=forward, bin_width_s=bin_width_s, spikes=spikes, rates=rates)
    return score_arrays(FpBps(), block, None, bootstrap)
