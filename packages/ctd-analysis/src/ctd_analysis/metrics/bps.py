"""Bits per spike of the held-in neurons: how well a model predicts what its encoder saw."""

from __future__ import annotations

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Estimates, Session, block_of, score_arrays
from ctd_analysis.metrics.poisson_metric import FORMULA, SOURCE, PoissonMetric
from ctd_analysis.results import Definition, Flags, Floats

HELD_IN = Definition(
    name="poisson-1",
    metric="bps",
    formula=f"{FORMULA}; n over held-in neurons, b over bins that are neither padding nor to be predicted",
    text="Information that the rates hold on the counts of the neurons that the encoder saw, above their "
    "mean rates. A model that copies spikes into its rates scores high: read it beside co_bps.",
    source=SOURCE,
)


class Bps(PoissonMetric):
    """Bits per spike of held-in neurons."""

    name = "bps"
    definitions = (HELD_IN,)

    def missing(self, session: Session) -> str | None:
        """Why a recording has no held-in neurons."""
        return "all neurons are held out" if session.held_out.all() else None

    def scored(self, definition: Definition, session: Session) -> Flags:
        """Held-in neurons in bins that encoders saw, (time, neuron)."""
        del definition
        return ~session.forward[:, None] & ~session.held_out


def bps(
    spikes: Floats,
    rates: Floats,
    *,
    bin_width_s: float,
    held_out: Flags | None = None,
    forward: Flags | None = None,
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Bits per spike of held-in neurons.

    Args:
        spikes: Counts, (trial, time, neuron).
        rates: The model's, in spikes/s, the same shape.
        bin_width_s: Width of a bin in s.
        held_out: Neurons that are not scored, (neuron,).
        forward: Bins that are not scored, (time,).
        valid: Bins that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    block = block_of(
        valid=valid, held_out=held_out, forward=forward, bin_width_s=bin_width_s, spikes=spikes, rates=rates
    )
    return score_arrays(Bps(), block, None, bootstrap)
