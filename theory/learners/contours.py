"""Contours that turn ridge regression at complex penalties into gradient flow and gradient descent.

What a gradient method leaves of the labels is ``phi(A)`` with A the Hessian of the objective, ``phi(A) = exp(-time A)`` for
flow and ``(1 - step_size A)^steps`` for descent. For every function F that is analytic off ``p = -A``

    (1 / 2 pi i) integral phi(-p) F(p) dp = sum_j w_j F(p_j),

so that with F the resolvent ``(A + p)^-1``, or what is read off it, ridge regression at the penalties p_j is all that is
needed. Contours are symmetric about the real axis: only their upper halves are listed, and sums are twice the real part.

Source: the parabola of Weideman and Trefethen (2007), "Parabolic and hyperbolic contours for computing the Bromwich
integral", Math. Comp. 76.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Complex = npt.NDArray[np.complex128]

HALF_NODES = 16
"""Nodes of half a parabola: errors of 1e-12; with more of them its summands cancel."""
REACH = 3.0
"""Where the parabola's parameter ends."""
FEW_STEPS = 40
"""Up to so many steps of descent a circle is cheaper than two parabolas, which need this many to fit."""
ALIASED = 1e-16
"""Error of the circle: what the sum takes for the wanted power of its radius."""
FEWEST_ON_CIRCLE = 48


class Contour(NamedTuple):
    """Nodes in the upper half plane, or on the real axis with half their weight.

    Attributes:
        points: shape ``(j,)``.
        weights: shape ``(j,)``; ``2 Re sum_j weights_j F(points_j)`` is the integral.
    """

    points: Complex
    weights: Complex

    def integral(self, values: Complex) -> float:
        """Return the integral of a function with ``F(conj p) = conj F(p)``, given its values at the points."""
        return float(2.0 * np.sum((self.weights * values).real))


def flow_contour(time: float, *, between: bool = True) -> Contour:
    """Return the contour of ``exp(-time A)``.

    Args:
        time: positive.
        between: whether the nodes lie between those of the other choice, for a second opinion.
    """
    step = REACH / HALF_NODES
    scale = np.pi * HALF_NODES / (12.0 * time)
    u = step * (np.arange(HALF_NODES) + 0.5) if between else step * np.arange(HALF_NODES + 1)
    turned = np.asarray(1.0 + 1j * u, complex)
    points = scale * turned**2
    weights = step * scale / np.pi * turned * np.exp(points * time)
    if not between:
        weights[0] *= 0.5
    return Contour(np.asarray(points, complex), np.asarray(weights, complex))


def descent_contour(step_size: float, steps: int, *, between: bool = True) -> Contour:
    """Return the contour of ``(1 - step_size A)^steps``, for A below ``2 / step_size``.

    Few steps take a circle about ``1 / step_size``. Many take two parabolas in the plane of ``log(1 + step_size p)``, one
    around each end of the interval, between which the power is negligible.

    Args:
        step_size: positive.
        steps: at least 1.
        between: as for :func:`flow_contour`.
    """
    if steps <= FEW_STEPS:
        count = max(FEWEST_ON_CIRCLE, 8 * steps) + (0 if between else 2)
        radius = ALIASED ** (-1.0 / count)
        angle = np.pi * (2.0 * np.arange(count // 2) + 1.0) / count
        turned = radius * np.exp(1j * angle)
        return Contour((turned - 1.0) / step_size, turned ** (steps + 1) / (step_size * count))
    flow = flow_contour(float(steps), between=between)
    turned = np.exp(flow.points)
    near, weights = np.expm1(flow.points) / step_size, flow.weights * turned / step_size
    # The other end is the same, turned by half a circle about -1 / step_size; conjugated into the upper half plane.
    far, sign = np.conj(-2.0 / step_size - near), -1.0 if steps % 2 == 0 else 1.0
    return Contour(np.concatenate([near, far]), np.concatenate([weights, sign * np.conj(weights)]))
