"""Powers: linear and quadratic, all in closed form by Wick's theorem."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from theory.activations.activation import Activation, Parity
from theory.activations.normal import Array


@dataclass(frozen=True)
class Linear(Activation):
    """phi(u) = u."""

    kind: ClassVar[str] = "linear"
    _parity: ClassVar[Parity] = "odd"

    @override
    def value(self, u: Array) -> Array:
        return u

    @override
    def slope(self, u: Array) -> Array:
        return np.ones_like(u)

    @override
    def curvature(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        return shift

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        return np.ones_like(shift)

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        return np.zeros_like(shift)

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        return shift * shift + variance

    @override
    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        return np.ones_like(shift)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        return np.zeros_like(shift)

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return covariance

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return np.ones_like(covariance)

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return np.zeros_like(covariance)


@dataclass(frozen=True)
class Quadratic(Activation):
    """phi(u) = u^2."""

    kind: ClassVar[str] = "quadratic"
    _parity: ClassVar[Parity] = "even"

    @override
    def value(self, u: Array) -> Array:
        return u * u

    @override
    def slope(self, u: Array) -> Array:
        return 2.0 * u

    @override
    def curvature(self, u: Array) -> Array:
        return np.full_like(u, 2.0)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        return shift * shift + variance

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        return 2.0 * shift

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        return np.full_like(shift, 2.0)

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        return shift**4 + 6.0 * shift * shift * variance + 3.0 * variance * variance

    @override
    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        return 4.0 * (shift * shift + variance)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        return 2.0 * variance * variance

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return variance_u * variance_v + 2.0 * covariance * covariance

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 4.0 * covariance

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return np.full_like(covariance, 4.0)
