"""What the answer tends to at the ends of each axis."""

import numpy as np
import pytest

import theory
from tests.theory.oracles import ERRORS, OUTPUTS
from tests.theory.strategies import replaced

MODES = theory.Modes(
    eigenvalues=[0.1, 1.0, 9.0],
    multiplicities=[100.0, 150.0, 50.0],
    energies=[0.2, 1.0, 3.0],
    noise_variance=0.3,
    unlearnable_variance=0.2,
)
SIGNAL = 4.2


@pytest.mark.parametrize("n_samples", [20.0, 100.0, 150.0, 299.0, 301.0, 2000.0])
@pytest.mark.parametrize("width", [np.inf, 60.0, 1000.0])
def test_small_penalties_reach_the_ridgeless_limit(n_samples: float, width: float) -> None:
    ridgeless = theory.predict_ridge(MODES, n_samples, 0.0, width=width)
    small = theory.predict_ridge(MODES, n_samples, 1e-13, width=width)
    tiny = theory.predict_ridge(MODES, n_samples, 1e-26, width=width)
    for name in OUTPUTS:
        # The distance is of first order in the penalty, with a constant of 1e6 beside the threshold: at 1e-26 what is
        # left is rounding.
        limit = getattr(ridgeless, name)
        np.testing.assert_allclose(getattr(tiny, name), limit, rtol=1e-13, atol=1e-23, err_msg=name)
        np.testing.assert_allclose(getattr(small, name), limit, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("n_samples", [20.0, 300.0, 2000.0])
@pytest.mark.parametrize("width", [np.inf, 60.0])
def test_large_penalties_predict_nothing(n_samples: float, width: float) -> None:
    prediction = theory.predict_ridge(MODES, n_samples, 1e20, width=width)
    null = SIGNAL + 0.5
    np.testing.assert_allclose(prediction.test_error, null, rtol=1e-15)
    np.testing.assert_allclose(prediction.train_error, null, rtol=1e-15)
    np.testing.assert_allclose(prediction.bias, SIGNAL + 0.2, rtol=1e-15)
    assert prediction.variance < 1e-15
    assert prediction.estimator_norm_squared < 1e-30
    np.testing.assert_allclose(prediction.effective_ridge, 1e20, rtol=1e-15)
    # The approach is of first order: (null - error) penalty / 2 -> sum c xi (at infinite width).
    if np.isinf(width):
        near = theory.predict_ridge(MODES, n_samples, 1e7)
        drop = (null - near.test_error) * 1e7 / 2.0
        np.testing.assert_allclose(drop, MODES.energies @ MODES.eigenvalues, rtol=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 0.5])
@pytest.mark.parametrize("width", [np.inf, 60.0, 1000.0])
def test_many_samples_leave_the_population_problem(penalty: float, width: float) -> None:
    prediction = theory.predict_ridge(MODES, 1e14, penalty, width=width)
    np.testing.assert_allclose(prediction.train_error, prediction.test_error, rtol=1e-11)
    if np.isinf(width):
        shrunk = penalty / (MODES.eigenvalues + penalty)
        np.testing.assert_allclose(prediction.test_error, MODES.energies @ shrunk**2 + 0.5, rtol=1e-11)
        np.testing.assert_allclose(prediction.effective_ridge, penalty, rtol=1e-11)
    elif penalty == 0.0:
        # Population least squares on random features: T(k) with df1(k) = N, and the noise.
        k = theory.solve_effective_ridge(MODES, width, 0.0).ridge
        unexplained = MODES.energies @ (k / (MODES.eigenvalues + k))
        np.testing.assert_allclose(prediction.test_error, unexplained + 0.5, rtol=1e-11)


@pytest.mark.parametrize("n_samples", [20.0, 300.0, 2000.0])
@pytest.mark.parametrize("penalty", [0.0, 1e-3, 1.0])
def test_large_width_is_infinite_width(n_samples: float, penalty: float) -> None:
    if penalty == 0.0 and n_samples == 300.0:
        pytest.skip("divergent: the ridgeless threshold")
    infinite = theory.predict_ridge(MODES, n_samples, penalty)
    for width in (1e8, 1e15):
        wide = theory.predict_ridge(MODES, n_samples, penalty, width=width)
        for name in OUTPUTS:
            # First order in n / N, of which the constant grows towards the threshold like 1 / (1 - df2 / n).
            rtol = 20.0 * (n_samples + 300.0) / width + 1e-13
            np.testing.assert_allclose(getattr(wide, name), getattr(infinite, name), rtol=rtol, err_msg=name)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_many_more_samples_than_features_exchange_roles_with_width(penalty: float) -> None:
    # The fixed point is symmetric in (n, N).
    for n_samples, width in ((80.0, 200.0), (200.0, 80.0), (500.0, 310.0), (300.0, 299.0)):
        one = theory.solve_effective_ridge(MODES, n_samples, penalty, width=width)
        other = theory.solve_effective_ridge(MODES, width, penalty, width=n_samples)
        np.testing.assert_allclose(one.ridge, other.ridge, rtol=1e-14)


def test_one_sample_or_less() -> None:
    prediction = theory.predict_ridge(MODES, 1e-9, 0.1)
    np.testing.assert_allclose(prediction.test_error, SIGNAL + 0.5, rtol=1e-9)
    np.testing.assert_allclose(prediction.effective_ridge, MODES.trace / 1e-9, rtol=1e-8)


@pytest.mark.parametrize(("n_samples", "penalty"), [(30.0, 1e-3), (150.0, 0.0), (800.0, 0.0), (800.0, 0.2)])
def test_infinitely_many_infinitesimal_modes_are_a_tail(n_samples: float, penalty: float) -> None:
    tailed = replaced(MODES, tail_trace=7.0)
    for count in (1e6, 1e12):
        fine = replaced(
            MODES,
            eigenvalues=np.append(MODES.eigenvalues, 7.0 / count),
            multiplicities=np.append(MODES.multiplicities, count),
            energies=np.append(MODES.energies, 0.0),
        )
        expected = theory.predict_ridge(tailed, n_samples, penalty)
        actual = theory.predict_ridge(fine, n_samples, penalty)
        for name in OUTPUTS:
            # First order in (7 / count) / k; the tail's df2 is 49 / (count k^2).
            order = 7.0 / count / expected.effective_ridge
            np.testing.assert_allclose(
                getattr(actual, name), getattr(expected, name), rtol=1e3 * order + 1e-13, err_msg=name
            )


def test_double_descent_peaks_at_the_threshold_and_only_there() -> None:
    n_samples = np.arange(1.0, 900.0)
    curve = theory.predict_ridge(MODES, n_samples, 0.0)
    assert curve.status[299] == "divergent"
    assert np.sum(curve.status == "divergent") == 1
    assert set(curve.phase[:299]) == {"overparameterized"}
    assert curve.phase[299] == "threshold"
    assert set(curve.phase[300:]) == {"underparameterized"}
    assert np.all(np.diff(curve.test_error[250:299]) > 0)
    assert np.all(np.diff(curve.test_error[300:]) < 0)
    # On both sides the error diverges as 1 / |n - d|, with one constant above: noise n.
    np.testing.assert_allclose(curve.test_error[300], 0.5 * 301.0, rtol=1e-12)


def test_infinite_errors_carry_no_other_number() -> None:
    curve = theory.predict_ridge(MODES, np.array([299.0, 300.0, 301.0]), 0.0)
    for name in ERRORS:
        assert np.isinf(getattr(curve, name)).tolist() == [False, True, False]


@pytest.mark.parametrize(("alpha", "r"), [(1.5, 0.3), (2.0, 0.75), (1.5, 1.5)])
def test_learning_curve_exponents_of_power_laws(alpha: float, r: float) -> None:
    # Source and capacity: excess ~ n^(-2 alpha min(r, 1)) without noise, k ~ n^-alpha.
    spectrum = theory.covariance.power_law(10**14, exponent=alpha)
    energies = theory.target.source(spectrum, signal_variance=1.0, exponent=r, covariance_exponent=alpha)
    modes = theory.linear_modes(spectrum, energies)
    curve = theory.predict_ridge(modes, np.array([1e4, 1e5]), 0.0)
    slope = np.log10(curve.test_error[1] / curve.test_error[0])
    # Corrections fall as powers of 1 / n; the modes cut off are of relative order (n / 1e14)^(alpha - 1) and less.
    np.testing.assert_allclose(slope, -2.0 * alpha * min(r, 1.0), rtol=5e-3)
    np.testing.assert_allclose(np.log10(curve.effective_ridge[1] / curve.effective_ridge[0]), -alpha, rtol=5e-3)
    # k -> 0: df1 = k^(-1/alpha) (pi / alpha) / sin(pi / alpha) - 1/2.
    constant = (np.pi / alpha) / np.sin(np.pi / alpha)
    k = curve.effective_ridge[0]
    np.testing.assert_allclose(k ** (-1 / alpha) * constant - 0.5, 1e4, rtol=1e-4)
