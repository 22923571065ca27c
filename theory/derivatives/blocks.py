"""Random Fourier features, two families side by side, with derivatives; see :mod:`theory.equivalents.blocks`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from theory.derivatives.dual import Dual, Space, Vector, chained, exp, value_of
from theory.derivatives.equivalents import Reading, Solved, Table, filled_by
from theory.derivatives.inputs import Spectrum, linear_table
from theory.equivalents.random_fourier import sine_tail


@dataclass(frozen=True, kw_only=True)
class BlockEquivalent:
    """Families of features, each with a ridge of its own.

    Attributes:
        families: their mode tables.
        widths: number of features of each.
        constant: position of the constant among the modes of the last family; None if there is none.
    """

    families: tuple[Table, ...]
    widths: tuple[Any, ...]
    constant: int | None

    @property
    def space(self) -> Space:
        """The directions."""
        return self.families[0].space

    def without_constant(self) -> "BlockEquivalent":
        """Return the features less their mean."""
        if self.constant is None:
            return self
        *others, last = self.families
        left = np.ones(last.eigenvalues.value.size)
        left[self.constant] = 0.0
        last = replace(last, multiplicities=last.multiplicities * left, energies=last.energies * left)
        return replace(self, families=(*others, last), constant=None)

    def read(self, solved: Solved, *, rates: bool) -> Reading:
        """See :class:`theory.derivatives.equivalents.Equivalent`."""
        outer = self.space.along(solved.outer, self.space.n_parameters)
        whole: Any = sum(self.widths)
        parts = [
            _family(table, width, whole, outer, ridge, self.space.size - 1 - place, rates=rates)
            for place, (table, width, ridge) in enumerate(zip(self.families, self.widths, solved.inner, strict=True))
        ]
        sums: list[Any] = [None] * len(Reading._fields)
        for place, values in enumerate(zip(*parts, strict=True)):
            if values[0] is not None:
                sums[place] = sum(values[1:], values[0])
        found = Reading(*sums)._replace(ridge=outer)
        return found if not rates else found._replace(spread=found.spread_per_ridge * outer)


def _family(table: Table, width: Any, whole: Any, outer: Dual, ridge: Any, direction: int, *, rates: bool) -> Reading:
    inner = table.space.along(ridge, direction)
    sums = table.sums(inner)
    tail = filled_by(table.tail_trace, inner)
    df1 = sums.kept(table.multiplicities) + tail
    equation = inner * (1.0 - df1 / width) - outer * (whole / width)
    lost = table.unlearnable_variance + table.noise_variance
    found = Reading(outer, df1, sums.shrunk(table.energies) + lost, sums.kept(table.energies))
    if rates:
        # d log k_b / d log kappa = left / (left + spread / N), left = kappa / (p_b k_b).
        spread = sums.mixed(table.multiplicities) + tail
        left = whole / width * outer / inner if value_of(inner) > 0.0 else 1.0 - df1 / width
        total_left = left + spread / width
        steady, per_ridge = spread / width / total_left, whole / width / total_left
        mixed = sums.mixed(table.energies)
        over_ridge = filled_by(tail, inner)
        found = found._replace(
            spread=spread,
            spread_per_ridge=per_ridge * (sums.mixed_per_ridge(table.multiplicities) + over_ridge),
            label=sums.shrunk_twice(table.energies) + lost + steady * mixed,
            learned_twice=sums.kept_twice(table.energies) + steady * mixed,
            mixed_per_ridge=per_ridge * sums.mixed_per_ridge(table.energies),
            df2=sums.kept_twice(table.multiplicities) + steady * spread,
        )
    return found.eliminated(equation, direction)


def random_fourier(
    spectrum: Spectrum,
    energies: Vector,
    *,
    frequencies: Any,
    length_scale: Any,
    mean: Any = 0.0,
    fit_intercept: bool = False,
    noise_variance: Any = 0.0,
    nonlinear_variance: Any = 0.0,
) -> BlockEquivalent:
    """See :func:`theory.equivalents.random_fourier.random_fourier`."""
    space, n_inputs = spectrum.space, spectrum.n_inputs
    base = linear_table(spectrum, energies, noise_variance=noise_variance, nonlinear_variance=nonlinear_variance)
    q = base.multiplicities.dot(base.eigenvalues) / n_inputs / length_scale**2
    decay = exp(-q)
    kept, lost = float(decay.value), float(np.expm1(-q.value))
    sines = replace(
        base,
        eigenvalues=base.eigenvalues * (decay / (n_inputs * length_scale**2)),
        tail_trace=chained(q, sine_tail(float(q.value)), kept * (q.value + lost)),
    )
    cosines = Table(
        space=space,
        eigenvalues=space.stacked([0.0 if fit_intercept else decay]),
        multiplicities=space.constants(np.ones(1)),
        energies=space.stacked([0.0 if fit_intercept else mean * mean]),
        tail_trace=chained(q, 0.5 * lost * lost, -lost * kept),
        n_unpenalised=0,
    )
    return BlockEquivalent(
        families=(sines, cosines), widths=(frequencies, frequencies), constant=None if fit_intercept else 0
    )
