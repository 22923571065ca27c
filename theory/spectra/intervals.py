"""Coordinates on an interval of a support in which densities with square-root edges are smooth and periodic."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DECADES = 16.0
"""Intervals whose ends differ by more than this factor are covered evenly in the logarithm."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The map x = left + (right - left) sin^2(angle / 2), or the same for log x, of some intervals at once.

    Both are even and periodic in the angle, with slope 0 at the ends: a density that vanishes there like a square root is
    analytic in the angle, and sums over equidistant angles converge geometrically.

    Attributes:
        left: shape ``(k,)``.
        right: shape ``(k,)``.
    """

    left: Array
    right: Array

    @property
    def logarithmic(self) -> npt.NDArray[np.bool_]:
        """Which intervals are covered evenly in the logarithm."""
        return (self.left > 0.0) & (self.right > DECADES * self.left)

    def points(self, angles: Array) -> Array:
        """Return x at angles of shape ``(k,)`` or ``(n, k)``, in [0, pi]."""
        share = np.sin(0.5 * angles) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            stretched = self.left * np.exp(share * self._log_ratio())
        # Measured from the nearer end, so that both ends are met exactly.
        rest = np.cos(0.5 * angles) ** 2
        width = self.right - self.left
        plain = np.where(share < 0.5, self.left + width * share, self.right - width * rest)
        return np.where(self.logarithmic, np.where(share == 1.0, self.right, stretched), plain)

    def slopes(self, angles: Array) -> Array:
        """Return dx/dangle."""
        half_sine = 0.5 * np.sin(angles)
        scale = np.where(self.logarithmic, self.points(angles) * self._log_ratio(), self.right - self.left)
        return scale * half_sine

    def angles(self, x: Array) -> Array:
        """Return the angles of points, the inverse of :meth:`points`; what lies outside is taken to the nearer end."""
        with np.errstate(divide="ignore", invalid="ignore"):
            stretched = np.log(np.maximum(x, self.left) / self.left) / self._log_ratio()
            plain = (x - self.left) / (self.right - self.left)
        share = np.where(self.logarithmic, stretched, plain)
        return np.asarray(2.0 * np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0))))

    def _log_ratio(self) -> Array:
        return np.log(np.where(self.logarithmic, self.right / np.where(self.left > 0.0, self.left, 1.0), np.e))

    def of(self, which: npt.NDArray[np.intp]) -> "Stretch":
        """Return the maps of the chosen intervals, one for each index."""
        return Stretch(left=self.left[which], right=self.right[which])
