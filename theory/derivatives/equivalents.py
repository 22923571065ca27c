"""Equivalents with their derivatives: kappa is the free variable, and degrees of freedom and target are functions of it.

An equivalent here answers :meth:`Equivalent.read` at ridges that were solved for elsewhere. What it returns depends on the
parameters and on the outer ridge, whose direction is the last one but for unknowns of the equivalent's own, which it has
eliminated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from theory.derivatives.dual import Dual, Space, Vector, eliminated, value_of


class Reading(NamedTuple):
    """What a learner reads at ridges of any shape; see :class:`theory.equivalents.point.Point` for the symbols.

    Attributes:
        ridge: kappa.
        df1: df(kappa) without an unpenalised constant.
        total: T.
        learned: what the population problem explains of the target.
        spread: ``-d df / d log kappa``; this and the rest for real ridges only.
        spread_per_ridge: over kappa, by its limit where that is 0.
        label: ``T - kappa T'``.
        learned_twice: ``sum c f^2`` and the feature variance: ``learned - kappa T'``.
        mixed_per_ridge: T'.
        df2: ``df1 - spread``, not formed as that difference.
        unfilled: the trace of a tail that would begin at a ridge of 0, where df1 has no derivative by it: what it adds to
            ``kappa df1``. None where df1 says it.
        learned_level: of classes; see :class:`theory.equivalents.mixture.ContinuedMixture`.
    """

    ridge: Dual
    df1: Dual
    total: Dual
    learned: Dual
    spread: Any = None
    spread_per_ridge: Any = None
    label: Any = None
    learned_twice: Any = None
    mixed_per_ridge: Any = None
    learned_level: Any = None
    df2: Any = None
    unfilled: Any = None

    def eliminated(self, equation: Dual, direction: int) -> "Reading":
        """Eliminate an unknown from each entry that there is, all at once; see :func:`theory.derivatives.dual.eliminated`."""
        places = [place for place, value in enumerate(self) if value is not None]
        shape = np.broadcast_shapes(equation.tangent.shape, self.df1.tangent.shape)
        whole = Dual(0.0, np.array([np.broadcast_to(self[place].tangent, shape) for place in places]))
        tangents = eliminated(whole, equation, direction).tangent
        entries: list[Any] = list(self)
        for place, tangent in zip(places, tangents, strict=True):
            entries[place] = Dual(entries[place].value, tangent)
        return Reading(*entries)

    def changed(self, change: Callable[[Dual], Dual]) -> "Reading":
        """Return the same after a change to each entry that there is."""
        entries: Any = (value if value is None else change(value) for value in self)
        return Reading(*entries)


class Equivalent(Protocol):
    """Features in a regime, as square loss sees them, with derivatives."""

    @property
    def space(self) -> Space:
        """The directions; the first beyond the parameters is that of kappa."""
        ...

    def without_constant(self) -> "Equivalent":
        """Return the features less their mean."""
        ...

    def read(self, solved: "Solved", *, rates: bool) -> Reading:
        """Return what a learner reads.

        Args:
            solved: the ridges.
            rates: whether what is read of real ridges only is wanted.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Ridges, all of one shape, that solve an equivalent's equations to rounding.

    Attributes:
        outer: kappa.
        inner: by which the target's modes are shrunk; those of several families one after the other.
    """

    outer: Any
    inner: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A mode table with derivatives; fields as in :class:`theory.modes.Modes`, of which eigenvalues of 0 are kept."""

    space: Space
    eigenvalues: Vector
    multiplicities: Vector
    energies: Vector
    tail_trace: Dual | float = 0.0
    unlearnable_variance: Dual | float = 0.0
    noise_variance: Dual | float = 0.0
    n_unpenalised: int = 0

    def without_derivatives_by(self, directions: npt.NDArray[np.bool_]) -> "Table":
        """Return the table with derivatives that are not a number along some directions."""
        if not np.any(directions):
            return self
        lost, counts = self.unlearnable_variance + self.space.constant(0.0), self.multiplicities
        # What is lost of a target reaches squared errors, and degrees of freedom all others.
        row = np.where(directions, np.nan, 0.0)[None, :]
        left = np.concatenate([counts.left, np.ones((1, counts.value.size))])
        return replace(
            self,
            unlearnable_variance=Dual(lost.value, np.where(directions, np.nan, lost.tangent)),
            multiplicities=Vector(counts.value, left, np.concatenate([counts.right, row])),
        )

    def sums(self, ridge: Dual) -> "Sums":
        """Return the functions of eigenvalue and ridge that are summed over the modes."""
        return Sums(self, ridge)


class Sums:
    """Sums over a table's modes at ridges of any shape, differentiated under the sum.

    With ``r = 1 / (xi + k)``, ``f = xi r`` and ``s = k r``: each sum knows the derivatives of its summand by xi and by k.
    """

    def __init__(self, table: Table, ridge: Dual) -> None:
        self.table, self.ridge = table, ridge
        xi, k = table.eigenvalues.value, ridge.value
        self.column = k[..., None] if np.ndim(k) else k
        null = (xi + self.column) == 0.0
        # An eigenvalue of 0 at a ridge of 0 is nothing to learn: f = 0, s = 1.
        self.r = np.where(null, 0.0, 1.0 / np.where(null, 1.0, xi + self.column))
        self.f = xi * self.r
        self.s = np.where(null, 1.0, self.column * self.r)

    def _sum(self, weights: Vector, values: Any, by_eigenvalue: Any, by_ridge: Any) -> Dual:
        w, xi = weights.value, self.table.eigenvalues
        tangent = weights.weighted(values) + xi.weighted(w * by_eigenvalue)
        slope = by_ridge @ w
        return Dual(_number(values @ w), tangent + _column(slope) * self.ridge.tangent)

    def kept(self, weights: Vector) -> Dual:
        """``sum w f``."""
        return self._sum(weights, self.f, self.s * self.r, -self.f * self.r)

    def kept_twice(self, weights: Vector) -> Dual:
        """``sum w f^2``."""
        f, r = self.f, self.r
        return self._sum(weights, f * f, 2.0 * f * self.s * r, -2.0 * f * f * r)

    def shrunk(self, weights: Vector) -> Dual:
        """``sum w s``."""
        return self._sum(weights, self.s, -self.s * self.r, self.f * self.r)

    def shrunk_twice(self, weights: Vector) -> Dual:
        """``sum w s^2``."""
        s, r = self.s, self.r
        return self._sum(weights, s * s, -2.0 * s * s * r, 2.0 * s * self.f * r)

    def mixed(self, weights: Vector) -> Dual:
        """``sum w f s``."""
        f, s, r = self.f, self.s, self.r
        return self._sum(weights, f * s, s * r * (s - f), f * r * (f - s))

    def mixed_per_ridge(self, weights: Vector) -> Dual:
        """``sum w f r``."""
        f, s, r = self.f, self.s, self.r
        return self._sum(weights, f * r, r * r * (s - f), -2.0 * f * r * r)


@dataclass(frozen=True, kw_only=True)
class ModalEquivalent:
    """See :class:`theory.equivalents.modal.ModalEquivalent`.

    Attributes:
        table: its modes.
        width: number of random features over them.
        constant: position of the constant among the modes, None if there is none.
    """

    table: Table
    width: Dual | float = np.inf
    constant: int | None = None

    @property
    def space(self) -> Space:
        """The directions."""
        return self.table.space

    def without_constant(self) -> "ModalEquivalent":
        """Return the features less their mean."""
        if self.constant is None:
            return self
        left = np.ones(self.table.eigenvalues.value.size)
        left[self.constant] = 0.0
        table = replace(
            self.table, multiplicities=self.table.multiplicities * left, energies=self.table.energies * left
        )
        return replace(self, table=table, constant=None)

    def read(self, solved: Solved, *, rates: bool) -> Reading:
        """See :class:`Equivalent`."""
        table, space = self.table, self.table.space
        finite = bool(np.isfinite(value_of(self.width)))
        direction = space.size - 1 if finite else space.n_parameters
        inner = space.along(solved.inner[0], direction)
        unfilled = table.tail_trace if isinstance(table.tail_trace, Dual) and not np.all(inner.value) else None
        if unfilled is not None and finite:
            # The first of a tail interpolates as many samples as width or samples leave: the error jumps.
            table, unfilled = table.without_derivatives_by(unfilled.tangent != 0.0), None
        sums = table.sums(inner)
        tail = filled_by(table.tail_trace, inner)
        df1 = sums.kept(table.multiplicities) + tail
        lost = table.unlearnable_variance + table.noise_variance
        total, learned = sums.shrunk(table.energies) + lost, sums.kept(table.energies)
        # The solved ridges know the margin without the rounding of a difference.
        ridge = (inner * (1.0 - df1 / self.width)).with_value(solved.outer) if finite else inner
        found = Reading(ridge, df1, total, learned, unfilled=unfilled)
        if rates:
            found = found._replace(**replace(self, table=table)._rates(sums, inner, ridge, tail, lost))
        if not finite:
            return found
        equation = ridge - space.along(solved.outer, space.n_parameters)
        return found.eliminated(equation, direction)

    def _rates(self, sums: Sums, inner: Dual, ridge: Dual, tail: Any, lost: Any) -> dict[str, Any]:
        table, space = self.table, self.table.space
        over_ridge = filled_by(tail, inner)
        spread = sums.mixed(table.multiplicities) + tail
        per_ridge = sums.mixed_per_ridge(table.multiplicities) + over_ridge
        mixed, mixed_per_ridge = sums.mixed(table.energies), sums.mixed_per_ridge(table.energies)
        bias = sums.shrunk_twice(table.energies) + lost
        twice = sums.kept_twice(table.energies)
        if not np.isfinite(value_of(self.width)):
            return {
                "spread": spread,
                "spread_per_ridge": per_ridge,
                "label": bias + space.constant(0.0),
                "learned_twice": twice,
                "mixed_per_ridge": mixed_per_ridge,
                "df2": sums.kept_twice(table.multiplicities),
            }
        # By the solved ridges, as above, where there are any.
        margin = ridge / inner if inner.value > 0.0 else 1.0 - sums.kept(table.multiplicities) / self.width
        left = margin + spread / self.width
        steady = spread / self.width / left
        return {
            "spread": margin / left * spread,
            "spread_per_ridge": per_ridge / left,
            "label": bias + steady * mixed,
            "learned_twice": twice + steady * mixed,
            "mixed_per_ridge": mixed_per_ridge / left,
            "df2": sums.kept_twice(table.multiplicities) + steady * spread,
        }


def filled_by(tail: Any, ridge: Dual) -> Any:
    """Return what a tail adds to the degrees of freedom at ridges: its trace over them, and 0 at 0, where there is no tail.

    A trace of 0 is divided as well, as the first of it adds in proportion.
    """
    return tail / ridge if isinstance(tail, Dual) and np.all(ridge.value) else 0.0


def _number(value: Any) -> Any:
    return value if np.ndim(value) else value.item()


def _column(value: npt.NDArray[Any]) -> Any:
    return value[..., None] if np.ndim(value) else value
