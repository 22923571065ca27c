"""Fitted power laws: exact ones are found exactly, noisy ones within their standard errors, others are said to bend."""

import numpy as np
import pytest

import theory
from theory.functionals.power_law_fit import PowerLawFit, fit_power_law

POSITIONS = np.arange(1.0, 1001.0)


def source(slope: float, energy_slope: float) -> float:
    return (energy_slope - 1.0) / (2.0 * slope)


def test_an_exact_power_law_is_found_exactly_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(POSITIONS.size)
    eigenvalues, energies = 2.0 * POSITIONS**-1.5, 3.0 * POSITIONS**-1.9
    found = fit_power_law([*eigenvalues[order], 0.0], [*energies[order], 7.0])
    slopes = (found.exponent, found.energy_exponent, found.scale, found.energy, found.source_exponent)
    np.testing.assert_allclose(slopes, (1.5, 1.9, 2.0, 3.0, 0.3), rtol=1e-12)
    assert (found.first, found.last, found.n_groups) == (1.0, 1000.0, 28)
    assert found.standard_error(source) < 1e-12
    assert all(abs(bend) < 1e-12 for bend, _ in found.bends)


def test_modes_that_share_an_eigenvalue_may_be_listed_at_once() -> None:
    # Three modes of one eigenvalue lie at the position of the middle one.
    middles = 3.0 * POSITIONS - 1.0
    eigenvalues, energies = middles**-1.5, middles**-1.9
    together = fit_power_law(eigenvalues, 3.0 * energies, multiplicities=np.full(1000, 3.0), first=50)
    np.testing.assert_allclose((together.exponent, together.energy_exponent), (1.5, 1.9), rtol=1e-12)
    np.testing.assert_allclose((together.scale, together.energy), (1.0, 1.0), rtol=1e-10)
    apart = fit_power_law(np.repeat(eigenvalues, 3), np.repeat(energies, 3), first=50)
    np.testing.assert_allclose((apart.exponent, apart.energy_exponent), (1.5, 1.9), atol=2e-3)


def drawn(rng: np.random.Generator) -> PowerLawFit:
    """Fit to the energies of one Gaussian target, which scatter by sqrt(2) of themselves."""
    return fit_power_law(POSITIONS**-1.5, POSITIONS**-1.9 * rng.chisquare(1.0, POSITIONS.size))


def test_standard_errors_are_those_of_repeated_draws() -> None:
    rng = np.random.default_rng(2)
    fits = [drawn(rng) for _ in range(300)]
    off = np.array([(fit.source_exponent - 0.3) / fit.standard_error(source) for fit in fits])
    # 300 draws: the mean is known to 0.06, the deviation to 0.04; a few leading modes, whose energies are skew, weigh
    # much, so that neither is exactly that of a normal variable.
    assert abs(off.mean()) < 0.4
    assert 0.7 < off.std() < 1.2


def test_energies_of_zero_are_data() -> None:
    energies = POSITIONS**-1.9
    energies[1::2] = 0.0
    found = fit_power_law(POSITIONS**-1.5, energies)
    np.testing.assert_allclose(found.energy_exponent, 1.9, atol=3.0 * np.sqrt(found.variances[1]))


def test_a_range_is_fitted_by_itself() -> None:
    eigenvalues = np.where(POSITIONS <= 30, POSITIONS**-1.2, 30.0**1.3 * POSITIONS**-2.5)
    found = fit_power_law(eigenvalues, POSITIONS**-2.0, first=31, last=900)
    np.testing.assert_allclose(found.exponent, 2.5, rtol=1e-12)
    assert (found.first, found.last) == (31.0, 900.0)
    bend, error = fit_power_law(eigenvalues, POSITIONS**-2.0).bends[0]
    assert bend > 1.0
    assert bend > 3.0 * error


@pytest.mark.parametrize(
    ("eigenvalues", "energies", "argument"),
    [
        ([1.0, 0.5, 0.2], [1.0, 1.0, 1.0], "eigenvalues"),
        ([0.0] * 50, [1.0] * 50, "eigenvalues"),
        (list(POSITIONS**-2.0), [1.0, *[0.0] * 999], "energies"),
        (list(POSITIONS**-2.0), [0.0] * 1000, "energies"),
    ],
)
def test_too_little_to_fit_is_refused(eigenvalues: list[float], energies: list[float], argument: str) -> None:
    with pytest.raises(theory.InadmissibleProblem, match="list more modes") as refusal:
        fit_power_law(eigenvalues, energies)
    assert refusal.value.argument == argument
