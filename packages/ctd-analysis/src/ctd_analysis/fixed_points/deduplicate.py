"""One representative of every group of points that lie closer together than a radius."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ctd_analysis.results import Floats, Integers


def deduplicate(points: Floats, quality: Floats, radius: float) -> Integers:
    """Keeps the best point of each neighbourhood, whatever their order.

    Args:
        points: (point, state).
        quality: Smaller is better, (point,): the speed.
        radius: Points nearer than this to a kept one are its duplicates.

    Returns:
        Indices of the points kept, best first.
    """
    if len(points) == 0:
        return np.zeros(0, dtype=np.int64)
    tree = KDTree(points)
    is_duplicate = np.zeros(len(points), dtype=bool)
    kept = []
    for index in np.argsort(quality, kind="stable"):
        if not is_duplicate[index]:
            kept.append(index)
            is_duplicate[tree.query_ball_point(points[index], radius)] = True
    return np.array(kept, dtype=np.int64)
