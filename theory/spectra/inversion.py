"""From the spectral variable to u: on the support, off it, and anywhere in the complex plane, each point certified.

On the support u lies on the curve of :mod:`theory.spectra.subordination`, along which x increases: a table of the curve
brackets every point, and Newton's method starts from it. Any u in the upper half plane with x(u) = z, z there or on the
support, is the one sought, because x is one to one where its values have no negative imaginary part. What Newton's method
does not reach is found by bisection along the curve or, above it, along its level lines, on which the real part increases
too.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from theory.spectra.intervals import Stretch
from theory.spectra.roots import Indices, falling_roots
from theory.spectra.subordination import Subordination

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

FIRST_NODES = 25
"""Points of the table an interval, before it is refined."""
FINEST = np.pi / 20
"""Neighbouring points of the table differ by no more than this in the angle of x."""
RESIDUAL = 1e-12
"""Largest |x(u) - z| of a solved point, relative to |u| + |z|."""
NEWTON_STEPS = 12
BISECTIONS = 64


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """Points of the curve, ascending, close enough together for Newton's method to start between them.

    Attributes:
        a: real parts.
        b: heights.
        place: number of the interval times pi, plus the angle of x.
    """

    a: Array
    b: Array
    place: Array


def solve_on_support(
    law: Subordination, table: CurveTable, critical: Array, edges: Array, x: Array, which: Indices
) -> ComplexArray:
    """Solve x(u) = x for u in the upper half plane, at real points inside the support.

    Args:
        law: the map.
        table: of its curve.
        critical: u at the ends of the intervals, shape ``(k, 2)``.
        edges: x there, shape ``(k, 2)``.
        x: shape ``(n,)``; at an edge the answer is real.
        which: the interval of each point, shape ``(n,)``.

    Returns:
        u, shape ``(n,)``; NaN where not even bisection along the curve leaves a small residual.
    """
    place = which * np.pi + Stretch(left=edges[which, 0], right=edges[which, 1]).angles(x)
    cell = np.clip(np.searchsorted(table.place, place), 1, table.place.size - 1)
    low, high = table.a[cell - 1], table.a[cell]
    u = np.interp(place, table.place, table.a) + 1j * np.interp(place, table.place, table.b)
    at_edge = (x <= edges[which, 0]) | (x >= edges[which, 1])
    start = u
    u, good = _newton(law, u, x.astype(complex))
    lost = np.flatnonzero(~(good & (u.imag > 0.0)) & ~at_edge)
    if lost.size:
        # Where the curve is so low that its height is rounding, from above it.
        above = start[lost].real + 1j * np.maximum(start[lost].imag, 0.3 * np.abs(start[lost]))
        u[lost], good = _newton(law, above, x[lost].astype(complex))
        lost = lost[~(good & (u[lost].imag > 0.0))]
    if lost.size:
        u[lost] = _bisect_along_curve(law, x[lost], low[lost], high[lost])
        u[lost[~_certified(law, u[lost], x[lost].astype(complex))]] = np.nan
    u[at_edge] = np.where(
        x[at_edge] <= edges[which, 0][at_edge], critical[which, 0][at_edge], critical[which, 1][at_edge]
    )
    return u


def solve_off_support(law: Subordination, critical: Array, edges: Array, x: Array) -> Array:
    """Solve x(u) = x for real u at real points outside the support, where x'(u) > 0.

    Args:
        law: the map.
        critical: u at the ends of the intervals, shape ``(k, 2)``.
        edges: x there, shape ``(k, 2)``.
        x: shape ``(n,)``, each left of all intervals, between two or right of all.
    """
    gap = np.searchsorted(edges[:, 0], x, side="right")
    starts, ends = np.concatenate([[-np.inf], critical[:, 1]])[gap], np.concatenate([critical[:, 0], [np.inf]])[gap]
    # x(u) - u - shift has the sign of u outside all atoms, which bounds u where the gap does not.
    plain = x - law.shift

    def excess(u: Array, which: Indices) -> tuple[Array, Array]:
        return x[which] - law.image(u), -law.slope(u)

    return falling_roots(
        excess,
        lower=np.where(np.isfinite(starts), starts, np.minimum(plain, ends)),
        upper=np.where(np.isfinite(ends), ends, np.maximum(plain, starts)),
    )


def solve_above(law: Subordination, z: ComplexArray) -> ComplexArray:
    """Solve x(u) = z for u in the upper half plane, at z with positive imaginary part, shape ``(n,)``."""
    height = 4.0 * (law.atoms[-1] + np.sqrt(law.masses.sum()) + law.shift)
    start = z + 1j * height
    u = start - law.shift
    # Follow z down from where x is nearly the identity.
    while height > 0.0:
        step = z + 1j * height
        for _ in range(3):
            image, slope = law.image_and_slope(u)
            u = u - (image - step) / slope
            u = np.where(u.imag > 0.0, u, u.real + 0.5j * step.imag)
        height = 0.5 * height if height > 0.1 * float(z.imag.min()) else 0.0
    u, good = _newton(law, u, z)
    lost = np.flatnonzero(~good | ~(u.imag > 0.0))
    if lost.size:
        u[lost] = _bisect_along_level(law, z[lost])
        u[lost[~_certified(law, u[lost], z[lost])]] = np.nan
    return u


def curve_table(law: Subordination, critical: Array, edges: Array) -> CurveTable:
    """Follow the curve over each interval; see :func:`solve_on_support` for the arguments."""
    count = len(critical)
    stretch = Stretch(left=edges[:, 0], right=edges[:, 1])
    share = np.sin(np.linspace(0.0, np.pi, FIRST_NODES)[1:-1] / 2.0) ** 2
    which = np.repeat(np.arange(count), share.size)
    a = (critical[:, :1] + np.diff(critical) * share).ravel()
    b = law.height(a)
    place = which * np.pi + stretch.of(which).angles(law.image(a + 1j * b).real)
    a = np.concatenate([a, critical.ravel()])
    b = np.concatenate([b, np.zeros(2 * count)])
    bounds = np.arange(count) * np.pi
    place = np.concatenate([place, np.stack([bounds, bounds + np.pi], axis=1).ravel()])
    which = np.concatenate([which, np.repeat(np.arange(count), 2)])
    order = np.lexsort((a, which))
    a, b, place, which = a[order], b[order], place[order], which[order]
    for _ in range(BISECTIONS):
        wide = np.flatnonzero((np.diff(place) > FINEST) & (np.diff(which) == 0))
        middle = 0.5 * (a[wide] + a[wide + 1])
        wide, middle = (
            wide[(middle > a[wide]) & (middle < a[wide + 1])],
            middle[(middle > a[wide]) & (middle < a[wide + 1])],
        )
        if wide.size == 0:
            break
        heights = law.height(middle)
        places = which[wide] * np.pi + stretch.of(which[wide]).angles(law.image(middle + 1j * heights).real)
        a, b, place, which = (
            np.insert(old, wide + 1, new)
            for old, new in ((a, middle), (b, heights), (place, places), (which, which[wide]))
        )
    return CurveTable(a=a, b=b, place=np.maximum.accumulate(place))


def _newton(law: Subordination, u: ComplexArray, z: ComplexArray) -> tuple[ComplexArray, npt.NDArray[np.bool_]]:
    """Improve u and say where |x(u) - z| is at rounding level."""
    best = u.copy()
    residual = np.full(u.size, np.inf)
    active = np.arange(u.size)
    for _ in range(NEWTON_STEPS):
        here = u[active]
        image, slope = law.image_and_slope(here)
        gap = image - z[active]
        error = np.abs(gap) / (np.abs(here) + np.abs(z[active]))
        better = error < residual[active]
        best[active[better]], residual[active[better]] = here[better], error[better]
        active, here, gap, slope = active[better], here[better], gap[better], slope[better]
        if active.size == 0:
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            u[active] = here - gap / slope
        active = active[np.isfinite(u[active]) & (residual[active] > 0.0)]
    return best, residual < RESIDUAL


def _certified(law: Subordination, u: ComplexArray, z: ComplexArray) -> npt.NDArray[np.bool_]:
    """Whether x(u) = z within what bisection can reach: the last place of both parts of u."""
    image, slope = law.image_and_slope(u)
    small = np.abs(image - z) <= RESIDUAL * (np.abs(u) * (1.0 + np.abs(slope)) + np.abs(z))
    return np.asarray(small & (u.imag > 0.0))


def _bisect_along_curve(law: Subordination, x: Array, low: Array, high: Array) -> ComplexArray:
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = law.image(middle + 1j * law.height(middle)).real < x
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    middle = 0.5 * (low + high)
    return np.asarray(middle + 1j * law.height(middle))


def _bisect_along_level(law: Subordination, z: ComplexArray) -> ComplexArray:
    reach = law.atoms[-1] + np.sqrt(law.masses.sum()) + law.shift + np.abs(z)
    low, high = -2.0 * reach, 2.0 * reach
    for _ in range(2 * BISECTIONS):
        a = 0.5 * (low + high)
        below = law.image(a + 1j * _level(law, a, z.imag)).real < z.real
        low, high = np.where(below, a, low), np.where(below, high, a)
    a = 0.5 * (low + high)
    return np.asarray(a + 1j * _level(law, a, z.imag))


def _level(law: Subordination, a: Array, level: Array) -> Array:
    """Return the height b above the curve at which x(a + i b) has this imaginary part; it increases with b."""
    low, high = law.height(a), level + np.sqrt(law.masses.sum())
    for _ in range(BISECTIONS):
        b = 0.5 * (low + high)
        below = law.image(a + 1j * b).imag < level
        low, high = np.where(below, b, low), np.where(below, high, b)
    return np.asarray(0.5 * (low + high))
