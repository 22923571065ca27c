"""Derivatives of duals against differences of high order of the duals themselves, which are tested elsewhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from theory.activations import ACTIVATIONS, Activation, activation, dual, dual_slopes
from theory.derivatives.duals import dual_rates, dual_slope_rates

CENTRAL = np.array([4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0])
STEP = 5e-3
CORRELATION = np.array([-0.9, 0.7])
VARIANCE = 1.3


def difference(function: Callable[[float], Any]) -> Any:
    """Return the derivative at 0."""
    return sum(weight * (function(k * STEP) - function(-k * STEP)) for k, weight in enumerate(CENTRAL, start=1)) / STEP


CASES = [
    (kind, average, rates_of)
    for kind in ACTIVATIONS
    for average, rates_of in ((dual, dual_rates), (dual_slopes, dual_slope_rates))
    if average is dual or activation(kind).is_continuous
]
SLOW = ("sigmoid", "softplus")
"""Quadratures like that of tanh, of milliseconds an element."""


@pytest.mark.parametrize(
    ("kind", "average", "rates_of"),
    [pytest.param(*case, marks=[pytest.mark.slow] if case[0] in SLOW else []) for case in CASES],
)
def test_duals_are_differentiated(kind: str, average: Any, rates_of: Any) -> None:
    phi = activation(kind)

    def value(phi: Activation, variance: float, correlation: Any) -> Any:
        return average(phi, variance, variance, variance * correlation)

    correlation = CORRELATION if phi.has_closed_dual else CORRELATION[:1]  # milliseconds an element
    found = rates_of(phi, VARIANCE, correlation)
    np.testing.assert_allclose(found.value, value(phi, VARIANCE, correlation), rtol=1e-9, atol=1e-12)
    by_variance = difference(lambda change: value(phi, VARIANCE + change, correlation))
    np.testing.assert_allclose(found.by_variance, by_variance, rtol=1e-8, atol=1e-10)
    by_correlation = difference(lambda change: value(phi, VARIANCE, correlation + change))
    np.testing.assert_allclose(found.by_correlation, by_correlation, rtol=1e-6, atol=1e-9)
    assert len(found.by_parameter) == len(phi.parameters())
    for name, rate in zip(phi.parameters(), found.by_parameter, strict=True):
        here = getattr(phi, name)

        def turned(change: float, name: str = name, here: float = here) -> Any:
            return value(activation(kind, **{name: max(here + change, -2.0)}), VARIANCE, correlation)

        if kind == "leaky_relu":  # quadratic in its slope, which cannot be negative
            expected = (4.0 * turned(STEP) - turned(2.0 * STEP) - 3.0 * turned(0.0)) / (2.0 * STEP)
        else:
            expected = difference(turned)
        np.testing.assert_allclose(rate, expected, rtol=1e-8, atol=1e-9)


def test_opposite_and_equal_pre_activations_have_finite_rates_by_variance() -> None:
    for kind in ("relu", "erf", "gelu", "sin", "cos", "ternary", "sign"):
        found = dual_rates(activation(kind), VARIANCE, np.array([-1.0, 1.0]))
        assert np.all(np.isfinite(found.by_variance)), kind
