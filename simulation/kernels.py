"""Kernels on the inputs as drawn, without any limit: radial ones and functions of the inner product."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import array_api_compat

from simulation.arrays import dot, transposed
from simulation.domains import nonnegative, positive, whole


@runtime_checkable
class Kernel(Protocol):
    """A positive semidefinite function of two inputs."""

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair.

        Args:
            left: inputs, shape ``(m, d)``, of any array API namespace; leading axes are of replicates side by side.
            right: inputs, shape ``(n, d)``; None for ``left`` again, whose diagonal is then that of equal inputs exactly.

        Returns:
            Shape ``(m, n)``.
        """


@dataclass(frozen=True, kw_only=True)
class Rbf:
    """``exp(-||x - x'||^2 / (2 length_scale^2 d))``; length_scale positive."""

    length_scale: float = 1.0

    def __post_init__(self) -> None:
        positive("length_scale", self.length_scale)

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair."""
        return _xp(left).exp(_squared_distances(left, right) * (-0.5 / self.length_scale**2))


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """``exp(-||x - x'|| / (length_scale sqrt(d)))``; length_scale positive."""

    length_scale: float = 1.0

    def __post_init__(self) -> None:
        positive("length_scale", self.length_scale)

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair."""
        return _xp(left).exp(_squared_distances(left, right) ** 0.5 * (-1.0 / self.length_scale))


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """``(offset + x.x'/d)^degree``; degree whole, offset nonnegative."""

    degree: int
    offset: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "degree", whole("degree", self.degree))
        nonnegative("offset", self.offset)

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair."""
        return (_inner_products(left, right) + self.offset) ** self.degree


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """``exp(rate x.x'/d)``; rate positive."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        positive("rate", self.rate)

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair."""
        return _xp(left).exp(_inner_products(left, right) * self.rate)


def _inner_products(left: Any, right: Any) -> Any:
    """x.x'/d."""
    return left @ transposed(left if right is None else right) / left.shape[-1]


def _squared_distances(left: Any, right: Any) -> Any:
    """||x - x'||^2 / d, without the rounding of a difference where an input meets itself: laplace takes its root."""
    xp, size = _xp(left), left.shape[-1]
    rows = dot(left, left)
    columns = rows if right is None else dot(right, right)
    squares = (rows[..., :, None] + columns[..., None, :]) / size - 2.0 * _inner_products(left, right)
    if right is None:
        squares = squares * (1.0 - xp.eye(left.shape[-2], dtype=squares.dtype))
    return xp.where(squares > 0.0, squares, xp.zeros_like(squares))


def _xp(array: Any) -> Any:
    return array_api_compat.array_namespace(array)
