"""Kernels: in the linear regime, where samples are of the order of the dimension, and on the sphere, at any size.

In the linear regime a kernel of inputs with covariance Sigma acts like ``constant 11' + slope X X' / d + tail I``: linear
modes, a constant, and infinitely many infinitesimal modes that interpolate and regularise.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import binom, gammainc, perm

from theory.covariance import Spectrum
from theory.equivalents.linear import linear_modes
from theory.equivalents.modal import ModalEquivalent
from theory.modes import Modes

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LinearCoefficients:
    """A kernel in the linear regime.

    Attributes:
        constant: eigenvalue of the constant.
        slope: coefficient of ``x.x'/d``.
        tail: what the diagonal has beyond these two.
    """

    constant: float
    slope: float
    tail: float


class Kernel(Protocol):
    """A kernel that is a function of the inputs' scalar products."""

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:
        """Expand at the typical scalar products.

        Args:
            input_variance: q = tr Sigma / d.
            squared_share: tr Sigma^2 / d^2, the variance of ``x.x'/d``.
        """
        ...

    def on_sphere(self, cosine: Vector) -> Vector:
        """Return the kernel of inputs of length sqrt(d) at the cosine of their angle."""
        ...

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:
        """Return a derivative by the cosine, where it is known in closed form and nonnegative."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rbf:
    """``exp(-||x - x'||^2 / (2 length_scale^2 d))``."""

    length_scale: float = 1.0

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:  # noqa: ARG002 - of the protocol
        """See :class:`Kernel`. Source: El Karoui, arXiv:1001.0492."""
        r = input_variance / self.length_scale**2
        # 1 - exp(-r) (1 + r), as the regularised incomplete gamma function that it is.
        return LinearCoefficients(
            constant=float(np.exp(-r)), slope=float(np.exp(-r)) / self.length_scale**2, tail=float(gammainc(2.0, r))
        )

    def on_sphere(self, cosine: Vector) -> Vector:
        """See :class:`Kernel`."""
        return np.exp((cosine - 1.0) / self.length_scale**2)

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:
        """See :class:`Kernel`."""
        scaled: Vector = self.length_scale ** (-2.0 * order) * self.on_sphere(cosine)
        return scaled


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """``exp(rate x.x'/d)``."""

    rate: float = 1.0

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:
        """See :class:`Kernel`. Source: El Karoui, arXiv:1001.0492."""
        r = self.rate * input_variance
        return LinearCoefficients(
            constant=1.0 + self.rate**2 * squared_share / 2.0,
            slope=self.rate,
            tail=float(np.exp(r) * gammainc(2.0, r)),
        )

    def on_sphere(self, cosine: Vector) -> Vector:
        """See :class:`Kernel`."""
        return np.exp(self.rate * cosine)

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:
        """See :class:`Kernel`."""
        return self.rate**order * self.on_sphere(cosine)


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """``(offset + x.x'/d)^degree``."""

    degree: int
    offset: float = 1.0

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:
        """See :class:`Kernel`. Source: El Karoui, arXiv:1001.0492."""
        powers = np.arange(self.degree + 1)
        terms = binom(self.degree, powers) * self.offset ** (self.degree - powers)  # of (x.x'/d)^j
        quadratic = float(terms[2]) if self.degree >= 2 else 0.0
        return LinearCoefficients(
            constant=float(terms[0]) + quadratic * squared_share,
            slope=float(terms[1]),
            tail=float(terms[2:] @ input_variance ** powers[2:]),
        )

    def on_sphere(self, cosine: Vector) -> Vector:
        """See :class:`Kernel`."""
        return (self.offset + cosine) ** self.degree

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:
        """See :class:`Kernel`; of an even power below offset 1 it changes sign and is left to quadrature."""
        if order > self.degree:
            return np.zeros_like(cosine)
        return float(perm(self.degree, order)) * (self.offset + cosine) ** (self.degree - order)


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """``exp(-||x - x'|| / (length_scale sqrt(d)))``."""

    length_scale: float = 1.0

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:  # noqa: ARG002 - of the protocol
        """See :class:`Kernel`. Source: El Karoui, arXiv:1001.0492."""
        distance = np.sqrt(2.0 * input_variance)
        r = distance / self.length_scale
        return LinearCoefficients(
            constant=float(np.exp(-r)),
            slope=float(np.exp(-r)) / (self.length_scale * float(distance)),
            tail=float(-np.expm1(-r) - 0.5 * r * np.exp(-r)),
        )

    def on_sphere(self, cosine: Vector) -> Vector:
        """See :class:`Kernel`."""
        return np.exp(-np.sqrt(2.0 * (1.0 - cosine)) / self.length_scale)

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:  # noqa: ARG002 - of the protocol
        """See :class:`Kernel`; left to quadrature."""
        return None


def kernel_features(
    spectrum: Spectrum,
    energies: npt.ArrayLike,
    *,
    kernel: Kernel,
    noise_variance: float = 0.0,
    nonlinear_variance: float = 0.0,
    mean: float = 0.0,
    fit_intercept: bool = False,
) -> ModalEquivalent:
    """Build the equivalent of a kernel where samples are of the order of the dimension.

    Args:
        spectrum: of the inputs, its multiplicities counts.
        energies: of the target's linear part, one an entry of the spectrum.
        kernel: see :class:`Kernel`.
        noise_variance: of the labels.
        nonlinear_variance: energy of the target orthogonal to constants and linear functions; acts as noise.
        mean: of the target, learned by the kernel's constant.
        fit_intercept: whether an unpenalised constant is fitted, instead of that.

    Source: El Karoui, arXiv:1001.0492; as modes with a tail: Simon et al., arXiv:2110.03922.
    """
    n_inputs = float(np.sum(spectrum.multiplicities)) if spectrum.count is None else spectrum.count
    m, s = spectrum.multiplicities, spectrum.eigenvalues
    found = kernel.linearised(float(m @ s) / n_inputs, float(m @ (s * s)) / n_inputs**2)
    constant = 0.0 if fit_intercept else found.constant
    base = linear_modes(
        spectrum,
        energies,
        noise_variance=noise_variance,
        nonlinear_variance=nonlinear_variance,
        mean=0.0 if constant > 0.0 else mean,
        fit_intercept=fit_intercept,
    )
    modes = Modes(
        eigenvalues=found.slope * base.eigenvalues / n_inputs,
        multiplicities=base.multiplicities,
        energies=base.energies,
        tail_trace=found.tail,
        unlearnable_variance=base.unlearnable_variance,
        noise_variance=base.noise_variance,
        n_unpenalised=base.n_unpenalised,
    )
    return ModalEquivalent(modes=with_constant(modes, constant, mean), constant=constant)


def with_constant(modes: Modes, eigenvalue: float, mean: float) -> Modes:
    """Add the constant function to a mode table.

    Args:
        modes: one table.
        eigenvalue: of the constant; nothing is added where it is 0.
        mean: of the target.
    """
    if eigenvalue == 0.0:
        return modes
    return Modes(
        eigenvalues=np.append(modes.eigenvalues, eigenvalue),
        multiplicities=np.append(modes.multiplicities, 1.0),
        energies=np.append(modes.energies, mean * mean),
        tail_trace=modes.tail_trace,
        unlearnable_variance=modes.unlearnable_variance,
        noise_variance=modes.noise_variance,
        n_unpenalised=modes.n_unpenalised,
        count=None if modes.count is None else modes.count + 1.0,
    )
