"""Numbers with their derivatives by many parameters at once, and the elimination of what an equation determines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Dual:
    """A value and its derivatives.

    Attributes:
        value: a number, or an array of any shape, real or complex.
        tangent: of the value's shape, or one that broadcasts to it, and a last axis: one entry a direction.
    """

    __slots__ = ("tangent", "value")
    __array_ufunc__ = None  # arrays on the left leave the operation to this class

    def __init__(self, value: Any, tangent: Array) -> None:
        self.value = value
        self.tangent = tangent

    def __repr__(self) -> str:
        return f"Dual({self.value!r}, {self.tangent!r})"

    @property
    def ndim(self) -> int:
        """Of the value."""
        return int(np.ndim(self.value))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return np.shape(self.value)

    @property
    def full_tangent(self) -> Array:
        """The tangent, broadcast to the value's shape."""
        return np.broadcast_to(self.tangent, (*self.shape, self.tangent.shape[-1]))

    def with_value(self, value: Any) -> "Dual":
        """Return the same derivatives beside the same value, found with less rounding."""
        return Dual(value, self.tangent)

    def __add__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.tangent + other.tangent)
        return Dual(self.value + other, self.tangent)

    __radd__ = __add__

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.tangent)

    def __sub__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value - other.value, self.tangent - other.tangent)
        return Dual(self.value - other, self.tangent)

    def __rsub__(self, other: Any) -> "Dual":
        return Dual(other - self.value, -self.tangent)

    def __mul__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(
                self.value * other.value, _by(other.value) * self.tangent + _by(self.value) * other.tangent
            )
        return Dual(self.value * other, _by(other) * self.tangent)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            quotient = self.value / other.value
            return Dual(quotient, (self.tangent - _by(quotient) * other.tangent) / _by(other.value))
        return Dual(self.value / other, self.tangent / _by(other))

    def __rtruediv__(self, other: Any) -> "Dual":
        quotient = other / self.value
        return Dual(quotient, _by(-quotient / self.value) * self.tangent)

    def __pow__(self, power: float) -> "Dual":
        """Raise to a constant power."""
        return Dual(self.value**power, _by(power * self.value ** (power - 1)) * self.tangent)

    def __getitem__(self, index: Any) -> "Dual":
        """Index the value's axes."""
        where = index if isinstance(index, tuple) else (index,)
        where = where if Ellipsis in where else (*where, Ellipsis)
        return Dual(self.value[index], self.full_tangent[(*where, slice(None))])

    def __matmul__(self, weights: Any) -> "Dual":
        """Sum over the last axis with weights of shape ``(m,)``."""
        if isinstance(weights, Dual):
            own = np.einsum("...mp,m->...p", self.full_tangent, weights.value)
            return Dual(self.value @ weights.value, own + self.value @ weights.full_tangent)
        return Dual(self.value @ weights, np.einsum("...mp,m->...p", self.full_tangent, weights))

    def __rmatmul__(self, weights: Array) -> "Dual":
        """``weights @ self`` for weights of shape ``(..., m)`` and a value of shape ``(m,)``."""
        return Dual(weights @ self.value, weights @ self.full_tangent)

    @property
    def real(self) -> "Dual":
        """The real part."""
        return Dual(self.value.real, self.tangent.real)


def _by(factor: Any) -> Any:
    """Make a value broadcast against tangents."""
    return factor[..., None] if isinstance(factor, np.ndarray) else factor


def value_of(number: Any) -> Any:
    """Return the value of a number with or without derivatives."""
    return number.value if isinstance(number, Dual) else number


def chained(number: Dual, value: Any, slope: Any) -> Dual:
    """Return a function of a number, given its value and its slope there."""
    return Dual(value, _by(slope) * number.tangent)


def exp(number: Dual) -> Dual:
    """Return the exponential."""
    value = np.exp(number.value)
    return chained(number, value, value)


def log(number: Dual) -> Dual:
    """Return the natural logarithm."""
    return chained(number, np.log(number.value), 1.0 / number.value)


def sqrt(number: Dual) -> Dual:
    """Return the square root; its derivative at 0 is infinite."""
    value = np.sqrt(number.value)
    return chained(number, value, 0.5 / value)


def total(numbers: Dual) -> Dual:
    """Return the sum over the last axis."""
    return Dual(np.sum(numbers.value, axis=-1), np.sum(numbers.full_tangent, axis=-2))


def stacked(numbers: Sequence[Any], space: "Space") -> Dual:
    """Return scalars, with derivatives or without, as one vector."""
    duals = [number if isinstance(number, Dual) else space.constant(number) for number in numbers]
    return Dual(np.array([dual.value for dual in duals]), np.array([dual.tangent for dual in duals]))


def appended(numbers: Dual, last: Dual) -> Dual:
    """Return a vector with one more entry."""
    return Dual(np.append(numbers.value, last.value), np.concatenate([numbers.full_tangent, last.tangent[None, :]]))


def eliminated(quantity: Dual, equation: Dual, direction: int) -> Dual:
    """Take from a quantity's derivatives the direction of an unknown, which an equation determines.

    Args:
        quantity: of the unknown and the parameters.
        equation: vanishes where the unknown is solved for; elementwise in the same shape.
        direction: of the unknown, in the last axis.

    Returns:
        The quantity as a function of the parameters, with 0 in the unknown's direction.
    """
    slope = equation.tangent[..., direction, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        tangent = quantity.tangent - quantity.tangent[..., direction, None] / slope * equation.tangent
    tangent[..., direction] = 0.0
    return Dual(quantity.value, tangent)


class Space:
    """The directions: parameters first, then unknowns of fixed points.

    Attributes:
        size: number of directions.
        n_parameters: of the parameters.
    """

    def __init__(self, n_parameters: int, n_unknowns: int = 1) -> None:
        self.n_parameters = n_parameters
        self.size = n_parameters + n_unknowns

    def constant(self, value: Any) -> Dual:
        """Return a number that depends on nothing."""
        return Dual(value, np.zeros((*np.shape(value), self.size)))

    def along(self, value: Any, direction: int) -> Dual:
        """Return an independent number, or an array of them that move together."""
        tangent = np.zeros(self.size)
        tangent[direction] = 1.0
        return Dual(value, tangent)

    def vector(self, values: Array, first: int) -> Dual:
        """Return independent numbers, one a direction from ``first`` on."""
        tangent = np.zeros((values.size, self.size))
        tangent[np.arange(values.size), first + np.arange(values.size)] = 1.0
        return Dual(values, tangent)
