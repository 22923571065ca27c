"""Two classes as square loss on their labels sees them, through any features.

Inputs are ``x = y mu + Sigma^(1/2) z`` with labels y = +-1 of mean l, and features have a covariance Omega within each class
and a coupling Phi, half the difference of the class means. With ``M(kappa) = Phi' (Omega + kappa)^-1 Phi``,

    T(kappa) = v / (1 + v M(kappa)),

where v is ``1 - l^2`` with a fitted constant, and 1 without, as long as the features have no mean. If they have, with
eigenvalue c, it is a constant whose weight is penalised: T is an entry of a matrix,

    T = [(G^-1 + diag(c / kappa, M))^-1]_22,    G = [[1, l], [l, 1]].

M passes through random layers as T does. On a class the score of a predictor is Gaussian, so that its mean and mean square,
which are read off T, give the misclassification.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Spectrum, Vector
from theory.equivalents.point import Complex, Continued, Equivalent, Point, Share
from theory.modes import Modes


class ContinuedMixture(NamedTuple):
    """What :class:`theory.equivalents.point.Continued` holds, but that T is no sum over shares.

    ``level`` is the mean of the labels, as far as the features are to express it, ``learned_level`` the part of it that the
    population problem does, and ``inner`` are the ridges of the features' own shares.
    """

    ridge: Complex
    df1: Complex
    total: Complex
    learned: Complex
    level: float
    learned_level: Complex
    converged: npt.NDArray[np.bool_]
    shares: tuple[Share, ...] = ()
    unlearnable_variance: float = 0.0
    noise_variance: float = 0.0
    inner: tuple[Complex, ...] = ()


class _Matrix(NamedTuple):
    """T and ``L = G - T``, what is learned: sums of terms of one sign for real ridges.

    ``cross_per_ridge`` is ``T_12 / kappa``.
    """

    total: Any
    learned: Any
    learned_level: Any
    cross_per_ridge: Any


@dataclass(frozen=True, kw_only=True)
class MixtureEquivalent:
    """An equivalent whose target is the label of two classes.

    Attributes:
        base: the features, without noise; the energy of an eigenvalue is the squared mean on it over the eigenvalue, see
            :func:`mean_energies`. No constant is fitted beside it.
        mean_label: l, in (-1, 1); of no consequence where features without a mean are fitted without a constant.
        fit_intercept: whether a constant is fitted, to centred features.

    Source: Couillet and Liao, "Random Matrix Methods for Machine Learning" (2022), section 6; Mignacco et al.,
        arXiv:2002.11544, for ridge regression on labels.
    """

    base: Equivalent
    mean_label: float = 0.0
    fit_intercept: bool = False

    @property
    def label_variance(self) -> float:
        """v: what of the labels is left to the features."""
        return (1.0 - self.mean_label) * (1.0 + self.mean_label) if self.fit_intercept else 1.0

    @property
    def level(self) -> float:
        """The mean of the labels, as far as the features' mean is to express it."""
        return self.mean_label if self.base.constant > 0.0 and not self.fit_intercept else 0.0

    def _matrix(self, coupling: Any, ridge: Any) -> _Matrix:
        level, variance = self.level, self.label_variance
        if level == 0.0:
            total = variance / (1.0 + variance * coupling)
            return _Matrix(total, variance * coupling * total, 0.0 * total, 0.0 * total)
        within, shrunk = (1.0 - level) * (1.0 + level), ridge / self.base.constant
        # kappa / c times the determinant of G^-1 + N, of which the entries of T are minors.
        determinant = (1.0 + shrunk + shrunk * coupling) / within + coupling
        cross = level / within / determinant
        total = (1.0 + shrunk / within) / determinant
        constant = (1.0 / within + coupling) / determinant
        return _Matrix(
            total=total,
            learned=cross * level + total * coupling,
            learned_level=constant * level + cross * shrunk * coupling,
            cross_per_ridge=cross / self.base.constant,
        )

    @property
    def constant(self) -> float:
        """Eigenvalue of the constant that the features form."""
        return self.base.constant

    @property
    def tables(self) -> tuple[Modes, ...]:
        """Those of the features."""
        return self.base.tables

    @property
    def n_unpenalised(self) -> int:
        """None: a constant that is fitted to classes takes no degree of freedom."""
        return 0

    @property
    def rank(self) -> float:
        """Of the features."""
        return self.base.rank

    def without_constant(self) -> "MixtureEquivalent":
        """Return the features less their mean."""
        return replace(self, base=self.base.without_constant())

    def solve(self, n_samples: Any, penalty: Any) -> Point:
        """Return the point at real sizes and penalties; see :class:`theory.equivalents.point.Equivalent`."""
        point = self.base.solve(n_samples, penalty)
        matrix = self._matrix(point.learned, point.outer_ridge)
        # dT / d kappa = - T N' T, N' of negative entries.
        mixed = point.learned - point.learned_twice - point.feature_variance
        of_constant = matrix.cross_per_ridge**2 * self.base.constant
        lost = matrix.total**2 * mixed + of_constant * point.outer_ridge
        per_ridge = matrix.total**2 * point.mixed_per_ridge + of_constant
        return replace(
            point,
            bias=matrix.total - lost,
            noise_variance=0.0,
            feature_variance=0.0,
            total=matrix.total,
            mixed_per_ridge=per_ridge,
            learned=matrix.learned,
            recovered=np.inf,
        )

    def continued(self, n_samples: float, penalty: Complex) -> Continued:
        """Continue to complex penalties; see :class:`theory.equivalents.point.Equivalent`."""
        found = self.base.continued(n_samples, penalty)
        matrix = self._matrix(found.learned, found.ridge)
        return ContinuedMixture(  # type: ignore[return-value]
            ridge=found.ridge,
            df1=found.df1,
            total=matrix.total,
            learned=matrix.learned,
            level=self.level,
            learned_level=matrix.learned_level,
            converged=found.converged,
            inner=tuple(share.ridge for share in found.shares),
        )


def mean_energies(spectrum: Spectrum, shares: Vector) -> Vector:
    """Return the energies that stand for a class mean: its square on each eigenvalue, over the eigenvalue.

    Args:
        spectrum: of the inputs within a class.
        shares: shape ``(m,)``: of ``||mu||^2``, one an entry of the spectrum.

    Raises:
        InadmissibleProblem: the mean has a part where the inputs have no variance.
    """
    placed = shares > 0.0
    if np.any(placed & (spectrum.eigenvalues == 0.0)):
        raise InadmissibleProblem(
            "the class means may not differ where the inputs have no variance, which would tell the classes apart exactly:"
            " give the zero eigenvalues no share of the mean",
            argument="mean_alignment",
        )
    energies: Vector = np.where(placed, shares / np.where(placed, spectrum.eigenvalues, 1.0), 0.0)
    return energies
