"""The normal distribution, as the closed forms of the activations need it: without cancellation in its tails."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

Array = npt.NDArray[np.float64]

_FRACTION_DEPTH = 100
"""Terms of the continued fraction for half-line moments; from y = 2 on fewer would do."""


def density(z: Array) -> Array:
    """The standard normal density."""
    value: Array = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return value


def determinant(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    """That of the covariance matrix, exactly 0 at perfect correlation and accurate beside it."""
    largest = np.sqrt(variance_u * variance_v)
    return np.maximum((largest - covariance) * (largest + covariance), 0.0)


def joint_density(u: float, v: float, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    """The density of a centred bivariate normal at (u, v): at perfect correlation infinite or 0."""
    det = determinant(variance_u, variance_v, covariance)
    # q_v u^2 - 2 c u v + q_u v^2 as a sum of positive terms.
    sign = np.where(covariance * u * v < 0.0, -1.0, 1.0)
    stretched_u, stretched_v = np.sqrt(variance_v) * abs(u), np.sqrt(variance_u) * abs(v)
    slack = np.maximum(np.sqrt(variance_u * variance_v) - np.abs(covariance), 0.0)
    form = (stretched_u - sign * stretched_v) ** 2 + 2.0 * sign * slack * abs(u * v)
    form = np.where(sign < 0.0, stretched_u**2 + stretched_v**2 + 2.0 * np.abs(covariance * u * v), form)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.where(form == 0.0, 0.0, -0.5 * form / det)
        return np.where(np.isneginf(exponent), 0.0, np.exp(exponent) / (2.0 * np.pi * np.sqrt(det)))


class HalfLine(NamedTuple):
    """E max(z + x, 0)^k for k = 0, 1, 2."""

    zeroth: Array
    first: Array
    second: Array


def rectified(x: Array) -> HalfLine:
    """Return the moments of a rectified normal of mean ``x`` and variance 1, to full relative precision for any ``x``."""
    tail = _tail(np.abs(x))
    above = HalfLine(ndtr(np.abs(x)), np.abs(x) + tail.first, 1.0 + x * x - tail.second)
    return HalfLine(*(np.where(x < 0.0, low, high) for low, high in zip(tail, above, strict=True)))


def rectifier_rest(x: Array) -> Array:
    """The variance of max(z + x, 0) that is left beside 1 and z; an even function of ``x``."""
    tail = _tail(np.abs(x))
    return tail.second - tail.first**2 - tail.zeroth**2


def _tail(y: Array) -> HalfLine:
    """E max(z - y, 0)^k for y >= 0.

    The recursion of the repeated integrals of the normal tail, I_(k+1) = k I_(k-1) - y I_k, loses digits upwards; its
    ratios r_k = I_k / I_(k-1) = k / (y + r_(k+1)) are a continued fraction of positive terms downwards.

    Source: Gautschi, *Recursive computation of the repeated integrals of the error function* (1961).
    """
    near = np.minimum(y, 2.0)
    mass = ndtr(-near)
    first = density(near) - near * mass
    close = HalfLine(mass, first, mass - near * first)
    far = np.maximum(y, 2.0)
    ratio = 0.5 * (np.sqrt(far * far + 4.0 * _FRACTION_DEPTH) - far)
    for order in range(_FRACTION_DEPTH, 1, -1):
        ratio = order / (far + ratio)
    mass = density(far) * np.sqrt(0.5 * np.pi) * erfcx(far / np.sqrt(2.0))
    first = mass / (far + ratio)
    distant = HalfLine(mass, first, first * ratio)
    return HalfLine(*(np.where(y < 2.0, low, high) for low, high in zip(close, distant, strict=True)))
