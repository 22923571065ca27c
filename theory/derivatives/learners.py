"""Errors of learners of square loss with their derivatives, read off an equivalent where it was solved."""

from typing import Any

from theory.derivatives.dual import Dual, eliminated
from theory.derivatives.equivalents import Equivalent, Solved
from theory.equivalents.point import Point


def ridge(equivalent: Equivalent, point: Point, solved: Solved, *, n_samples: Any, penalty: Any) -> Dual:
    """Return the test error of ridge regression; see :func:`theory.learners.ridge.risks`.

    Args:
        equivalent: of the features.
        point: the same without derivatives, at these sizes and this penalty.
        solved: its ridges.
        n_samples: n.
        penalty: nonnegative; at 0 its derivative is that from above.
    """
    found = equivalent.read(solved, rates=True)
    margin = (n_samples - float(point.n_unpenalised) - found.df1).with_value(point.sample_margin)
    equation = found.ridge * margin - penalty * n_samples
    error = found.label * n_samples / (margin + found.spread)
    return eliminated(error, equation, equivalent.space.n_parameters)
