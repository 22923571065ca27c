"""Relations between outputs that hold whatever the problem."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

import theory
from tests.theory.oracles import exact_ridge

MODES = theory.Modes(
    eigenvalues=[0.02, 1.0, 7.0, 300.0],
    multiplicities=[100.0, 150.0, 40.0, 10.0],
    energies=[0.1, 1.0, 2.0, 5.0],
    noise_variance=0.3,
    unlearnable_variance=0.2,
)
TAILED = theory.Modes(
    eigenvalues=[0.5, 3.0],
    multiplicities=[60.0, 40.0],
    energies=[2.0, 1.0],
    noise_variance=0.3,
    tail_trace=20.0,
    n_unpenalised=1,
)
CASES = [
    (modes, n_samples, penalty, width)
    for modes in (MODES, TAILED)
    for n_samples in (30.0, 99.0, 301.0, 2000.0)
    for penalty in (1e-4, 0.1, 30.0)
    for width in (np.inf, 45.0, 301.0, 900.0)
]


@pytest.mark.parametrize(("modes", "n_samples", "penalty", "width"), CASES)
def test_generalised_cross_validation(modes: theory.Modes, n_samples: float, penalty: float, width: float) -> None:
    prediction = theory.predict_ridge(modes, n_samples, penalty, width=width)
    degrees_left = 1.0 - prediction.df1 / n_samples
    # The subtraction here costs df1 / (n - df1) times the rounding of df1.
    rtol = 1e-13 + 4e-15 / degrees_left
    np.testing.assert_allclose(prediction.train_error / degrees_left**2, prediction.test_error, rtol=rtol)


@pytest.mark.parametrize(("modes", "n_samples", "penalty", "width"), CASES)
def test_excess_is_bias_plus_variance(modes: theory.Modes, n_samples: float, penalty: float, width: float) -> None:
    prediction = theory.predict_ridge(modes, n_samples, penalty, width=width)
    np.testing.assert_allclose(prediction.excess_risk, prediction.bias + prediction.variance, rtol=1e-15)
    np.testing.assert_allclose(prediction.test_error, prediction.excess_risk + modes.noise_variance, rtol=1e-14)


@pytest.mark.parametrize(("modes", "n_samples", "penalty", "width"), CASES)
def test_the_minimum_of_the_objective(modes: theory.Modes, n_samples: float, penalty: float, width: float) -> None:
    # L = train + penalty ||theta||^2 = Sn (T + s2), and dL / dpenalty = ||theta||^2 by the envelope theorem.
    def objective(at: float) -> float:
        prediction = theory.predict_ridge(modes, n_samples, at, width=width)
        return float(prediction.train_error + at * prediction.estimator_norm_squared)

    exact = exact_ridge(modes, n_samples, penalty, width=width)
    np.testing.assert_allclose(objective(penalty), float(exact.objective), rtol=1e-13)
    # Eighth-order central difference in log penalty, step 0.1: the truncation is 0.1^8 / 630 of the ninth derivative.
    step, weights = 0.1, np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
    slope = sum(
        weight * (objective(penalty * np.exp(i * step)) - objective(penalty * np.exp(-i * step))) / step
        for i, weight in enumerate(weights, start=1)
    )
    norm = theory.predict_ridge(modes, n_samples, penalty, width=width).estimator_norm_squared
    np.testing.assert_allclose(slope, penalty * norm, rtol=1e-8, atol=1e-11 * objective(penalty))


@pytest.mark.parametrize(("modes", "n_samples", "penalty", "width"), CASES[::5])
def test_slopes_by_the_penalty(modes: theory.Modes, n_samples: float, penalty: float, width: float) -> None:
    # Central differences in decimals: a step of 1e-20 leaves an error of 1e-40.
    with localcontext() as context:
        context.prec = 100
        exact, step = Decimal(penalty), Decimal(penalty) * Decimal("1e-20")
        low, middle, high = (
            exact_ridge(modes, n_samples, at, width=width) for at in (exact - step, exact, exact + step)
        )
        envelope = (high.objective - low.objective) / (2 * step) / middle.estimator_norm_squared
        ridge_slope = (high.effective_ridge - low.effective_ridge) / (2 * step)
        rest = middle.objective - middle.train_error - exact * middle.estimator_norm_squared
    assert abs(envelope - 1) < Decimal("1e-35")
    assert abs(rest) < Decimal("1e-70")
    if np.isinf(width):
        df2 = theory.predict_ridge(modes, n_samples, penalty).df2
        np.testing.assert_allclose(1.0 - df2 / n_samples, 1.0 / float(ridge_slope), rtol=1e-12)


@pytest.mark.parametrize(("modes", "n_samples", "penalty", "width"), CASES)
def test_the_margins_are_those_of_the_printed_fixed_point(
    modes: theory.Modes, n_samples: float, penalty: float, width: float
) -> None:
    root = theory.solve_effective_ridge(modes, n_samples, penalty, width=width)
    prediction = theory.predict_ridge(modes, n_samples, penalty, width=width)
    np.testing.assert_allclose(root.ridge * root.sample_margin / n_samples * root.width_margin, penalty, rtol=1e-14)
    np.testing.assert_allclose(root.sample_margin, n_samples - prediction.df1, rtol=0, atol=1e-13 * n_samples)
    features_used = (prediction.df1 - modes.n_unpenalised) / width
    np.testing.assert_allclose(root.width_margin, 1.0 - features_used, rtol=0, atol=1e-13)
    assert root.converged
    assert root.residual < 1e-13


def test_noise_variance_and_unlearnable_variance_differ_only_in_what_is_called_excess() -> None:
    noisy, unlearnable = (
        theory.predict_ridge(
            theory.Modes(eigenvalues=[1.0, 4.0], multiplicities=[50.0, 9.0], energies=[1.0, 2.0], **{name: 0.4}),
            80.0,
            0.1,
        )
        for name in ("noise_variance", "unlearnable_variance")
    )
    np.testing.assert_allclose([unlearnable.test_error, unlearnable.excess_risk], noisy.test_error, rtol=1e-14)
    np.testing.assert_allclose(noisy.excess_risk, noisy.test_error - 0.4, rtol=1e-14)
    np.testing.assert_allclose(unlearnable.bias, noisy.bias + 0.4, rtol=1e-14)
    np.testing.assert_allclose(unlearnable.variance, noisy.variance, rtol=1e-14)
