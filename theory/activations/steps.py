"""Discontinuous activations: sign and ternary. E phi'^2 is infinite for them, so they have no NTK.

Sources: sign: Sheppard's formula (1899). ternary: Couillet and Liao, *Random Matrix Methods for Machine Learning*
(2022), section 5.1; Ali, Liao, Couillet, arXiv:2110.01899. The covariance of two steps is the bivariate normal
distribution function, written as Plackett (1954) does: the integral of the joint density over the covariance.
"""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from scipy.special import erf, ndtr
from typing_extensions import override

from theory.activations.activation import Activation, Parity
from theory.activations.normal import Array, density, determinant, joint_density
from theory.activations.panels import NODES, WEIGHTS, legendre
from theory.covariance import InadmissibleProblem


@dataclass(frozen=True)
class Sign(Activation):
    """phi(u) = sign(u)."""

    kind: ClassVar[str] = "sign"
    _parity: ClassVar[Parity] = "odd"

    @property
    @override
    def discontinuities(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 2.0),)

    @override
    def value(self, u: Array) -> Array:
        return np.sign(u)

    @override
    def slope(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def curvature(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        return erf(shift / np.sqrt(2.0 * variance))

    @override
    def mean_slope(self, variance: Array, shift: Array) -> Array:
        deviation = np.sqrt(variance)
        return 2.0 * density(shift / deviation) / deviation

    @override
    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        return -shift / variance * self.mean_slope(variance, shift)

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        return np.ones_like(shift)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        x = shift / np.sqrt(variance)
        return 4.0 * (ndtr(x) * ndtr(-x) - density(x) ** 2)

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 2.0 / np.pi * np.arctan2(covariance, np.sqrt(determinant(variance_u, variance_v, covariance)))

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 4.0 * joint_density(0.0, 0.0, variance_u, variance_v, covariance)

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        return 4.0 * _bent_density(0.0, 0.0, variance_u, variance_v, covariance)


@dataclass(frozen=True)
class Ternary(Activation):
    """phi(u) = -1 below ``low``, 0 between, 1 above ``high``.

    Attributes:
        low: threshold in units of u, below ``high``.
        high: threshold in units of u.

    Raises:
        InadmissibleProblem: a threshold is not finite, or ``low`` is not below ``high``.
    """

    kind: ClassVar[str] = "ternary"
    low: float = -0.5
    high: float = 0.5

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if not np.isfinite(getattr(self, name)):
                raise InadmissibleProblem(
                    f"{name} must be finite, got {getattr(self, name)!r}; for a single step use activation 'sign'",
                    argument=name,
                )
        if self.low >= self.high:
            raise InadmissibleProblem(
                f"low must be below high, got {self.low!r} and {self.high!r}; for a single step use activation 'sign'",
                argument="low",
            )

    @property
    @override
    def parity(self) -> Parity:
        return "odd" if self.low == -self.high else None

    @property
    @override
    def discontinuities(self) -> tuple[tuple[float, float], ...]:
        return ((self.low, 1.0), (self.high, 1.0))

    @override
    def value(self, u: Array) -> Array:
        return np.where(u > self.high, 1.0, np.where(u < self.low, -1.0, 0.0))

    @override
    def slope(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def curvature(self, u: Array) -> Array:
        return np.zeros_like(u)

    @override
    def mean(self, variance: Array, shift: Array) -> Array:
        low, high = self._standardised(variance, shift)
        # The normal mass between high and -low; where they meet, by its mean density, which keeps its digits.
        gap = (2.0 * shift - (self.low + self.high)) / np.sqrt(variance)
        narrow = np.clip(gap, -1.0, 1.0)
        within = high[..., None] + narrow[..., None] * 0.5 * (1.0 + NODES)
        return np.where(np.abs(gap) < 1.0, narrow * (density(within) @ WEIGHTS) / 2.0, ndtr(-high) - ndtr(low))

    @override
    def mean_square(self, variance: Array, shift: Array) -> Array:
        low, high = self._standardised(variance, shift)
        return ndtr(low) + ndtr(-high)

    @override
    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        low, high = self._standardised(variance, shift)
        below, above = ndtr(low), ndtr(-high)
        between = np.where(low > 0.0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
        # The variance of a discrete variable, as a sum over pairs of its values.
        total = below * between + between * above + 4.0 * below * above
        return total - (density(low) + density(high)) ** 2

    @override
    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        zero = np.zeros_like(covariance)
        total = self.mean(variance_u, zero) * self.mean(variance_v, zero)
        for u, v in product((self.low, self.high), repeat=2):
            total = total + _step_covariance(u, v, variance_u, variance_v, covariance)
        return total

    @override
    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        total = np.zeros_like(covariance)
        for u, v in product((self.low, self.high), repeat=2):
            total = total + joint_density(u, v, variance_u, variance_v, covariance)
        return total

    @override
    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        total = np.zeros_like(covariance)
        for u, v in product((self.low, self.high), repeat=2):
            total = total + _bent_density(u, v, variance_u, variance_v, covariance)
        return total

    def _standardised(self, variance: Array, shift: Array) -> tuple[Array, Array]:
        deviation = np.sqrt(variance)
        return (self.low - shift) / deviation, (self.high - shift) / deviation


def _bent_density(u: float, v: float, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    """The second mixed derivative of the joint density, which is also its derivative by the covariance."""
    det = determinant(variance_u, variance_v, covariance)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        left = (variance_v * u - covariance * v) / det
        right = (variance_u * v - covariance * u) / det
        bent = joint_density(u, v, variance_u, variance_v, covariance) * (left * right + covariance / det)
    return np.where(np.isnan(bent), 0.0, bent)


def _step_covariance(u: float, v: float, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
    """Cov(1{U > u}, 1{V > v}) = (1 / 2 pi) int_0^asin(rho) exp(-(x^2 - 2 x y sin t + y^2) / (2 cos^2 t)) dt.

    Up to t = pi/4 in t itself, beyond it in a = pi/2 - t, with panels that shrink towards a = 0, where the integrand has an
    essential singularity if x and y differ. Negative covariances are those of U and -V.
    """
    x, y = u / np.sqrt(variance_u)[..., None], np.sign(covariance)[..., None] * v / np.sqrt(variance_v)[..., None]
    root, leg = np.sqrt(determinant(variance_u, variance_v, covariance)), np.abs(covariance)
    last = np.minimum(np.arctan2(leg, root), 0.25 * np.pi)[..., None]
    first = np.minimum(np.arctan2(root, leg), 0.25 * np.pi)[..., None]
    low, low_weights = legendre(last * np.linspace(0.0, 1.0, 5))
    shrinking = np.concatenate([[0.0], 0.25 * np.pi * 2.0 ** np.arange(-40.0, 0.5, 0.5)])
    high, high_weights = legendre(np.maximum(shrinking, first))
    angle = np.concatenate([0.5 * np.pi - low, high], axis=-1)
    weights = np.concatenate([low_weights, high_weights], axis=-1)
    # 1 - sin t = 2 sin^2(a/2) keeps its digits as a -> 0.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        apart = (x - y) ** 2 / np.sin(angle) ** 2
        together = x * y / (2.0 * np.cos(0.5 * angle) ** 2)
        value = np.where(weights > 0.0, np.exp(-0.5 * apart - together), 0.0)
    shared: Array = np.sign(covariance) * np.sum(weights * value, axis=-1) / (2.0 * np.pi)
    return shared
