"""R² of a target predicted by an affine map of a source: fitted on training trials, scored on others."""

from __future__ import annotations

import numpy as np

from ctd_analysis.affine_map import AffineMap, Moments
from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Estimates, Metric
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Definition


class MappedR2(Metric):
    """Base of metrics that ask how well one set of signals is an affine image of another.

    The first signal of `requires` is mapped, the second is to be explained.
    """

    fits = True

    def __init__(self) -> None:
        self._moments: Moments | None = None
        self._map: AffineMap | None = None
        self._parts: list[TrialR2] = []

    def fit(self, block: Block) -> None:
        """Adds training trials to the least squares problem."""
        source, target = (block.rows(name) for name in self.requires)
        if self._moments is None:
            self._moments = Moments(source.shape[1], target.shape[1])
        self._moments.update(source, target)

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        if self._moments is None:
            return
        if self._map is None:
            self._map = self._moments.fit()
        source, target = (block.signals[name] for name in self.requires)
        # Padding may hold NaN, which a matrix product keeps in its own row: it is masked afterwards.
        self._parts.append(TrialR2.of(target, self._map(source), block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """The variance-weighted R², the map held fixed in the bootstrap."""
        definition = self.definitions[0]
        if self._moments is None or not self._parts:
            return [(definition, Undefined("there are no training trials to fit the affine map to"))]
        sums = TrialR2.concatenate(self._parts)
        return [(definition, bootstrap.estimate(sums.variance_weighted, len(sums.bins)))]


def affine_definition(
    metric: str, source: str, target: str, text: str, *, name: str = "affine-train-1"
) -> Definition:
    """The definition of a metric of this family.

    Args:
        metric: The metric's name.
        source: What is mapped, in words.
        target: What is explained, in words.
        text: What the number means.
        name: The definition's name.
    """
    return Definition(
        name=name,
        metric=metric,
        formula="1 - sum_d sum_b (y_bd - (A x_b + c)_d)^2 / sum_d sum_b (y_bd - mean_b y_bd)^2, with "
        f"(A, c) = argmin over the training trials of sum_b |y_b - A x_b - c|^2; x = {source}, y = {target}",
        text=text,
        source="Computation-through-Dynamics Benchmark, with the stored truth instead of one simulated anew",
    )


def in_sample_r2(moments: Moments, floor: float) -> float:
    """Unweighted mean over target dimensions of R² of least squares on the very rows that are scored.

    Args:
        moments: Of source and target.
        floor: The mean is not allowed below it.

    Returns:
        The mean over dimensions that vary; NaN when none does.
    """
    total = np.diag(moments.target_scatter)
    varies = total > 0.0
    if not varies.any():
        return float("nan")
    explained = np.einsum("ts,st->t", moments.fit().weight, moments.cross_scatter)
    return max(float(np.mean(explained[varies] / total[varies])), floor)
