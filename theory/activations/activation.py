"""What an activation is: a function of the pre-activation, and its averages under Gaussian inputs.

Every average has a body here that works for any activation, by quadrature; those with a closed form override it.
Notation of the averages: u = shift + sqrt(variance) z with z standard normal.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from theory.activations.normal import Array, density
from theory.activations.panels import RANGE, SHRINKING, Panels, bias_rule, landmarks, panels

Parity = Literal["odd", "even"] | None

SMALLEST_RESIDUAL = 1e-30
"""Perfectly correlated pre-activations are averaged with this share of their variance left independent."""


@dataclass(frozen=True)
class Activation:
    """An activation phi and its Gaussian averages, unchecked: :mod:`theory.activations.gaussian` checks arguments.

    A subclass gives ``value``, ``slope`` and ``curvature``, says where they break, and overrides what it knows in closed
    form. All methods are elementwise in arrays of one shape.

    Attributes:
        kind: the name on the wire.
        scale: width of the smooth features about u = 0, in units of u; None where phi is made of polynomials.
        finest: width in u of the panels that resolve its oscillations; infinite where there are none.
    """

    kind: ClassVar[str]
    _parity: ClassVar[Parity] = None
    scale: ClassVar[float | None] = None
    finest: ClassVar[float] = np.inf

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Names of what the constructor takes."""
        return tuple(field.name for field in fields(cls) if field.init)

    @property
    def parity(self) -> Parity:
        """Whether phi(-u) is -phi(u), "odd", or phi(u), "even", or neither, None."""
        return self._parity

    @property
    def kinks(self) -> tuple[tuple[float, float], ...]:
        """Where phi' jumps, and by how much."""
        return ()

    @property
    def discontinuities(self) -> tuple[tuple[float, float], ...]:
        """Where phi jumps, and by how much."""
        return ()

    @property
    def is_continuous(self) -> bool:
        """Whether phi has no jumps, so that E phi'^2 and the NTK are finite."""
        return not self.discontinuities

    @property
    def has_closed_dual(self) -> bool:
        """Whether :meth:`dual` is a formula, rather than a quadrature that takes milliseconds an element."""
        return type(self).dual is not Activation.dual

    def value(self, u: Array) -> Array:
        """phi(u)."""
        raise NotImplementedError

    def slope(self, u: Array) -> Array:
        """phi'(u), almost everywhere."""
        raise NotImplementedError

    def curvature(self, u: Array) -> Array:
        """phi''(u), almost everywhere."""
        raise NotImplementedError

    def mean(self, variance: Array, shift: Array) -> Array:
        """m0 = E phi(u)."""
        return self._average(self.value, variance, shift, odd=self.parity == "odd")

    def mean_slope(self, variance: Array, shift: Array) -> Array:
        """m1 = E phi'(u) = E[phi(u) z] / s, jumps included."""
        smooth = self._average(self.slope, variance, shift, odd=self.parity == "even")
        return smooth + sum(
            jump * density(_at(place, variance, shift)) / np.sqrt(variance) for place, jump in self.discontinuities
        )

    def mean_curvature(self, variance: Array, shift: Array) -> Array:
        """m2 = E phi''(u) = E[phi(u) (z^2 - 1)] / s^2, kinks and jumps included."""
        smooth = self._average(self.curvature, variance, shift, odd=self.parity == "odd")
        kinks = sum(jump * density(_at(place, variance, shift)) / np.sqrt(variance) for place, jump in self.kinks)
        # A jump is a derivative of a point mass in phi'': minus the derivative of the density there.
        jumps = sum(
            jump * _at(place, variance, shift) * density(_at(place, variance, shift)) / variance
            for place, jump in self.discontinuities
        )
        return smooth + kinks + jumps

    def mean_square(self, variance: Array, shift: Array) -> Array:
        """E phi(u)^2."""
        return self._average(lambda u: self.value(u) ** 2, variance, shift)

    def mean_square_slope(self, variance: Array, shift: Array) -> Array:
        """E phi'(u)^2, infinite for an activation with jumps."""
        if not self.is_continuous:
            return np.full_like(shift, np.inf)
        return self._average(lambda u: self.slope(u) ** 2, variance, shift)

    def nonlinear_variance(self, variance: Array, shift: Array) -> Array:
        """mu_*^2 = E phi^2 - m0^2 - s^2 m1^2, the variance that no affine function of u explains.

        Never as that difference: phi'' is integrated twice from the shift outwards, which leaves phi without its affine
        part to full relative precision, and the square of what then remains beside 1 and z is averaged.
        """
        grid = self.grid(variance, shift)
        rest = self.nonlinear_part(grid)
        return grid.average(rest * rest)

    def nonlinear_part(self, grid: Panels) -> Array:
        """Return phi less what it has in common with 1 and z, at the nodes of a grid, to full relative precision."""
        variance_here = grid.deviation[..., None, None, None] ** 2
        bent = grid.integrate(grid.integrate(variance_here * self.curvature(grid.u)))
        for place, jump in self.kinks:
            bent = bent + jump * np.abs(grid.u - place) * _beyond(grid, place)
        for place, jump in self.discontinuities:
            bent = bent + jump * np.sign(grid.z) * _beyond(grid, place)
        constant, linear = grid.average(bent), grid.average(bent * grid.z)
        rest: Array = bent - constant[..., None, None, None] - linear[..., None, None, None] * grid.z
        return rest

    def dual(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        """E phi(u) phi(v) for centred Gaussian (u, v)."""
        return self.product_mean(self.mean, self.mean, variance_u, variance_v, covariance)

    def dual_slopes(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        """E phi'(u) phi'(v), jumps included: the derivative of the dual by the covariance."""
        return self.product_mean(self.mean_slope, self.mean_slope, variance_u, variance_v, covariance)

    def dual_curvatures(self, variance_u: Array, variance_v: Array, covariance: Array) -> Array:
        """E phi''(u) phi''(v), kinks and jumps included: the second derivative of the dual by the covariance."""
        return self.product_mean(self.mean_curvature, self.mean_curvature, variance_u, variance_v, covariance)

    def slope_zeros(self, variance: float) -> tuple[float, ...]:  # noqa: ARG002  that of gelu depends on it
        """Shifts at which m1 vanishes, nonnegative ones if phi is odd or even."""
        return (0.0,) if self.parity == "even" else ()

    def bias_nodes(self, frozen: float, residual: float) -> tuple[Array, Array]:
        """Nodes and weights for averages over b of rational functions of m1(b)^2 and mu_*^2(b).

        Both are those of u = sqrt(frozen) b + sqrt(residual) z averaged over z. Where m1 vanishes, a / (c + kappa + a g)
        may dip as narrowly as kappa is small: panels shrink towards there.

        Args:
            frozen: positive variance of the part of u that b carries.
            residual: positive variance of the other.
        """
        spread = np.sqrt(frozen)
        dips = [(zero / spread + side * SHRINKING) for zero in self.slope_zeros(residual) for side in (-1.0, 1.0)]
        breaks = np.concatenate([self._smoothed_breaks(spread, residual), *dips])
        return bias_rule(breaks, finest=self.finest / spread, even=self.parity is not None)

    def grid(self, variance: Array, shift: Array) -> Panels:
        """Panels for averages over u that end where phi breaks and resolve its scale."""
        breaks = np.array([0.0, *(place for place, _ in (*self.kinks, *self.discontinuities))])
        if self.scale is not None:
            furthest = float(np.max(np.abs(shift), initial=0.0) + RANGE * np.sqrt(np.max(variance, initial=0.0)))
            breaks = np.concatenate([breaks, landmarks(self.scale, furthest)])
        return panels(variance, shift, breaks=breaks, finest=self.finest)

    def _smoothed_breaks(self, spread: float, residual: float) -> Array:
        """Where panels in b end: averaging over z has smoothed phi to the width sqrt(residual), where it was narrower."""
        centres = [place for place, _ in (*self.kinks, *self.discontinuities)]
        centres += [] if self.scale is None else [0.0]
        width = np.hypot(np.sqrt(residual), self.scale or 0.0)
        breaks = [(centre + landmarks(width, 10.0 * spread + abs(centre))) / spread for centre in centres]
        return np.concatenate([np.empty(0), *breaks])

    def _average(
        self, function: Callable[[Array], Array], variance: Array, shift: Array, *, odd: bool = False
    ) -> Array:
        if not odd:
            grid = self.grid(variance, shift)
            return grid.average(function(grid.u))
        # An odd function is averaged over u > 0 with the difference of the densities at u and -u, which keeps its digits
        # as the shift vanishes: density(u - b) (1 - exp(-2 u b / s^2)).
        grid = self.grid(variance, np.abs(shift))
        with np.errstate(over="ignore"):
            exponent = (grid.u / grid.deviation[..., None, None, None]) * (grid.shift / grid.deviation)[
                ..., None, None, None
            ]
        folded = np.where(grid.u > 0.0, -np.expm1(-2.0 * np.maximum(exponent, 0.0)), 0.0)
        return np.sign(shift) * grid.average(folded * function(grid.u))

    def product_mean(
        self,
        left: Callable[[Array, Array], Array],
        right: Callable[[Array, Array], Array],
        variance_u: Array,
        variance_v: Array,
        covariance: Array,
    ) -> Array:
        """E a(u) b(v), by conditioning on the part that u and v share: given that they are independent.

        Args:
            left: takes arrays of variances and shifts to the mean of a, which breaks where phi does.
            right: the same for b. If phi is odd or even, a and b are both odd or both even.
            variance_u: of u, centred and Gaussian.
            variance_v: of v; broadcasts.
            covariance: of u and v; broadcasts.
        """
        u, v, c = np.broadcast_arrays(variance_u, variance_v, covariance)
        answer = np.empty(u.shape)
        for index in np.ndindex(u.shape):
            variances, shared = np.array([u[index], v[index]]), float(c[index])
            largest = np.sqrt(variances[0] * variances[1])
            share = abs(shared) / largest
            frozen = variances * share
            residual = variances * max((largest - abs(shared)) / largest, SMALLEST_RESIDUAL)
            if shared == 0.0:
                nodes, weights = np.zeros(1), np.ones(1)
            else:
                spreads = np.sqrt(frozen)
                first, second = (self._smoothed_breaks(*one) for one in zip(spreads, residual, strict=True))
                breaks = np.concatenate([first, np.sign(shared) * second])
                nodes, weights = bias_rule(breaks, finest=self.finest / np.max(spreads), even=self.parity is not None)
            of_u = left(np.full_like(nodes, residual[0]), np.sqrt(frozen[0]) * nodes)
            if left == right and shared > 0.0 and variances[0] == variances[1]:
                of_v = of_u
            else:
                of_v = right(np.full_like(nodes, residual[1]), np.sign(shared) * np.sqrt(frozen[1]) * nodes)
            answer[index] = weights @ (of_u * of_v)
        return answer


def _at(place: float, variance: Array, shift: Array) -> Array:
    """The z at which u is ``place``."""
    return (place - shift) / np.sqrt(variance)


def _beyond(grid: Panels, place: float) -> npt.NDArray[np.bool_]:
    """Whether ``place`` lies between the shift and each node; a break at the shift itself belongs to the upper side."""
    below = place < grid.shift
    sides = np.stack([below, ~below], axis=-1)[..., None, None]
    return sides & (grid.distance > np.abs(_at(place, grid.deviation**2, grid.shift))[..., None, None, None])
