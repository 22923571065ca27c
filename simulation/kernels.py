"""Kernels on the inputs as drawn, without any limit: radial ones and functions of the inner product."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from simulation.domains import nonnegative, positive, whole

Array = npt.NDArray[np.float64]


@runtime_checkable
class Kernel(Protocol):
    """A positive semidefinite function of two inputs."""

    def matrix(self, left: Array, right: Array | None = None, *, xp: Any = np) -> Any:
        """Evaluate the kernel at every pair.

        Args:
            left: inputs, shape ``(m, d)``, on the host.
            right: inputs, shape ``(n, d)``; None for ``left`` again, whose diagonal is then that of equal inputs exactly.
            xp: array namespace of the answer, that of :mod:`array_api_compat` for a library with names of its own.

        Returns:
            Shape ``(m, n)``.
        """


@dataclass(frozen=True, kw_only=True)
class Rbf:
    """``exp(-||x - x'||^2 / (2 length_scale^2 d))``; length_scale positive."""

    length_scale: float = 1.0

    def __post_init__(self) -> None:
        positive("length_scale", self.length_scale)

    def matrix(self, left: Array, right: Array | None = None, *, xp: Any = np) -> Any:
        """Evaluate the kernel at every pair."""
        return xp.exp(_squared_distances(left, right, xp) * (-0.5 / self.length_scale**2))


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """``exp(-||x - x'|| / (length_scale sqrt(d)))``; length_scale positive."""

    length_scale: float = 1.0

    def __post_init__(self) -> None:
        positive("length_scale", self.length_scale)

    def matrix(self, left: Array, right: Array | None = None, *, xp: Any = np) -> Any:
        """Evaluate the kernel at every pair."""
        return xp.exp(xp.sqrt(_squared_distances(left, right, xp)) * (-1.0 / self.length_scale))


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """``(offset + x.x'/d)^degree``; degree whole, offset nonnegative."""

    degree: int
    offset: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "degree", whole("degree", self.degree))
        nonnegative("offset", self.offset)

    def matrix(self, left: Array, right: Array | None = None, *, xp: Any = np) -> Any:
        """Evaluate the kernel at every pair."""
        return (_inner_products(left, right, xp) + self.offset) ** self.degree


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """``exp(rate x.x'/d)``; rate positive."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        positive("rate", self.rate)

    def matrix(self, left: Array, right: Array | None = None, *, xp: Any = np) -> Any:
        """Evaluate the kernel at every pair."""
        return xp.exp(_inner_products(left, right, xp) * self.rate)


def _inner_products(left: Array, right: Array | None, xp: Any) -> Any:
    """x.x'/d."""
    rows = xp.asarray(left)
    columns = rows if right is None else xp.asarray(right)
    return rows @ xp.matrix_transpose(columns) / left.shape[1]


def _squared_distances(left: Array, right: Array | None, xp: Any) -> Any:
    """||x - x'||^2 / d, without the rounding of a difference where an input meets itself: laplace takes its root."""
    rows = xp.asarray(left)
    columns = rows if right is None else xp.asarray(right)
    size = left.shape[1]
    sums = xp.sum(rows * rows, axis=1)[:, None] + xp.sum(columns * columns, axis=1)[None, :]
    squares = sums / size - 2.0 * _inner_products(left, right, xp)
    if right is None:
        squares = squares * (1.0 - xp.eye(left.shape[0], dtype=squares.dtype))
    return xp.where(squares > 0.0, squares, xp.zeros_like(squares))
