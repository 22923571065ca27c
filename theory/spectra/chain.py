"""Random layers between a population and its samples: what ridges they make of one another, on the real line and off it.

A chain begins at the innermost ridge kappa_0 of a population and ends at the spectral variable of the samples. With the
normalised degrees of freedom ``h_l = kappa_l df_l / k_l``, a layer of neurons (weight w, slope a, noise c) solves

    E[a / D] = k_{l-1} / (k_l kappa_{l-1}),    D = c + kappa_l + a h_{l-1},    h_l = kappa_l E[(c + a h_{l-1}) / D],

and n samples end it with ``penalty = kappa_L - (k_L / n) h_L``; the eigenvalues of H H' / n are where ``-penalty`` is on its
support. Let q_l be the *pull* of a layer, ``(k_{l-1} / k_l) E[a^2 / D^2] / E[a / D]^2 h'_{l-1}`` with ' the derivative by the
layer's own ridge, and of the samples ``(k_L / n) h'_L``. A real kappa_0 leads out of the support exactly where every
pull is below 1: each map from ridge to ridge, and all of them together, then increase.

Sources: as for :mod:`theory.equivalents.layered`; that real points off a support are where the map increases: Silverstein and
Choi, *Analysis of the limiting spectral distribution of large dimensional random matrices* (1995), applied layer by layer.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.intp]

NEGLIGIBLE = 1e-17
"""Share of the linear response below which neurons have no say in where a layer's ridge is."""
MAX_ROOT_STEPS = 100
CLOSEST = 1e-15
"""Relative, of a ridge from a pole, and of the last step to a root."""
NARROW = 1e-5
"""Squared ratio of a span to D below which what it adds is summed as a series."""
CELLS = 1_000_000
"""Points times neurons, or eigenvalues, that one evaluation holds in memory."""


class Sums(NamedTuple):
    """Averages over a layer's neurons, each of the shape of the ridges: of a, c, 1 over D; of a, a^2, a c, c^2 over D^2."""

    response: Any
    noise: Any
    inverse: Any
    slope: Any
    slope_square: Any
    mixed: Any
    noise_square: Any

    def by_ridge(self, below: Any) -> Any:
        """Return the derivative of a layer's h by its ridge, E[((c + a h) / D)^2]."""
        return self.noise_square + 2.0 * below * self.mixed + below**2 * self.slope_square


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """The neurons of a layer.

    Attributes:
        width: k.
        weights: shape ``(b,)``, positive with sum 1.
        slopes: shape ``(b,)``, a.
        noises: shape ``(b,)``, c.
        spans: shape ``(b,)``, positive, over which each noise is spread evenly; None where it is not. The neurons are nodes
            of a quadrature over a continuum: where D nearly vanishes between two of them, only their spread is.
    """

    width: float
    weights: Array
    slopes: Array
    noises: Array
    spans: Array | None = None

    @cached_property
    def responding(self) -> npt.NDArray[np.bool_]:
        """Which neurons have a say in where the layer's ridge is."""
        heavy = self.weights * self.slopes
        return np.asarray(heavy > NEGLIGIBLE * float(np.sum(heavy)))

    @property
    def response(self) -> float:
        """E[a]."""
        return float(self.weights @ self.slopes)

    @property
    def uniform(self) -> bool:
        """Whether all neurons that respond are alike; the layer's ridge is then explicit."""
        return int(np.sum(self.responding)) == 1

    @property
    def silent(self) -> Array:
        """Noises of the neurons that do not respond, beside one that does: eigenvalues of their own."""
        return self.noises[~self.responding] if self.uniform else np.empty(0)

    def sums(self, ridge: Any, below: Any) -> Sums:
        """Average over the neurons at ridges and normalised degrees of freedom from below, shape ``(n,)``."""
        a, c, w = self.slopes, self.noises, self.weights
        if self.spans is not None:
            return self._spread_sums(ridge, below, 0.5 * self.spans)
        first = np.stack([w * a, w * c, w], axis=1)
        second = np.stack([w * a, w * a * a, w * a * c, w * c * c], axis=1)
        if not np.iscomplexobj(ridge):
            inverse = 1.0 / (c + ridge[:, None] + a * below[:, None])
            return Sums(*(inverse @ first).T, *((inverse * inverse) @ second).T)
        height = ridge.imag[:, None] + a * below.imag[:, None]
        distance = (c + ridge.real[:, None]) + a * below.real[:, None]
        scale = 1.0 / (distance * distance + height * height)
        distance *= scale
        height *= scale
        # 1 / D = distance - i height.
        once = distance @ first - 1j * (height @ first)
        twice = (distance * distance - height * height) @ second - 2j * ((distance * height) @ second)
        return Sums(*once.T, *twice.T)

    def _spread_sums(self, ridge: Any, below: Any, half: Array) -> Sums:
        """The same with every noise spread evenly over ``c - half`` to ``c + half``."""
        a, c, w = self.slopes, self.noises, self.weights
        d = c + ridge[:, None] + a * below[:, None]
        once = np.arctanh(half / d) / half
        twice = 1.0 / ((d - half) * (d + half))
        # What e, by which the noise differs from c, adds: the means of e / D, e / D^2 and e^2 / D^2; of narrow spans by series.
        square = (half / d) ** 2
        narrow = np.abs(square) < NARROW
        by_once = np.where(narrow, -square / 3.0 - square**2 / 5.0, 1.0 - d * once)
        by_twice = np.where(narrow, -(2.0 * square / 3.0 + 0.8 * square**2) / d, once - d * twice)
        by_square = np.where(narrow, square / 3.0 + 0.6 * square**2, 1.0 - d * (2.0 * once - d * twice))
        return Sums(
            response=once @ (w * a),
            noise=(c * once + by_once) @ w,
            inverse=once @ w,
            slope=twice @ (w * a),
            slope_square=twice @ (w * a * a),
            mixed=(c * twice + by_twice) @ (w * a),
            noise_square=(c * (c * twice + 2.0 * by_twice) + by_square) @ w,
        )

    def explicit(self, ridge_below: Any, below: Any, rest: Any, ratio: float) -> Any:
        """Return the ridge of a layer whose neurons are alike, and what rounding may have left of it."""
        a, c, w = (float(values[self.responding][0]) for values in (self.slopes, self.noises, self.weights))
        surplus = w * ratio - 1.0
        # Where both terms are positive for positive ridges, as that sum.
        plain = w * ratio * ridge_below - below
        return a * np.where(surplus < 0.0, plain, surplus * ridge_below + rest) - c

    def root(self, ridge_below: Array, below: Array, rest: Array, ratio: float) -> Array:
        """Solve ``E[a / D] = 1 / (ratio ridge_below)`` for real ridges, shape ``(n,)``, ``rest = ridge_below - below``.

        Outside the spectrum of the layer's second moments the diagonal of their resolvent, 1 / D, has one sign for all
        neurons, that of ``ridge_below``: their biases are a continuum, on which D cannot change sign without a zero. On
        that side 1 / E[a / D] is concave in ``|kappa|``, so that Newton's method rises to the root from the left.
        """
        if self.uniform:
            return np.asarray(self.explicit(ridge_below, below, rest, ratio))
        a, c, w = (values[self.responding] for values in (self.slopes, self.noises, self.weights))
        half = 0.0 if self.spans is None else 0.5 * self.spans[self.responding]
        sign = np.sign(ridge_below)
        level = ratio * np.abs(ridge_below)
        heavy = w * a
        poles = -sign[:, None] * (c + a * below[:, None])
        last = np.argmax(poles + half, axis=1)
        largest = (poles + half)[np.arange(sign.size), last]
        behind = largest[:, None] - poles
        # How far beyond the largest pole; bounds from the left are the asymptote and, where it is a pole, that one alone.
        alone = level * heavy[last] if self.spans is None else CLOSEST * (np.abs(largest) + level)
        beyond = np.maximum(alone, self.response * level - (behind @ heavy) / self.response)
        for _ in range(MAX_ROOT_STEPS):
            distance = behind + beyond[:, None]
            inverse = 1.0 / distance if self.spans is None else np.arctanh(half / distance) / half
            mean = inverse @ heavy
            slope = (1.0 / ((distance - half) * (distance + half))) @ heavy
            step = mean * (level * mean - 1.0) / slope
            beyond = beyond + np.maximum(step, 0.0)
            if np.all(~(step > CLOSEST * (np.abs(largest) + beyond))):
                break
        return np.asarray(sign * (largest + beyond))


class RealState(NamedTuple):
    """A chain at real innermost ridges, shape ``(n,)`` each.

    Attributes:
        ridges: kappa_0, ..., kappa_L.
        pulls: of the layers and the samples; below 1 outside the support.
        penalty: at the end.
        growth: d penalty / d kappa_0.
        below: h_{L-1}, what the last layer has from below.
        below_growth: d h_{L-1} / d kappa_0.
        last_growth: d kappa_L / d kappa_0.
    """

    ridges: list[Array]
    pulls: list[Array]
    penalty: Array
    growth: Array
    below: Array
    below_growth: Array
    last_growth: Array


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A population, layers, and samples.

    Attributes:
        eigenvalues: shape ``(m,)``, distinct, positive, ascending, of the population's bulk.
        multiplicities: shape ``(m,)``.
        n_inputs: k_0.
        layers: first to last.
        n_samples: n.
        ratio: of the population's eigenvalues to those of the inputs' covariance; None where the inputs' linear signal does not
            arrive.
    """

    eigenvalues: Array
    multiplicities: Array
    n_inputs: float
    layers: tuple[Neurons, ...]
    n_samples: float
    ratio: float | None = 1.0

    @property
    def width(self) -> float:
        """Of the last layer, or of the population if there is none."""
        return self.layers[-1].width if self.layers else self.n_inputs

    @cached_property
    def amplifications(self) -> Array:
        """The last ridge over each ridge, where all are large, shape ``(L + 1,)``."""
        widths = np.array([self.n_inputs, *(layer.width for layer in self.layers)])
        responses = np.array([*(layer.response for layer in self.layers), 1.0])
        return np.asarray(np.cumprod(responses[::-1])[::-1] * self.width / widths)

    @cached_property
    def ranks(self) -> list[float]:
        """How many positive eigenvalues the second moments of the population and of each layer have."""
        ranks = [float(np.sum(self.multiplicities))]
        for layer in self.layers:
            noisy = float(np.sum(layer.weights[layer.noises > 0.0])) * layer.width
            ranks.append(min(layer.width, noisy + ranks[-1]))
        return ranks

    @property
    def unit(self) -> float:
        """Eigenvalues of the kernel matrix H H' / width are those of H H' / n times this."""
        return self.n_samples / self.width

    def innermost(self, ridge: Any) -> tuple[Any, Any, Any]:
        """Return h_0, kappa_0 - h_0 and the derivative of h_0, shape ``(n,)``."""
        s, m = self.eigenvalues, self.multiplicities / self.n_inputs
        parts = [_innermost(s, m, piece) for piece in np.array_split(ridge, 1 + ridge.size * s.size // CELLS)]
        below, kept, moving = (np.concatenate(values) for values in zip(*parts, strict=True))
        return below, (1.0 - float(np.sum(m))) * ridge + kept, moving

    def real(self, u: Array) -> RealState:
        """Run the chain at real ``u = -kappa_0``, shape ``(n,)``: where a population eigenvalue u would take it."""
        ridge = -np.asarray(u, float)
        below, rest, moving = self.innermost(ridge)
        ridges, pulls = [ridge], []
        width, growth = self.n_inputs, np.ones_like(ridge)
        before, before_growth = below, moving
        for layer in self.layers:
            ratio = layer.width / width
            before, before_growth = below, moving * growth
            ridge = layer.root(ridge, below, rest, ratio)
            sums = layer.sums(ridge, below)
            pull = sums.slope_square / sums.response**2 * moving / ratio
            # Closer to a neuron's pole than rounding tells apart, the point is inside.
            pull = np.where(np.isfinite(pull), pull, np.inf)
            own = ratio * sums.response**2 / sums.slope * (1.0 - pull)
            moving = sums.by_ridge(below) + ridge**2 * sums.slope * moving / own
            below, rest = ridge * (sums.noise + below * sums.response), ridge**2 * sums.inverse
            growth = growth * own
            ridges.append(ridge)
            pulls.append(pull)
            width = layer.width
        pull = moving * width / self.n_samples
        pull = np.where(np.isfinite(pull), pull, np.inf)
        return RealState(
            ridges=ridges,
            pulls=[*pulls, pull],
            penalty=sum(self._ended(ridge, below, rest)),
            growth=growth * (1.0 - pull),
            below=before,
            below_growth=before_growth,
            last_growth=growth,
        )

    def _ended(self, ridge: Any, below: Any, rest: Any) -> tuple[Any, Any]:
        """Return the two terms of the penalty, where possible with equal signs."""
        share = self.width / self.n_samples
        return (ridge, -share * below) if share > 1.0 else ((1.0 - share) * ridge, share * rest)

    def newton(self, ridges: list[ComplexArray], penalty: ComplexArray) -> tuple[list[ComplexArray], Array, Array]:
        """Take one step of Newton's method on all ridges together.

        Args:
            ridges: kappa_0, ..., kappa_L, of shape ``(n,)`` each.
            penalty: shape ``(n,)``.

        Returns:
            The next ridges; by how much the equations were violated, relative to their terms; the largest relative step.
        """
        below, rest, moving = self.innermost(ridges[0])
        width = self.n_inputs
        # Each change is ``fixed + free * (change of kappa_0)``.
        fixed, free = [np.zeros_like(penalty)], [np.ones_like(penalty)]
        below_fixed, below_free = np.zeros_like(penalty), moving
        error = np.zeros(penalty.size)
        for layer, own, under in zip(self.layers, ridges[1:], ridges[:-1], strict=True):
            ratio = layer.width / width
            sums = _in_pieces(layer, own, below)
            excess = 1.0 / sums.response - ratio * under
            if layer.uniform:
                # The same as a difference from the explicit ridge, which keeps its digits near 0.
                excess = (own - layer.explicit(under, below, rest, ratio)) / layer.response
            error = np.maximum(error, np.abs(excess) / np.abs(ratio * under))
            scale = sums.response**2 / sums.slope
            pull = sums.slope_square / sums.slope
            fixed.append(scale * (ratio * fixed[-1] - excess) - pull * below_fixed)
            free.append(scale * ratio * free[-1] - pull * below_free)
            by_ridge, by_below = sums.by_ridge(below), own**2 * sums.slope
            below_fixed = by_ridge * fixed[-1] + by_below * below_fixed
            below_free = by_ridge * free[-1] + by_below * below_free
            below, rest = own * (sums.noise + below * sums.response), own**2 * sums.inverse
            width = layer.width
        share = width / self.n_samples
        terms = self._ended(ridges[-1], below, rest)
        excess = sum(terms) - penalty
        error = np.maximum(error, np.abs(excess) / (np.abs(terms[0]) + np.abs(terms[1]) + np.abs(penalty)))
        step = -(excess + fixed[-1] - share * below_fixed) / (free[-1] - share * below_free)
        changes = [one + other * step for one, other in zip(fixed, free, strict=True)]
        moved = np.max([np.abs(change / ridge) for change, ridge in zip(changes, ridges, strict=True)], axis=0)
        return [ridge + change for ridge, change in zip(ridges, changes, strict=True)], error, moved


def _innermost(s: Array, m: Array, ridge: Any) -> tuple[Any, Any, Any]:
    """Return ``ridge sum m s / (s + ridge)``, ``ridge^2 sum m / (s + ridge)`` and ``sum m s^2 / (s + ridge)^2``."""
    first, second = np.stack([m * s, m], axis=1), m * s * s
    if not np.iscomplexobj(ridge):
        inverse = 1.0 / (s + ridge[:, None])
        linear, plain = (inverse @ first).T
        return ridge * linear, ridge**2 * plain, (inverse * inverse) @ second
    # In real arithmetic: 1 / (s + ridge) = distance - i height.
    height = ridge.imag[:, None]
    distance = s + ridge.real[:, None]
    scale = 1.0 / (distance * distance + height * height)
    distance *= scale
    heights = scale * height
    linear, plain = (distance @ first - 1j * (heights @ first)).T
    twice = (distance * distance - heights * heights) @ second - 2j * ((distance * heights) @ second)
    return ridge * linear, ridge**2 * plain, twice


def _in_pieces(layer: Neurons, ridge: ComplexArray, below: ComplexArray) -> Sums:
    count = 1 + ridge.size * layer.weights.size // CELLS
    parts = [
        layer.sums(*pieces) for pieces in zip(np.array_split(ridge, count), np.array_split(below, count), strict=True)
    ]
    return parts[0] if count == 1 else Sums(*(np.concatenate(values) for values in zip(*parts, strict=True)))
