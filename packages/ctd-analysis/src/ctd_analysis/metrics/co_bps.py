"""Bits per spike of the held-out neurons (co-smoothing): how well a model predicts neurons it never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ctd_analysis.bits_per_spike import TrialLikelihood
from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Block, Estimates, Session, block_of, score_arrays
from ctd_analysis.metrics.poisson_metric import FORMULA, SOURCE, PoissonMetric
from ctd_analysis.results import Definition, Flags, Floats

HELD_OUT = Definition(
    name="poisson-1",
    metric="co_bps",
    formula=f"{FORMULA}; n over held-out neurons, b over bins that are neither padding nor to be predicted",
    text="Information that the rates hold on the counts of neurons that the encoder never saw, above their "
    "mean rates. 0 is no better than the mean.",
    source=SOURCE,
)
PUBLISHED = Definition(
    name="published-ctd-1",
    metric="co_bps",
    formula=f"{FORMULA}; n from the number of external input channels to the last neuron, b over all bins",
    text="The published co-bps, which takes the number of external inputs for that of held-in neurons. Of 60 "
    "neurons with 3 inputs it scores 57, 47 of them held in: mostly bits per spike of "
    "neurons that the encoder saw.",
    source="Computation-through-Dynamics Benchmark",
    published=True,
)


class CoBps(PoissonMetric):
    """Bits per spike of held-out neurons, of those of each region too, and the published slice."""

    name = "co_bps"
    definitions = (HELD_OUT, PUBLISHED)

    def __init__(self) -> None:
        super().__init__()
        self._regions: dict[str, Flags] = {}

    def score(self, block: Block) -> None:
        """As in the base class; which of the neurons scored lie in each region is kept too."""
        super().score(block)
        session = block.session
        if session.neuron_regions is not None and len(session.regions) > 1:
            regions = session.neuron_regions[self.scored(HELD_OUT, session).any(axis=0)]
            self._regions = {name: regions == region for region, name in enumerate(session.regions)}

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Each definition, then the held-out neurons of each region that has any."""
        sums = TrialLikelihood.concatenate(self._parts[HELD_OUT.name])
        return super().estimates(bootstrap) + [
            (_of_region(name), self._of(sums.of_neurons(own), bootstrap))
            for name, own in self._regions.items()
            if own.any()
        ]

    def missing(self, session: Session) -> str | None:
        """Why a recording has no held-out neurons."""
        return None if session.held_out.any() else "the recording holds no neurons out"

    def scored(self, definition: Definition, session: Session) -> Flags:
        """Held-out neurons in bins that encoders saw, or the published slice, (time, neuron)."""
        if definition is HELD_OUT:
            return ~session.forward[:, None] & session.held_out
        sliced = np.arange(len(session.held_out)) >= session.n_external_inputs
        return np.broadcast_to(sliced, (len(session.forward), len(sliced)))


def _of_region(name: str) -> Definition:
    formula = HELD_OUT.formula.replace("held-out neurons", f"held-out neurons of {name}")
    return replace(HELD_OUT, metric=f"{HELD_OUT.metric} {name}", formula=formula)


def co_bps(
    spikes: Floats,
    rates: Floats,
    *,
    held_out: Flags,
    bin_width_s: float,
    forward: Flags | None = None,
    valid: Flags | None = None,
    n_external_inputs: int = 0,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Bits per spike of held-out neurons.

    Args:
        spikes: Counts, (trial, time, neuron).
        rates: The model's, in spikes/s, the same shape.
        held_out: Neurons that the encoder did not see, (neuron,).
        bin_width_s: Width of a bin in s.
        forward: Bins that are not scored, (time,).
        valid: Bins that are not padding, (trial, time).
        n_external_inputs: Only for the published slice.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    block = block_of(
        valid=valid,
        held_out=held_out,
        forward=forward,
        bin_width_s=bin_width_s,
        n_external_inputs=n_external_inputs,
        spikes=spikes,
        rates=rates,
    )
    return score_arrays(CoBps(), block, None, bootstrap)
