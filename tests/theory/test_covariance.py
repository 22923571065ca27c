"""Families of covariances: against the matrices they stand for, and large ones against their plain sums."""

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal, toeplitz

import theory
from tests.theory.oracles import OUTPUTS
from theory.quadrature import counting_nodes


def test_isotropic() -> None:
    spectrum = theory.covariance.isotropic(12.5, variance=3.0)
    assert (spectrum.eigenvalues.tolist(), spectrum.multiplicities.tolist()) == ([3.0], [12.5])


def test_discrete_takes_shares_of_all_directions() -> None:
    spectrum = theory.covariance.discrete(400, eigenvalues=[1, 5], weights=[0.25, 0.75])
    assert spectrum.multiplicities.tolist() == [100.0, 300.0]
    # Weights that sum to 1 within rounding are scaled to do so exactly.
    thirds = theory.covariance.discrete(300, eigenvalues=[1, 2, 3], weights=[1 / 3, 1 / 3, 1 / 3 + 1e-10])
    np.testing.assert_allclose(thirds.multiplicities.sum(), 300.0, rtol=1e-15)


def test_spiked_and_explicit() -> None:
    spiked = theory.covariance.spiked(100, spikes=[30.0, 10.0], bulk_variance=0.5)
    assert spiked.eigenvalues.tolist() == [0.5, 30.0, 10.0]
    assert spiked.multiplicities.tolist() == [98.0, 1.0, 1.0]
    assert theory.covariance.spiked(2, spikes=[3.0, 1.0]).multiplicities.tolist() == [0.0, 1.0, 1.0]
    explicit = theory.covariance.explicit(3, eigenvalues=[3.0, 1.0, 2.0])
    assert explicit.multiplicities.tolist() == [1.0, 1.0, 1.0]


def test_spectra_that_describe_the_same_covariance_agree() -> None:
    explicit = theory.covariance.explicit(6, eigenvalues=[4.0, 1.0, 1.0, 1.0, 4.0, 9.0])
    discrete = theory.covariance.discrete(6, eigenvalues=[1.0, 4.0, 9.0], weights=[3 / 6, 2 / 6, 1 / 6])
    predictions = [
        theory.predict_ridge(
            theory.linear_modes(spectrum, theory.target.isotropic(spectrum, signal_variance=2.0), noise_variance=0.1),
            n_samples=4.0,
            penalty=0.3,
        )
        for spectrum in (explicit, discrete)
    ]
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(predictions[0], name), getattr(predictions[1], name), rtol=1e-14)


@pytest.mark.parametrize("correlation", [-0.999, -0.5, 0.0, 0.3, 0.9, 0.999, 0.999999])
@pytest.mark.parametrize("n_features", [1, 2, 3, 10, 300])
def test_ar1_is_the_spectrum_of_the_toeplitz_matrix(correlation: float, n_features: int) -> None:
    spectrum = theory.covariance.ar1(n_features, correlation=correlation)
    assert np.all(np.diff(spectrum.eigenvalues) < 0) or correlation == 0.0
    direct = np.linalg.eigvalsh(toeplitz(correlation ** np.arange(n_features)))[::-1]
    # A symmetric eigensolver errs by rounding of the largest eigenvalue: small ones come from the inverse,
    # tridiagonal, whose entries carry the digits of 1 - r^2.
    np.testing.assert_allclose(spectrum.eigenvalues, direct, rtol=0, atol=1e-12 * direct[0])
    if n_features > 1:
        width = (1.0 - correlation) * (1.0 + correlation)
        diagonal = np.full(n_features, (1.0 + correlation**2) / width)
        diagonal[[0, -1]] = 1.0 / width
        precision = eigh_tridiagonal(diagonal, np.full(n_features - 1, -correlation / width), eigvals_only=True)
        np.testing.assert_allclose(1.0 / spectrum.eigenvalues, precision, rtol=0, atol=1e-12 * precision[-1])


def test_ar1_depends_on_the_size_of_the_correlation_only() -> None:
    plus, minus = (theory.covariance.ar1(50, correlation=sign * 0.7).eigenvalues for sign in (1, -1))
    np.testing.assert_array_equal(plus, minus)
    np.testing.assert_allclose(plus.sum(), 50.0, rtol=1e-14)
    np.testing.assert_allclose(np.sum(np.log(plus)), 49 * np.log(1 - 0.49), rtol=1e-13)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 1.5, 3.0, 6.0])
@pytest.mark.parametrize("n_features", [5_000, 100_000, 1_000_000])
def test_a_large_power_law_is_its_plain_sum(exponent: float, n_features: int) -> None:
    # The plain sum has its own rounding: a million terms, and eigenvalues over 36 decades for exponent 6.
    rtol = 1e-12 if n_features * exponent >= 3_000_000 else 2e-13
    compressed = theory.covariance.power_law(n_features, exponent=exponent, scale=2.0)
    plain = theory.covariance.power_law(n_features, exponent=exponent, scale=2.0, every_mode=True)
    assert compressed.eigenvalues.size < 1000
    assert plain.eigenvalues.size == n_features
    for r in (0.0, 0.4, 2.0) if n_features < 1_000_000 else (0.4,):
        tables = [
            theory.linear_modes(
                spectrum,
                theory.target.source(spectrum, signal_variance=1.0, exponent=r, covariance_exponent=exponent),
                noise_variance=0.1,
            )
            for spectrum in (compressed, plain)
        ]
        for n_samples, penalty in ((10.0, 0.0), (300.0, 1e-6), (n_features / 2, 0.0), (2.0 * n_features, 0.1)):
            few, many = (theory.predict_ridge(modes, n_samples, penalty) for modes in tables)
            for name in OUTPUTS:
                np.testing.assert_allclose(getattr(few, name), getattr(many, name), rtol=rtol, err_msg=name)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("n_features", [5_000, 100_000])
def test_a_large_autoregression_is_its_plain_sum(correlation: float, n_features: int) -> None:
    tables = []
    for every_mode in (False, True):
        spectrum = theory.covariance.ar1(n_features, correlation=correlation, every_mode=every_mode)
        energies = theory.target.isotropic(spectrum, signal_variance=1.0)
        tables.append(theory.linear_modes(spectrum, energies, noise_variance=0.1))
    for n_samples, penalty in ((10.0, 0.0), (300.0, 1e-6), (n_features / 2, 0.0), (2.0 * n_features, 0.1)):
        few, many = (theory.predict_ridge(modes, n_samples, penalty) for modes in tables)
        for name in OUTPUTS:
            np.testing.assert_allclose(getattr(few, name), getattr(many, name), rtol=2e-13, err_msg=name)


@pytest.mark.parametrize("n_modes", [1, 2, 16, 17, 33, 100, 4097, 10**6, 10**12])
@pytest.mark.parametrize("roughness", [0.5, 2.0, 8.0])
def test_counting_nodes_sum_polynomials_exactly(n_modes: int, roughness: float) -> None:
    indices, weights = counting_nodes(n_modes, roughness=roughness)
    assert np.all(weights > 0)
    assert np.all(np.diff(indices) > 0)
    assert indices[0] >= 1.0
    assert indices[-1] <= n_modes
    n = float(n_modes)
    np.testing.assert_allclose(weights.sum(), n, rtol=1e-13)
    np.testing.assert_allclose(weights @ indices, n * (n + 1) / 2, rtol=1e-13)
    np.testing.assert_allclose(weights @ indices**3, (n * (n + 1) / 2) ** 2, rtol=1e-13)


def test_a_trillion_modes_match_the_zeta_function() -> None:
    spectrum = theory.covariance.power_law(10**12, exponent=2.0)
    # pi^2 / 6 less the tail, 1 / (n + 1/2) up to O(n^-3).
    trace = spectrum.multiplicities @ spectrum.eigenvalues
    np.testing.assert_allclose(trace, np.pi**2 / 6 - 1e-12, rtol=1e-14)


@pytest.mark.parametrize("n_features", [5000, 10**6])
def test_one_sample_short_of_as_many_modes_no_digit_is_lost(n_features: int) -> None:
    few, many = (theory.covariance.power_law(n_features, exponent=1.5, every_mode=every) for every in (False, True))
    answers = [
        theory.predict_ridge(
            theory.linear_modes(spectrum, theory.target.isotropic(spectrum, signal_variance=1.0), noise_variance=0.1),
            n_features - 1,
            0.0,
        )
        for spectrum in (few, many)
    ]
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(answers[0], name), getattr(answers[1], name), rtol=1e-12, err_msg=name)


def test_one_sample_short_of_a_trillion_modes_the_limit_of_large_families_holds() -> None:
    # test_error / n_features tends to a constant as the family grows.
    ratios = []
    for n_features in (10**9, 10**12):
        spectrum = theory.covariance.power_law(n_features, exponent=1.5)
        energies = theory.target.isotropic(spectrum, signal_variance=1.0)
        modes = theory.linear_modes(spectrum, energies, noise_variance=0.1)
        ratios.append(theory.predict_ridge(modes, n_features - 1, 0.0).test_error / n_features)
    np.testing.assert_allclose(ratios[1], ratios[0], rtol=1e-8)


def test_a_count_that_is_not_the_sum_is_refused() -> None:
    with pytest.raises(theory.InadmissibleProblem, match="count must be the sum"):
        theory.Modes(eigenvalues=[1.0], multiplicities=[10.0], energies=[1.0], count=11.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: theory.covariance.discrete(10, eigenvalues=[1, 2], weights=[1.0]), "one entry per eigenvalue"),
        (lambda: theory.covariance.discrete(10, eigenvalues=[1, 2], weights=[0.5, 0.6]), "sum to 1, got 1.1"),
        (lambda: theory.covariance.power_law(10.5, exponent=1.0), "whole number of features, got 10.5"),
        (lambda: theory.covariance.ar1(10.5, correlation=0.5), "whole number of features, got 10.5"),
        (lambda: theory.covariance.spiked(1, spikes=[1.0, 2.0]), "at most n_features spikes fit, got 2"),
        (lambda: theory.covariance.explicit(4, eigenvalues=[1.0, 2.0]), "needs n_features = 4 eigenvalues, got 2"),
    ],
)
def test_inadmissible_covariances_say_which_rule_they_break(build: object, message: str) -> None:
    with pytest.raises(theory.InadmissibleProblem, match=message):
        build()  # type: ignore[operator]
