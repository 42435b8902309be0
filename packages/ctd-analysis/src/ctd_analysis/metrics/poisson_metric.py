"""Bits per spike of some neurons in some bins: the common part of `bps`, `co_bps` and `fp_bps`."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from ctd_analysis.bits_per_spike import TrialLikelihood
from ctd_analysis.bootstrap import Bootstrap, Estimate, Undefined
from ctd_analysis.metrics.base import Block, Estimates, Metric, Session
from ctd_analysis.results import Definition, Flags

FORMULA = (
    "sum_nb [k ln(m) - m - (k ln(k0_n) - k0_n)] / (ln 2 * sum_nb k); k = counts, m = rate * bin width, "
    "k0_n = mean count of neuron n over the scored bins"
)
SOURCE = "Pei and others, Neural Latents Benchmark '21, 2021"


class PoissonMetric(Metric):
    """Bits per spike; each definition chooses what it scores."""

    requires = ("spikes", "rates")

    def __init__(self) -> None:
        self._parts: dict[str, list[TrialLikelihood]] = {form.name: [] for form in self.definitions}

    @abstractmethod
    def scored(self, definition: Definition, session: Session) -> Flags:
        """What a definition scores, (time, neuron)."""

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        spikes, rates = block.signals["spikes"], block.signals["rates"]
        recorded = np.broadcast_to(block.valid[..., None], spikes.shape)
        if "observed" in block.signals:
            recorded = recorded & (block.signals["observed"] > 0)
        for definition in self.definitions:
            chosen = self.scored(definition, block.session)
            neurons = chosen.any(axis=0)
            part = TrialLikelihood.of(
                spikes[..., neurons],
                rates[..., neurons] * block.session.bin_width_s,
                recorded[..., neurons] & chosen[:, neurons],
            )
            self._parts[definition.name].append(part)

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Each definition with its interval."""
        return [(form, self._estimate(form, bootstrap)) for form in self.definitions]

    def _estimate(self, definition: Definition, bootstrap: Bootstrap):
        sums = TrialLikelihood.concatenate(self._parts[definition.name])
        return self._of(sums, bootstrap)

    @staticmethod
    def _of(sums: TrialLikelihood, bootstrap: Bootstrap) -> Estimate | Undefined:
        if sums.spikes.sum() == 0.0:
            return Undefined("there is no spike in what is scored")
        return bootstrap.estimate(sums.bits_per_spike, len(sums.spikes))
