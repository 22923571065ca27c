"""The mode table: everything that square loss needs to know of features and target."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from operator import mul, truediv
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem

Vector = npt.NDArray[np.float64]

FEW_MODES = 16
COUNT_TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Population eigenvalues of the features' kernel and the target's energy on them.

    Sizes may be counts, or counts divided by d: the equations are homogeneous of degree 0 in
    ``(multiplicities, tail_trace / eigenvalue, n_samples, width)``. A leading axis holds a batch of problems with
    equally many modes, as do the scalar fields then, with shape ``(batch,)``.

    Attributes:
        eigenvalues: shape ``(..., m)``, nonnegative.
        multiplicities: shape ``(..., m)``, nonnegative, real.
        energies: shape ``(..., m)``, nonnegative: E[(P_i f)^2] summed over each group; squared units of the label.
        tail_trace: nonnegative, the trace of infinitely many infinitesimal modes.
        unlearnable_variance: nonnegative, energy of the target that no mode expresses.
        noise_variance: nonnegative, variance of the label noise.
        count: the exact sum of the multiplicities, where they are weights whose sum carries rounding.
        n_unpenalised: 0, or 1 when an unpenalised constant is fitted beside the modes.

        n_modes: total multiplicity of the positive eigenvalues.
        rank: the same, or infinity when there is a tail.
        trace: trace of the kernel operator, tail included.
        arithmetic_mean, harmonic_mean: of the positive eigenvalues, by multiplicity; 0 where there are none.
        signal_variance: energy of the target on the modes.

    Modes with eigenvalue 0 are allowed: their energy acts as unlearnable variance, and they do not count in ``rank``.

    Raises:
        InadmissibleProblem: a field is negative or not finite, or the shapes differ.
    """

    eigenvalues: Vector
    multiplicities: Vector
    energies: Vector
    tail_trace: float | Vector = 0.0
    unlearnable_variance: float | Vector = 0.0
    noise_variance: float | Vector = 0.0
    n_unpenalised: int = 0
    count: float | None = None
    n_modes: float | Vector = field(init=False)
    rank: float | Vector = field(init=False)
    trace: float | Vector = field(init=False)
    arithmetic_mean: float | Vector = field(init=False)
    harmonic_mean: float | Vector = field(init=False)
    signal_variance: float | Vector = field(init=False)

    def __post_init__(self) -> None:
        eigenvalues, multiplicities, energies = (
            np.asarray(value, float) for value in (self.eigenvalues, self.multiplicities, self.energies)
        )
        if not (
            eigenvalues.shape == multiplicities.shape == energies.shape
            and eigenvalues.ndim in (1, 2)
            and eigenvalues.size
        ):
            shapes = f"{eigenvalues.shape}, {multiplicities.shape} and {energies.shape}"
            raise InadmissibleProblem(
                f"eigenvalues, multiplicities and energies need one shape, (m,) or (batch, m) with m > 0, got {shapes}"
            )
        single = eigenvalues.ndim == 1
        unlearnable = self.unlearnable_variance
        if not eigenvalues.all():
            null = eigenvalues == 0.0
            stray = np.where(null, energies, 0.0).sum(-1)
            unlearnable = unlearnable + (float(stray) if single else stray)
            eigenvalues = np.where(null, 1.0, eigenvalues)
            multiplicities = np.where(null, 0.0, multiplicities)
            energies = np.where(null, 0.0, energies)
        least, totals = _summary(eigenvalues, multiplicities, energies)
        n_modes, energy, bulk_trace, inverse_trace = totals
        if self.count is not None and unlearnable is self.unlearnable_variance:
            if not abs(self.count - n_modes) <= COUNT_TOLERANCE * n_modes:
                raise InadmissibleProblem(
                    f"count must be the sum of the multiplicities, {n_modes!r}, got {self.count!r}"
                )
            n_modes = self.count
        for name, lowest, total in (
            ("eigenvalues", least[0], bulk_trace),
            ("multiplicities", least[1], n_modes),
            ("energies", least[2], energy),
            ("tail_trace", self.tail_trace, self.tail_trace),
            ("unlearnable_variance", unlearnable, unlearnable),
            ("noise_variance", self.noise_variance, self.noise_variance),
        ):
            # Nonnegative terms with a finite sum are finite; NaN fails both comparisons.
            if not (lowest >= 0.0 and total < np.inf if single else np.all(lowest >= 0.0) and np.all(total < np.inf)):
                raise InadmissibleProblem(f"{name} must be finite and at least 0")
        empty = n_modes == 0.0
        occupied = n_modes + empty
        derived = {
            "n_modes": n_modes,
            "rank": _rank(n_modes, self.tail_trace, single=single),
            "trace": bulk_trace + self.tail_trace,
            "arithmetic_mean": bulk_trace / occupied,
            "harmonic_mean": n_modes / (inverse_trace + empty),
            "signal_variance": energy,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        for name, value in (
            ("eigenvalues", eigenvalues),
            ("multiplicities", multiplicities),
            ("energies", energies),
            ("unlearnable_variance", unlearnable),
        ):
            object.__setattr__(self, name, value)

    def is_single(self, *sizes: object) -> bool:
        """Whether this table and the sizes beside it describe one problem rather than a batch."""
        return self.eigenvalues.ndim == 1 and not any(getattr(size, "ndim", 0) for size in sizes)

    def rows(self, piece: slice) -> "Modes":
        """Return the problems in ``piece`` of a batch; the same table where all problems share it."""
        if self.eigenvalues.ndim == 1:
            return self
        values = {name: getattr(self, name) for name in _FIELDS}
        return _assembled({name: value[piece] if np.ndim(value) else value for name, value in values.items()})


def stacked(tables: Sequence[Modes], repeats: Sequence[int], *, noise_variance: npt.ArrayLike | None = None) -> Modes:
    """Return a batch of problems, ``repeats[i]`` of them on ``tables[i]``, with the very numbers of those tables.

    Args:
        tables: each of one problem, with equally many modes and unpenalised constants.
        repeats: how many problems there are on each.
        noise_variance: shape ``(sum(repeats),)``, in place of the tables' own.

    Returns:
        A table with a leading axis of length ``sum(repeats)``; of a single table it is a view.
    """
    first, total = tables[0], sum(repeats)
    values: dict[str, Any] = {"n_unpenalised": first.n_unpenalised, "count": None}
    for name in _FIELDS:
        if name in values:
            continue
        each = [getattr(table, name) for table in tables]
        whole = np.asarray(each, float)
        if len(tables) == 1:
            values[name] = np.broadcast_to(whole[0], (total, *whole.shape[1:]))
        else:
            values[name] = np.repeat(whole, repeats, axis=0)
    if noise_variance is not None:
        values["noise_variance"] = np.asarray(noise_variance, float)
    return _assembled(values)


def _assembled(values: dict[str, Any]) -> Modes:
    """Return a table of numbers that were checked and summed up before."""
    table = object.__new__(Modes)
    for name, value in values.items():
        object.__setattr__(table, name, value)
    return table


_FIELDS = tuple(item.name for item in fields(Modes))


def _summary(eigenvalues: Vector, multiplicities: Vector, energies: Vector) -> tuple[Any, Any]:
    """Return the least entry of each, and the sums of m, c, m xi and m / xi; of a few modes without NumPy's overhead."""
    if eigenvalues.ndim == 1 and eigenvalues.size <= FEW_MODES:
        xi, m, c = eigenvalues.tolist(), multiplicities.tolist(), energies.tolist()
        traces = (sum(map(mul, m, xi)), sum(map(truediv, m, xi)))
        return (min(xi), min(m), min(c)), (sum(m), sum(c), *traces)
    least = tuple(float(values.min()) for values in (eigenvalues, multiplicities, energies))
    traces = (np.vecdot(multiplicities, eigenvalues), np.vecdot(multiplicities, 1.0 / eigenvalues))
    totals = (multiplicities.sum(-1), energies.sum(-1), *traces)
    return least, tuple(map(float, totals)) if eigenvalues.ndim == 1 else totals


def _rank(n_modes: float | Vector, tail_trace: float | Vector, *, single: bool) -> float | Vector:
    if single:
        return n_modes if tail_trace == 0.0 else np.inf
    return np.where(np.asarray(tail_trace) > 0.0, np.inf, n_modes)
