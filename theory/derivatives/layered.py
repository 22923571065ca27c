"""Layers of random weights with derivatives; see :mod:`theory.equivalents.layered`.

The chain is run once at its solved innermost ridge. A layer's own ridge is the root of an equation in what lies below it,
whose derivatives follow from that equation at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theory.activations.normal import Array
from theory.derivatives.dual import Dual, Space, Vector, value_of
from theory.derivatives.equivalents import ModalEquivalent, Reading, Solved, Table
from theory.derivatives.inputs import Spectrum, linear_table
from theory.derivatives.kernels import with_constant
from theory.derivatives.statistics import Layer, Statistics, statistics
from theory.equivalents.layered import LIMIT
from theory.equivalents.layers import INNER_TOLERANCE, MAX_INNER, SMALLEST_NOISE, SMALLEST_SLOPE

Order = tuple[int, int, int]


def random_features(
    spectrum: Spectrum,
    energies: Vector,
    *,
    layers: Sequence[Layer],
    mean: Any = 0.0,
    fit_intercept: bool = False,
    **target: Any,
) -> "ModalEquivalent | LayeredEquivalent":
    """See :func:`theory.equivalents.random_features.random_features`; a single layer is a chain like others here.

    Args:
        spectrum: of the inputs.
        energies: of the target's linear part.
        layers: first to last.
        mean: of the target.
        fit_intercept: whether an unpenalised constant is fitted.
        target: ``noise_variance`` and ``nonlinear_variance``.
    """
    n_inputs: Any = spectrum.n_inputs
    found = statistics(layers, spectrum.multiplicities.dot(spectrum.eigenvalues) / n_inputs)
    constant = found[-1].number(found[-1].rates.mean)
    has_constant = not fit_intercept and constant.value > 0.0
    kept = 0.0 if has_constant else mean
    base = linear_table(spectrum, energies, fit_intercept=fit_intercept, mean=kept, **target)
    jumps = _jumps(found, constant, fit_intercept=fit_intercept)
    if len(found) == 1 and found[0].frozen.value == 0.0 and not fit_intercept:
        base = base.without_derivatives_by(jumps)
        return _shallow(base, n_inputs, found[0], constant if has_constant else None, mean)
    laws: list[Law] = []
    for one in found:
        if one.blocks:
            base, n_inputs, laws = _noise_only(base, one), one.layer.width, []
        else:
            laws.append(Law(one))
    base = base.without_derivatives_by(jumps)
    if laws:
        law = laws[0]
        alike = len(found) == 1 and found[0].frozen.value == 0.0
        return LayeredEquivalent(
            inner_unit=float(value_of(n_inputs)) / float(law.slopes.value[0]) if alike else 1.0,
            table=base,
            laws=tuple(laws),
            n_inputs=n_inputs,
            constant=constant if has_constant else None,
            mean=mean if has_constant else 0.0,
        )
    left: Any = 1.0
    if has_constant:
        left = 1.0 - 1.0 / n_inputs if value_of(n_inputs) > 1.0 else 0.0
    flat = replace(base, eigenvalues=base.eigenvalues * (1.0 / n_inputs), multiplicities=base.multiplicities * left)
    return with_constant(flat, constant if has_constant else None, mean)


def _jumps(found: list[Statistics], constant: Dual, *, fit_intercept: bool) -> npt.NDArray[np.bool_]:
    """Return the directions in which the error jumps, or in which a layer that blocks begins not to.

    Biases give features of one layer, or features without a mean, a constant that takes the place of another direction.
    """
    jumps = np.zeros(constant.tangent.shape[-1], bool)
    for one in found:
        if one.blocks and one.frozen.value == 0.0:
            jumps |= one.frozen.tangent != 0.0
    if not fit_intercept and len(found) == 1 and found[0].frozen.value == 0.0:
        jumps |= found[0].frozen.tangent != 0.0
    if not fit_intercept and constant.value == 0.0:
        jumps |= constant.tangent != 0.0
    return jumps


def _shallow(base: Table, n_inputs: Any, one: Statistics, constant: Any, mean: Any) -> ModalEquivalent:
    """See :func:`theory.equivalents.random_features.random_features`, for one layer of neurons that are all alike."""
    slope = one.nodes(one.rates.slopes_squared).entry(0) * one.layer.weight_variance
    tail = one.nodes(one.rates.nonlinear_variances).entry(0)
    table = replace(base, eigenvalues=base.eigenvalues * (slope / n_inputs), tail_trace=tail)
    return replace(with_constant(table, constant, mean), width=one.layer.width)


def _noise_only(base: Table, one: Statistics) -> Table:
    """What a layer that blocks leaves of its input."""
    noise = one.nodes(one.rates.nonlinear_variances)
    return Table(
        space=base.space,
        eigenvalues=noise,
        multiplicities=base.space.constants(one.rates.weights) * one.layer.width,
        energies=base.space.constants(np.zeros_like(noise.value)),
        unlearnable_variance=base.unlearnable_variance + base.energies.total(),
        noise_variance=base.noise_variance,
        n_unpenalised=base.n_unpenalised,
    )


class _Powers(NamedTuple):
    """Of slopes and noise, shape ``(orders, 1, nodes)``; see :meth:`Law.averages`."""

    places: Any
    steepness: Array
    values: Array
    by_slope: Array
    by_noise: Array


ONCE: tuple[Order, ...] = ((0, 1, 1), (1, 0, 1))
TWICE: tuple[Order, ...] = ((1, 1, 2), (2, 0, 2), (1, 0, 2), (0, 2, 2), (0, 1, 2))


class Law:
    """A layer as its neurons see it; see :class:`theory.equivalents.layers.LayerLaw`."""

    def __init__(self, one: Statistics) -> None:
        rates = one.rates
        self.width, self.weights, self.frozen = one.layer.width, rates.weights, one.frozen
        self.slopes = one.nodes(rates.slopes_squared) * one.layer.weight_variance
        noise = one.nodes(rates.nonlinear_variances)
        dead = (self.slopes.value == 0.0) & (noise.value < SMALLEST_NOISE)
        self.noise = noise.with_value(np.where(dead, SMALLEST_NOISE, noise.value))
        self.noisy_share = float(rates.weights @ (rates.nonlinear_variances.value > 0.0))
        self.biased = one.layer.bias_variance.value > 0.0
        self._known: dict[tuple[Order, ...], _Powers] = {}
        # Where nothing is frozen a first bias spreads neurons about a single node, to second order.
        self.turns = None
        if one.frozen.value == 0.0:
            weight = float(value_of(one.layer.weight_variance))
            self.turns = (float(rates.slopes_turn[0]) * weight, float(rates.variances_turn[0]))

    def averages(self, orders: Sequence[Order], g: Dual, ridge: Dual) -> list[Dual]:
        """Return ``E[a^i c^j / (c + ridge + a g)^p]`` for each (i, j, p), p being 1 or 2, at g and ridges of shape ``(n,)``."""
        powers = self._powers(tuple(orders))
        a, w = self.slopes.value, self.weights
        over = 1.0 / (self.noise.value + ridge.value[:, None] + a * g.value[:, None])
        both = np.array([over, over * over])[powers.places]
        summands = powers.values * both
        steep = powers.steepness * summands * over
        by_slope = (steep * g.value[:, None] + powers.by_slope * both) * w
        by_noise = (steep + powers.by_noise * both) * w
        tangents = self.slopes.weighted(by_slope) + self.noise.weighted(by_noise)
        tangents = tangents + (steep @ w)[..., None] * ridge.tangent + ((steep * a) @ w)[..., None] * g.tangent
        if self.turns is not None:
            turned = np.array([self._second(order, over[:, 0], g.value) for order in orders])
            tangents = tangents + turned[..., None] * self.frozen.tangent
        return [Dual(value, tangent) for value, tangent in zip(summands @ w, tangents, strict=True)]

    def _powers(self, orders: tuple[Order, ...]) -> "_Powers":
        """Return what of some summands does not depend on the ridge, each with an axis for it."""
        if orders not in self._known:
            a, c = (np.array([np.ones_like(x), x, x * x]) for x in (self.slopes.value, self.noise.value))
            i, j, p = (np.array(column) for column in zip(*orders, strict=True))
            self._known[orders] = _Powers(
                places=p - 1,
                steepness=-p[:, None, None].astype(float),
                values=(a[i] * c[j])[:, None],
                by_slope=(i[:, None] * a[i - 1] * c[j])[:, None],
                by_noise=(j[:, None] * a[i] * c[j - 1])[:, None],
            )
        return self._known[orders]

    def _second(self, order: Order, over: Array, g: Array) -> Array:
        """Half the second derivative of a summand as a and c turn: the product of three second-order expansions."""
        assert self.turns is not None
        (turn_a, turn_c), (i, j, p) = self.turns, order
        a, c = float(self.slopes.value[0]), float(self.noise.value[0])
        rate = (turn_c + turn_a * g) * over  # of the denominator, relatively
        first, second = np.zeros_like(over), np.zeros_like(over)
        value = over**p
        first, second = -p * rate * value, 0.5 * p * (p + 1) * rate**2 * value
        for base, turn, power in ((a, turn_a, i), (c, turn_c, j)):
            for _ in range(power):
                value, first, second = base * value, base * first + turn * value, base * second + turn * first
        return second

    def ridge(self, g: Dual, ratio: Dual) -> Dual:
        """Solve ``E[a / (c + ridge + a g)] = ratio``."""
        a, c, w = self.slopes.value, self.noise.value, self.weights
        if a.size == 1:
            kappa = a[0] * (1.0 / ratio.value - g.value) - c[0]
        else:
            alive = a > SMALLEST_SLOPE * np.max(a)
            kappa = _root(1.0 / a[alive], c[alive] / a[alive], w[alive], g.value, ratio.value)
        still = Dual(kappa, np.zeros(g.tangent.shape[-1]))
        once, twice = self.averages(((1, 0, 1), (1, 0, 2)), g, still)
        return Dual(kappa, (once - ratio).tangent / twice.value[:, None])


def _root(inverse: Array, noise: Array, weights: Array, g: Array, ratio: Array) -> Array:
    """See :func:`theory.equivalents.layers._layer_ridge`."""
    kappa = np.zeros_like(ratio)
    for _ in range(MAX_INNER):
        kept = 1.0 / (noise + g[:, None] + kappa[:, None] * inverse)
        mean, slope = kept @ weights, (kept * kept * inverse) @ weights
        change = mean * (mean / ratio - 1.0) / slope
        if not np.iscomplexobj(kappa + change):
            change = np.maximum(change, -kappa)
        kappa = kappa + change
        if np.all(~(np.abs(change) > 1e-3 * INNER_TOLERANCE * np.abs(kappa))):
            break
    return kappa


class _Link(NamedTuple):
    ridge: Dual
    df1: Dual
    df2: Any
    spread_per_ridge: Any


@dataclass(frozen=True, kw_only=True)
class LayeredEquivalent:
    """See :class:`theory.equivalents.layered.LayeredEquivalent`; ``constant`` is None where there is none.

    ``inner_unit`` takes solved inner ridges to those of the inputs, where they were of a mode table of the features.
    """

    table: Table
    laws: tuple[Law, ...]
    n_inputs: Any
    constant: Dual | None
    mean: Any
    inner_unit: float = 1.0

    @property
    def space(self) -> Space:
        """The directions."""
        return self.table.space

    def without_constant(self) -> "LayeredEquivalent":
        """Return the features less their mean."""
        return replace(self, constant=None, mean=0.0)

    def _ranks(self) -> tuple[Any, Any, Any]:
        """The rank of the features' covariance, that of their mean beside it, and the directions that their mean takes."""
        positive = (self.table.eigenvalues.value > 0.0).astype(float)
        centred: Any = (self.table.multiplicities * positive).total()
        beside: Any = 0.0
        for law in self.laws:
            centred = _least(law.width, law.noisy_share * law.width + centred)
            beside = _least(law.width - centred, 1.0 if law.biased else beside)
        return centred, beside, _least(1.0, centred + beside)

    def read(self, solved: Solved, *, rates: bool) -> Reading:
        """See :class:`theory.derivatives.equivalents.Equivalent`."""
        space, table = self.space, self.table
        single = not np.ndim(solved.outer)
        inner_value, outer_value = np.atleast_1d(solved.inner[0]) * self.inner_unit, np.atleast_1d(solved.outer)
        if not np.any(outer_value):
            # Without a ridge features see of their inputs what the smallest layer lets through: a kink where that changes.
            table = table.without_derivatives_by(np.isnan((self._ranks()[0] + space.constant(0.0)).tangent))
        scale = table.multiplicities.dot(table.eigenvalues) / table.multiplicities.total()
        inner_value = np.where(inner_value == 0.0, LIMIT * scale.value, inner_value)
        direction = space.size - 1
        inner = space.along(inner_value, direction)
        sums = table.sums(inner)
        link = _Link(
            inner,
            sums.kept(table.multiplicities),
            sums.kept_twice(table.multiplicities) if rates else None,
            sums.mixed_per_ridge(table.multiplicities) if rates else None,
        )
        width: Any = self.n_inputs
        per_ridge: Any = None
        rest: Any = 0.0
        before = inner
        for law in self.laws:
            above, own_per_ridge, own_rest = _next(law, link, width, rates=rates)
            if law is self.laws[-1]:
                above = above._replace(ridge=above.ridge.with_value(outer_value * value_of(law.width)))
            if rates:
                rest = own_rest if per_ridge is None else own_rest + own_per_ridge * above.ridge * rest
                per_ridge = own_per_ridge if per_ridge is None else per_ridge * own_per_ridge * before
            link, width, before = above, law.width, above.ridge
        outer = (link.ridge / width).with_value(outer_value)
        link = self._with_constant(link, width)
        found = replace(self, table=table)._reading(link, sums, outer, per_ridge, rest, width, rates=rates)
        equation = outer - space.along(outer_value, space.n_parameters)
        found = found.changed(lambda value: _full(value, outer)).eliminated(equation, direction)
        return _squeezed(found) if single else found

    def _with_constant(self, last: _Link, width: Any) -> _Link:
        if self.constant is None:
            return last
        centred, beside, taken = self._ranks()
        others = (centred + beside - taken) / centred
        eigenvalue = self.constant * width
        over = 1.0 / (eigenvalue + last.ridge)
        kept = eigenvalue * over
        found = last._replace(df1=others * last.df1 + taken * kept)
        if last.df2 is None:
            return found
        return found._replace(
            df2=others * last.df2 + taken * kept * kept,
            spread_per_ridge=others * last.spread_per_ridge + taken * kept * over,
        )

    def _reading(
        self, link: _Link, sums: Any, outer: Dual, per_ridge: Any, rest: Any, width: Any, *, rates: bool
    ) -> Reading:
        table = self.table
        lost = table.unlearnable_variance + table.noise_variance
        shrunk, kept = sums.shrunk(table.energies), sums.kept(table.energies)
        part: Any = 0.0
        energy = self.mean * self.mean
        if self.constant is not None:
            part = self.constant / (outer + self.constant)
        total = shrunk + lost + energy * (1.0 - part) if self.constant is not None else shrunk + lost
        learned = kept + energy * part
        found = Reading(outer, link.df1, total, learned)
        if not rates:
            return found
        mixed = sums.mixed(table.energies)
        constant_per_ridge: Any = part / (outer + self.constant) if self.constant is not None else 0.0
        gone = (1.0 - part) if self.constant is not None else 0.0
        return found._replace(
            df2=link.df2,
            spread=link.spread_per_ridge * link.ridge,
            spread_per_ridge=link.spread_per_ridge * width,
            label=sums.shrunk_twice(table.energies) + lost + energy * gone * gone + rest * mixed,
            learned_twice=sums.kept_twice(table.energies) + energy * part * part + rest * mixed,
            mixed_per_ridge=per_ridge * mixed * width + energy * constant_per_ridge,
        )


def _next(law: Law, below: _Link, width_below: Any, *, rates: bool) -> tuple[_Link, Any, Any]:
    """See :func:`theory.equivalents.layers.next_link`: the link, and its elasticity per ridge and the rest of it."""
    k = law.width
    per_width = below.ridge / width_below
    g = per_width * below.df1
    ridge = law.ridge(g, 1.0 / (k * per_width))

    if not rates:
        noise, slope = law.averages(ONCE, g, ridge)
        return _Link(ridge, k * (noise + g * slope), None, None), None, None
    noise, slope, mixed, steep, twice, noise_twice, noise_over = law.averages(ONCE + TWICE, g, ridge)
    spread_below = below.spread_per_ridge * below.ridge
    held = mixed + steep * per_width * spread_below
    scale = ridge * twice + held
    per_ridge, rest = twice / scale, held / scale
    steady = per_width * (spread_below + rest * below.df2)
    moving = per_width * (per_ridge * ridge) * below.df2
    kept_twice = noise_twice + 2.0 * g * mixed + g * g * steep
    link = _Link(
        ridge,
        k * (noise + g * slope),
        k * (kept_twice + ridge * moving * twice),
        k * (noise_over + steady * twice),
    )
    return link, per_ridge, rest


def _least(one: Any, other: Any) -> Any:
    """Return the smaller; where both are equal there is a kink, in all that changes one of them and not the other alike."""
    if value_of(one) != value_of(other):
        return one if value_of(one) < value_of(other) else other
    slopes = [value.tangent if isinstance(value, Dual) else 0.0 for value in (one, other)]
    if np.all(slopes[0] == slopes[1]):
        return one
    return Dual(value_of(one), np.where(slopes[0] == slopes[1], slopes[0], np.nan))


def _full(value: Dual, like: Dual) -> Dual:
    """Broadcast a number to the ridges' shape."""
    shape = like.shape
    return Dual(np.broadcast_to(value.value, shape), np.broadcast_to(value.tangent, (*shape, value.tangent.shape[-1])))


def _squeezed(found: Reading) -> Reading:
    return found.changed(lambda value: Dual(float(value.value[0]), value.tangent[0]))
