"""Trigonometric activations: sin and cos, all in closed form.

Source: E exp(i u) = exp(i b - q / 2) for u normal of mean b and variance q; random Fourier features: Rahimi and Recht
(2007); Liao, Couillet, Mahoney, arXiv:2006.05013.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from theory.activations.activation import Activation, Parity
from theory.activations.normal import Array, density
from theory.activations.panels import BIAS_RANGE, SHRINKING, legendre


class Wave(Activation):
    """What sin and cos share: phi'' = -phi, and phi^2 + phi'^2 = 1."""

    finest: ClassVar[float] = 2.0

    @override
    def curvature(self, u: Array) -> Array:
        return -self.value(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        return self.value(shift) * np.exp(-0.5 * variance)

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        return self.slope(shift) * np.exp(-0.5 * variance)

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        return -self.mean(variance, shift)

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        return _mean_square(self.value(shift), self.slope(shift), variance)

    @override
    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        return _mean_square(self.slope(shift), self.value(shift), variance)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        # (1 + e^-2q)/2 - e^-q and (1 - e^-2q)/2 - q e^-q, weighted by phi(b)^2 and phi'(b)^2.
        even = 0.5 * np.expm1(-variance) ** 2
        return self.value(shift) ** 2 * even + self.slope(shift) ** 2 * odd_rest(variance)

    @override
    def bias_nodes(self, frozen: float, residual: float) -> tuple[Array, Array]:
        # m1^2 and mu_*^2 are even in t = sqrt(frozen) b, of period pi: t in (0, pi/2) carries the weight of all its images.
        spread = math.sqrt(frozen)
        furthest = min(0.5 * math.pi, BIAS_RANGE * spread)
        even = np.linspace(0.0, furthest, 1 + math.ceil(furthest / spread))
        edges = np.concatenate([even, SHRINKING, 0.5 * math.pi - SHRINKING])
        phases, widths = legendre(np.unique(np.clip(edges, 0.0, furthest)))
        # A normal of ten periods' width is uniform on the circle to exp(-200).
        periods = math.ceil(BIAS_RANGE * min(spread, 10.0) / math.pi)
        images = math.pi * np.arange(-periods, periods + 1.0)
        folded = density((phases + images[:, None]) / min(spread, 10.0)).sum(axis=0)
        weights = widths * folded
        return phases / spread, weights / weights.sum()

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return self.dual(variance_u, variance_v, covariance)


@dataclass(frozen=True)
class Sin(Wave):
    """phi(u) = sin(u)."""

    kind: ClassVar[str] = "sin"
    _parity: ClassVar[Parity] = "odd"

    @override
    def value(self, u: Array) -> Array:
        return np.sin(u)

    @override
    def slope(self, u: Array) -> Array:
        return np.cos(u)

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return _damped_sinh(variance_u, variance_v, covariance)

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return _damped_cosh(variance_u, variance_v, covariance)


@dataclass(frozen=True)
class Cos(Wave):
    """phi(u) = cos(u)."""

    kind: ClassVar[str] = "cos"
    _parity: ClassVar[Parity] = "even"

    @override
    def value(self, u: Array) -> Array:
        return np.cos(u)

    @override
    def slope(self, u: Array) -> Array:
        return -np.sin(u)

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return _damped_cosh(variance_u, variance_v, covariance)

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return _damped_sinh(variance_u, variance_v, covariance)


def _mean_square(here: Array, across: Array, variance: Array) -> Array:
    """E phi^2 from phi and phi' at the shift: (1 + e^-2q)/2 and (1 - e^-2q)/2 are their shares."""
    across_share = -0.5 * np.expm1(-2.0 * variance)
    return here * here * (1.0 - across_share) + across * across * across_share


def odd_rest(variance: Array) -> Array:
    """e^-q (sinh(q) - q), by the series of sinh where the difference would lose digits."""
    small = np.minimum(variance, 2.0)
    square = small * small
    terms = np.zeros_like(square)
    for order in range(27, 1, -2):
        terms = 1.0 / math.factorial(order) + square * terms
    series = np.exp(-small) * small * square * terms
    direct = -0.5 * np.expm1(-2.0 * variance) - variance * np.exp(-variance)
    return np.where(variance < 2.0, series, direct)


def _envelope(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    """exp(|c| - (q_u + q_v)/2), the exponent without cancellation: it is -(sqrt q_u - sqrt q_v)^2/2 - (sqrt(q_u q_v) - |c|)."""
    apart = np.sqrt(variance_u) - np.sqrt(variance_v)
    slack = np.maximum(np.sqrt(variance_u * variance_v) - np.abs(covariance), 0.0)
    envelope: Array = np.exp(-0.5 * apart * apart - slack)
    return envelope


def _damped_sinh(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    odd = -0.5 * np.sign(covariance) * np.expm1(-2.0 * np.abs(covariance))
    return _envelope(variance_u, variance_v, covariance) * odd


def _damped_cosh(variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    even = 0.5 * (1.0 + np.exp(-2.0 * np.abs(covariance)))
    return _envelope(variance_u, variance_v, covariance) * even
