"""Gradient flow and descent with derivatives: contours stay where they are, and what is read on them is differentiated.

The filter ``phi(-p)`` is the only thing that knows the time or the step size; its derivatives by them are read on the same
contour. See :mod:`theory.learners.gradient_methods` for the equations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theory.derivatives.dual import Dual, Space, eliminated, value_of
from theory.derivatives.equivalents import Equivalent, Solved
from theory.equivalents.point import Continued
from theory.learners.filtered import Contours
from theory.learners.gradient_methods import Problem

Complex = npt.NDArray[np.complex128]

FAR = 1e18
"""Ridges, in units of the trace, at which nothing is learned but in proportion to the inverse ridge."""


class Moments(NamedTuple):
    """What is read at a time, in units of the samples that a constant leaves; see :class:`theory.learners.filtered.Moments`."""

    test_error: Dual
    score_mean: Dual
    score_square: Dual
    score_level: Any


class Filter(NamedTuple):
    """How the weights of a contour change with what the filter depends on.

    Attributes:
        rates: takes points to the derivatives of ``log phi(-p)``.
        parameter: of which a derivative is taken.
    """

    rates: Callable[[Complex], Complex]
    parameter: Dual


def flow_filter(time: Dual) -> Filter:
    """``exp(p time)``."""
    return Filter(lambda points: points, time)


def descent_filter(step_size: Dual, steps: int) -> Filter:
    """``(1 + step_size p)^steps``."""
    return Filter(lambda points: steps * points / (1.0 + step_size.value * points), step_size)


def moments(
    equivalent: Equivalent,
    solved_of: Callable[[Continued], Solved],
    problem: Problem,
    plan: Contours,
    changing: Filter | None,
    *,
    available: Any,
    penalty: Any,
) -> Moments:
    """Return what is read at a time.

    Args:
        equivalent: of the features.
        solved_of: takes what the plain equivalent continues to complex penalties to its ridges.
        problem: as it was solved.
        plan: contours of the time.
        changing: how the filter does; None where nothing moves any more.
        available: samples that a constant leaves.
        penalty: of these samples.
    """
    first, second = plan.first, plan.second
    points = np.concatenate([first.points, second.points])
    found = problem.equivalent.continued(problem.available, np.asarray(problem.penalty + points, complex))
    reading = equivalent.read(solved_of(found), rates=False)
    equation = reading.ridge * (1.0 - reading.df1 / available) - (penalty + points)
    direction = equivalent.space.n_parameters
    kappa, total, learned = (
        eliminated(value, equation, direction) for value in (reading.ridge, reading.total, reading.learned)
    )
    cut = first.points.size
    v, w = first.weights / first.points, _mirrored(second.weights / second.points)
    kernel = v[:, None] * w / (_mirrored(second.points) - first.points[:, None])
    halves = [(value[:cut], _mirrored_dual(value[cut:])) for value in (kappa, total, learned)]
    (k_a, k_b), (t_a, t_b), (l_a, l_b) = halves
    error = _bilinear(t_a, kernel, k_b) - _bilinear(k_a, kernel, t_b)
    # g = kappa df / n, which is kappa - penalty; labels = T + what is learned, the same at all ridges.
    labels = (total + learned)[0].real
    p_a, p_b = penalty + first.points, penalty + _mirrored(second.points)
    explained = kappa * eliminated(reading.df1, equation, direction) / available
    g_a, g_b = explained[:cut], _mirrored_dual(explained[cut:])
    one_a, one_b = np.ones(cut), np.ones(w.size)
    product = (
        labels * (_linear(one_a @ kernel, g_b) - _linear(kernel @ one_b, g_a))
        + _linear(one_a @ kernel, p_b * l_b)
        - _linear(kernel @ one_b, p_a * l_a)
        + _bilinear(g_a, kernel, l_b)
        - _bilinear(l_a, kernel, g_b)
    )
    mean = _linear(v, l_a)
    level: Any = 0.0
    if reading.learned_level is not None:
        level = _linear(v, eliminated(reading.learned_level, equation, direction)[:cut])
    if changing is None:
        return Moments(error, mean, product, level)
    v_rate, w_rate = changing.rates(first.points), _mirrored(changing.rates(second.points))
    moving = kernel * (v_rate[:, None] + w_rate)
    risk = t_a.value[:, None] * k_b.value - k_a.value[:, None] * t_b.value
    shared = (
        labels.value * (g_b.value - g_a.value[:, None])
        + value_of(p_b) * l_b.value
        - (value_of(p_a) * l_a.value)[:, None]
        + g_a.value[:, None] * l_b.value
        - l_a.value[:, None] * g_b.value
    )
    along = changing.parameter.tangent
    levels = level
    if reading.learned_level is not None:
        by_level = float(2.0 * np.sum((v * v_rate * reading.learned_level.value[:cut]).real))
        levels = Dual(level.value, level.tangent + by_level * along)
    return Moments(
        Dual(error.value, error.tangent + float(2.0 * np.sum(moving * risk).real) * along),
        Dual(mean.value, mean.tangent + float(2.0 * np.sum((v * v_rate * l_a.value).real)) * along),
        Dual(product.value, product.tangent + float(2.0 * np.sum(moving * shared).real) * along),
        levels,
    )


def at_rest(equivalent: Equivalent, solved: Solved, *, time: Dual | None, share: Any, space: Space) -> Dual:
    """Return the test error at the start, in units of the samples that a constant leaves, and its slope in time.

    Args:
        equivalent: of the features.
        solved: at a ridge beyond everything.
        time: 0, with derivatives; None where no time passes.
        share: of the samples that a constant leaves.
        space: the directions.
    """
    reading = equivalent.read(solved, rates=False)
    labels = reading.total + reading.learned
    tangent = np.array(labels.tangent)
    tangent[space.n_parameters :] = 0.0
    if time is not None:
        # d f / dt = K y / n, whose covariance with y is that of what is learned, times the ridge.
        rate = -2.0 * float(reading.learned.value * reading.ridge.value) * value_of(share)
        tangent = tangent + rate * time.tangent
    return Dual(labels.value, tangent)


def _bilinear(left: Dual, kernel: Complex, right: Dual) -> Dual:
    """Return twice the real part of ``left kernel right``."""
    of_left, of_right = kernel @ right.value, left.value @ kernel
    tangent = of_left @ left.full_tangent + of_right @ right.full_tangent
    return Dual(float(2.0 * (left.value @ of_left).real), 2.0 * tangent.real)


def _linear(weights: Complex, values: Dual) -> Dual:
    """Return twice the real part of a weighted sum."""
    return Dual(float(2.0 * (weights @ values.value).real), 2.0 * (weights @ values.full_tangent).real)


def _mirrored(values: Any) -> Any:
    """Add the lower half plane's values to those of the upper."""
    return np.concatenate([values, np.conj(values)])


def _mirrored_dual(values: Dual) -> Dual:
    return Dual(_mirrored(values.value), _mirrored(values.full_tangent))
