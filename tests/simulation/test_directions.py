"""Groups of a spectrum as whole directions."""

import numpy as np
import pytest

import theory
from simulation import directions


def test_groups_are_listed_with_even_shares() -> None:
    spectrum = theory.covariance.discrete(8, eigenvalues=[1.0, 5.0], weights=[0.25, 0.75])
    eigenvalues, energies = directions(spectrum, [1.0, 3.0])
    assert eigenvalues.tolist() == [1.0] * 2 + [5.0] * 6
    assert energies.tolist() == [0.5] * 8


def test_fractions_are_rounded_by_largest_remainder() -> None:
    spectrum = theory.covariance.discrete(10, eigenvalues=[1.0, 2.0, 3.0], weights=[0.34, 0.33, 0.33])
    eigenvalues, energies = directions(spectrum, [4.0, 3.0, 3.0])
    assert eigenvalues.tolist() == [1.0] * 4 + [2.0] * 3 + [3.0] * 3
    assert energies.tolist() == [1.0] * 10


@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3], [0.001, 0.0005, 0.9985]])
@pytest.mark.parametrize("n_features", [7, 100, 301])
def test_no_direction_and_no_energy_is_lost(weights: list[float], n_features: int) -> None:
    spectrum = theory.covariance.discrete(n_features, eigenvalues=[3.0, 2.0, 1.0], weights=weights)
    energies = np.where(np.round(spectrum.multiplicities) >= 1, [1.0, 2.0, 3.0], 0.0)
    eigenvalues, shares = directions(spectrum, energies)
    assert eigenvalues.size == n_features
    np.testing.assert_allclose(shares.sum(), energies.sum(), rtol=1e-14)


def test_listed_families_pass_through() -> None:
    spectrum = theory.covariance.power_law(50, exponent=1.5)
    energies = theory.target.source(spectrum, signal_variance=1.0, exponent=0.4, covariance_exponent=1.5)
    eigenvalues, shares = directions(spectrum, energies)
    np.testing.assert_array_equal(eigenvalues, spectrum.eigenvalues)
    np.testing.assert_array_equal(shares, energies)


def test_weighted_modes_are_no_directions() -> None:
    spectrum = theory.covariance.power_law(5000, exponent=1.5)
    with pytest.raises(theory.InadmissibleProblem, match="stand for 5000; build the spectrum with every_mode=True"):
        directions(spectrum, spectrum.eigenvalues)


def test_energy_needs_a_direction() -> None:
    spectrum = theory.covariance.discrete(10, eigenvalues=[1.0, 2.0], weights=[0.99, 0.01])
    with pytest.raises(theory.InadmissibleProblem, match=r"group 1 has energy but only 0\.1 of a direction"):
        directions(spectrum, [1.0, 1.0])
    assert directions(spectrum, [1.0, 0.0])[0].tolist() == [1.0] * 10
