"""Levenberg-Marquardt for many starts at once: ends in a root or in a local minimum of the speed.

It needs no regular Jacobian, so it reaches the points of line and plane attractors, and where there is no
root it finds the slow point.

Source: K. Madsen, H. Nielsen and O. Tingleff, Methods for Non-Linear Least Squares Problems, 2004,
algorithm 3.16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_analysis.fixed_points.newton import solve
from ctd_analysis.fixed_points.residual import Residual, norms
from ctd_analysis.results import Flags, Floats, Integers

_FIRST_DAMPING = 1e-3
_LARGEST_DAMPING = 1e16


@dataclass
class _Batch:
    """Points on their way.

    Attributes:
        points: (point, state).
        speed: |G|, (point,).
        slope: |dG/dx' G| / |G|, the speed's gradient, (point,).
        damping: mu, (point,); negative before the first step.
        growth: Factor by which the next failure raises the damping, (point,).
    """

    points: Floats
    speed: Floats
    slope: Floats
    damping: Floats
    growth: Floats


def levenberg_marquardt(
    residual: Residual, starts: Floats, *, tolerance: float, flat: float, max_iterations: int
) -> tuple[Floats, Floats, Flags]:
    """Minimises the speed from each start.

    Args:
        residual: G, whose norm is minimised.
        starts: (point, state).
        tolerance: Speed |G| at which a point has converged to a root.
        flat: A point is a minimum when the gradient of its speed is below this, in speed per length.
        max_iterations: Iterations of one point at most.

    Returns:
        Last points, (point, state), their speeds, (point,), and which of them are minima of the speed without
        being roots, (point,).
    """
    count = len(starts)
    batch = _Batch(
        points=starts.copy(),
        speed=norms(residual(starts)),
        slope=np.full(count, np.inf),
        damping=np.full(count, -1.0),
        growth=np.full(count, 2.0),
    )
    active = np.flatnonzero(np.isfinite(batch.speed) & (batch.speed > tolerance))
    for _ in range(max_iterations):
        residual.in_chunks(lambda rows: _iterate(residual, batch, rows, flat), active)
        unfinished = (batch.speed > tolerance) & (batch.slope > flat) & (batch.damping < _LARGEST_DAMPING)
        active = active[unfinished[active]]
        if len(active) == 0:
            break
    return batch.points, batch.speed, (batch.speed > tolerance) & (batch.slope <= flat)


def _iterate(residual: Residual, batch: _Batch, rows: Integers, flat: float) -> None:
    """One damped step of the points in `rows`, in place."""
    error, matrix = residual.with_matrix(batch.points[rows])
    normal = matrix.transpose(0, 2, 1) @ matrix
    gradient = np.einsum("nij,ni->nj", matrix, error)
    batch.slope[rows] = norms(gradient) / np.maximum(batch.speed[rows], np.finfo(float).tiny)
    diagonal = np.einsum("nii->ni", normal)
    fresh = batch.damping[rows] < 0.0
    damping = np.where(fresh, _FIRST_DAMPING * diagonal.max(axis=1), batch.damping[rows])
    damping = np.maximum(damping, np.finfo(float).tiny)
    diagonal += damping[:, None]
    step = -solve(normal, gradient)
    trial = batch.points[rows] + step
    trial_speed = norms(residual(trial))
    predicted = np.einsum("ni,ni->n", step, damping[:, None] * step - gradient)
    with np.errstate(invalid="ignore", over="ignore"):
        gain = (batch.speed[rows] ** 2 - trial_speed**2) / np.maximum(predicted, np.finfo(float).tiny)
    # A minimum is left as it is: the step that was just computed could only add rounding.
    better = (gain > 0.0) & (trial_speed < batch.speed[rows]) & (batch.slope[rows] > flat)
    batch.points[rows[better]] = trial[better]
    batch.speed[rows[better]] = trial_speed[better]
    shrink = np.maximum(1.0 / 3.0, 1.0 - (2.0 * np.clip(gain, 0.0, 1.0) - 1.0) ** 3)
    batch.damping[rows] = damping * np.where(better, shrink, batch.growth[rows])
    batch.growth[rows] = np.where(better, 2.0, np.minimum(2.0 * batch.growth[rows], 1e6))
