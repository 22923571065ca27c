"""Nodes for averages over a standard normal of functions that are analytic except near known points.

While the nearest singularity is not too near, the trapezoidal rule converges exponentially and few nodes do; beyond that,
Gauss-Legendre panels shrink towards the singularities.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

REACH = 9.0
"""Standard deviations beyond which less than 1e-18 is left."""
TILT_REACH = 2.0
"""How much further a function that grows like a power makes what is left matter."""
SPACING = 0.125
"""Of the trapezoidal rule, as a share of the distance to a singularity: the error is exp(-2 pi / SPACING)."""
WIDEST_SPACING = 0.5
FINEST_SPACING = 1.0 / 32.0
WIDEST = 2.0
"""Width of a panel, in standard deviations."""
GRADING = 0.36
"""Half the width of a panel over the distance to the nearest singularity."""
POINTS = 16


class Focus(NamedTuple):
    """A singularity ``at`` a real point, ``off`` the real axis; in units of the deviation, where nothing else is said."""

    at: float
    off: float


class Nodes(NamedTuple):
    """Shape ``(m,)`` both; the weights include the normal density."""

    t: Array
    weights: Array


def gaussian_nodes(
    foci: tuple[Focus, ...], *, tilt: float = 0.0, breaks: tuple[float, ...] = (), refinement: int = 1
) -> Nodes:
    """Lay out nodes.

    Args:
        foci: singularities of the function.
        tilt: how far below 0 the function may move what matters.
        breaks: where the function has kinks.
        refinement: how many times as many nodes.
    """
    reach = REACH + (TILT_REACH + tilt if tilt > 0.0 else 0.0)
    spacing = min([WIDEST_SPACING, *(SPACING * focus.off for focus in foci)])
    if spacing >= FINEST_SPACING and not breaks:
        level = int(np.ceil(np.log2(1.0 / spacing)))
        return _trapezoidal(level, int(np.ceil(reach)), refinement)
    return _graded(foci, -reach, breaks, refinement)


@lru_cache(maxsize=256)
def _trapezoidal(level: int, reach: int, refinement: int) -> Nodes:
    spacing = 0.5**level / refinement
    t = np.arange(-reach, REACH + 0.5 * spacing, spacing)
    nodes = Nodes(t, spacing * _density(t))
    for shared in nodes:
        shared.flags.writeable = False
    return nodes


def _graded(foci: tuple[Focus, ...], low: float, breaks: tuple[float, ...], refinement: int) -> Nodes:
    stops = [*sorted(point for point in breaks if low < point < REACH), REACH]
    edges = [low]
    for stop in stops:
        left = edges[-1]
        while left < stop:
            nearest = min([WIDEST, *(2.0 * GRADING * np.hypot(left - at, off) for at, off in foci)])
            left += nearest
            edges.append(min(left, stop))
    ends = np.array(edges)
    if refinement > 1:
        ends = np.interp(np.arange((ends.size - 1) * refinement + 1) / refinement, np.arange(ends.size), ends)
    half_widths = 0.5 * np.diff(ends)
    t = (ends[:-1, None] + half_widths[:, None] * (1.0 + _POINTS)).ravel()
    return Nodes(t, (half_widths[:, None] * _WEIGHTS).ravel() * _density(t))


def _density(t: Array) -> Array:
    value: Array = np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)
    return value


_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(POINTS)
