"""Newton's method for many starts at once, with a line search for each.

The equations are divided by the norms of their rows of the Jacobian before their errors are added up. Units
that hardly move (a gate near one) have tiny rows: unscaled, their errors count for nothing, the line search
sees only the fast units and most starts creep along slow manifolds. Scaled, nearly all converge within a
dozen iterations.

Source: P. Deuflhard, Newton Methods for Nonlinear Problems, 2004, on scaling in damped Newton methods.
"""

from __future__ import annotations

import numpy as np

from ctd_analysis.fixed_points.residual import Residual, norms
from ctd_analysis.results import Flags, Floats, Integers

_SUFFICIENT = 1e-4
# Steps below a sixteenth of Newton's creep along a valley of the error and end nowhere new.
_HALVINGS = 4


def newton(
    residual: Residual, starts: Floats, *, tolerance: float, longest_step: float, max_iterations: int
) -> tuple[Floats, Floats]:
    """Searches a root from each start.

    A point leaves the batch when its speed is below the tolerance, or when no step along its Newton direction
    lowers the scaled error (near a minimum of the speed that is no root, or where the Jacobian is singular).

    Args:
        residual: G, whose roots are searched.
        starts: (point, state).
        tolerance: Speed |G| at which a point has converged.
        longest_step: No step is longer, in units of the state.
        max_iterations: Iterations of one point at most.

    Returns:
        Last points, (point, state), and their speeds, (point,).
    """
    points = starts.copy()
    speed = norms(residual(points))
    active = np.flatnonzero(np.isfinite(speed) & (speed > tolerance))
    for _ in range(max_iterations):
        stalled = np.zeros(len(points), dtype=bool)

        def advance(rows: Integers, stalled: Flags = stalled) -> None:
            points[rows], speed[rows], stalled[rows] = _iterate(
                residual, points[rows], speed[rows], longest_step
            )

        residual.in_chunks(advance, active)
        active = active[(speed[active] > tolerance) & ~stalled[active]]
        if len(active) == 0:
            break
    return points, speed


def _iterate(
    residual: Residual, points: Floats, speed: Floats, longest_step: float
) -> tuple[Floats, Floats, Flags]:
    """One Newton step of each point: new points, their speeds, and which found no better one."""
    error, matrix = residual.with_matrix(points)
    row_norms = np.linalg.norm(matrix, axis=2)
    weight = 1.0 / np.where(row_norms > 0.0, row_norms, 1.0)
    matrix *= weight[..., None]
    # A unit that holds its value whatever it is (a gate rounded to one) has no equation: it stays put.
    point, row = np.nonzero(row_norms == 0.0)
    matrix[point, row, row] = 1.0
    direction = -solve(matrix, error * weight)
    length = norms(direction)
    step = np.minimum(1.0, longest_step / np.maximum(length, np.finfo(float).tiny))
    step[~np.isfinite(length)] = 0.0
    before = norms(error * weight)

    points, speed = points.copy(), speed.copy()
    searching = np.flatnonzero(step > 0.0)
    stalled = step == 0.0
    for _ in range(_HALVINGS + 1):
        trial = points[searching] + step[searching, None] * direction[searching]
        trial_error = residual(trial)
        better = (
            norms(trial_error * weight[searching])
            <= (1.0 - _SUFFICIENT * step[searching]) * before[searching]
        )
        points[searching[better]] = trial[better]
        speed[searching[better]] = norms(trial_error[better])
        searching = searching[~better]
        if len(searching) == 0:
            break
        step[searching] *= 0.5
    stalled[searching] = True
    return points, speed, stalled


def solve(matrices: Floats, vectors: Floats) -> Floats:
    """Solves each system; rows of NaN where a matrix is singular."""
    try:
        return np.asarray(np.linalg.solve(matrices, vectors[..., None])[..., 0], dtype=np.float64)
    except np.linalg.LinAlgError:
        solutions = np.full_like(vectors, np.nan)
        for index, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True)):
            try:
                solutions[index] = np.linalg.solve(matrix, vector)
            except np.linalg.LinAlgError:
                continue  # stays NaN: that point has no Newton direction
        return solutions
