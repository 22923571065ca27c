"""Features of finite width, ready to be read: the gaps and intervals of their kernel matrix, and its ridges anywhere.

At points z of the spectrum of K = H H' / width all ridges are solved for at once by Newton's method, on the side of the real
axis that z + i0 leads to; there the solution is unique, and each is checked to be on that side. It is approached from far
above, where the ridges are nearly multiples of z; many points of an interval start from a few of it, between which the ridges
are smooth in the angle of :mod:`theory.spectra.intervals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from theory.covariance import InadmissibleProblem, Spectrum
from theory.equivalents.layered import LayeredEquivalent
from theory.equivalents.point import Equivalent
from theory.spectra.chain import Chain, Neurons
from theory.spectra.feature_chain import cells, chain_of
from theory.spectra.gaps import open_gaps
from theory.spectra.intervals import Stretch
from theory.spectra.law import SETTLED, Law

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

ANGLES = np.pi * np.arange(1, 48) / 48
"""Of the points of a table an interval."""
MANY = 100
"""Points for which a table is made."""
FAR = 8.0
"""Where the way down begins, in units of the largest of the spectrum and of where it leads."""
DESCENT = 0.3
"""Ratio of successive heights above the point it leads to."""
CLOSE = 0.1
"""Height at which the rest of the way is one step, in units of the distance from the nearest end, or of the height sought."""
NEWTON_STEPS = 30
RESIDUAL = 1e-7
"""Largest violation of any equation, relative to its terms, ahead of the last step."""
SHORT = 1e-8
"""Longest last step, relative to each ridge."""
ROUNDING = 1e-9
"""Relative to a ridge, an imaginary part that may be 0."""
RESOLVED = 2.5
"""|D| of a neuron, in units of the distance to its neighbours' D, from which sums over neurons are as good as integrals: what
they differ by is of the order of exp(-2 pi) to this power."""
OF_CELLS = 1e-7
"""Accuracy of averages over neurons in cells; the cells themselves are good to about 1e-5."""
LEAST = 1e-16
"""Least end of the support, as a share of the largest."""
SMALLEST = 1e-300
NARROW = 1e-12
"""Intervals shorter than this share of where they are are rounding."""
ZERO = 1e-14
"""And those that end below this share of the largest eigenvalue."""


@dataclass(frozen=True, kw_only=True)
class FiniteFeatures:
    """A kernel matrix of features of finite width.

    Attributes:
        chain: of ridges.
        gaps: intervals of population eigenvalues u that lead out of the support, shape ``(k + 1, 2)``, ascending.
        support: intervals that carry a density, shape ``(k, 2)``, ascending.
        critical: u at their ends, shape ``(k, 2)``.
        rank: of the features' second moments.
        plain: the same without neurons spread out, which is as good away from the support and better; None if none are.
    """

    chain: Chain
    gaps: Array
    support: Array
    critical: Array
    rank: float
    plain: "FiniteFeatures | None" = None

    @property
    def outside(self) -> "FiniteFeatures":
        """What to use away from the support."""
        return self.plain or self

    @property
    def missing(self) -> float:
        """The share of eigenvalues 0."""
        share = 1.0 - self.rank / self.chain.n_samples
        return share if share > 1e-14 else 0.0

    @property
    def square(self) -> bool:
        """Whether there are as many samples as directions: the density then has no bound at 0."""
        return abs(self.rank / self.chain.n_samples - 1.0) < 1e-14

    @cached_property
    def masses(self) -> Array:
        """Shares of the eigenvalues, shape ``(k,)``: how many population eigenvalues and neurons lie beyond each end."""
        beyond = [self._beyond(float(u)) for u in self.critical.ravel()]
        shares: Array = np.array(beyond).reshape(-1, 2) @ np.array([1.0, -1.0]) / self.chain.n_samples
        if shares.size:
            # The lower end may be where ridges vanish, which has no side.
            shares[0] = 1.0 - self.missing - np.sum(shares[1:])
        return np.maximum(shares, SMALLEST)

    def _beyond(self, u: float) -> float:
        """Return how many eigenvalues are right of a point outside: where a ridge is positive, all of its layer are."""
        with np.errstate(all="ignore"):
            ridges = [float(ridge[0]) for ridge in self.chain.real(np.array([u])).ridges]
        count = float(self.chain.multiplicities @ (self.chain.eigenvalues > u))
        for layer, below in zip(self.chain.layers, ridges[:-1], strict=True):
            count = layer.width if below > 0.0 else min(count, layer.width)
        return self.chain.n_samples if ridges[-1] > 0.0 else min(count, self.chain.n_samples)

    def ridges(self, z: ComplexArray, start: list[ComplexArray] | None = None) -> list[ComplexArray]:
        """Solve for all ridges.

        Args:
            z: shape ``(n,)``: in the upper half plane, or real.
            start: ridges nearby; without them the way down is taken.

        Returns:
            kappa_0, ..., kappa_L, in the lower half plane or real; NaN where none was found.
        """
        penalty = -z / self.chain.unit
        with np.errstate(all="ignore"):
            if start is None:
                found, good = self._corrected(self._descended(z), penalty, -ROUNDING)
            else:
                # On the support there may be a real solution too, to which a start may lead but not the way down.
                found, good = self._corrected(start, penalty, ROUNDING)
                lost = np.flatnonzero(~good)
                again, good[lost] = self._corrected(self._descended(z[lost]), penalty[lost], -ROUNDING)
                for ridge, values in zip(found, again, strict=True):
                    ridge[lost] = values
        for ridge in found:
            ridge[~good] = np.nan
        return found

    def on_support(self, x: Array, which: Indices) -> ComplexArray:
        """Return the last ridge at points inside the intervals of the support, shape ``(n,)``."""
        angles = self._stretch.of(which).angles(x)
        start = self._half_circles if x.size < MANY else self._interpolated
        return self.ridges(x.astype(complex), start(angles, which))[-1]

    def transform(self, z: ComplexArray) -> ComplexArray:
        """Return m(z) = (1/n) tr (K - z)^-1."""
        return 1.0 / (self.chain.unit * self.outside.ridges(z)[-1])

    def _corrected(
        self, ridges: list[ComplexArray], penalty: ComplexArray, depth: float
    ) -> tuple[list[ComplexArray], npt.NDArray[np.bool_]]:
        """Take Newton steps until equations are solved to rounding; say which are, so far below the real axis at least."""
        best = [ridge.copy() for ridge in ridges]
        good = np.zeros(penalty.size, bool)
        active = np.arange(penalty.size)
        here = best
        for _ in range(NEWTON_STEPS):
            following, violated, moved = self.chain.newton(here, penalty[active])
            # After a short step the next would be its square.
            settled = (violated <= RESIDUAL) & (moved <= SHORT)
            for ridge, values in zip(best, following, strict=True):
                ridge[active] = values
            good[active[settled]] = True
            going = ~settled & np.isfinite(moved)
            active, here = active[going], [values[going] for values in following]
            if active.size == 0:
                break
        side = np.all([ridge.imag <= -depth * np.abs(ridge) for ridge in best], axis=0)
        return best, good & side

    def _descended(self, z: ComplexArray) -> list[ComplexArray]:
        """Come down to z from far above it."""
        chain = self.chain
        if z.size == 0:
            return [np.empty(0, complex) for _ in range(len(chain.layers) + 1)]
        ends = np.concatenate([self.support.ravel(), [0.0]])
        away = np.abs(z.real[:, None] - ends).min(axis=1)
        lowest = CLOSE * np.where(z.imag > 0.0, np.maximum(z.imag, 1e-300), np.maximum(away, 1e-12 * np.abs(z)))
        highest = FAR * (float(np.max(self.support, initial=0.0)) + np.abs(z))
        lowest = np.minimum(lowest, 0.5 * highest)
        count = int(np.ceil(np.max(np.log(highest / lowest)) / -np.log(DESCENT)))
        ridges: list[ComplexArray] = [-(z + 1j * highest) / chain.unit / factor for factor in chain.amplifications]
        for step in range(count + 1):
            height: Array = highest * (lowest / highest) ** (step / count)
            penalty = np.asarray(-(z + 1j * height) / chain.unit, dtype=complex)
            for _ in range(8 if step == 0 else 3):
                ridges, _, _ = chain.newton(ridges, penalty)
                # All are below the real axis: a step across it is reflected.
                ridges = [np.where(one.imag < 0.0, one, one.conj()) for one in ridges]
        return ridges

    @cached_property
    def _inside(self) -> list[ComplexArray]:
        """All ridges at the nodes of each interval, one interval after the other."""
        which = np.repeat(np.arange(len(self.support)), ANGLES.size)
        angles = np.tile(ANGLES, len(self.support))
        x = self._stretch.of(which).points(angles)
        return self.ridges(x.astype(complex), self._half_circles(angles, which))

    @cached_property
    def _table(self) -> list[CubicSpline]:
        """The ridges over the angle, for each interval real and imaginary parts side by side."""
        inside = np.array(self._inside).reshape(-1, len(self.support), ANGLES.size)
        splines = []
        for interval in range(len(self.support)):
            low, high = self._at_ends[:, interval, :1], self._at_ends[:, interval, 1:]
            values = np.concatenate([low, inside[:, interval], high], axis=1, dtype=complex).T
            kept = np.isfinite(values).all(axis=1)
            nodes, values = np.concatenate([[0.0], ANGLES, [np.pi]])[kept], values[kept]
            splines.append(CubicSpline(nodes, np.concatenate([values.real, values.imag], axis=1)))
        return splines

    def unresolved(self) -> list[float | None]:
        """Return, for each layer, h below where sums over its neurons are furthest from integrals, None where they are none."""
        found: list[float | None] = []
        below = self.chain.innermost(self._inside[0])[0]
        for layer, ridge in zip(self.chain.layers, self._inside[1:], strict=True):
            found.append(None if layer.uniform else _unresolved(layer, ridge, below))
            sums = layer.sums(ridge, below)
            below = ridge * (sums.noise + below * sums.response)
        return found

    @property
    def _stretch(self) -> Stretch:
        return Stretch(left=self.support[:, 0], right=self.support[:, 1])

    @cached_property
    def _at_ends(self) -> Array:
        """All ridges at both ends of each interval, shape ``(L + 1, k, 2)``."""
        with np.errstate(all="ignore"):
            ridges = self.chain.real(self.critical.ravel()).ridges
        return np.array(ridges).reshape(-1, len(self.support), 2)

    def _half_circles(self, angles: Array, which: Indices) -> list[ComplexArray]:
        """Return what the ridges would be if each ran along a half circle, as that about one eigenvalue on its own does."""
        low, high = self._at_ends[:, which, 0], self._at_ends[:, which, 1]
        return list(0.5 * (low + high) + 0.5 * (low - high) * np.exp(-1j * angles))

    def _interpolated(self, angles: Array, which: Indices) -> list[ComplexArray]:
        ridges = np.empty((len(self.chain.layers) + 1, angles.size), complex)
        for interval in np.unique(which):
            there = which == interval
            real, imaginary = np.split(self._table[interval](angles[there]).T, 2)
            ridges[:, there] = real + 1j * imaginary
        return list(ridges)


def finite_features(
    equivalent: Equivalent,
    *,
    n_samples: float,
    rank: float | None = None,
    inputs: Spectrum | None = None,
    spikes: Sequence[int] = (),
) -> FiniteFeatures:
    """Prepare the kernel matrix of features of finite width.

    Args:
        equivalent: of the features, without a constant (fit_intercept=True); its energies positive if ``inputs`` are given.
        n_samples: n.
        rank: of their second moments; as the layers have it unless given.
        inputs: what the equivalent was built from, for outliers.
        spikes: positions in ``inputs`` of eigenvalues that are outliers rather than part of the bulk.

    Raises:
        InadmissibleProblem: see :func:`theory.spectra.feature_chain.chain_of`; or sizes lie too far apart for any eigenvalue.
    """
    chain = chain_of(equivalent, n_samples, inputs=inputs, spikes=spikes)
    prepared = _prepared(chain, rank if rank is not None and not spikes else chain.ranks[-1])
    places = prepared.unresolved()
    if not isinstance(equivalent, LayeredEquivalent) or all(place is None for place in places):
        return prepared
    layers = tuple(
        layer if place is None else cells(law, place)
        for layer, law, place in zip(chain.layers, equivalent.layers, places, strict=True)
    )
    return replace(_prepared(replace(chain, layers=layers), prepared.rank), plain=prepared)


def _prepared(chain: Chain, rank: float) -> FiniteFeatures:
    """Find gaps and support."""
    gaps = open_gaps(chain)
    with np.errstate(all="ignore"):
        at = np.stack([-chain.unit * chain.real(gaps[:, side]).penalty for side in (0, 1)], axis=1)
    # What is not in a gap is support, unless it is a point: where a ridge is 0 gaps divide.
    starts, ends = at[:-1, 1], at[1:, 0]
    starts = np.where(starts > 0.0, starts, 0.0)
    ends = np.where(ends > 0.0, ends, 0.0)
    if rank == chain.n_samples and starts.size:
        starts[0] = 0.0
    else:
        # Only with as many samples as directions is 0 an end: here it is one of neurons as good as dead.
        starts = np.maximum(starts, LEAST * np.max(ends, initial=0.0))
    kept = (gaps[:-1, 1] < gaps[1:, 0]) & (ends - starts > NARROW * ends) & (ends > ZERO * np.max(ends, initial=0.0))
    if not kept.any():
        raise InadmissibleProblem(
            f"no eigenvalues were told from rounding, those of the population lying between {chain.eigenvalues[0]:.3g} and"
            f" {chain.eigenvalues[-1]:.3g}; bring sizes and eigenvalues closer together"
        )
    return FiniteFeatures(
        chain=chain,
        gaps=gaps,
        support=np.stack([starts[kept], ends[kept]], axis=1),
        critical=np.stack([gaps[:-1, 1][kept], gaps[1:, 0][kept]], axis=1),
        rank=rank,
    )


def _unresolved(layer: Neurons, ridge: ComplexArray, below: ComplexArray) -> float | None:
    """Return h at the point where D comes nearest to 0 for its distance between neurons, None if that resolves it."""
    d = layer.noises + ridge[:, None] + layer.slopes * below[:, None]
    steps = np.abs(np.diff(d.real, axis=1))
    apart = np.concatenate([steps[:, :1], 0.5 * (steps[:, 1:] + steps[:, :-1]), steps[:, -1:]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = np.where(np.isfinite(d), np.abs(d) / apart, np.inf).min(axis=1)
    worst = int(np.argmin(nearness))
    return float(below[worst].real) if nearness[worst] < RESOLVED else None


def features_law(features: FiniteFeatures) -> Law:
    """Return the law of the kernel matrix's eigenvalues, n x n.

    Sources: see :mod:`theory.spectra.chain`.
    """
    support = features.support

    def density_at(x: Array, which: Indices) -> Array:
        edge = (x <= support[which, 0]) | (x >= support[which, 1])
        answer = np.zeros(x.shape)
        last = features.on_support(x[~edge], which[~edge])
        # Im m = Im 1 / ridge, the ridge below the real axis.
        answer[~edge] = np.maximum(-last.imag, 0.0) / (np.abs(last) ** 2 * np.pi * features.chain.unit)
        return answer

    return Law(
        dimension=features.chain.n_samples,
        support=support,
        masses=features.masses,
        atoms=((0.0, features.missing),) if features.missing > 0.0 else (),
        density_at=density_at,
        transform_above=features.transform,
        transform_outside=lambda x: np.asarray(features.transform(x.astype(complex)).real),
        unbounded=features.square,
        accuracy=SETTLED if features.plain is None else OF_CELLS,
    )
