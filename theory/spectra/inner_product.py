"""Inner-product kernel matrices f(x_i.x_j / sqrt(d)) / sqrt(d) with zero diagonal, n x n, for isotropic inputs.

With c = d / n, the transform m of the matrix of a centred f solves the cubic

    z(m) = -1/m - a1^2 m / (c + a1 m) - (nu - a1^2) m / c,
    a1 = E[G f(G)],  a2 = E[(G^2 - 1) f(G)] / sqrt 2,  nu = Var f(G),

G standard normal; every outlier sits at a real m0 with z'(m0) > 0.

Sources: Cheng and Singer, arXiv:1202.3155; Liao and Couillet, arXiv:1909.06788; outliers: Liao, Couillet, Mahoney,
*Sparse quantized spectral clustering* (ICLR 2021), Theorem 2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.activations import Activation, moments
from theory.spectra.law import Law
from theory.spectra.outliers import Outlier, misclassification

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

NEGLIGIBLE = 1e-14
"""Parts of f smaller than this share of its variance are rounding, and would give the cubic a spurious root."""


@dataclass(frozen=True, kw_only=True)
class InnerProductKernel:
    """The matrix of one function at one ratio.

    Attributes:
        n_samples: n, its dimension.
        ratio: c = d / n.
        mean: a0 = E f(G), which the theory subtracts from f.
        linear: a1.
        quadratic: a2.
        remainder: nu - a1^2, at least 0.
    """

    n_samples: float
    ratio: float
    mean: float
    linear: float
    quadratic: float
    remainder: float

    def value(self, m: Any) -> Any:
        """Return z(m)."""
        return -1.0 / m - self.linear**2 * m / (self.ratio + self.linear * m) - self.remainder * m / self.ratio

    def slope(self, m: float) -> float:
        """Return z'(m)."""
        c, a1 = self.ratio, self.linear
        return float(1.0 / m**2 - a1**2 * c / (c + a1 * m) ** 2 - self.remainder / c)


def inner_product_kernel(
    activation: Activation, *, n_samples: float, n_features: float, variance: float = 1.0
) -> InnerProductKernel:
    """Prepare the matrix of an activation.

    Args:
        activation: f, of :data:`theory.activations.ACTIVATIONS`.
        n_samples: n, positive.
        n_features: d, positive.
        variance: of the inputs in every direction; x_i.x_j / sqrt(d) then has variance ``variance**2``.
    """
    averages = moments(activation, variance**2)
    linear = float(averages.slope) * variance
    remainder = float(averages.nonlinear_variance)
    total = linear**2 + remainder
    return InnerProductKernel(
        n_samples=float(n_samples),
        ratio=float(n_features) / float(n_samples),
        mean=float(averages.mean),
        linear=linear if linear**2 > NEGLIGIBLE * total else 0.0,
        quadratic=float(averages.curvature) * variance**2 / np.sqrt(2.0),
        remainder=remainder if remainder > NEGLIGIBLE * total else 0.0,
    )


def inner_product_law(kernel: InnerProductKernel) -> Law:
    """Return the law of the matrix's eigenvalues; see the module's docstring."""
    c, a1 = kernel.ratio, kernel.linear
    support = _support(kernel)
    # A linear f is a sample covariance less its diagonal: with fewer dimensions than samples the others are at -a1.
    deficient = kernel.remainder == 0.0 and a1 != 0.0 and c < 1.0

    def density_at(x: Array, which: Indices) -> Array:
        edge = (x <= support[which, 0]) | (x >= support[which, 1])
        roots = _transform_roots(kernel, x.astype(complex))
        found = np.nanmax(roots.imag, axis=1)
        return np.where(edge, 0.0, found / np.pi)

    def outside(x: Array) -> Array:
        # The root that the upper half plane leads to.
        scale = float(np.max(np.abs(support)))
        near = _upper(_transform_roots(kernel, np.asarray(x + 1e-9j * scale, dtype=complex)))
        roots = _transform_roots(kernel, x.astype(complex))
        closest = np.nanargmin(np.abs(roots - near[:, None]), axis=1)
        return np.asarray(roots[np.arange(x.size), closest].real)

    return Law(
        dimension=kernel.n_samples,
        support=support,
        masses=np.ones(len(support)),
        atoms=((-a1, 1.0 - c),) if deficient else (),
        density_at=density_at,
        transform_above=lambda z: _upper(_transform_roots(kernel, z)),
        transform_outside=outside,
    )


def norm_outliers(kernel: InnerProductKernel, *, kurtosis: float = 3.0) -> list[Outlier]:
    """Return the spurious eigenvalues that fluctuations of ||x||^2 make, if f has a quadratic part.

    Args:
        kernel: the matrix.
        kurtosis: of the inputs' entries, 3 for Gaussian ones; above 1.
    """
    if abs(kernel.quadratic) < 1e-12 * np.sqrt(kernel.linear**2 + kernel.remainder):
        return []
    size = kernel.ratio * np.sqrt(2.0 / (kurtosis - 1.0)) / abs(kernel.quadratic)
    places = [float(m) for m in (size, -size) if kernel.slope(m) > 0.0]
    return [
        Outlier(origin="norms", population=None, at=float(kernel.value(np.float64(m))), alignment=None, visible=True)
        for m in places
    ]


def class_mean_outlier(kernel: InnerProductKernel, rho: float) -> Outlier:
    """Return the eigenvalue by which two classes at means plus and minus mu show, with its alignment to the labels.

    Args:
        kernel: the matrix.
        rho: ||mu||^2 in units of the inputs' variance, positive and of order 1.
    """
    c, a1 = kernel.ratio, kernel.linear
    if a1 == 0.0:
        # Without a linear part means leave no trace.
        return Outlier(
            origin="class_means", population=rho, at=None, alignment=0.0, visible=False, misclassification=0.5
        )
    ratio = (a1**2 + kernel.remainder) / a1**2
    # z'(m) at the outlier's m, times positive factors; its one positive root is where it begins to show.
    strength = np.polynomial.Polynomial([-c, -2.0 * c, 1.0 - c * ratio, 2.0, 1.0])
    roots = np.asarray(strength.roots(), dtype=complex)
    threshold = float(np.max(roots.real[np.abs(roots.imag) <= 1e-9 * np.abs(roots)]))
    if not strength(rho) > 0.0:
        support = inner_product_law(kernel).support
        edge = support[-1, 1] if a1 > 0.0 else support[0, 0]
        at, alignment = float(edge), 0.0
    else:
        at = a1 * (1.0 + rho) / c + a1 / rho + kernel.remainder / (a1 * (1.0 + rho))
        alignment = float(strength(rho)) / (rho * (1.0 + rho) ** 3)
    return Outlier(
        origin="class_means",
        population=rho,
        at=at,
        alignment=alignment,
        visible=bool(strength(rho) > 0.0),
        misclassification=misclassification(alignment),
        threshold=threshold,
    )


def _transform_roots(kernel: InnerProductKernel, z: ComplexArray) -> ComplexArray:
    """Return all m with z(m) = z, shape ``(n, k)``, k the degree."""
    c, a1, b = kernel.ratio, kernel.linear, kernel.remainder
    ones = np.ones_like(z)
    coefficients = [ones * c, a1 + z * c, a1**2 + b + z * a1]
    if a1 * b != 0.0:
        coefficients.append(ones * (b * a1 / c))
    scale = coefficients[-1]
    size = len(coefficients) - 1
    companion = np.zeros((z.size, size, size), dtype=complex)
    companion[:, 1:, :-1] = np.eye(size - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        for row, coefficient in enumerate(coefficients[:-1]):
            companion[:, row, -1] = -coefficient / scale
    finite = np.isfinite(companion).all(axis=(1, 2))
    roots = np.full((z.size, size), np.nan, dtype=complex)
    roots[finite] = np.linalg.eigvals(companion[finite])
    return _polished(coefficients, roots)


def _polished(coefficients: list[ComplexArray], roots: ComplexArray) -> ComplexArray:
    """Take two steps of Newton's method on each root."""
    for _ in range(2):
        value = np.zeros_like(roots)
        slope = np.zeros_like(roots)
        for coefficient in reversed(coefficients):
            slope = slope * roots + value
            value = value * roots + coefficient[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = value / slope
        better = np.abs(step) < 1e-3 * np.abs(roots)
        roots = np.where(better, roots - step, roots)
    return roots


def _upper(roots: ComplexArray) -> ComplexArray:
    """Return the one root in the upper half plane: the right-hand side of the fixed point maps it into itself."""
    return np.asarray(roots[np.arange(len(roots)), np.nanargmax(roots.imag, axis=1)])


def _support(kernel: InnerProductKernel) -> Array:
    """Return the intervals between values z(m) at real critical points m where a complex pair of roots exists."""
    c, a1, b = kernel.ratio, kernel.linear, kernel.remainder
    # z'(m) = 0 times m^2 (c + a1 m)^2 c.
    square = np.polynomial.Polynomial([c, a1]) ** 2
    power = np.polynomial.Polynomial([0.0, 0.0, 1.0])
    critical = (c * square - a1**2 * c**2 * power - b * power * square).trim().roots()
    real = critical.real[np.abs(critical.imag) <= 1e-9 * np.abs(critical)]
    for _ in range(3):
        curvature = -2.0 / real**3 + 2.0 * a1**3 * c / (c + a1 * real) ** 3
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.array([kernel.slope(m) for m in real]) / curvature
        real = np.where(np.abs(step) < 1e-3 * np.abs(real), real - step, real)
    ends = np.unique(kernel.value(real))
    middles = 0.5 * (ends[1:] + ends[:-1])
    roots = _transform_roots(kernel, middles.astype(complex))
    inside = np.nanmax(roots.imag, axis=1) > 1e-9 * np.nanmax(np.abs(roots), axis=1)
    intervals: list[list[float]] = []
    for position in np.flatnonzero(inside):
        low, high = float(ends[position]), float(ends[position + 1])
        if intervals and intervals[-1][1] == low:
            intervals[-1][1] = high
        else:
            intervals.append([low, high])
    return np.array(intervals)
