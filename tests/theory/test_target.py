"""How energies are spread over the modes."""

import numpy as np
import pytest

import theory

TWO_ATOMS = theory.covariance.discrete(40, eigenvalues=[1.0, 5.0], weights=[0.25, 0.75])


def test_isotropic_energies_follow_the_eigenvalues() -> None:
    energies = theory.target.isotropic(TWO_ATOMS, signal_variance=8.0)
    np.testing.assert_allclose(energies, [8.0 * 10 / 160, 8.0 * 150 / 160], rtol=1e-15)


def test_source_energies() -> None:
    spectrum = theory.covariance.power_law(50, exponent=1.5)
    energies = theory.target.source(spectrum, signal_variance=3.0, exponent=0.4, covariance_exponent=1.5)
    np.testing.assert_allclose(energies.sum(), 3.0, rtol=1e-14)
    np.testing.assert_allclose(energies[7] / energies[0], 8.0**-2.2, rtol=1e-14)


def test_energies_in_the_order_given() -> None:
    np.testing.assert_allclose(theory.target.energies(TWO_ATOMS, signal_variance=2.0, values=[1, 3]), [0.5, 1.5])


def test_energies_of_repeated_eigenvalues_are_shared_out() -> None:
    spectrum = theory.covariance.explicit(5, eigenvalues=[4.0, 1.0, 4.0, 9.0, 1.0])
    # One value per distinct eigenvalue, in order of first appearance: 4, 1, 9.
    energies = theory.target.energies(spectrum, signal_variance=10.0, values=[4.0, 2.0, 4.0])
    np.testing.assert_allclose(energies, [2.0, 1.0, 2.0, 4.0, 1.0])
    np.testing.assert_allclose(
        theory.target.energies(spectrum, signal_variance=1.0, values=[0, 0, 0, 5, 0]), [0, 0, 0, 1, 0]
    )


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_only_proportions_matter(scale: float) -> None:
    energies = theory.target.energies(TWO_ATOMS, signal_variance=2.0, values=[scale, 3 * scale])
    np.testing.assert_allclose(energies, [0.5, 1.5], rtol=1e-15)


def test_no_signal_needs_no_direction() -> None:
    assert theory.target.energies(TWO_ATOMS, signal_variance=0.0, values=[0.0, 0.0]).tolist() == [0.0, 0.0]
    silent = theory.covariance.isotropic(3, variance=0.0)
    assert theory.target.isotropic(silent, signal_variance=0.0).tolist() == [0.0]


def test_linear_modes_count_what_linear_features_cannot_express() -> None:
    spectrum = theory.covariance.isotropic(10)
    options = {"noise_variance": 0.1, "nonlinear_variance": 0.2, "mean": 3.0}
    without = theory.linear_modes(spectrum, [1.0], **options)
    fitted = theory.linear_modes(spectrum, [1.0], fit_intercept=True, **options)
    assert (without.unlearnable_variance, without.n_unpenalised) == (9.2, 0)
    assert (fitted.unlearnable_variance, fitted.n_unpenalised) == (0.2, 1)


@pytest.mark.parametrize(
    ("spectrum", "values", "message"),
    [
        (TWO_ATOMS, [1.0, 2.0, 3.0], "one energy per distinct eigenvalue: 2 of them, got 3"),
        (TWO_ATOMS, [0.0, 0.0], "signal_variance is positive but"),
        (
            theory.covariance.explicit(2, eigenvalues=[0.0, 1.0]),
            [1.0, 1.0],
            "no energy where the inputs have no variance",
        ),
        (theory.covariance.spiked(1, spikes=[2.0]), [1.0, 1.0], "no energy where the inputs have no variance"),
    ],
)
def test_inadmissible_energies_say_which_rule_they_break(
    spectrum: theory.Spectrum, values: list[float], message: str
) -> None:
    with pytest.raises(theory.InadmissibleProblem, match=message):
        theory.target.energies(spectrum, signal_variance=1.0, values=values)


def test_a_source_condition_needs_an_ordered_family() -> None:
    with pytest.raises(theory.InadmissibleProblem, match="needs a power_law covariance"):
        theory.target.source(TWO_ATOMS, signal_variance=1.0, exponent=0.5, covariance_exponent=1.0)
