"""Matrices of inner products of features, n x n: linear, kernels of infinite width, random features of any depth.

Features without finite widths act like ``X X' `` of Gaussian features with a spectrum, plus a tail on the diagonal: a
sample covariance, scaled and shifted. Features of finite width are known by the continuation of their ridge kappa,

    (1/n) tr (K/n + penalty)^-1 = 1 / kappa(penalty)

off the positive axis; where the imaginary part of 1 / kappa ends, the support does.

Sources: El Karoui, arXiv:1001.0492; Fan and Wang, arXiv:2005.11879; the continuation of a chain of ridges:
:mod:`theory.equivalents.layered`.
"""

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Spectrum
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent
from theory.spectra.intervals import Stretch
from theory.spectra.law import Law, affine
from theory.spectra.sample_covariance import gram_law, sample_covariance

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

LOWEST, HIGHEST = -10.0, 3.0
"""Decades about the mean eigenvalue in which the support is looked for."""
PER_DECADE = 24
ABOVE = 1e-9
"""How far above the real axis a density is read, relative to x."""
PIECES = 16
"""Parts into which the bracket of an end is cut at a time."""
NARROWINGS = 5
WITHIN = 200
"""Points of each interval at which a gap in it would show."""
VISIBLE = 3e-5
"""Share of an imaginary part in a value that it exceeds inside the support, and falls below within 1e-9 outside."""


def wide_kernel_law(modes: Spectrum, *, tail: float, n_samples: float) -> Law:
    """Return the law of K for features of infinite width.

    Args:
        modes: eigenvalues of the population operator and their multiplicities, the constant left out.
        tail: what the diagonal of K has beyond them.
        n_samples: n, the dimension.
    """
    if not np.any(modes.eigenvalues > 0.0):
        return _point_mass(tail, n_samples)
    return affine(gram_law(sample_covariance(modes, n_samples)), scale=n_samples, shift=tail)


def finite_kernel_law(equivalent: Equivalent, *, rank: float, n_samples: float) -> Law:
    """Return the law of K for features of finite width.

    Args:
        equivalent: of the features, without a constant.
        rank: of their covariance; beyond it K has eigenvalues 0.
        n_samples: n, the dimension.

    Raises:
        InadmissibleProblem: no interval of the support was found within thirteen decades about the mean eigenvalue.
    """

    def transform(z: ComplexArray) -> ComplexArray:
        # A continuation ends short of the negative axis of penalties, where the support lies.
        above = np.maximum(z.imag, np.where(z.real > 0.0, ABOVE * np.abs(z), 0.0))
        penalty = -(z.real + 1j * above) / n_samples
        answer = np.empty(z.shape, dtype=complex)
        # Points of like size are continued together, from one start.
        sizes = np.floor(np.log10(np.abs(penalty)))
        for size in np.unique(sizes):
            alike = sizes == size
            found = equivalent.continued(n_samples, penalty[alike])
            answer[alike] = np.where(found.converged, 1.0 / found.ridge, np.nan) / n_samples
        return answer

    def density_at(x: Array, which: Indices) -> Array:
        edge = (x <= support[which, 0]) | (x >= support[which, 1])
        values = np.maximum(transform(x.astype(complex)).imag, 0.0) / np.pi
        return np.where(edge, 0.0, values)

    missing = max(0.0, 1.0 - rank / n_samples)
    square = abs(rank / n_samples - 1.0) < 1e-14
    mean = _mean(transform)
    support = _support(transform, mean, square=square)
    if len(support) == 0:
        raise InadmissibleProblem(
            f"no eigenvalues were found between {mean * 10**LOWEST:.3g} and {mean * 10**HIGHEST:.3g}; use other scales"
        )
    return Law(
        dimension=n_samples,
        support=support,
        masses=np.ones(len(support)),
        atoms=((0.0, missing),) if missing > 1e-14 else (),
        density_at=density_at,
        transform_above=transform,
        transform_outside=lambda x: np.asarray(transform(x.astype(complex)).real),
        unbounded=square,
    )


def finite_rank(equivalent: Equivalent) -> float:
    """Return the rank of the features' covariance."""
    if isinstance(equivalent, ModalEquivalent):
        return float(min(equivalent.width, equivalent.modes.rank))
    return float(equivalent.rank)


def _mean(transform: object) -> float:
    """Return the mean eigenvalue, from the transform far out on the negative axis: -z m(z) - 1 = mean / z + ..."""
    scale = 1.0
    for _ in range(60):
        far = 1e6 * scale
        share = 1.0 - far * float(transform(np.array([-far + 0j]))[0].real)  # type: ignore[operator]
        mean = far * share
        if 0.1 * scale < mean < 10.0 * scale:
            return mean
        scale = max(mean, 1e-6 * scale)
    return scale


def _support(transform: object, mean: float, *, square: bool) -> Array:
    """Find the intervals on which the transform has an imaginary part."""

    def visible(x: Array) -> npt.NDArray[np.bool_]:
        values = transform(x.astype(complex))  # type: ignore[operator]
        return np.asarray(values.imag > VISIBLE * np.abs(values))

    count = int((HIGHEST - LOWEST) * PER_DECADE)
    x = mean * np.logspace(LOWEST, HIGHEST, count)
    inside = visible(x)
    for low, high in _runs(inside):
        # A gap narrower than the steps so far.
        finer = Stretch(left=x[[low]], right=x[[high - 1]]).points(np.linspace(0.0, np.pi, WITHIN)[1:-1, None]).ravel()
        x = np.append(x, finer)
    x = np.unique(x)
    inside = visible(x)
    runs = _runs(inside)
    outer, inner = [], []
    for low, high in runs:
        outer += [x[low - 1] if low else 0.0, x[high] if high < x.size else 2.0 * x[-1]]
        inner += [x[low], x[high - 1]]
    ends = _ends(transform, visible, np.array(outer), np.array(inner)).reshape(-1, 2)
    if square and len(ends) and runs[0][0] == 0:
        ends[0, 0] = 0.0
    return ends


def _runs(inside: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and one past last of each run of true values."""
    steps = np.diff(np.concatenate([[0], inside.astype(int), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def _ends(transform: object, visible: object, outer: Array, inner: Array) -> Array:
    """Narrow brackets of ends, then extrapolate the square of the density, which vanishes linearly there."""
    for _ in range(NARROWINGS):
        cuts = outer + (inner - outer) * np.linspace(0.0, 1.0, PIECES + 1)[:, None]
        seen = visible(cuts[1:-1].ravel()).reshape(PIECES - 1, -1)  # type: ignore[operator]
        seen = np.concatenate([seen, np.ones((1, outer.size), bool)])
        first = seen.argmax(axis=0)
        columns = np.arange(outer.size)
        outer, inner = cuts[first, columns], cuts[first + 1, columns]
    width = np.abs(inner - outer)
    away = np.sign(inner - outer)
    near, far = inner + away * 4.0 * width, inner + away * 8.0 * width
    values = transform(np.concatenate([near, far]).astype(complex)).imag ** 2  # type: ignore[operator]
    first_square, second_square = np.split(values, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        end = near - (far - near) * first_square / (second_square - first_square)
    between = (end - outer) * away
    return np.where((between > -width) & (between < 2.0 * width), end, inner)


def _point_mass(at: float, dimension: float) -> Law:
    """Return the law of ``at`` times the identity."""
    return Law(
        dimension=dimension,
        support=np.empty((0, 2)),
        masses=np.empty(0),
        atoms=((at, 1.0),),
        density_at=lambda x, _: np.zeros_like(x),
        transform_above=lambda z: 1.0 / (at - z),
        transform_outside=lambda x: 1.0 / (at - x),
    )
