"""A limiting spectral distribution, whatever matrix it is of, and what is read off any: density, transform, averages."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem
from theory.spectra.intervals import Stretch

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

FEWEST_POINTS = 3
"""Points of a density an interval, its ends among them, however many intervals there are."""
FIRST_PANELS = 2
MOST_PANELS = 4096
"""Panels that an average may take, halves of halves counted; an eighth of it where the density is known less well."""
NARROWEST = np.pi / 2**48
SETTLED = 1e-10
"""By how much, relative to the mean of absolute values, halving a panel may change a sum."""
MASS_TOLERANCE = 1e-8
_GAUSS_NODES, _GAUSS_WEIGHTS = (values / 2.0 for values in np.polynomial.legendre.leggauss(16))
_GAUSS_NODES = _GAUSS_NODES + 0.5


@dataclass(frozen=True, kw_only=True)
class Law:
    """The limiting distribution of a matrix's eigenvalues; its total mass is 1.

    Attributes:
        dimension: of the matrix.
        support: shape ``(k, 2)``, the intervals that carry a density, ascending.
        masses: shape ``(k,)``, how much of the distribution each carries, roughly; decides where a density is resolved.
        atoms: places that carry a mass of their own, with it.
        density_at: from points ``x``, shape ``(n,)``, and the interval of each to the density there, 0 at the ends, NaN
            where no certified value was found.
        transform_above: from ``z`` in the open upper half plane to m(z) = (1/dimension) tr (M - z)^-1.
        transform_outside: the same at real points that are neither in the support nor an atom.
        unbounded: whether the density has no bound at the lower end of the support, where it usually vanishes.
        accuracy: of the density where it is worst, relative to its mean; averages are not made better than that.
    """

    dimension: float
    support: Array
    masses: Array
    atoms: tuple[tuple[float, float], ...]
    density_at: Callable[[Array, Indices], Array]
    transform_above: Callable[[ComplexArray], ComplexArray]
    transform_outside: Callable[[Array], Array]
    unbounded: bool = False
    accuracy: float = SETTLED

    @property
    def stretch(self) -> Stretch:
        """The coordinates in which the density is smooth."""
        return Stretch(left=self.support[:, 0], right=self.support[:, 1])


def density(law: Law, num: int) -> tuple[Array, Array]:
    """Return points and the density there, from end to end of each interval of the support.

    Args:
        law: of any matrix.
        num: how many points, shared among the intervals by the roots of their masses; each gets at least 3, so that many
            intervals take more. 0 gives none.

    Returns:
        ``(x, y)``, ascending. They are closer together near the ends, where densities vanish like square roots; y is 0 at the
        ends. Where a density has no bound, as at 0 for as many samples as dimensions, that end is left out.
    """
    if num == 0 or len(law.support) == 0:
        return np.empty(0), np.empty(0)
    share = np.sqrt(law.masses)
    counts = np.maximum(FEWEST_POINTS, np.floor(num * share / share.sum())).astype(int)
    order = np.argsort(-counts, kind="stable")
    while counts.sum() > num and counts[order[0]] > FEWEST_POINTS:
        counts[order] -= np.minimum(counts[order] - FEWEST_POINTS, np.ceil((counts.sum() - num) / len(counts))).astype(
            int
        )
    counts[order[0]] += max(0, num - int(counts.sum()))
    which = np.repeat(np.arange(len(counts)), counts)
    position = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    # Such an end is approached by half a step instead of being met.
    first = np.where(law.unbounded & (np.arange(len(counts)) == 0), 0.5, 0.0)
    angles = np.pi * (position + first[which]) / (counts - 1 + first)[which]
    angles = np.minimum(angles, np.pi)
    x = law.stretch.of(which).points(angles)
    return x, law.density_at(x, which)


def stieltjes_transform(law: Law, z: npt.ArrayLike) -> ComplexArray:
    """Return m(z) = (1/dimension) tr (M - z)^-1.

    Args:
        law: of any matrix.
        z: complex numbers, shape ``(n,)``, in either half plane, or real.

    Raises:
        InadmissibleProblem: a real z lies in the support or on an atom, where m is not defined.
    """
    points = np.atleast_1d(np.asarray(z, dtype=complex))
    answer = np.empty(points.shape, dtype=complex)
    above = np.where(points.imag < 0.0, points.conj(), points)
    real = points.imag == 0.0
    for place in np.flatnonzero(real):
        _refuse_inside(law, float(points[place].real), int(place))
    if real.any():
        answer[real] = law.transform_outside(points[real].real)
    if not real.all():
        answer[~real] = law.transform_above(above[~real])
    return np.where(points.imag < 0.0, answer.conj(), answer)


def _refuse_inside(law: Law, x: float, place: int) -> None:
    inside = (law.support[:, 0] <= x) & (x <= law.support[:, 1])
    if inside.any():
        low, high = law.support[inside][0]
        raise InadmissibleProblem(
            f"the transform is not defined at {x:.12g}, inside the support [{low:.12g}, {high:.12g}]; add an imaginary part",
            argument=str(place),
        )
    if any(x == at for at, _ in law.atoms):
        raise InadmissibleProblem(
            f"the transform is not defined at the atom {x:.12g}; add an imaginary part", argument=str(place)
        )


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """A quadrature rule over chosen intervals of a support, the same number of points in each.

    Attributes:
        x: points, shape ``(n,)``.
        lengths: what each point stands for, shape ``(n,)``: the integral of F dx is the sum of F(x) times it.
        which: the interval of each, shape ``(n,)``.
    """

    x: Array
    lengths: Array
    which: Indices


def nodes(stretch: Stretch, which: Indices, counts: int | Indices) -> Nodes:
    """Return points at the midpoints of equal steps in the angle.

    Args:
        stretch: of the support.
        which: the interval of each point, each interval as often as it has points, one after another.
        counts: points in each of these intervals, one number for all or for each.
    """
    sizes = (
        np.broadcast_to(counts, (which.size // int(np.max(counts)),)) if np.ndim(counts) == 0 else np.asarray(counts)
    )
    position = np.arange(which.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    step = np.pi / np.repeat(sizes, sizes)
    angles = (position + 0.5) * step
    there = stretch.of(which)
    return Nodes(x=there.points(angles), lengths=there.slopes(angles) * step, which=which)


def average(law: Law, function: Callable[[Array], Array]) -> float | None:
    """Return the mean of a function over the distribution, atoms included.

    Panels in the angle are halved until neither their mass nor their part of the mean changes.

    Args:
        law: of any matrix.
        function: of arrays; a kink or a jump costs time, not accuracy.

    Returns:
        None where the sums do not settle, as at a pole in the support, or where the function is not finite.
    """
    total = sum(mass * float(function(np.array([at]))[0]) for at, mass in law.atoms)
    mass = sum(mass for _, mass in law.atoms)
    which = np.repeat(np.arange(len(law.support)), FIRST_PANELS)
    starts = np.tile(np.pi * np.arange(FIRST_PANELS) / FIRST_PANELS, len(law.support))
    width = np.pi / FIRST_PANELS
    sums, size = _panels(law, function, which, starts, width)
    evaluated, most = 0, MOST_PANELS if law.accuracy <= SETTLED else MOST_PANELS // 8
    while starts.size:
        width *= 0.5
        which, starts = np.repeat(which, 2), np.stack([starts, starts + width], axis=1).ravel()
        evaluated += starts.size
        if evaluated > most or width < NARROWEST or not np.isfinite(size):
            return None
        halves, _ = _panels(law, function, which, starts, width)
        together = halves.reshape(2, -1, 2).sum(axis=2)
        settled = (np.abs(together - sums) <= law.accuracy * np.array([[1.0], [size]])).all(axis=0)
        mass, total = mass + float(together[0, settled].sum()), total + float(together[1, settled].sum())
        open_halves = np.repeat(~settled, 2)
        which, starts, sums = which[open_halves], starts[open_halves], halves[:, open_halves]
    # The mass is known: sums that settled on another have not resolved the density.
    tolerance = MASS_TOLERANCE / SETTLED * law.accuracy
    return total if np.isfinite(total) and abs(mass - 1.0) < tolerance else None


def _panels(
    law: Law, function: Callable[[Array], Array], which: Indices, starts: Array, width: float
) -> tuple[Array, float]:
    """Return each panel's mass and part of the mean, shape ``(2, panels)``, and the mean of absolute values."""
    everywhere = np.repeat(which, _GAUSS_NODES.size)
    angles = (starts[:, None] + width * _GAUSS_NODES).ravel()
    stretch = law.stretch.of(everywhere)
    x = stretch.points(angles)
    weights = law.density_at(x, everywhere) * stretch.slopes(angles) * np.tile(width * _GAUSS_WEIGHTS, starts.size)
    with np.errstate(all="ignore"):
        parts = weights * function(x)
        sums = np.stack([weights, parts]).reshape(2, starts.size, -1).sum(axis=2)
        return sums, float(np.abs(parts).sum())


def affine(law: Law, *, scale: float, shift: float = 0.0, dimension: float | None = None) -> Law:
    """Return the law of ``scale * M + shift``, scale positive."""

    def back(x: Array) -> Array:
        return (x - shift) / scale

    support = scale * law.support + shift

    def inside(x: Array, which: Indices) -> Array:
        # Ends go back to ends, whatever the rounding.
        low, high = law.support[which].T
        return np.where(
            x <= support[which, 0], low, np.where(x >= support[which, 1], high, np.clip(back(x), low, high))
        )

    return Law(
        dimension=law.dimension if dimension is None else dimension,
        support=support,
        masses=law.masses,
        atoms=tuple((scale * at + shift, mass) for at, mass in law.atoms),
        density_at=lambda x, which: law.density_at(inside(x, which), which) / scale,
        transform_above=lambda z: law.transform_above((z - shift) / scale) / scale,
        transform_outside=lambda x: law.transform_outside(back(x)) / scale,
        unbounded=law.unbounded,
        accuracy=law.accuracy,
    )
