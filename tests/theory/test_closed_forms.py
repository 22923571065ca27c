"""Problems whose answer is known without a fixed point."""

import itertools

import numpy as np
import pytest

import theory
from tests.theory.oracles import isotropic_by_marchenko_pastur, mei_montanari_risk


def isotropic(n_features: float, *, variance: float = 1.0, signal: float = 1.0, noise: float = 0.25) -> theory.Modes:
    return theory.Modes(eigenvalues=[variance], multiplicities=[n_features], energies=[signal], noise_variance=noise)


GENERAL = theory.Modes(
    eigenvalues=[0.02, 1.0, 7.0, 300.0],
    multiplicities=[100.0, 150.0, 40.0, 10.0],
    energies=[0.1, 1.0, 2.0, 5.0],
    noise_variance=0.3,
    unlearnable_variance=0.2,
)


@pytest.mark.parametrize(
    ("per_feature", "penalty", "variance"),
    list(itertools.product([1e-3, 0.5, 0.999999, 1.0, 1.000001, 2.0, 1e4], [1e-10, 1e-3, 1.0, 1e5], [1e-3, 1.0, 40.0])),
)
def test_isotropic_effective_ridge_is_the_root_of_a_quadratic(
    per_feature: float, penalty: float, variance: float
) -> None:
    linear = penalty / variance + 1.0 / per_feature - 1.0
    root = np.sqrt(linear**2 + 4.0 * penalty / variance)
    # Whichever form adds numbers of one sign.
    expected = variance * ((linear + root) / 2.0 if linear > 0 else 2.0 * penalty / variance / (root - linear))
    prediction = theory.predict_ridge(isotropic(400.0, variance=variance), 400.0 * per_feature, penalty)
    # linear is itself a difference: 1e-16 of its terms, amplified by at most 1 / sqrt(4 penalty / variance) beside it.
    rtol = 1e-14 + 1e-15 / (root + abs(linear))
    np.testing.assert_allclose(prediction.effective_ridge, expected, rtol=rtol)


@pytest.mark.parametrize(
    ("ratio", "penalty"), list(itertools.product([0.1, 0.5, 0.95, 1.0, 1.3, 4.0], [1e-2, 0.3, 5.0]))
)
def test_isotropic_errors_are_averages_over_the_marchenko_pastur_law(ratio: float, penalty: float) -> None:
    expected = isotropic_by_marchenko_pastur(ratio=ratio, penalty=penalty, signal_variance=1.7, noise_variance=0.6)
    prediction = theory.predict_ridge(isotropic(ratio, signal=1.7, noise=0.6), 1.0, penalty)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(prediction, name), value, rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("n_samples", [301.0, 350.0, 3e3, 3e8])
def test_least_squares(n_samples: float) -> None:
    rank, noise = 300.0, 0.5
    prediction = theory.predict_ridge(GENERAL, n_samples, 0.0)
    xi, m, c = GENERAL.eigenvalues, GENERAL.multiplicities, GENERAL.energies
    left = 1.0 - rank / n_samples
    np.testing.assert_allclose(prediction.test_error, noise / left, rtol=1e-13)
    np.testing.assert_allclose(prediction.train_error, noise * left, rtol=1e-13)
    np.testing.assert_allclose(prediction.variance, noise * rank / (n_samples - rank), rtol=1e-13)
    assert prediction.bias == 0.2
    norm = np.sum(c / xi) + noise * np.sum(m / xi) / (n_samples - rank)
    np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-13)
    assert prediction.effective_ridge == 0.0
    assert (prediction.df1, prediction.df2) == (rank, rank)
    assert (prediction.status, prediction.phase) == ("converged", "underparameterized")


@pytest.mark.parametrize("n_samples", [400.5, 401.0, 402.0, 500.0])
def test_least_squares_with_an_intercept_loses_one_degree_of_freedom(n_samples: float) -> None:
    modes = theory.linear_modes(
        theory.covariance.isotropic(399.0), [1.0], noise_variance=0.25, mean=3.0, fit_intercept=True
    )
    prediction = theory.predict_ridge(modes, n_samples, 0.0)
    np.testing.assert_allclose(prediction.test_error, 0.25 * n_samples / (n_samples - 400.0), rtol=1e-13)
    np.testing.assert_allclose(prediction.train_error, 0.25 * (n_samples - 400.0) / n_samples, rtol=1e-13)
    assert (prediction.df1, prediction.df2, prediction.phase) == (400.0, 400.0, "underparameterized")


@pytest.mark.parametrize("n_samples", [1.0, 40.0, 100.0, 199.9])
def test_isotropic_minimum_norm_interpolator(n_samples: float) -> None:
    d, signal, noise, variance = 200.0, 1.3, 0.4, 2.5
    prediction = theory.predict_ridge(isotropic(d, variance=variance, signal=signal, noise=noise), n_samples, 0.0)
    np.testing.assert_allclose(prediction.effective_ridge, variance * (d - n_samples) / n_samples, rtol=1e-13)
    excess = signal * (1.0 - n_samples / d) + noise * n_samples / (d - n_samples)
    np.testing.assert_allclose(prediction.excess_risk, excess, rtol=1e-12)
    norm = (signal * n_samples / d + noise * n_samples / (d - n_samples)) / variance
    np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-12)
    assert prediction.train_error == 0.0
    assert prediction.phase == "overparameterized"


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 2.0])
def test_random_projection_without_penalty_is_least_squares_on_the_projection(penalty: float) -> None:
    # Isotropic inputs, N < d < n: the part of the target outside a random N-dimensional subspace is noise.
    d, width, n_samples = 300.0, 100.0, 450.0
    prediction = theory.predict_ridge(isotropic(d, signal=2.0, noise=0.1), n_samples, 0.0, width=width)
    unexplained = 2.0 * (1.0 - width / d) + 0.1
    np.testing.assert_allclose(prediction.test_error, unexplained / (1.0 - width / n_samples), rtol=1e-13)
    np.testing.assert_allclose(prediction.train_error, unexplained * (1.0 - width / n_samples), rtol=1e-13)


@pytest.mark.parametrize(
    ("width", "n_samples", "penalty", "printed"),
    [
        (2.0, 3.0, 0.01, 0.7897056003554608),
        (0.5, 3.0, 0.01, 0.89782706964903),
        (3.0, 3.0, 0.001, 2.054085773061017),
        (5.0, 0.7, 0.1, 0.7171731754516812),
    ],
)
def test_random_features_match_mei_montanari(width: float, n_samples: float, penalty: float, printed: float) -> None:
    mu_star_squared = 0.25 - 1.0 / (2.0 * np.pi)
    modes = theory.Modes(
        eigenvalues=[0.25], multiplicities=[1.0], energies=[1.0], tail_trace=mu_star_squared, noise_variance=0.5
    )
    excess = theory.predict_ridge(modes, n_samples, penalty, width=width).excess_risk
    rational = mei_montanari_risk(
        width=width,
        n_samples=n_samples,
        penalty=penalty,
        mu1=0.5,
        mu_star=np.sqrt(mu_star_squared),
        signal=1.0,
        noise=0.5,
    )
    # The note computed with mu_star^2 = .09084505690810, rounded at the 14th place.
    np.testing.assert_allclose(excess, printed, rtol=1e-13)
    # The rational functions subtract large terms; they lose a few digits of the 1e-13 of their own fixed point.
    np.testing.assert_allclose(excess, rational, rtol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_random_features_match_mei_montanari_anywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, n_samples, penalty = np.exp(rng.uniform(-1.5, 1.5, 3))
    mu1, mu_star = rng.uniform(0.3, 1.0, 2)
    signal, noise = rng.uniform(0.1, 2.0, 2)
    modes = theory.Modes(
        eigenvalues=[mu1**2], multiplicities=[1.0], energies=[signal], tail_trace=mu_star**2, noise_variance=noise
    )
    expected = mei_montanari_risk(
        width=width, n_samples=n_samples, penalty=penalty, mu1=mu1, mu_star=mu_star, signal=signal, noise=noise
    )
    prediction = theory.predict_ridge(modes, n_samples, penalty, width=width)
    np.testing.assert_allclose(prediction.excess_risk, expected, rtol=1e-10)


THRESHOLD_TABLES = [
    theory.Modes(eigenvalues=[1.0], multiplicities=[1.0], energies=[1.0], noise_variance=0.5),
    theory.Modes(eigenvalues=[1.0, 5.0], multiplicities=[0.5, 0.5], energies=[1.5, 0.5], noise_variance=0.5),
    theory.Modes(
        eigenvalues=[0.1, 1.0, 9.0], multiplicities=[1.0, 2.0, 4.0], energies=[0.1, 2.0, 1.0], noise_variance=2.0
    ),
]


@pytest.mark.parametrize("penalty", [1e-12, 1e-20, 1e-28])
@pytest.mark.parametrize(("modes", "printed"), list(zip(THRESHOLD_TABLES, [0.25, 0.322749, None], strict=True)))
def test_error_at_the_threshold_grows_like_one_over_root_penalty(
    modes: theory.Modes, printed: float | None, penalty: float
) -> None:
    n_samples = float(modes.n_modes)
    v = np.sum(modes.multiplicities / modes.eigenvalues) / n_samples
    constant = modes.noise_variance / (2.0 * np.sqrt(v))
    error = theory.predict_ridge(modes, n_samples, penalty).test_error
    # The next order is of relative size k / eigenvalue, k = sqrt(penalty / v).
    order = np.sqrt(penalty / v) / modes.eigenvalues.min()
    np.testing.assert_allclose(error * np.sqrt(penalty), constant, rtol=10.0 * order + 1e-13)
    if printed is not None:
        np.testing.assert_allclose(constant, printed, atol=5e-7)


@pytest.mark.parametrize("penalty", [1e-12, 1e-20, 1e-28])
@pytest.mark.parametrize("noisy", THRESHOLD_TABLES)
def test_bias_vanishes_at_the_threshold(noisy: theory.Modes, penalty: float) -> None:
    modes = theory.Modes(eigenvalues=noisy.eigenvalues, multiplicities=noisy.multiplicities, energies=noisy.energies)
    n_samples = float(modes.n_modes)
    v = np.sum(modes.multiplicities / modes.eigenvalues) / n_samples
    leading = np.sqrt(penalty / v) * np.sum(modes.energies / modes.eigenvalues**2) / (2.0 * v)
    order = np.sqrt(penalty / v) / modes.eigenvalues.min()
    error = theory.predict_ridge(modes, n_samples, penalty).test_error
    np.testing.assert_allclose(error, leading, rtol=10.0 * order + 1e-13)
    ridgeless = theory.predict_ridge(modes, n_samples, 0.0)
    assert (ridgeless.test_error, ridgeless.status, ridgeless.phase) == (0.0, "converged", "threshold")
    norm = np.sum(modes.energies / modes.eigenvalues)
    np.testing.assert_allclose(ridgeless.estimator_norm_squared, norm, rtol=1e-14)


@pytest.mark.parametrize("noise", [0.5, 1e-30])
@pytest.mark.parametrize("width", [np.inf, 1000.0, 300.0])
def test_noise_diverges_at_the_ridgeless_threshold(noise: float, width: float) -> None:
    prediction = theory.predict_ridge(isotropic(300.0, noise=noise), 300.0, 0.0, width=width)
    assert (prediction.status, prediction.phase) == ("divergent", "threshold")
    errors = ("test_error", "excess_risk", "train_error", "bias", "variance", "estimator_norm_squared")
    assert [getattr(prediction, name) for name in errors] == [np.inf] * 6


def test_threshold_without_noise_and_finite_width_keeps_the_limit_of_the_norm() -> None:
    modes = isotropic(300.0, noise=0.0)
    wide = theory.predict_ridge(modes, 300.0, 0.0, width=1200.0)
    near = theory.predict_ridge(modes, 300.0, 1e-28, width=1200.0)
    assert wide.test_error == 0.0
    np.testing.assert_allclose(wide.estimator_norm_squared, 1.0 / (1.0 - 300.0 / 1200.0), rtol=1e-14)
    np.testing.assert_allclose(near.estimator_norm_squared, wide.estimator_norm_squared, rtol=1e-12)
    # As many features as modes: the errors stay finite, the weights do not.
    square = theory.predict_ridge(modes, 400.0, 0.0, width=300.0)
    assert (square.test_error, square.estimator_norm_squared) == (0.0, np.inf)


def test_the_intercept_alone_is_the_mean_of_the_labels() -> None:
    # No feature has variance: the mean of n labels has variance v / n about the true one.
    modes = theory.Modes(eigenvalues=[0.0], multiplicities=[5.0], energies=[0.0], noise_variance=2.0, n_unpenalised=1)
    prediction = theory.predict_ridge(modes, 10.0, 0.5)
    np.testing.assert_allclose(prediction.test_error, 2.0 * 10.0 / 9.0, rtol=1e-14)
    np.testing.assert_allclose(prediction.train_error, 2.0 * 9.0 / 10.0, rtol=1e-14)
    assert prediction.estimator_norm_squared == 0.0


@pytest.mark.parametrize("n_samples", [0.5, 1.0])
def test_an_intercept_needs_more_than_one_sample(n_samples: float) -> None:
    modes = theory.Modes(eigenvalues=[1.0], multiplicities=[5.0], energies=[1.0], n_unpenalised=1)
    prediction = theory.predict_ridge(modes, n_samples, 0.5)
    assert (prediction.status, prediction.test_error, prediction.effective_ridge) == ("divergent", np.inf, np.inf)
