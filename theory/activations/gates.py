"""Smooth rectifiers: gelu and softplus.

Source: gelu: Tsuchida, Pearce, van der Heide, Roosta, Gallagher, arXiv:2002.08517. Its formulas are derived here by
Stein's lemma and by tilting: a Gaussian of covariance S times exp(-u^2/2 - v^2/2) is one of covariance (S^-1 + 1)^-1,
of total mass det(1 + S)^(-1/2). Softplus has no closed form.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx, expit, ndtr
from typing_extensions import override

from theory.activations.activation import Activation
from theory.activations.normal import Array, density, determinant, rectified


@dataclass(frozen=True)
class Gelu(Activation):
    """phi(u) = u Phi(u) with the normal distribution function itself, not one of its approximations."""

    kind: ClassVar[str] = "gelu"
    scale: ClassVar[float | None] = 1.0

    @override
    def value(self, u: Array) -> Array:
        return u * ndtr(u)

    @override
    def slope(self, u: Array) -> Array:
        return ndtr(u) + u * density(u)

    @override
    def curvature(self, u: Array) -> Array:
        return (2.0 - u * u) * density(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        root = np.sqrt(1.0 + variance)
        h = shift / root
        # h Phi(h) + density(h) is a rectifier's, which keeps its digits in the tail; below q = 1 nothing is lost there.
        wide = root * rectified(h).first - density(h) / root
        return np.where(variance > 1.0, wide, shift * ndtr(h) + variance / root * density(h))

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        root = np.sqrt(1.0 + variance)
        mean: Array = ndtr(shift / root) + shift / root**3 * density(shift / root)
        return mean

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        root = np.sqrt(1.0 + variance)
        # 2 - E u^2 under the tilted Gaussian, whose variance is q / (1 + q) and mean b / (1 + q).
        mean: Array = ((2.0 + variance) / root**2 - shift * shift / root**4) * density(shift / root) / root
        return mean

    @override
    def slope_zeros(self, variance: float) -> tuple[float, ...]:
        # Phi(h) + h density(h) / r^2 = 0 at h = shift / r, divided by the density: between -r and 0.
        root = math.sqrt(1.0 + variance)
        scaled = lambda h: math.sqrt(0.5 * math.pi) * float(erfcx(-h / math.sqrt(2.0))) + h / root**2  # noqa: E731
        return (root * brentq(scaled, -root, 0.0, xtol=1e-15),)

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        tilt = self._tilt(variance_u, variance_v, covariance)
        product = (1.0 + variance_u) * (1.0 + variance_v)
        angle = np.arctan2(np.sqrt(tilt), -covariance)
        rest = (variance_u * variance_v * tilt + covariance**2) / (product * np.sqrt(tilt))
        return (covariance * angle + rest) / (2.0 * np.pi)

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        tilt = self._tilt(variance_u, variance_v, covariance)
        angle = np.arctan2(np.sqrt(tilt), -covariance)
        rest = 1.0 / (1.0 + variance_u) + 1.0 / (1.0 + variance_v) + 1.0 / tilt
        return (angle + covariance / np.sqrt(tilt) * rest) / (2.0 * np.pi)

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        tilt = self._tilt(variance_u, variance_v, covariance)
        det = determinant(variance_u, variance_v, covariance)
        # E (2 - u^2)(2 - v^2) under the tilted Gaussian, of variances (q_u + det) / tilt, (q_v + det) / tilt.
        left = (2.0 + variance_u + 2.0 * variance_v + det) / tilt
        right = (2.0 + 2.0 * variance_u + variance_v + det) / tilt
        return (left * right + 2.0 * (covariance / tilt) ** 2) / (2.0 * np.pi * np.sqrt(tilt))

    @staticmethod
    def _tilt(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        """det(1 + S) = (1 + q_u)(1 + q_v) - c^2."""
        return 1.0 + variance_u + variance_v + determinant(variance_u, variance_v, covariance)


@dataclass(frozen=True)
class Softplus(Activation):
    """phi(u) = log(1 + exp(u)); its averages have no closed form."""

    kind: ClassVar[str] = "softplus"
    scale: ClassVar[float | None] = 2.0

    @override
    def value(self, u: Array) -> Array:
        return np.logaddexp(0.0, u)

    @override
    def slope(self, u: Array) -> Array:
        return expit(u)

    @override
    def curvature(self, u: Array) -> Array:
        return expit(u) * expit(-u)
