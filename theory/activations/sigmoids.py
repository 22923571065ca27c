"""Smooth steps: erf, tanh, sigmoid.

Source: erf: Williams, *Computing with infinite networks* (1996), eq. (11). The others have no closed form.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import erf, expit
from typing_extensions import override

from theory.activations.activation import Activation, Parity
from theory.activations.normal import Array, determinant


@dataclass(frozen=True)
class Erf(Activation):
    """phi(u) = erf(u) = (2 / sqrt(pi)) int_0^u exp(-t^2) dt."""

    kind: ClassVar[str] = "erf"
    scale: ClassVar[float | None] = 0.7
    _parity: ClassVar[Parity] = "odd"

    @override
    def value(self, u: Array) -> Array:
        return erf(u)

    @override
    def slope(self, u: Array) -> Array:
        slope: Array = 2.0 / np.sqrt(np.pi) * np.exp(-u * u)
        return slope

    @override
    def curvature(self, u: Array) -> Array:
        return -2.0 * u * self.slope(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        return erf(shift / np.sqrt(1.0 + 2.0 * variance))

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        widened = 1.0 + 2.0 * variance
        return 2.0 / np.sqrt(np.pi * widened) * np.exp(-shift * shift / widened)

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        return -2.0 * shift / (1.0 + 2.0 * variance) * self.mean_slope(variance, shift)

    @override
    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        widened = 1.0 + 4.0 * variance
        return 4.0 / np.pi / np.sqrt(widened) * np.exp(-2.0 * shift * shift / widened)

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        # asin(2c / sqrt((1 + 2 q_u)(1 + 2 q_v))) by its two legs.
        return 2.0 / np.pi * np.arctan2(2.0 * covariance, np.sqrt(self._tilt(variance_u, variance_v, covariance)))

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 4.0 / np.pi / np.sqrt(self._tilt(variance_u, variance_v, covariance))

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 16.0 / np.pi * covariance * self._tilt(variance_u, variance_v, covariance) ** -1.5

    @staticmethod
    def _tilt(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        """det(1 + 2 S) = (1 + 2 q_u)(1 + 2 q_v) - 4 c^2."""
        return 1.0 + 2.0 * (variance_u + variance_v) + 4.0 * determinant(variance_u, variance_v, covariance)


@dataclass(frozen=True)
class Tanh(Activation):
    """phi(u) = tanh(u); its averages have no closed form."""

    kind: ClassVar[str] = "tanh"
    scale: ClassVar[float | None] = 1.0
    _parity: ClassVar[Parity] = "odd"

    @override
    def value(self, u: Array) -> Array:
        return np.tanh(u)

    @override
    def slope(self, u: Array) -> Array:
        # 1 - tanh^2, without the subtraction.
        decay = np.exp(-2.0 * np.abs(u))
        return 4.0 * decay / (1.0 + decay) ** 2

    @override
    def curvature(self, u: Array) -> Array:
        return -2.0 * np.tanh(u) * self.slope(u)


@dataclass(frozen=True)
class Sigmoid(Activation):
    """phi(u) = 1 / (1 + exp(-u)) = (1 + tanh(u/2)) / 2; its averages have no closed form."""

    kind: ClassVar[str] = "sigmoid"
    scale: ClassVar[float | None] = 2.0

    @override
    def value(self, u: Array) -> Array:
        return expit(u)

    @override
    def slope(self, u: Array) -> Array:
        return expit(u) * expit(-u)

    @override
    def curvature(self, u: Array) -> Array:
        return -np.tanh(0.5 * u) * self.slope(u)

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        # Odd in the shift, as for tanh, which keeps the digits of a small one.
        return Tanh().mean_curvature(0.25 * variance, 0.5 * shift) / 8.0
