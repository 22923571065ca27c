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
            return Dual(self.value * other.value, _by(other.value) * self.tangent + _by(self.value) * other.tangent)
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


class Vector:
    """Numbers, one a mode, with derivatives in factored form: they depend on few combinations of the parameters.

    Attributes:
        value: shape ``(m,)``.
        left: shape ``(rank, m)``.
        right: shape ``(rank, directions)``; derivatives are ``left' right``.
    """

    __slots__ = ("left", "right", "value")
    __array_ufunc__ = None

    def __init__(self, value: Array, left: Array, right: Array) -> None:
        if left.shape[0] > right.shape[1]:
            left, right = right.T @ left, np.eye(right.shape[1])
        self.value, self.left, self.right = value, left, right

    def with_value(self, value: Array) -> "Vector":
        """Return the same derivatives beside the same value, found with less rounding."""
        return Vector(value, self.left, self.right)

    def __mul__(self, other: Any) -> "Vector":
        if isinstance(other, Vector):
            left = [self.left * other.value, other.left * self.value]
            return Vector(self.value * other.value, np.concatenate(left), np.concatenate([self.right, other.right]))
        if isinstance(other, Dual):
            left = [self.left * other.value, self.value[None, :]]
            right = [self.right, other.tangent[None, :]]
            return Vector(self.value * other.value, np.concatenate(left), np.concatenate(right))
        return Vector(self.value * other, self.left * other, self.right)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Vector":
        if isinstance(other, Vector):
            return self * chained_vector(other, 1.0 / other.value, -1.0 / other.value**2)
        divided: Vector = self * (1.0 / other)
        return divided

    def __getitem__(self, index: Any) -> "Vector":
        """Choose entries by an array of positions."""
        return Vector(self.value[index], self.left[:, index], self.right)

    def entry(self, position: int) -> Dual:
        """Return one of the numbers."""
        return Dual(float(self.value[position]), self.left[:, position] @ self.right)

    def weighted(self, weights: Any) -> Any:
        """Return the derivatives of ``weights @ self`` for weights of shape ``(..., m)``."""
        return (weights @ self.left.T) @ self.right

    def total(self) -> Dual:
        """Return the sum."""
        return Dual(float(np.sum(self.value)), np.sum(self.left, axis=1) @ self.right)

    def dot(self, other: "Vector") -> Dual:
        """Return the sum of products."""
        tangent = self.weighted(other.value) + other.weighted(self.value)
        return Dual(float(self.value @ other.value), tangent)

    def appended(self, last: Any) -> "Vector":
        """Return the numbers with one more."""
        size = self.value.size
        left = np.zeros((self.left.shape[0], size + 1))
        left[:, :size] = self.left
        value = np.append(self.value, value_of(last))
        if not isinstance(last, Dual):
            return Vector(value, left, self.right)
        one = np.zeros((1, size + 1))
        one[0, size] = 1.0
        return Vector(value, np.concatenate([left, one]), np.concatenate([self.right, last.tangent[None, :]]))

    def followed_by(self, other: "Vector") -> "Vector":
        """Return these numbers, then others."""
        left = np.zeros((self.left.shape[0] + other.left.shape[0], self.value.size + other.value.size))
        left[: self.left.shape[0], : self.value.size] = self.left
        left[self.left.shape[0] :, self.value.size :] = other.left
        return Vector(np.concatenate([self.value, other.value]), left, np.concatenate([self.right, other.right]))


def chained_vector(numbers: Vector, value: Array, slope: Array) -> Vector:
    """Return a function of each of the numbers, given its values and slopes."""
    return Vector(value, slope * numbers.left, numbers.right)


def powers(logarithms: Array, exponent: Any, values: Array | None = None) -> Vector:
    """Return ``exp(logarithms * exponent)``.

    Args:
        logarithms: shape ``(m,)``.
        exponent: with derivatives or without.
        values: the same, where it is known.
    """
    values = np.exp(logarithms * value_of(exponent)) if values is None else values
    if not isinstance(exponent, Dual):
        return Vector(values, np.zeros((0, values.size)), np.zeros((0, 0)))
    return Vector(values, (logarithms * values)[None, :], exponent.tangent[None, :])


def eliminated_together(quantity: Dual, equations: Sequence[Dual], directions: Sequence[int]) -> Dual:
    """Do what :func:`eliminated` does, for as many equations as unknowns that share them; scalars only."""
    places = list(directions)
    rows = np.array([equation.tangent for equation in equations])
    weights = np.linalg.solve(rows[:, places].T, quantity.tangent[places])
    tangent = quantity.tangent - weights @ rows
    tangent[places] = 0.0
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

    def constants(self, values: Array) -> Vector:
        """Return numbers that depend on nothing."""
        return Vector(values, np.zeros((0, values.size)), np.zeros((0, self.size)))

    def vector(self, values: Array, first: int) -> Vector:
        """Return independent numbers, one a direction from ``first`` on."""
        right = np.zeros((values.size, self.size))
        right[np.arange(values.size), first + np.arange(values.size)] = 1.0
        return Vector(values, np.eye(values.size), right)

    def stacked(self, numbers: Sequence[Any]) -> Vector:
        """Return numbers, with derivatives or without, as one vector."""
        found = self.constants(np.array([value_of(number) for number in numbers], float))
        places = [place for place, number in enumerate(numbers) if isinstance(number, Dual)]
        if not places:
            return found
        left = np.zeros((len(places), len(numbers)))
        left[np.arange(len(places)), places] = 1.0
        return Vector(found.value, left, np.array([numbers[place].tangent for place in places]))
