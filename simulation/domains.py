"""Domains of the fields of problems, each checked with a message that names the field."""

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem


def nonnegative(name: str, value: npt.ArrayLike) -> None:
    """Refuse what is not finite and at least 0."""
    if not (np.min(value) >= 0.0 and np.max(value) < np.inf):
        raise InadmissibleProblem(f"{name} must be finite and at least 0", argument=name)


def positive(name: str, value: float) -> None:
    """Refuse what is not finite and above 0."""
    if not 0.0 < value < np.inf:
        raise InadmissibleProblem(f"{name} must be positive and finite, got {value!r}", argument=name)


def whole(name: str, value: float, *, least: int = 1) -> int:
    """Return a size as an int, refusing fractions: a simulation draws whole things."""
    if not (np.isfinite(value) and value == int(value) and value >= least):
        raise InadmissibleProblem(f"{name} must be a whole number, at least {least}, got {value!r}", argument=name)
    return int(value)
