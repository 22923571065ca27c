"""Gaussian averages by Gauss-Legendre panels that break at an activation's kinks and follow its finest scale."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from theory.activations.normal import Array, density

POINTS = 20
"""Nodes a panel."""

RANGE = 15.0
"""Averages over the activation's fluctuating part reach this many standard deviations; what is left out is below 1e-45."""

BIAS_RANGE = 9.0
"""The same for averages over frozen parts, whose tail adds less than 1e-17."""

WIDEST = 3.0
"""Width of a panel, in standard deviations, where nothing asks for a finer one."""

SHRINKING = np.concatenate([[0.0], 5.0 ** np.arange(-12.0, 1.0)])
"""Distances of panels' ends from a point that may hide a feature of any width: sums over them are good to 1e-15."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(POINTS)


def _antiderivative() -> Array:
    """Return the matrix from a function's values at the nodes to those of its integral from -1."""
    order = np.arange(POINTS)
    legendre = np.polynomial.legendre.legvander(NODES, POINTS)
    # The integral of P_k from -1 is (P_(k+1) - P_(k-1)) / (2k + 1), and x + 1 for k = 0.
    integrals = np.empty((POINTS, POINTS))
    integrals[:, 0] = NODES + 1.0
    integrals[:, 1:] = (legendre[:, 2:] - legendre[:, :-2]) / (2 * order[1:] + 1)
    coefficients = (order[:, None] + 0.5) * legendre[:, :-1].T * WEIGHTS
    return integrals @ coefficients


_ANTIDERIVATIVE = _antiderivative()


def landmarks(scale: float, furthest: float) -> Array:
    """Return where panels break about a smooth feature of width ``scale`` at 0, up to the distance ``furthest``.

    Panels widen with their distance: the singularities of tanh and its kin lie on the imaginary axis.
    """
    doublings = max(0, int(np.ceil(np.log2(max(furthest / scale, 8.0)))) - 2)
    outward = scale * np.concatenate([[1.0, 2.0, 3.0, 4.0, 5.0, 6.5], 8.0 * 2.0 ** np.arange(doublings)])
    return np.concatenate([-outward[::-1], [0.0], outward])


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Two half lines from ``shift`` outwards, as panels: axes ``(..., side, panel, point)``.

    Attributes:
        deviation: shape ``(...)``, s of u = shift + s z, positive.
        shift: shape ``(...)``.
        half_widths: shape ``(..., 2, panels)``, in units of z.
        distance: shape ``(..., 2, panels, POINTS)``, the absolute z of each node; side 0 has negative z, side 1 positive.
    """

    deviation: Array
    shift: Array
    half_widths: Array
    distance: Array

    @cached_property
    def z(self) -> Array:
        """The nodes, shape ``(..., 2, panels, POINTS)``."""
        z: Array = self.distance * np.array([-1.0, 1.0])[:, None, None]
        return z

    @cached_property
    def u(self) -> Array:
        """The pre-activations at the nodes."""
        return self.shift[..., None, None, None] + self.deviation[..., None, None, None] * self.z

    @cached_property
    def weights(self) -> Array:
        """Quadrature weights times the normal density."""
        return self.half_widths[..., None] * WEIGHTS * density(self.distance)

    def average(self, values: Array) -> Array:
        """Return the expectation of a function given at the nodes, shape ``(...)``."""
        mean: Array = np.sum(self.weights * values, axis=(-3, -2, -1))
        return mean

    def integrate(self, values: Array) -> Array:
        """Return the integral over ``distance``, from 0 to each node, of a function given at the nodes."""
        within = self.half_widths[..., None] * (values @ _ANTIDERIVATIVE.T)
        whole = self.half_widths * (values @ WEIGHTS)
        before = np.cumsum(whole, axis=-1) - whole
        return before[..., None] + within


def panels(variance: Array, shift: Array, *, breaks: Array, finest: float) -> Panels:
    """Lay out panels for u = shift + sqrt(variance) z.

    Args:
        variance: shape ``(...)``, positive.
        shift: shape ``(...)``.
        breaks: shape ``(k,)``, values of u where a panel must end.
        finest: the widest panel in units of u that resolves an oscillation; infinite where there is none.
    """
    deviation, centre = np.broadcast_arrays(np.sqrt(variance), np.asarray(shift, dtype=np.float64))
    widest = min(WIDEST, finest / float(np.max(deviation, initial=0.0))) if np.isfinite(finest) else WIDEST
    even = np.linspace(0.0, RANGE, int(np.ceil(RANGE / widest)) + 1)
    reach = (breaks - centre[..., None]) / deviation[..., None]
    given = np.clip(np.stack([-reach, reach], axis=-2), 0.0, RANGE)
    edges = np.sort(np.concatenate([np.broadcast_to(even, (*given.shape[:-1], even.size)), given], axis=-1), axis=-1)
    half_widths = 0.5 * np.diff(edges, axis=-1)
    # Breaks out of reach leave panels of no width: they go last, and go altogether where no element has more.
    order = np.argsort(half_widths <= 0.0, axis=-1, kind="stable")[
        ..., : int(np.max(np.sum(half_widths > 0.0, axis=-1)))
    ]
    half_widths, left = (np.take_along_axis(ends, order, axis=-1) for ends in (half_widths, edges[..., :-1]))
    distance = left[..., None] + half_widths[..., None] * (1.0 + NODES)
    return Panels(deviation=deviation, shift=centre, half_widths=half_widths, distance=distance)


def bias_rule(breaks: Array, *, finest: float, even: bool) -> tuple[Array, Array]:
    """Nodes and weights for averages over a standard normal b.

    Args:
        breaks: shape ``(k,)``, where a panel must end.
        finest: the widest panel, in units of b.
        even: whether b >= 0 is enough, because functions of b and -b are averaged that are equal.

    Returns:
        Both of shape ``(m,)``, the weights with sum 1.
    """
    lowest = 0.0 if even else -BIAS_RANGE
    count = int(np.ceil((BIAS_RANGE - lowest) / min(WIDEST, finest)))
    edges = np.concatenate([np.linspace(lowest, BIAS_RANGE, count + 1), np.clip(breaks, lowest, BIAS_RANGE)])
    nodes, widths = legendre(np.unique(edges))
    weights = widths * density(nodes)
    return nodes, weights / np.sum(weights)


def legendre(edges: Array) -> tuple[Array, Array]:
    """Nodes and weights for integrals over panels between ``edges``, ascending along the last axis, which is that of both."""
    half_widths = 0.5 * np.diff(edges, axis=-1)[..., None]
    nodes = edges[..., :-1, None] + half_widths * (1.0 + NODES)
    whole = (*edges.shape[:-1], -1)
    return nodes.reshape(whole), (half_widths * WEIGHTS).reshape(whole)
