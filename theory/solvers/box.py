"""Sides of a box in which minima are sought, each by its numbers or their logarithms."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A side of the box.

    Attributes:
        lower, upper: its ends.
        log: whether it is searched by the logarithm.
        whole: whether whole numbers alone are admissible.
    """

    lower: float
    upper: float
    log: bool = False
    whole: bool = False

    def scaled(self, values: npt.ArrayLike) -> Vector:
        """Return the coordinates by which it is searched: the natural logarithm, or the numbers themselves."""
        return np.log(np.asarray(values, float)) if self.log else np.asarray(values, float)

    def natural(self, scaled: npt.ArrayLike) -> Vector:
        """Return the numbers at scaled coordinates, within the ends and whole where they must be."""
        values = np.exp(np.asarray(scaled, float)) if self.log else np.asarray(scaled, float)
        values = np.round(values) if self.whole else values
        return np.clip(values, self.lower, self.upper)

    def grid(self, size: int) -> Vector:
        """Return scaled coordinates from end to end, at most so many."""
        ends = self.scaled([self.lower, self.upper])
        points = np.linspace(ends[0], ends[1], size) if ends[1] > ends[0] else ends[:1]
        return np.unique(self.scaled(self.natural(points)))
