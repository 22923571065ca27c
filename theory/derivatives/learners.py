"""Errors of learners of square loss with their derivatives, read off an equivalent where it was solved."""

from typing import Any

import numpy as np

from theory.derivatives.dual import Dual, eliminated
from theory.derivatives.equivalents import Equivalent, Solved
from theory.learners.contours import flow_contour

EPSILON, DIGITS = float(np.finfo(float).eps), 1e-6
"""Rounding, and what of a derivative it may be."""
CONTOUR = flow_contour(1.0)
"""Of inverse Laplace transforms, at the time 1."""


def ridge(
    equivalent: Equivalent, solved: Solved, *, margin: float, n_unpenalised: int, n_samples: Any, penalty: Any
) -> Dual:
    """Return the test error of ridge regression; see :func:`theory.learners.ridge.risks`.

    Args:
        equivalent: of the features.
        solved: its ridges at these sizes and this penalty.
        margin: ``n - df``, an unpenalised constant counted in df, as it was solved for.
        n_unpenalised: 1 where there is such a constant.
        n_samples: n.
        penalty: nonnegative; at 0 its derivative is that from above.
    """
    found = equivalent.read(solved, rates=True)
    left = (n_samples - float(n_unpenalised) - found.df1).with_value(margin)
    equation = found.ridge * left - penalty * n_samples
    if found.unfilled is not None:
        equation = equation - found.unfilled
    error = found.label * n_samples / (left + found.spread)
    return _with_digits(error, equation, equivalent.space.n_parameters, float(n_samples.value))


def _with_digits(error: Dual, equation: Dual, direction: int, n_samples: float) -> Dual:
    """Eliminate an unknown; derivatives are not numbers where that leaves fewer than six digits.

    At an interpolation threshold with hardly a penalty the error has a peak as narrow as the penalty's root: at its top, what a
    size does to the error and what it does through the ridge are the same but for so small a share.
    """
    found = eliminated(error, equation, direction)
    carried = error.tangent[direction] / equation.tangent[direction] * equation.tangent
    lost = EPSILON * (np.abs(error.tangent) + np.abs(carried)) > DIGITS * (
        np.abs(found.tangent) + abs(error.value) / n_samples
    )
    return Dual(found.value, np.where(lost, np.nan, found.tangent))


def sgd(equivalent: Equivalent, solved: Solved, *, n_samples: Dual, step_size: Dual, trace: Dual) -> Dual:
    """Return the test error of one-pass SGD, an inverse Laplace transform; see :mod:`theory.learners.sgd`.

    Args:
        equivalent: of the features, without a tail that no step takes note of.
        solved: ridges at the contour's points over the time ``2 step_size n``.
        n_samples: n.
        step_size: below the critical one.
        trace: of the features.
    """
    time = 2.0 * step_size * n_samples
    ridges = solved.outer
    found = equivalent.read(solved, rates=False)
    memory = trace - ridges * found.df1
    values = found.total / ridges / (1.0 - 0.5 * step_size * memory)
    weights = CONTOUR.weights * (ridges / CONTOUR.points)
    tangent = 2.0 * (weights @ values.full_tangent).real
    # The contour stays where it is.
    tangent[equivalent.space.n_parameters :] = 0.0
    by_time = 2.0 * float((weights @ (ridges * values.value)).real)
    return Dual(2.0 * float((weights @ values.value).real), tangent + by_time * time.tangent)


def trace_of(equivalent: Equivalent, far: Solved) -> Dual:
    """Return the trace of the features' second moments, with derivatives.

    Args:
        equivalent: of the features.
        far: at a ridge 1e8 times the trace, where ``ridge (df1 + df2)`` is the trace but for the square of that.
    """
    found = equivalent.read(far, rates=True)
    trace = (found.df1 + found.df2) * far.outer
    tangent = trace.tangent.copy()
    tangent[equivalent.space.n_parameters :] = 0.0
    return Dual(trace.value, tangent)
