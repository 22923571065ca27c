"""Mean and standard error of values that arrive in pieces."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Count, mean and squared deviations of a sample; pieces merge to what the whole would have given, up to rounding.

    Attributes:
        count: number of values.
        mean: their average, 0 where there are none.
        squares: sum of the squared deviations from the mean.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Moments":
        """Summarise finite ``values``."""
        sample = [float(value) for value in values]
        if not sample:
            return cls()
        mean = math.fsum(sample) / len(sample)
        return cls(count=len(sample), mean=mean, squares=math.fsum((value - mean) ** 2 for value in sample))

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both samples together.

        Source: Chan, Golub, LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*,
            1979.
        """
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + step * (other.count / count),
            squares=self.squares + other.squares + step * step * (self.count * other.count / count),
        )

    @property
    def variance(self) -> float:
        """Unbiased variance of one value; infinite for fewer than two, which tell nothing of it."""
        return self.squares / (self.count - 1) if self.count > 1 else math.inf

    @property
    def standard_error(self) -> float:
        """Standard deviation of ``mean``; infinite for fewer than two values."""
        return math.sqrt(self.variance / self.count) if self.count > 1 else math.inf
