"""Losses of a margin y f, as their learners minimise them, over the array API."""

from typing import Any

import array_api_compat

from simulation.activations import softplus


def square(margins: Any) -> Any:
    """Return ``(1 - m)^2 / 2``, which for y = +-1 is ``(y - f)^2 / 2``."""
    return 0.5 * (1.0 - margins) ** 2


def logistic(margins: Any) -> Any:
    """Return ``log(1 + exp(-m))``."""
    return softplus(-margins)


def hinge(margins: Any) -> Any:
    """Return ``max(0, 1 - m)``."""
    short = 1.0 - margins
    return array_api_compat.array_namespace(margins).where(short > 0.0, short, 0.0 * short)


def mistake(margins: Any) -> Any:
    """Return 1 where the sign is wrong, 1/2 where the score is 0."""
    return 0.5 - 0.5 * array_api_compat.array_namespace(margins).sign(margins)
