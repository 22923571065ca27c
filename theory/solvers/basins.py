"""Which of many points are the deepest of a basin that stands out from ripples."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

Vector = npt.NDArray[np.float64]

NEIGHBOUR = 1.5
"""Distance up to which points are neighbours, in cells of their grid and along each axis."""
PROMINENCE = 1e-7
"""Relative height of the ridge around a basin from which it counts: ripples of solvers are lower."""


def basins(points: Vector, values: Vector) -> list[int]:
    """Return the deepest points of basins that stand out, the deepest first.

    As water rises from the lowest point on, a basin ends where it meets a deeper one; how far the water had risen in it by then
    is how much it stands out: the persistence of a minimum.

    Args:
        points: shape ``(m, d)``, in cells of a grid.
        values: shape ``(m,)``; infinite ones are no part of any basin.

    Source: Edelsbrunner, Letscher, Zomorodian (2002), doi:10.1007/s00454-002-2885-2, for persistence.
    """
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return []
    near: Any = KDTree(points[known]).query_ball_point(points[known], NEIGHBOUR, p=np.inf)
    height = values[known]
    order = np.argsort(height, kind="stable").tolist()
    rank = {point: place for place, point in enumerate(order)}
    leads_to: dict[int, int] = {}  # from a point under water to another of its basin, and at last to the deepest

    def deepest(point: int) -> int:
        while leads_to[point] != point:
            leads_to[point] = leads_to[leads_to[point]]
            point = leads_to[point]
        return point

    prominent: set[int] = set()
    for point in order:
        meeting = {deepest(other) for other in near[point] if other in leads_to}
        lowest = min(meeting, key=lambda each: rank[each], default=point)
        leads_to[point] = lowest
        for ended in meeting - {lowest}:
            leads_to[ended] = lowest
            if stands_out(float(height[ended]), float(height[point])):
                prominent.add(ended)
    prominent |= {point for point in order if leads_to[point] == point}  # those that met no deeper one
    return [int(known[point]) for point in sorted(prominent, key=lambda each: rank[each])]


def stands_out(depth: float, ridge: float) -> bool:
    """Whether a ridge is higher than a minimum by more than ripples are."""
    return ridge - depth > PROMINENCE * abs(depth)
