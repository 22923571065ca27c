"""How a function rises from a minimum, and the Gaussian of the places where it has risen little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from theory.solvers.box import Axis

Vector = npt.NDArray[np.float64]

SMALL_RISE = 1e-4
"""Relative rise over the steps by which derivatives are taken: rounding is far below, and so are higher derivatives."""
STEP_RATIO = 4.0
STEPS = 12
"""Trial steps along each axis, from half the box on."""


@dataclass(frozen=True, kw_only=True)
class Rise:
    """A function about a point, ``value + gradient . du + du . curvature . du / 2`` in scaled coordinates.

    Attributes:
        gradient: shape ``(d,)``.
        curvature: shape ``(d, d)``.
        evaluations: of the function.
    """

    gradient: Vector
    curvature: Vector
    evaluations: int


def rise_at(
    function: Callable[[Vector], Vector], axes: Sequence[Axis], point: Vector, value: float, *, scale: float
) -> Rise:
    """Fit a quadratic to a function about a point, within a box; one-sided at its ends.

    Args:
        function: from natural coordinates, shape ``(m, d)``, to values.
        axes: sides of the box.
        point: natural coordinates, shape ``(d,)``.
        value: of the function there.
        scale: positive, what rises are relative to.

    Returns:
        Derivatives by scaled coordinates; where the function has no finite values about the point, zeros.
    """
    d = len(axes)
    centre = np.array([float(axis.scaled(at)) for axis, at in zip(axes, point, strict=True)])
    steps, tried = _steps(function, axes, centre, point, value, scale)
    lower = np.array([float(axis.scaled(axis.lower)) for axis in axes])
    upper = np.array([float(axis.scaled(axis.upper)) for axis in axes])
    # Where a step leads out of the box the stencil goes twice as far to the other side.
    sides = []
    for i in range(d):
        offsets = [-1.0, 0.0, 1.0]
        if centre[i] - steps[i] < lower[i]:
            offsets = [0.0, 1.0, 2.0]
        elif centre[i] + steps[i] > upper[i]:
            offsets = [-2.0, -1.0, 0.0]
        sides.append(np.clip(centre[i] + np.array(offsets) * steps[i], lower[i], upper[i]))
    stencil = np.array(list(product(*sides)))
    natural = np.stack([axis.natural(stencil[:, i]) for i, axis in enumerate(axes)], axis=1)
    values = np.asarray(function(natural), float)
    moved = np.stack([axis.scaled(natural[:, i]) for i, axis in enumerate(axes)], axis=1) - centre
    known = np.isfinite(values)
    if not known.any():
        return Rise(gradient=np.zeros(d), curvature=np.zeros((d, d)), evaluations=tried + len(values))
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    units = moved / steps
    design = np.concatenate([units, *[(units[:, i] * units[:, j])[:, None] for i, j in pairs]], axis=1)
    fitted, *_ = np.linalg.lstsq(design[known], values[known] - value)
    curvature = np.zeros((d, d))
    for (i, j), coefficient in zip(pairs, fitted[d:], strict=True):
        curvature[i, j] = curvature[j, i] = coefficient / (steps[i] * steps[j]) * (2.0 if i == j else 1.0)
    return Rise(gradient=fitted[:d] / steps, curvature=curvature, evaluations=tried + len(values))


def _steps(
    function: Callable[[Vector], Vector],
    axes: Sequence[Axis],
    centre: Vector,
    point: Vector,
    value: float,
    scale: float,
) -> tuple[Vector, int]:
    """Return the largest step along each axis over which the function rises little, and how many points that took."""
    trials, owners, sizes = [], [], []
    for i, axis in enumerate(axes):
        ends = axis.scaled([axis.lower, axis.upper])
        span = float(ends[1] - ends[0])
        for k in range(STEPS):
            step = 0.5 * span * STEP_RATIO**-k
            for sign in (-1.0, 1.0):
                if ends[0] <= centre[i] + sign * step <= ends[1]:
                    there = point.copy()
                    there[i] = axis.natural(centre[i] + sign * step)
                    if there[i] != point[i]:
                        trials.append(there)
                        owners.append(i)
                        sizes.append(step)
    values = np.abs(np.asarray(function(np.array(trials)), float) - value) / scale if trials else np.empty(0)
    owner, size = np.array(owners, int), np.array(sizes)
    found = np.empty(len(axes))
    for i in range(len(axes)):
        mine = owner == i
        steps = np.unique(size[mine])
        worst = np.array([np.nan_to_num(values[mine & (size == step)], nan=np.inf).max() for step in steps])
        small = steps[worst <= SMALL_RISE]
        found[i] = small.max() if small.size else steps.min() if steps.size else 1.0
    return found, len(trials)


def gaussian_about(axes: Sequence[Axis], rise: Rise, *, tolerance: float) -> Vector:
    """Return the covariance of a Gaussian about a minimum, one standard deviation of which costs a given rise.

    A standard deviation s along a direction solves ``curvature s^2 / 2 = tolerance`` where the function is flat at the minimum,
    ``|gradient| s = tolerance`` where it ends at a slope; precisions add up, with that of a uniform distribution on the box.
    Negative curvatures count as none.

    Args:
        axes: sides of the box.
        rise: about the minimum.
        tolerance: positive, in units of the function.

    Returns:
        The covariance of scaled coordinates, shape ``(d, d)``.
    """
    spans = np.array([float(np.ptp(axis.scaled([axis.lower, axis.upper]))) for axis in axes])
    # In units of the box, so that sides of very different length do not meet in one matrix.
    curvature = rise.curvature * np.outer(spans, spans) / (2.0 * tolerance)
    gradient = rise.gradient * spans / tolerance
    values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    precision = (vectors * np.maximum(values, 0.0)) @ vectors.T + np.outer(gradient, gradient)
    precision += 12.0 * np.eye(spans.size)
    covariance = np.linalg.inv(precision) * np.outer(spans, spans)
    return np.asarray(0.5 * (covariance + covariance.T))
