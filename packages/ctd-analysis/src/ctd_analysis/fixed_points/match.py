"""A model's fixed points paired with the true ones.

Model states are mapped into the truth's space by the affine map that fits the states best; there the points
are assigned one to one. Eigenvalues of the Jacobian at a fixed point don't depend on coordinates, so they are
compared as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ctd_analysis.affine_map import AffineMap
from ctd_analysis.fixed_points.find import Region
from ctd_analysis.fixed_points.settings import MatchSettings
from ctd_analysis.results import FixedPoints, Floats, Integers, Matching

# ln|eigenvalue| is cut here: beyond it a direction is gone within a bin and its rate means nothing.
_SMALLEST_MODULUS = 1e-3


def match_fixed_points(
    truth: FixedPoints,
    model: FixedPoints,
    to_truth: AffineMap,
    region: Region,
    *,
    settings: MatchSettings | None = None,
    label: str = "",
) -> Matching:
    """Pairs the fixed points of a model with the true ones; slow points take no part.

    Args:
        truth: The true points.
        model: The model's.
        to_truth: Affine map from the model's states to the true ones.
        region: Centre and spread of the true states.
        settings: Cut-off and number of eigenvalues.
        label: The model's label, kept in the result.

    Returns:
        The matching; its indices count all points, slow ones included.
    """
    settings = settings or MatchSettings()
    rows, columns = np.flatnonzero(truth.is_fixed), np.flatnonzero(model.is_fixed)
    distance = np.asarray(cdist(truth.state[rows], to_truth(model.state[columns])), dtype=np.float64)
    distance /= region.spread
    chosen = assign(distance, settings.cutoff)
    pairs = np.stack([rows[chosen[:, 0]], columns[chosen[:, 1]]], axis=1)
    n_leading = min(settings.n_leading, truth.eigenvalues.shape[1], model.eigenvalues.shape[1])
    leading = [(truth.eigenvalues[i, :n_leading], model.eigenvalues[j, :n_leading]) for i, j in pairs]
    bin_width_s = truth.bin_width_s, model.bin_width_s
    return Matching(
        label=label,
        pairs=pairs,
        distance=distance[chosen[:, 0], chosen[:, 1]],
        multiplier_error=np.array([eigenvalue_error(a, b) for a, b in leading]),
        rate_error_per_s=np.array(
            [eigenvalue_error(rates(a, bin_width_s[0]), rates(b, bin_width_s[1])) for a, b in leading]
        ),
        n_leading=n_leading,
        missed=np.setdiff1d(rows, pairs[:, 0]),
        spurious=np.setdiff1d(columns, pairs[:, 1]),
        cutoff=settings.cutoff,
    )


def assign(distance: Floats, cutoff: float) -> Integers:
    """One-to-one assignment of rows to columns of least total distance, none longer than the cut-off.

    A row without a partner costs as much as a pair at the cut-off.

    Args:
        distance: (row, column).
        cutoff: Longest pair.

    Returns:
        (pair, 2): row and column.
    """
    rows, columns = linear_sum_assignment(np.minimum(distance, cutoff))
    close = distance[rows, columns] < cutoff
    return np.stack([rows[close], columns[close]], axis=1).astype(np.int64)


def eigenvalue_error(first: NDArray[np.complex128], second: NDArray[np.complex128]) -> float:
    """Root mean squared difference of two sets of numbers under the pairing that makes it least."""
    squares = np.square(np.abs(first[:, None] - second[None, :]))
    rows, columns = linear_sum_assignment(squares)
    return float(np.sqrt(squares[rows, columns].mean()))


def rates(eigenvalues: NDArray[np.complex128], bin_width_s: float) -> NDArray[np.complex128]:
    """ln(eigenvalue) / bin width in 1/s: growth in the real part, angular frequency in the imaginary one."""
    modulus = np.maximum(np.abs(eigenvalues), _SMALLEST_MODULUS)
    return np.asarray(np.log(modulus) + 1j * np.angle(eigenvalues), dtype=np.complex128) / bin_width_s
