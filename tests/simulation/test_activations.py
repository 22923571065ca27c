"""Activations over the array API, against the theory's own values."""

import array_api_strict
import numpy as np
import pytest
from scipy import special

from simulation.activations import FUNCTIONS, evaluate
from simulation.error_function import erf, normal_distribution
from theory import InadmissibleProblem
from theory.activations import ACTIVATIONS, Activation, activation

SPREAD = np.concatenate(
    [np.linspace(-40.0, 40.0, 2001), np.geomspace(1e-12, 30.0, 400), -np.geomspace(1e-12, 30.0, 400)]
)
PARAMETRISED = [activation("leaky_relu", negative_slope=0.3), activation("ternary", low=-0.2, high=1.1)]


@pytest.mark.parametrize("phi", [*map(activation, ACTIVATIONS), *PARAMETRISED], ids=str)
@pytest.mark.parametrize("xp", [np, array_api_strict])
def test_every_activation_has_its_value(phi: Activation, xp: object) -> None:
    values = np.asarray(evaluate(phi, xp.asarray(SPREAD)))
    # Relative to the value itself, tails and neighbourhoods of zero included; what underflows is 0 in both.
    np.testing.assert_allclose(values, phi.value(SPREAD), rtol=1e-12, atol=1e-300)


def test_the_table_is_the_theorys() -> None:
    assert set(FUNCTIONS) == set(ACTIVATIONS)


def test_an_activation_without_a_row_is_refused() -> None:
    class Unknown(Activation):
        kind = "unknown"

    with pytest.raises(InadmissibleProblem, match="'unknown' cannot be simulated; those that can are linear, relu"):
        evaluate(Unknown(), SPREAD)


def test_the_error_function_keeps_its_digits() -> None:
    np.testing.assert_allclose(erf(SPREAD), special.erf(SPREAD), rtol=1e-14)
    tail = np.linspace(-37.0, 8.0, 5000)
    # The square in the exponent, up to 700, is rounded to its last digit.
    np.testing.assert_allclose(normal_distribution(tail), special.ndtr(tail), rtol=1e-12)
