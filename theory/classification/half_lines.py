"""The moments of a rectified normal at single arguments, as the hinge's closed forms need them, in either tail."""

from math import erfc, exp, pi, sqrt
from typing import NamedTuple

ROOT_TWO = sqrt(2.0)
ROOT_TWO_PI = sqrt(2.0 * pi)
FAR = 2.0
"""From here on a continued fraction replaces differences, which would lose digits like the fourth power."""


class HalfLine(NamedTuple):
    """``E max(x + z, 0)^k`` for k = 0, 1, 2, z standard normal."""

    zeroth: float
    first: float
    second: float


def density(z: float) -> float:
    """The standard normal density."""
    return exp(-0.5 * z * z) / ROOT_TWO_PI


def mass(x: float) -> float:
    """The share of a standard normal below x."""
    return 0.5 * erfc(-x / ROOT_TWO)


def half_line(x: float) -> HalfLine:
    """Return the moments to full relative precision, down to where they underflow.

    Source: the ratios of repeated integrals of the normal tail are a continued fraction of positive terms; Gautschi,
        *Recursive computation of the repeated integrals of the error function* (1961).
    """
    below = mass(x)
    if x > -FAR:
        first = x * below + density(x)
        return HalfLine(below, first, below + x * first)
    y = -x
    depth = 16 + int(240.0 / (y * y))
    ratio = 0.5 * (sqrt(y * y + 4.0 * depth) - y)
    for order in range(depth, 1, -1):
        ratio = order / (y + ratio)
    first = below / (y + ratio)
    return HalfLine(below, first, first * ratio)
