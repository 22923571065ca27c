"""Linear features, drawn, trained and measured: against scikit-learn and exact finite-size formulas."""

import numpy as np
import pytest
from sklearn import linear_model

from simulation import (
    GaussianRegime,
    LinearFeatures,
    Moments,
    Problem,
    Ridge,
    Samples,
    draw_training_set,
    fit,
    simulate,
)
from simulation.devices import stream
from tests.simulation.namespaces import STRICT

QUANTITIES = ("test_error", "excess_risk", "train_error", "estimator_norm_squared")


def linear(regime: GaussianRegime, penalty: float, **training: float) -> Problem:
    return Problem(regime=regime, features=LinearFeatures(), learner=Ridge(penalty=penalty), **training)


def power_law(n_features: int = 40, **others: float) -> Problem:
    index = np.arange(1.0, n_features + 1.0)
    regime = GaussianRegime(
        eigenvalues=index**-1.5, energies=index**-2.0, noise_variance=0.1, nonlinear_variance=0.2, mean=1.5
    )
    return linear(regime, **({"n_samples": 60, "penalty": 1e-2} | others))


def z_score(values: np.ndarray, expected: float) -> float:
    moments = Moments.of(values)
    return (moments.mean - expected) / moments.standard_error


@pytest.mark.parametrize("n_samples", [25, 60])
@pytest.mark.parametrize("penalty", [0.0, 1e-14, 1e-3, 1.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_every_namespace_measures_the_same(n_samples: int, penalty: float, fit_intercept: bool) -> None:
    problem = power_law(n_samples=n_samples, penalty=penalty, fit_intercept=fit_intercept)
    plain = simulate(problem, replicates=3, seed=5)
    strict = simulate(problem, replicates=3, seed=5, device=STRICT)
    for name in QUANTITIES:
        # Interpolation leaves residuals of rounding only, 1e-16 of the labels, squared.
        np.testing.assert_allclose(getattr(strict, name), getattr(plain, name), rtol=1e-10, atol=1e-25)


@pytest.mark.parametrize("n_samples", [25, 60])
@pytest.mark.parametrize("penalty", [1e-12, 1e-3, 1.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_scikit_learn_trains_the_same_weights(n_samples: int, penalty: float, fit_intercept: bool) -> None:
    problem = power_law(n_samples=n_samples)
    drawn = draw_training_set(problem, stream(1, 0))
    inputs, labels = drawn.inputs, drawn.labels
    weights, intercept = fit(Ridge(penalty=penalty), inputs, labels, fit_intercept=fit_intercept)
    reference = linear_model.Ridge(alpha=n_samples * penalty, fit_intercept=fit_intercept, solver="svd").fit(
        inputs, labels
    )
    np.testing.assert_allclose(weights, reference.coef_, rtol=1e-8, atol=1e-8 * np.abs(reference.coef_).max())
    np.testing.assert_allclose(intercept, reference.intercept_, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("n_samples", [25, 60])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_no_penalty_is_least_squares_of_least_norm(n_samples: int, fit_intercept: bool) -> None:
    drawn = draw_training_set(power_law(n_samples=n_samples), stream(1, 0))
    inputs, labels = drawn.inputs, drawn.labels
    weights, intercept = fit(Ridge(penalty=0.0), inputs, labels, fit_intercept=fit_intercept)
    reference = linear_model.LinearRegression(fit_intercept=fit_intercept).fit(inputs, labels)
    np.testing.assert_allclose(weights, reference.coef_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(intercept, reference.intercept_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("penalty", [0.0, 1e-16])
def test_repeated_inputs_do_no_harm(penalty: float) -> None:
    rng = np.random.default_rng(0)
    half = rng.standard_normal((10, 6))
    inputs, labels = np.vstack([half, half]), rng.standard_normal(20)
    weights, _ = fit(Ridge(penalty=penalty), inputs[:, [0, 0, 1]], labels, fit_intercept=True)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-8)
    constant, level = fit(Ridge(penalty=penalty), np.ones((5, 2)), np.arange(5.0), fit_intercept=True)
    assert (constant.tolist(), float(level)) == ([0.0, 0.0], 2.0)


def test_a_replicate_is_the_same_alone_or_among_others() -> None:
    problem = power_law()
    together = simulate(problem, replicates=7, seed=3)
    alone = [simulate(problem, replicates=1, seed=3, first_replicate=number) for number in range(7)]
    for name in QUANTITIES:
        np.testing.assert_array_equal(getattr(together, name), [getattr(one, name)[0] for one in alone])
    other = simulate(problem, replicates=7, seed=4)
    assert not np.isin(other.test_error, together.test_error).any()
    assert len(set(together.test_error.tolist())) == 7
    assert simulate(problem, replicates=0, seed=3).test_error.shape == (0,)


def test_the_test_error_is_that_of_fresh_data() -> None:
    # Exact given the weights: the mean over a large fresh set agrees within its own standard error.
    problem = power_law(fit_intercept=True)
    samples = simulate(problem, replicates=1, seed=2)
    drawn = draw_training_set(problem, stream(2, 0))
    inputs, labels = drawn.inputs, drawn.labels
    weights, intercept = fit(problem.learner, inputs, labels, fit_intercept=True)
    fresh = draw_training_set(power_law(n_samples=200_000), stream(9, 0))
    squares = (fresh.labels - fresh.inputs @ weights - intercept) ** 2
    assert abs(z_score(squares, samples.test_error[0])) < 4
    np.testing.assert_allclose(samples.test_error - samples.excess_risk, 0.1, rtol=1e-12)


def isotropic(n_samples: int, *, mean: float = 0.0, fit_intercept: bool = False) -> Problem:
    regime = GaussianRegime(eigenvalues=np.ones(40), energies=np.full(40, 1 / 40), noise_variance=0.5, mean=mean)
    return linear(regime, n_samples=n_samples, penalty=0.0, fit_intercept=fit_intercept)


def test_least_squares_has_its_exact_finite_size_error() -> None:
    # Inverse Wishart: E excess = sigma^2 d / (n - d - 1), E train = sigma^2 (1 - d / n), no asymptotics.
    samples = simulate(isotropic(80), replicates=600, seed=0)
    assert abs(z_score(samples.excess_risk, 0.5 * 40 / 39)) < 4
    assert abs(z_score(samples.train_error, 0.5 * 0.5)) < 4
    assert abs(z_score(samples.estimator_norm_squared, 1.0 + 0.5 * 40 / 39)) < 4


def test_least_squares_with_an_intercept_has_its_exact_finite_size_error() -> None:
    # Var(prediction) = sigma^2 (1 / n + (1 + 1 / n) d / (n - d - 2)), E train = sigma^2 (1 - (d + 1) / n); any mean.
    samples = simulate(isotropic(80, mean=7.0, fit_intercept=True), replicates=600, seed=0)
    exact = 0.5 * (1 / 80 + (1 + 1 / 80) * 40 / 38)
    assert abs(z_score(samples.excess_risk, exact)) < 4
    assert abs(z_score(samples.train_error, 0.5 * (1 - 41 / 80))) < 4


def test_the_minimum_norm_interpolator_has_its_exact_finite_size_error() -> None:
    # The projection on the data keeps n / d of the signal; the noise costs sigma^2 n / (d - n - 1).
    samples = simulate(isotropic(20), replicates=600, seed=0)
    assert abs(z_score(samples.excess_risk, (1 - 20 / 40) + 0.5 * 20 / 19)) < 4
    assert abs(z_score(samples.estimator_norm_squared, 20 / 40 + 0.5 * 20 / 19)) < 4
    assert np.all(samples.train_error < 1e-25)


def test_fields_are_arrays_whatever_was_given() -> None:
    regime = GaussianRegime(eigenvalues=[4, 0], energies=[1, 0])
    np.testing.assert_array_equal(regime.target(np.random.default_rng(0)).weights, [0.5, 0.0])
    problem = linear(regime, n_samples=3, penalty=1)
    samples = simulate(problem, replicates=2, seed=0)
    assert isinstance(samples, Samples)
    assert all(getattr(samples, name).shape == (2,) for name in QUANTITIES)
