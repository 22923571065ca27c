"""The uniformising map of a sample covariance: from one complex variable u to the spectral variable, and back.

For population atoms t with weights w and aspect ratio g,

    x(u) = u + g sum w t u / (u - t) = u + g m1 + sum v / (u - t),    m1 = sum w t,  v = g w t^2,

maps a region of the upper half plane one to one onto the upper half plane of the spectral variable; u = -1 / (companion
Stieltjes transform). The region is bounded below by the curve b(a) = max(0, the b > 0 with sum v / ((a - t)^2 + b^2) = 1),
on which x is real and increases with a. Where the curve touches the real axis begin and end the intervals of the support.

Sources: Silverstein and Choi, *Analysis of the limiting spectral distribution of large dimensional random matrices* (1995);
that the boundary is the graph of a function, with x increasing along it: Biane, *On the free convolution with a
semi-circular distribution* (1997), for whose map this is the same with another measure.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.spectra.roots import Indices, falling_roots

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

CELLS = 2_000_000
"""Points times atoms that one evaluation holds in memory; more are cut into pieces."""


@dataclass(frozen=True, kw_only=True)
class Subordination:
    """The map x(u) of one population.

    Attributes:
        atoms: shape ``(m,)``, distinct positive eigenvalues, ascending.
        weights: shape ``(m,)``, their shares of the dimension; with the share of zero eigenvalues they sum to 1.
        aspect: g, dimension over number of samples.
    """

    atoms: Array
    weights: Array
    aspect: float

    @property
    def masses(self) -> Array:
        """Weights v = g w t^2 of the poles of x(u)."""
        return self.aspect * self.weights * self.atoms**2

    @property
    def shift(self) -> float:
        """What x(u) - u tends to far away: g m1."""
        return float(self.aspect * (self.weights @ self.atoms))

    def image(self, u: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return x(u), shape ``(points,)``, for real or complex u."""
        # As a product: atoms far above u would leave the other forms no digits.
        return u * (1.0 + self._sum(u, self.aspect * self.weights * self.atoms, 1))

    def image_and_slope(self, u: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Return x(u) and x'(u) at complex u, in real arithmetic: what Newton's method spends its time on."""
        step = max(1, CELLS // self.atoms.size)
        linear, masses = self.aspect * self.weights * self.atoms, self.masses
        image, slope = np.empty(u.shape, dtype=complex), np.empty(u.shape, dtype=complex)
        for start in range(0, u.size, step):
            part = slice(start, start + step)
            height = u.imag[part]
            distance = u.real[part, None] - self.atoms
            with np.errstate(divide="ignore", invalid="ignore"):
                square = 1.0 / (distance * distance + (height * height)[:, None])
                scaled = distance * square
                # 1 / (u - t) = scaled - i height square, and its square below.
                image[part] = scaled @ linear - 1j * height * (square @ linear)
                scaled *= square
                first = square @ masses
                square *= square
                slope[part] = first - 2.0 * height**2 * (square @ masses) - 2j * height * (scaled @ masses)
        return np.asarray(u * (1.0 + image)), np.asarray(1.0 - slope)

    def pull(self, u: ComplexArray) -> Array:
        """Return sum v / |u - t|^2, which is below 1 exactly where x maps one to one."""
        return np.concatenate(
            [
                (1.0 / np.abs(part[:, None] - self.atoms) ** 2) @ self.masses
                for part in np.array_split(u, 1 + u.size * self.atoms.size // CELLS)
            ]
        )

    def slope(self, u: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return x'(u) = 1 - sum v / (u - t)^2."""
        return 1.0 - self._sum(u, self.masses, 2)

    def curvature(self, u: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return x''(u) = 2 sum v / (u - t)^3."""
        return 2.0 * self._sum(u, self.masses, 3)

    def transform(self, u: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return sum w / (t - u), the Stieltjes transform of the nonzero part of the population."""
        return -self._sum(u, self.weights, 1)

    def _sum(self, u: npt.NDArray[Any], coefficients: Array, power: int) -> npt.NDArray[Any]:
        """Return sum coefficients / (u - t)^power, power 1 to 3."""
        step = max(1, CELLS // self.atoms.size)
        answer = np.empty(u.shape, dtype=u.dtype)
        for start in range(0, u.size, step):
            part = slice(start, start + step)
            inverse = 1.0 / (u[part, None] - self.atoms)
            square = inverse if power == 1 else inverse * inverse
            answer[part] = (square * inverse if power == 3 else square) @ coefficients
        return answer

    def critical_points(self) -> Array:
        """Return the real u at which intervals of the support begin and end, shape ``(intervals, 2)``, ascending."""
        gaps, after, before = self._open_gaps()
        last = self.atoms.size - 1
        ends = np.array([0, last])
        reach = np.full(2, np.sqrt(self.masses.sum()))
        outer = self._distances(ends, np.array([-1.0, 1.0]), upper=reach)
        right_of = self._distances(gaps, np.ones(gaps.size), upper=after)
        left_of = self._distances(gaps + 1, -np.ones(gaps.size), upper=before)
        starts = np.concatenate([[self.atoms[0] - outer[0]], self.atoms[gaps + 1] - left_of])
        return np.stack([starts, np.concatenate([self.atoms[gaps] + right_of, [self.atoms[-1] + outer[1]]])], axis=1)

    def _distances(self, of: Indices, sides: Array, *, upper: Array) -> Array:
        """Return how far from these atoms, to this side and at most so far, x' vanishes."""

        def excess(distance: Array, which: Indices) -> tuple[Array, Array]:
            # 1 - (sum v / (u - t)^2)^(-1/2) at u = t + side * distance is nearly linear in the distance.
            square, cube = self._real_sums(of[which], sides[which] * distance, 2, 3)
            root = 1.0 / np.sqrt(square)
            return 1.0 - root, -sides[which] * cube * root**3

        return falling_roots(excess, lower=np.sqrt(self.masses[of]), upper=upper)

    def _real_sums(self, nearest: Indices, offset: Array, *powers: int) -> list[Array]:
        """Return sum v / (u - t)^power for each power at u = atom + offset, exact in the offset however small it is."""
        step = max(1, CELLS // self.atoms.size)
        answers = [np.empty(offset.size) for _ in powers]
        for start in range(0, offset.size, step):
            part = slice(start, start + step)
            inverse = 1.0 / ((self.atoms[nearest[part], None] - self.atoms) + offset[part, None])
            square = inverse * inverse
            of_power = {2: square, 3: square * inverse, 4: square * square}
            for answer, power in zip(answers, powers, strict=True):
                answer[part] = of_power[power] @ self.masses
        return answers

    def _open_gaps(self) -> tuple[Indices, Array, Array]:
        """Return the gaps between consecutive atoms that part the support, with the distances to their largest x'."""
        atoms, roots = self.atoms, np.cbrt(self.masses)
        widths = np.diff(atoms)
        # Already the two neighbours close a gap if the least of their part of the sum exceeds 1.
        candidates = np.flatnonzero((roots[:-1] + roots[1:]) ** 3 < widths**2)
        width = widths[candidates]

        def pull(distance: Array, which: Indices) -> tuple[Array, Array]:
            square, cube, fourth = self._real_sums(candidates[which], distance, 2, 3, 4)
            return cube / square, (2.0 * cube**2 - 3.0 * fourth * square) / square**2

        # sum v / (u - t)^3 falls from infinity to minus infinity; its zero is where sum v / (u - t)^2 is least.
        after = falling_roots(pull, lower=np.zeros_like(width), upper=width, tolerance=1e-9)
        (least,) = self._real_sums(candidates, after, 2)
        is_open = least < 1.0
        return candidates[is_open], after[is_open], (width - after)[is_open]

    def height(self, a: Array) -> Array:
        """Return b(a), the height of the curve above real a, 0 outside the intervals; shape of ``a``."""
        step = max(1, CELLS // self.atoms.size)
        return np.concatenate([self._height(a[start : start + step]) for start in range(0, a.size, step)] or [a])

    def _height(self, a: Array) -> Array:
        squares = (a[:, None] - self.atoms) ** 2
        # The reciprocal of the sum is concave in b^2, so that Newton's method from below rises to the root; any single term
        # is a bound from below.
        height = np.maximum((self.masses - squares).max(axis=1), 0.0)
        for _ in range(60):
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = 1.0 / (squares + height[:, None])
                total = inverse @ self.masses
                step = (total - 1.0) * total / ((inverse * inverse) @ self.masses)
            step = np.where(np.isfinite(step), step, 0.0)
            following = np.maximum(height + step, 0.0)
            moved = np.abs(following - height) > 1e-15 * following
            height = following
            if not moved.any():
                break
        return np.asarray(np.sqrt(height))
