"""Fixed and slow points of any portable dynamics.

Source: D. Sussillo and O. Barak, Opening the black box, Neural Computation 25, 626, 2013, with Newton's
method on analytic Jacobians instead of gradient descent on the speed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ctd_analysis.fixed_points.deduplicate import deduplicate
from ctd_analysis.fixed_points.levenberg_marquardt import levenberg_marquardt
from ctd_analysis.fixed_points.newton import newton
from ctd_analysis.fixed_points.residual import Residual, norms, threads
from ctd_analysis.fixed_points.settings import FixedPointSearch
from ctd_analysis.results import TRUTH, FixedPoints, Flags, Floats
from ctd_contract.dynamics import Dynamics

# A step of Newton's method ends where its linear model does; half the spread of the states is far beyond.
_LONGEST_STEP = 0.5
# Gradient of the speed (speed per length) at which its minimum counts as reached.
_FLAT = 1e-8


@dataclass(frozen=True)
class Region:
    """Where the states are.

    Attributes:
        centre: Their mean, (state,).
        spread: Root mean squared distance from it; 1 for a single state.
    """

    centre: Floats
    spread: float

    @classmethod
    def of(cls, visited: Floats) -> Region:
        """The region of some states, (row, state)."""
        centre = visited.mean(axis=0)
        spread = float(np.sqrt(np.square(visited - centre).sum(axis=1).mean()))
        return cls(centre, spread if spread > 0.0 else 1.0)


def find_fixed_points(
    dynamics: Dynamics,
    visited: Floats,
    input: Floats | None = None,  # noqa: A002
    *,
    bin_width_s: float,
    mode: int | None = None,
    search: FixedPointSearch | None = None,
    seed: int = 0,
    source: str = TRUTH,
) -> FixedPoints:
    """Fixed and slow points of dynamics under a constant input.

    Args:
        dynamics: The vector field.
        visited: States that the system visits, (row, state): starts are drawn from them.
        input: The constant input, (input,); zeros by default.
        bin_width_s: Duration of a step in s.
        mode: The mode, for switching dynamics.
        search: Settings.
        seed: Of the choice of starts and their noise.
        source: Kept in the result: whose dynamics these are.

    Returns:
        The points, fixed ones first, then by number of unstable dimensions.

    Raises:
        ValueError: The dynamics have no portable form, or shapes don't fit.
    """
    search = search or FixedPointSearch()
    check_portable(dynamics)
    visited = np.asarray(visited, dtype=np.float64)
    if visited.ndim != 2 or visited.shape[1] != dynamics.state_size or len(visited) == 0:
        raise ValueError(f"visited has shape {visited.shape}, expected (row, state={dynamics.state_size})")
    constant = np.zeros(dynamics.input_size) if input is None else np.asarray(input, dtype=np.float64)
    if constant.shape != (dynamics.input_size,):
        raise ValueError(f"input has shape {constant.shape}, expected (input={dynamics.input_size},)")
    region = Region.of(visited)
    starts = draw_starts(visited, region, search, seed)
    with threads() as run:
        residual = Residual(dynamics, constant, mode, run)
        points, speed, is_slow = _descend(residual, starts, region, search)
        n_converged = int(np.sum(~is_slow))
        points, speed, is_slow, n_outside = _within_reach(points, speed, is_slow, region, search)
        points, speed, is_slow = _distinct(points, speed, is_slow, region, search)
        points = _polish(residual, points, is_slow, region, search)
    found = _describe(dynamics, points, is_slow, constant, mode, bin_width_s)
    return replace(found, source=source, n_starts=len(starts), n_converged=n_converged, n_outside=n_outside)


def check_portable(dynamics: Dynamics) -> None:
    """Refuses dynamics that can't be evaluated.

    Raises:
        ValueError: They are opaque.
    """
    if dynamics.kind == "opaque":
        raise ValueError(
            "the dynamics are opaque: the model wrote no portable form of them, and fixed points need one; "
            "export the model with one of the contract's dynamics kinds"
        )


def draw_starts(visited: Floats, region: Region, search: FixedPointSearch, seed: int) -> Floats:
    """Starts of the search, (start, state): visited states without repetition, with noise if asked for."""
    generator = np.random.default_rng(seed)
    count = min(search.n_starts, len(visited))
    starts = visited[generator.choice(len(visited), count, replace=False)]
    if search.noise > 0.0:
        starts = starts + search.noise * region.spread * generator.standard_normal(starts.shape)
    return starts


def _descend(
    residual: Residual, starts: Floats, region: Region, search: FixedPointSearch
) -> tuple[Floats, Floats, Flags]:
    """Points that ended somewhere, their speeds, and which are slow rather than fixed."""
    points, speed = newton(
        residual,
        starts,
        tolerance=search.tolerance,
        longest_step=_LONGEST_STEP * region.spread,
        max_iterations=search.max_iterations,
    )
    is_slow = np.zeros(len(points), dtype=bool)
    # The starts are in random order: the first ones are a fair choice.
    stalled = np.flatnonzero(np.isfinite(speed) & (speed > search.tolerance))[: search.max_damped_starts]
    if len(stalled):
        points[stalled], speed[stalled], is_slow[stalled] = levenberg_marquardt(
            residual,
            points[stalled],
            tolerance=search.tolerance,
            flat=_FLAT,
            max_iterations=search.max_damped_iterations,
        )
    is_slow &= speed < search.slow_speed * region.spread
    ended = is_slow | (speed <= search.tolerance)
    return points[ended], speed[ended], is_slow[ended]


def _within_reach(
    points: Floats, speed: Floats, is_slow: Flags, region: Region, search: FixedPointSearch
) -> tuple[Floats, Floats, Flags, int]:
    if search.reach is None:
        return points, speed, is_slow, 0
    near = norms(points - region.centre) <= search.reach * region.spread
    return points[near], speed[near], is_slow[near], int(np.sum(~near))


def _distinct(
    points: Floats, speed: Floats, is_slow: Flags, region: Region, search: FixedPointSearch
) -> tuple[Floats, Floats, Flags]:
    radius = search.separation * region.spread
    kept = deduplicate(points, speed, radius)
    while len(kept) > search.max_points:
        radius *= 2.0
        kept = deduplicate(points, speed, radius)
    return points[kept], speed[kept], is_slow[kept]


def _polish(
    residual: Residual, points: Floats, is_slow: Flags, region: Region, search: FixedPointSearch
) -> Floats:
    """Takes fixed points on to rounding, so that their place doesn't depend on the start."""
    points = points.copy()
    fixed = ~is_slow
    if fixed.any():
        points[fixed], _ = newton(
            residual,
            points[fixed],
            tolerance=1e-3 * search.tolerance,
            longest_step=search.separation * region.spread,
            max_iterations=2,
        )
    return points


def _describe(
    dynamics: Dynamics, points: Floats, is_slow: Flags, constant: Floats, mode: int | None, bin_width_s: float
) -> FixedPoints:
    """The points with their speeds, Jacobians and eigenvalues, in an order that the starts don't decide."""
    count, size = points.shape
    inputs = np.broadcast_to(constant, (count, len(constant))).copy()
    if count:
        new_state, jacobian = dynamics.step_and_jacobian(points, constant, mode)
    else:
        new_state, jacobian = points, np.zeros((0, size, size))
    eigenvalues = np.linalg.eigvals(jacobian).astype(np.complex128)
    # Largest modulus first; of a conjugate pair the one above the real axis.
    by_modulus = np.lexsort((-eigenvalues.imag, -np.abs(eigenvalues)), axis=-1)
    found = FixedPoints(
        state=points,
        input=inputs,
        mode=np.full(count, -1 if mode is None else mode, dtype=np.int64),
        speed=norms(new_state - points),
        jacobian=jacobian,
        eigenvalues=np.take_along_axis(eigenvalues, by_modulus, axis=-1),
        is_slow=is_slow,
        bin_width_s=bin_width_s,
    )
    return found.take(np.lexsort((points[:, 0], found.n_unstable, is_slow)))
