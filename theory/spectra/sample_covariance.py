"""The sample covariance X'X/n of any population, and the n x n matrix XX'/n with the same eigenvalues but for zeros."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Spectrum
from theory.spectra.inversion import CurveTable, curve_table, solve_above, solve_off_support, solve_on_support
from theory.spectra.law import Law
from theory.spectra.subordination import Subordination

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

SPAN = 1e50
"""Positive eigenvalues may differ by no more than this factor; powers of their ratios stay within double precision."""
SKEW = 1e16
"""Dimension and samples may differ by no more than this factor; the bulk of an eigenvalue is then wider than rounding."""
NEGLIGIBLE = 1e-15
"""An eigenvalue whose share of the dimension is below this is rounding of the others' and left out."""
MERGE = 1e-14
"""Eigenvalues that differ by less, relatively, are one."""


@dataclass(frozen=True, kw_only=True)
class SampleCovariance:
    """A population and a number of samples, with the map that solves for everything.

    All lengths are in units of ``unit``, a power of 2 about the largest eigenvalue, so that nothing is rounded by it.

    Attributes:
        dimension: p, the number of population eigenvalues, zeros included.
        n_samples: n.
        unit: in the units of the input.
        law: the map x(u) of the positive eigenvalues.
        null_share: share of the population eigenvalues that are 0.
    """

    dimension: float
    n_samples: float
    unit: float
    law: Subordination
    null_share: float

    @property
    def aspect(self) -> float:
        """Dimension over samples, g = p / n."""
        return self.dimension / self.n_samples

    @property
    def atom_at_zero(self) -> float:
        """Mass of the eigenvalue 0 of X'X/n: the population's, or what n samples cannot reach."""
        return max(self.null_share, 1.0 - 1.0 / self.aspect)

    @property
    def square(self) -> bool:
        """Whether there are as many samples as nonzero dimensions: the density then has no bound at 0."""
        return abs(self.aspect * (1.0 - self.null_share) - 1.0) < 1e-14

    @cached_property
    def critical(self) -> Array:
        """Points u at the ends of the intervals of the support, shape ``(k, 2)``."""
        return self.law.critical_points()

    @cached_property
    def edges(self) -> Array:
        """The ends themselves, shape ``(k, 2)``."""
        edges = np.asarray(self.law.image(self.critical.ravel()), dtype=float).reshape(self.critical.shape)
        if self.square:
            edges[0, 0] = 0.0  # up to rounding
        return edges

    @cached_property
    def interval_masses(self) -> Array:
        """Share of the population in each interval; a share that n samples cannot reach is missing from the first."""
        inside = np.searchsorted(self.critical[:, 0], self.law.atoms, side="right") - 1
        masses: Array = np.bincount(inside, weights=self.law.weights, minlength=len(self.critical)).astype(float)
        masses[0] = max(masses[0] - (self.atom_at_zero - self.null_share), 1e-300)
        return masses

    @cached_property
    def _table(self) -> CurveTable:
        return curve_table(self.law, self.critical, self.edges)

    def solve(self, x: Array, which: Indices) -> ComplexArray:
        """Return u at points of the support, in units of ``unit``; see :func:`theory.spectra.inversion.solve_on_support`."""
        return solve_on_support(self.law, self._table, self.critical, self.edges, x, which)

    def solve_outside(self, x: Array) -> Array:
        """Return u at real points outside the support, in units of ``unit``."""
        return solve_off_support(self.law, self.critical, self.edges, x)


def sample_covariance(spectrum: Spectrum, n_samples: float) -> SampleCovariance:
    """Prepare the sample covariance of a population.

    Args:
        spectrum: of the population, every mode listed (not carried by fewer weighted ones).
        n_samples: positive.

    Raises:
        InadmissibleProblem: positive eigenvalues span more than 50 decades, or all are 0; or the sizes more than 16.
    """
    order = np.argsort(spectrum.eigenvalues)
    eigenvalues, counts = spectrum.eigenvalues[order], spectrum.multiplicities[order]
    dimension = float(counts.sum()) if spectrum.count is None else spectrum.count
    if not 1.0 / SKEW <= dimension / n_samples <= SKEW:
        raise InadmissibleProblem(
            f"dimension and n_samples may differ by a factor of {SKEW:g}, got {dimension:.3g} and {n_samples:.3g}",
            argument="n_samples",
        )
    kept = counts > NEGLIGIBLE * dimension
    eigenvalues, counts = eigenvalues[kept], counts[kept]
    positive = eigenvalues > 0.0
    null_share = float(counts[~positive].sum() / dimension)
    eigenvalues, counts = eigenvalues[positive], counts[positive]
    if eigenvalues.size == 0:
        raise InadmissibleProblem("all population eigenvalues are 0, and so are the sample's; give a positive one")
    largest = float(eigenvalues[-1])
    if largest > SPAN * eigenvalues[0]:
        raise InadmissibleProblem(
            f"positive eigenvalues may span a factor of {SPAN:g}, got {eigenvalues[0]:.3g} and {largest:.3g};"
            " write the smallest as 0"
        )
    unit = 2.0 ** np.floor(np.log2(largest))
    first = np.concatenate([[True], np.diff(eigenvalues) > MERGE * eigenvalues[1:]])
    groups = np.flatnonzero(first)
    weights = np.add.reduceat(counts, groups) / dimension
    means = np.add.reduceat(counts * (eigenvalues / unit), groups) / np.add.reduceat(counts, groups)
    return SampleCovariance(
        dimension=dimension,
        n_samples=float(n_samples),
        unit=float(unit),
        law=Subordination(atoms=means, weights=weights, aspect=dimension / n_samples),
        null_share=null_share,
    )


def covariance_law(model: SampleCovariance) -> Law:
    """Return the law of the eigenvalues of X'X/n, p x p.

    Source: Silverstein, *Strong convergence of the empirical distribution of eigenvalues of large dimensional random
        matrices* (1995); Marchenko and Pastur (1967).
    """
    unit, aspect = model.unit, model.aspect
    mass = model.atom_at_zero

    def density_at(x: Array, which: Indices) -> Array:
        return _height(model.solve(x / unit, which)) / (np.pi * aspect * unit)

    def transform(u: npt.NDArray[Any], z: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # z m = u sum w / (t - u) - the share of zeros: no difference of nearly equal numbers, unlike (v + (1 - g) / z) / g.
        at_zero = z == 0.0
        safe = np.where(at_zero, 1.0, z)
        ratio = u / safe
        if at_zero.any():
            ratio = np.where(at_zero, 1.0 / model.law.slope(np.zeros(1))[0], ratio)
        return np.asarray((ratio * model.law.transform(u) - model.null_share / safe) / unit)

    return Law(
        dimension=model.dimension,
        support=model.edges * unit,
        masses=model.interval_masses,
        atoms=((0.0, mass),) if mass > 0.0 else (),
        density_at=density_at,
        transform_above=lambda z: transform(solve_above(model.law, z / unit), z / unit),
        transform_outside=lambda x: transform(model.solve_outside(x / unit), x / unit),
        unbounded=model.square,
    )


def gram_law(model: SampleCovariance) -> Law:
    """Return the law of the eigenvalues of XX'/n, n x n: those of X'X/n but for the number of zeros."""
    unit = model.unit
    mass = max(0.0, 1.0 - model.aspect * (1.0 - model.null_share))
    return Law(
        dimension=model.n_samples,
        support=model.edges * unit,
        masses=model.interval_masses,
        atoms=((0.0, mass),) if mass > 1e-14 else (),
        density_at=lambda x, which: _height(model.solve(x / unit, which)) / (np.pi * unit),
        transform_above=lambda z: -1.0 / (solve_above(model.law, z / unit) * unit),
        transform_outside=lambda x: -1.0 / (model.solve_outside(x / unit) * unit),
        unbounded=model.square,
    )


def _height(u: ComplexArray) -> Array:
    """Return Im(-1/u), 0 where u is real."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(u.imag == 0.0, 0.0, u.imag / (u.real**2 + u.imag**2))
