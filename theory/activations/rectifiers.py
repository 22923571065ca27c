"""Rectifiers: relu, leaky_relu, abs, all in closed form.

Sources: duals: Cho and Saul, *Kernel methods for deep learning* (2009), the arc-cosine kernels of degree 0 and 1; abs:
Liao and Couillet, arXiv:1805.11916, table 1. Angles are taken by atan2 from their two legs, accurate at any correlation.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.special import erf, ndtr
from typing_extensions import override

from theory.activations.activation import Activation, Parity
from theory.activations.normal import Array, density, determinant, joint_density, rectified, rectifier_rest
from theory.covariance import InadmissibleProblem


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """phi(u) = u for u > 0 and negative_slope u below.

    Attributes:
        negative_slope: in [0, 1]; 0 is relu and 1 is linear.

    Raises:
        InadmissibleProblem: ``negative_slope`` is outside [0, 1].
    """

    kind: ClassVar[str] = "leaky_relu"
    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.negative_slope <= 1.0:
            raise InadmissibleProblem(
                f"negative_slope must lie in [0, 1], got {self.negative_slope!r}; for |u| use activation 'abs'",
                argument="negative_slope",
            )

    @property
    @override
    def kinks(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 1.0 - self.negative_slope),)

    @override
    def value(self, u: Array) -> Array:
        return np.where(u > 0.0, u, self.negative_slope * u)

    @override
    def slope(self, u: Array) -> Array:
        return np.where(u > 0.0, 1.0, self.negative_slope)

    @override
    def curvature(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        deviation = np.sqrt(variance)
        x = shift / deviation
        return deviation * (rectified(x).first - self.negative_slope * rectified(-x).first)

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        x = shift / np.sqrt(variance)
        return ndtr(x) + self.negative_slope * ndtr(-x)

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        deviation = np.sqrt(variance)
        return (1.0 - self.negative_slope) * density(shift / deviation) / deviation

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        x = shift / np.sqrt(variance)
        return variance * (rectified(x).second + self.negative_slope**2 * rectified(-x).second)

    @override
    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        x = shift / np.sqrt(variance)
        return ndtr(x) + self.negative_slope**2 * ndtr(-x)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        return (1.0 - self.negative_slope) ** 2 * variance * rectifier_rest(shift / np.sqrt(variance))

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        # phi = a u + (1 - a) relu(u), and E u relu(v) = c / 2.
        a = self.negative_slope
        return a * covariance + (1.0 - a) ** 2 * _relu_dual(variance_u, variance_v, covariance)

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        angle = np.arctan2(np.sqrt(determinant(variance_u, variance_v, covariance)), -covariance)
        return self.negative_slope + (1.0 - self.negative_slope) ** 2 * angle / (2.0 * np.pi)

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return (1.0 - self.negative_slope) ** 2 * joint_density(0.0, 0.0, variance_u, variance_v, covariance)


@dataclass(frozen=True)
class Relu(LeakyRelu):
    """phi(u) = max(u, 0)."""

    kind: ClassVar[str] = "relu"
    negative_slope: float = field(default=0.0, init=False, repr=False)


@dataclass(frozen=True)
class Abs(Activation):
    """phi(u) = abs(u)."""

    kind: ClassVar[str] = "abs"
    _parity: ClassVar[Parity] = "even"

    @property
    @override
    def kinks(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 2.0),)

    @override
    def value(self, u: Array) -> Array:
        return np.abs(u)

    @override
    def slope(self, u: Array) -> Array:
        return np.sign(u)

    @override
    def curvature(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        deviation = np.sqrt(variance)
        x = np.abs(shift) / deviation
        return deviation * (x + 2.0 * rectified(-x).first)

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        return erf(shift / np.sqrt(2.0 * variance))

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        deviation = np.sqrt(variance)
        return 2.0 * density(shift / deviation) / deviation

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        return shift * shift + variance

    @override
    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        return np.ones_like(shift)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        return 4.0 * variance * rectifier_rest(shift / np.sqrt(variance))

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        root = np.sqrt(determinant(variance_u, variance_v, covariance))
        return 2.0 / np.pi * (root + covariance * np.arctan2(covariance, root))

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 2.0 / np.pi * np.arctan2(covariance, np.sqrt(determinant(variance_u, variance_v, covariance)))

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 4.0 * joint_density(0.0, 0.0, variance_u, variance_v, covariance)


def _relu_dual(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    """sqrt(q_u q_v) (sin t - t cos t) / (2 pi) with t = pi - angle(u, v), by its series near opposite u and v."""
    root = np.sqrt(determinant(variance_u, variance_v, covariance))
    angle = np.arctan2(root, -covariance)
    square = np.minimum(angle, 1.0) ** 2
    terms = np.zeros_like(square)
    for k in range(10, 0, -1):
        # sin t - t cos t = sum over k >= 1 of -(-1)^k 2k t^(2k+1) / (2k+1)!
        terms = 2.0 * k / math.factorial(2 * k + 1) - square * terms
    series = np.sqrt(variance_u * variance_v) * np.minimum(angle, 1.0) * square * terms
    return np.where(angle < 1.0, series, root + covariance * angle) / (2.0 * np.pi)
