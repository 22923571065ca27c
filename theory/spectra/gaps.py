"""Where a chain's real line shows: the intervals of population eigenvalues u that lead out of its support.

Silverstein's intervals of the first layer, if its neurons were all alike, come first; each keeps the part on which the pulls
of all layers and of the samples are below 1. A layer's pull rises without bound where the one below it reaches 1, so that
the samples' is the one that ends the part; as functions of the ridge pulls are convex between eigenvalues, so that there
is one part at most. At a ridge of 0 what comes next may have an eigenvalue of its own, and intervals divide.

Source: Silverstein and Choi, *Analysis of the limiting spectral distribution of large dimensional random matrices* (1995).
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import elementwise

from theory.spectra.chain import Chain
from theory.spectra.subordination import Subordination

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

FAR = 1e9
"""Where an interval without an end is entered, in units of its finite end and of the largest eigenvalue."""
CLOSEST = 1e-15
"""Where it is entered from an end, in units of that end."""
SAME = 1e-12
"""Places that differ by less, relatively, are one."""
CUTS = np.concatenate([[1e-9, 1e-6, 1e-4], np.sin(np.linspace(0.0, np.pi, 16)[1:-1] / 2.0) ** 2, [1 - 1e-4, 1 - 1e-6]])
"""Shares of the way through an interval at which its least pull is looked for."""
ZOOMS = 6
"""How often the surroundings of the best point are cut again, as long as nothing below 1 was found."""
APPROACH = 2.0 ** -np.arange(1.0, 50.0, 4.0)
"""Shares of the way from an interval's end to a point inside, between which the place where it closes is bracketed."""
TOLERANCE = 1e-11
"""Of the logarithm of that share; the end of the support is off by its square."""


def open_gaps(chain: Chain) -> Array:
    """Return the intervals of u that lead out of the support, shape ``(k, 2)``, ascending; the outer ends are infinite.

    Args:
        chain: its gaps narrower than about a millionth of the distance of two population eigenvalues are overlooked.
    """
    with np.errstate(all="ignore"):
        gaps = _divided(chain, _first(chain))
        middle = _middles(chain, gaps)
        kept = np.isfinite(middle)
        gaps, middle = gaps[kept], middle[kept]
        ends = _ends(chain, np.tile(middle, 2), gaps.T.ravel())
    return ends.reshape(2, -1).T


def _pull(chain: Chain, u: Array) -> Array:
    """Return the samples' pull, infinite where a layer's is not below 1."""
    *layers, samples = chain.real(u).pulls
    return np.where(np.all([pull < 1.0 for pull in layers], axis=0), samples, np.inf)


def _first(chain: Chain) -> Array:
    """Return the gaps of a first layer of neurons that are all alike, within which are those of any other."""
    size = chain.n_samples
    if chain.layers:
        layer = chain.layers[0]
        size = layer.width * (float(np.sum(layer.weights[layer.responding])) if layer.uniform else 1.0)
    unit, count = float(chain.eigenvalues[-1]), float(np.sum(chain.multiplicities))
    population = Subordination(
        atoms=chain.eigenvalues / unit, weights=chain.multiplicities / count, aspect=count / size
    )
    critical = population.critical_points().ravel() * unit
    return np.concatenate([[-np.inf], critical, [np.inf]]).reshape(-1, 2)


def _divided(chain: Chain, gaps: Array) -> Array:
    """Divide intervals where a ridge is 0, or where it meets neurons that do not respond."""
    places = [0.0]
    sizes = [*(layer.width for layer in chain.layers), chain.n_samples][1:]
    for stage, (layer, following) in enumerate(zip(chain.layers, sizes, strict=True), start=1):
        if following > chain.ranks[stage]:
            # Right of u = 0 all ridges are negative.
            places.append(_crossing(chain, stage, 0.0, -np.inf, min(float(gaps[0, 1]), 0.0)))
        places += [_crossing(chain, stage, -noise, low, high) for noise in layer.silent for low, high in gaps]
    for place in places:
        # Ridges that vanish together divide once.
        same = SAME * abs(place)
        for position in np.flatnonzero((gaps[:, 0] < place - same) & (place + same < gaps[:, 1])):
            low, high = gaps[position]
            gaps = np.concatenate([gaps[:position], [[low, place], [place, high]], gaps[position + 1 :]])
    return gaps


def _crossing(chain: Chain, stage: int, level: float, low: float, high: float) -> float:
    """Return where in an interval the ridge of a layer falls to a level, NaN if nowhere."""
    unit = float(chain.eigenvalues[-1])
    # Distances, in logarithms, from the end that is there.
    end, side = (high, -1.0) if np.isfinite(high) else (low, 1.0)
    longest = high - low if np.isfinite(high - low) else FAR * unit
    reach = np.log([CLOSEST * max(abs(end), CLOSEST * unit), longest * (1.0 - CLOSEST)])

    def excess(log_distance: Array) -> Array:
        state = chain.real(end + side * np.exp(log_distance))
        open_so_far = np.all([pull < 1.0 for pull in state.pulls[:stage]], axis=0)
        return side * np.where(open_so_far, state.ridges[stage] - level, -np.abs(level) - unit)

    first, last = excess(reach)
    if not first * last < 0.0:
        return np.nan
    found = elementwise.find_root(excess, (reach[:1], reach[1:]))
    return float(end + side * np.exp(found.x[0]))


def _middles(chain: Chain, gaps: Array) -> Array:
    """Return a point of each interval at which all pulls are below 1, NaN where none was found."""
    low, high = gaps[:, 0], gaps[:, 1]
    unit = float(chain.eigenvalues[-1])
    middle = np.where(np.isinf(low), high - FAR * unit, np.where(np.isinf(high), low + FAR * unit, np.nan))
    left = np.flatnonzero(np.isnan(middle))
    start, end = low[left], high[left]
    for _ in range(ZOOMS):
        if left.size == 0:
            break
        u = np.concatenate([start[:, None] + (end - start)[:, None] * CUTS], axis=1)
        inside = (u > low[left, None]) & (u < high[left, None])
        pulls = np.array(chain.real(u.ravel()).pulls)
        # How many stages are open, and how far the first that is not is from being so.
        failing = np.argmax(np.concatenate([~(pulls < 1.0), np.ones((1, u.size), bool)]), axis=0)
        excess = np.concatenate([pulls, np.zeros((1, u.size))])[failing, np.arange(u.size)]
        badness = (len(pulls) - failing + excess / (1.0 + excess)).reshape(u.shape)
        badness = np.where(inside & ~np.isnan(badness), badness, np.inf)
        best, rows = np.argmin(badness, axis=1), np.arange(left.size)
        found = badness[rows, best] == 0.0
        middle[left[found]] = u[rows, best][found]
        start, end = (
            np.where(best > 0, u[rows, np.maximum(best - 1, 0)], start)[~found],
            np.where(best < len(CUTS) - 1, u[rows, np.minimum(best + 1, len(CUTS) - 1)], end)[~found],
        )
        left = left[~found]
    return middle


def _ends(chain: Chain, middle: Array, end: Array) -> Array:
    """Return where, on the way from a point inside to an end, the interval closes: at the end if nowhere before."""
    answer = end.copy()
    bounded = np.flatnonzero(np.isfinite(end))
    away = (middle - end)[bounded]
    steps = np.concatenate([[1.0], APPROACH])
    u = end[bounded, None] + away[:, None] * steps
    closed = ~(_pull(chain, u.ravel()).reshape(u.shape) < 1.0)
    crossed = closed.any(axis=1)
    bounded, away, first = bounded[crossed], away[crossed], np.argmax(closed, axis=1)[crossed]
    if bounded.size == 0:
        return answer

    def excess(log_share: Array, place: Array, way: Array) -> Array:
        # Nearly linear in the distance from where the pull is infinite.
        pulls = _pull(chain, place + way * np.exp(log_share))
        return np.where(pulls > 0.0, 1.0 / np.sqrt(np.abs(pulls)), 0.0) - 1.0

    found = elementwise.find_root(
        excess,
        (np.log(steps[first]), np.log(steps[first - 1])),
        args=(end[bounded], away),
        tolerances={"xatol": TOLERANCE},
    )
    # Gaps that are as narrow as rounding are open at the point inside alone.
    answer[bounded] = np.where(np.isfinite(found.x), end[bounded] + away * np.exp(found.x), middle[bounded])
    return answer
