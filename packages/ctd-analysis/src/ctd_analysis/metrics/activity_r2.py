"""How much of continuous activity a prediction explains: without noise, and of neurons never seen."""

from __future__ import annotations

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Block, Estimates, Metric, Session, block_of, score_arrays
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition, Flags, Floats

_FORMULA = (
    "1 - sum_n sum_b (y_bn - m_bn)^2 / sum_n sum_b (y_bn - mean_b y_bn)^2, m = the model's prediction, "
)
CLEAN = Definition(
    name="variance-weighted-1",
    metric="activity_r2",
    formula=_FORMULA + "y = true activity without noise",
    text="What rate_r2 is of rates: part of the variance of the true activity that the prediction explains, "
    "all neurons pooled.",
)
HELD_OUT = Definition(
    name="observed-1",
    metric="co_r2",
    formula=_FORMULA + "y = observed activity; n over held-out neurons, b over bins in which all of these "
    "were observed and that are neither padding nor to be predicted",
    text="What co_bps is of counts: part of the variance of neurons that the encoder never saw that the "
    "prediction explains. Noise is part of it: 1 can't be reached.",
    source="MR-SDS",
)


class ActivityR2(Metric):
    """R² of the true activity."""

    name = "activity_r2"
    requires = ("true_activity", "activity_prediction")
    definitions = (CLEAN,)

    def __init__(self) -> None:
        self._parts: list[TrialR2] = []

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        true, found = (block.signals[name] for name in self.requires)
        self._parts.append(TrialR2.of(true, found, block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """With its interval."""
        sums = TrialR2.concatenate(self._parts)
        return [(self.definitions[0], bootstrap.estimate(sums.variance_weighted, len(sums.bins)))]


class CoR2(ActivityR2):
    """R² of the observed activity of held-out neurons."""

    name = "co_r2"
    requires = ("activity", "activity_prediction")
    definitions = (HELD_OUT,)

    def missing(self, session: Session) -> str | None:
        """Why a recording has no held-out neurons."""
        return None if session.held_out.any() else "the recording holds no neurons out"

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        neurons = block.session.held_out
        target, found = (block.signals[name][..., neurons] for name in self.requires)
        scored = block.valid & ~block.session.forward
        if "observed" in block.signals:
            scored = scored & (block.signals["observed"][..., neurons] > 0).all(axis=2)
        self._parts.append(TrialR2.of(target, found, scored))


def activity_r2(
    activity: Floats,
    prediction: Floats,
    *,
    true_activity: Floats,
    held_out: Flags,
    valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of the true activity, and of the observed activity of held-out neurons.

    Args:
        activity: As observed, (trial, time, neuron).
        prediction: The model's, the same shape and unit.
        true_activity: Without noise, the same shape.
        held_out: Neurons that the encoder did not see, (neuron,).
        valid: Bins that are not padding, (trial, time).
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    block = block_of(
        valid=valid,
        held_out=held_out,
        activity=activity,
        activity_prediction=prediction,
        true_activity=true_activity,
    )
    return [
        pair for metric in (ActivityR2(), CoR2()) for pair in score_arrays(metric, block, None, bootstrap)
    ]
