"""Two classes as square loss on their labels sees them, through any features.

Inputs are ``x = y mu + Sigma^(1/2) z`` with labels y = +-1, and features have a covariance Omega within each class and a
coupling Phi, the mean of a class. With v the variance of the labels and ``M(kappa) = Phi' (Omega + kappa)^-1 Phi``,

    T(kappa) = v / (1 + v M(kappa)),

where v is 1 without a fitted constant. M passes through random layers as T does. On a class the score of a
predictor is Gaussian, so that its mean and mean square, which are read off T, give the misclassification.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Spectrum, Vector
from theory.equivalents.point import Complex, Continued, Equivalent, Point, Share


class ContinuedMixture(NamedTuple):
    """What :class:`theory.equivalents.point.Continued` holds; T is no sum over shares."""

    ridge: Complex
    total: Complex
    converged: npt.NDArray[np.bool_]
    shares: tuple[Share, ...] = ()
    unlearnable_variance: float = 0.0
    noise_variance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MixtureEquivalent:
    """An equivalent whose target is the label of two classes.

    Attributes:
        base: the features, without noise; the energy of an eigenvalue is the squared mean on it over the eigenvalue, see
            :func:`mean_energies`. No constant is fitted beside it.
        label_variance: v: 1, or ``4 p (1 - p)`` where a constant is fitted and a share p of the labels is positive.

    Source: Couillet and Liao, "Random Matrix Methods for Machine Learning" (2022), section 6; Mignacco et al.,
        arXiv:2002.11544, for ridge regression on labels.
    """

    base: Equivalent
    label_variance: float = 1.0

    @property
    def constant(self) -> float:
        """Eigenvalue of the constant that the features form."""
        return self.base.constant

    @property
    def modes(self) -> Any:
        """Those of the features."""
        return self.base.modes  # type: ignore[attr-defined]

    @property
    def families(self) -> Any:
        """Those of the features, where there are several."""
        return getattr(self.base, "families", None)

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
        total = self.label_variance / (1.0 + self.label_variance * point.learned)
        # T - kappa T' = T^2 (1/v + M + kappa M'), and -M' is the base's T'.
        explained = point.learned_twice + point.feature_variance
        return replace(
            point,
            bias=total * total * (1.0 / self.label_variance + explained),
            noise_variance=0.0,
            feature_variance=0.0,
            total=total,
            mixed_per_ridge=total * total * point.mixed_per_ridge,
            learned=total * point.learned * self.label_variance,
            recovered=np.inf,
        )

    def continued(self, n_samples: float, penalty: Complex) -> Continued:
        """Continue to complex penalties; see :class:`theory.equivalents.point.Equivalent`."""
        found = self.base.continued(n_samples, penalty)
        coupling: Complex = np.zeros(found.ridge.shape, complex)
        for share in found.shares:
            coupling += share.learned
        total: Complex = self.label_variance / (1.0 + self.label_variance * coupling)
        return ContinuedMixture(found.ridge, total, found.converged)  # type: ignore[return-value]


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
