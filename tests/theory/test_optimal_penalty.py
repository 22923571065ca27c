"""The penalty of least test error: closed forms, stationarity in fifty digits, and brute force."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from scipy.optimize import minimize_scalar

import theory
from tests.theory.strategies import REPRODUCIBLE, Problem, problems
from theory.functionals.optimal_penalty import penalty_minima, predict_at_ridge, ridge_of_penalty

ALIGNED = theory.Modes(
    eigenvalues=[1.0, 100.0], multiplicities=[240.0, 60.0], energies=[0.02, 98.0], noise_variance=0.01
)
"""Signal along the leading eigenvectors and little noise: the best penalty is negative."""


def isotropic_prior(spectrum: theory.Spectrum, *, weight_variance: float, noise: float) -> theory.Modes:
    """Weights of expected square ``weight_variance`` in every direction."""
    return theory.linear_modes(
        spectrum, weight_variance * spectrum.eigenvalues * spectrum.multiplicities, noise_variance=noise
    )


@pytest.mark.parametrize(
    "spectrum",
    [
        theory.covariance.isotropic(300, variance=2.0),
        theory.covariance.discrete(300, eigenvalues=[1e-3, 1.0, 50.0], weights=[0.3, 0.5, 0.2]),
        theory.covariance.power_law(300, exponent=1.5),
        theory.covariance.ar1(300, correlation=0.9),
        theory.covariance.spiked(300, spikes=[400.0, 30.0]),
    ],
)
@pytest.mark.parametrize("n_samples", [20.0, 299.0, 300.0, 1e4])
@pytest.mark.parametrize("noise", [1e-4, 0.3, 1e3])
def test_an_isotropic_prior_is_met_by_its_posterior(spectrum: theory.Spectrum, n_samples: float, noise: float) -> None:
    # lambda = sigma^2 / (n E w_i^2), for every covariance.
    modes = isotropic_prior(spectrum, weight_variance=0.01, noise=noise)
    optimum = theory.optimal_penalty(modes, n_samples)
    # The penalty is k (1 - df1 / n) at a root found to rounding: below the threshold the difference costs k / penalty.
    expected = noise / (n_samples * 0.01)
    np.testing.assert_allclose(optimum.penalty, expected, rtol=1e-12, atol=1e-12 * optimum.effective_ridge)
    assert not optimum.at_bound


@pytest.mark.parametrize("n_samples", [100.0, 101.0, 200.0, 99.0, 99.9999999])
@pytest.mark.parametrize("noise", [1e-30, 1e-20, 1e-12, 1e-8, 1e7, 1e12, 1e20])
@pytest.mark.parametrize("allow_negative", [False, True])
def test_very_little_and_very_much_noise(n_samples: float, noise: float, allow_negative: bool) -> None:
    modes = isotropic_prior(theory.covariance.isotropic(100.0), weight_variance=0.01, noise=noise)
    optimum = theory.optimal_penalty(modes, n_samples, allow_negative=allow_negative)
    np.testing.assert_allclose(
        optimum.penalty, noise * 100.0 / n_samples, rtol=1e-9, atol=1e-12 * optimum.effective_ridge
    )
    ridgeless, null = (theory.predict_ridge(modes, n_samples, penalty).test_error for penalty in (0.0, 1e300))
    assert optimum.test_error <= min(ridgeless, null) * (1.0 + 1e-14)


def test_the_isotropic_optimum_is_a_root_of_a_quadratic() -> None:
    # At the optimum the excess is the posterior variance of the target, signal k / (1 + k).
    modes = isotropic_prior(theory.covariance.isotropic(300.0), weight_variance=1 / 300.0, noise=0.7)
    optimum = theory.optimal_penalty(modes, 200.0)
    k = optimum.effective_ridge
    np.testing.assert_allclose(optimum.test_error - 0.7, k / (1 + k), rtol=1e-13)


def test_the_negative_optimum_of_the_notes() -> None:
    # The note prints k = 1.2974 and penalty -0.11848, off its own grid: stationarity gives 1.2967089179 and
    # -0.1186859184. The error there, .10570, agrees to all its digits: it is flat at the optimum.
    optimum = theory.optimal_penalty(ALIGNED, 150.0, allow_negative=True)
    np.testing.assert_allclose(optimum.test_error, 0.10570, rtol=0, atol=5e-6)
    np.testing.assert_allclose(optimum.penalty, -0.11848, rtol=2e-3)
    np.testing.assert_allclose(optimum.effective_ridge, 1.2974, rtol=1e-3)
    bounded = theory.optimal_penalty(ALIGNED, 150.0)
    np.testing.assert_allclose(bounded.test_error, 0.11275, rtol=0, atol=5e-6)
    assert (bounded.penalty, bounded.at_bound) == (0.0, True)
    assert bounded.test_error == pytest.approx(theory.predict_ridge(ALIGNED, 150.0, 0.0).test_error, rel=1e-14)

    ridge, penalty, error = _stationary_point(low="1.1", high="1.6")
    np.testing.assert_allclose(optimum.effective_ridge, ridge, rtol=1e-12)
    np.testing.assert_allclose(optimum.penalty, penalty, rtol=1e-11)
    np.testing.assert_allclose(optimum.test_error, error, rtol=1e-14)
    np.testing.assert_allclose([ridge, penalty], [1.2967089179, -0.1186859184], atol=5e-11)

    def tested(log_ridge: float) -> float:
        k = np.exp(log_ridge)
        shrunk, kept = k / (ALIGNED.eigenvalues + k), ALIGNED.eigenvalues / (ALIGNED.eigenvalues + k)
        return float((ALIGNED.energies @ shrunk**2 + 0.01) / (1.0 - ALIGNED.multiplicities @ kept**2 / 150.0))

    found = minimize_scalar(tested, bounds=(np.log(1.1), np.log(1.6)), method="bounded", options={"xatol": 1e-12})
    # A minimum seen through values alone is known to the root of rounding.
    np.testing.assert_allclose(np.exp(found.x), optimum.effective_ridge, rtol=1e-7)
    np.testing.assert_allclose(found.fun, optimum.test_error, rtol=1e-14)


def _stationary_point(*, low: str, high: str) -> tuple[float, float, float]:
    """Bisect the stationarity condition for ALIGNED, n = 150, in fifty digits; return ridge, penalty and error."""
    with localcontext() as context:
        context.prec = 50
        table = [(Decimal(1), Decimal(240), Decimal("0.02")), (Decimal(100), Decimal(60), Decimal(98))]
        n, noise = Decimal(150), Decimal("0.01")

        def tested(k: Decimal) -> Decimal:
            bias = sum(c * (k / (x + k)) ** 2 for x, _, c in table)
            return (bias + noise) / (1 - sum(m * (x / (x + k)) ** 2 for x, m, _ in table) / n)

        def slope(k: Decimal) -> Decimal:
            gained = k * sum(c * x / (x + k) ** 3 for x, _, c in table)
            return gained - tested(k) / n * sum(m * x**2 / (x + k) ** 3 for x, m, _ in table)

        below, above = Decimal(low), Decimal(high)
        for _ in range(150):
            middle = (below + above) / 2
            below, above = (middle, above) if slope(middle) < 0 else (below, middle)
        penalty = below * (1 - sum(m * x / (x + below) for x, m, _ in table) / n)
        return float(below), float(penalty), float(tested(below))


@pytest.mark.parametrize("allow_negative", [False, True])
def test_no_noise_and_enough_samples_need_no_penalty(allow_negative: bool) -> None:
    modes = theory.Modes(eigenvalues=[0.1, 3.0], multiplicities=[50.0, 50.0], energies=[1.0, 1.0])
    for n_samples in (100.0, 101.0, 1e5):
        optimum = theory.optimal_penalty(modes, n_samples, allow_negative=allow_negative)
        assert (optimum.penalty, optimum.effective_ridge, optimum.test_error) == (0.0, 0.0, 0.0)
        assert not optimum.at_bound


def test_a_negative_penalty_cancels_the_ridge_of_a_tail() -> None:
    modes = theory.Modes(eigenvalues=[0.1, 3.0], multiplicities=[50.0, 50.0], energies=[1.0, 1.0], tail_trace=8.0)
    optimum = theory.optimal_penalty(modes, 200.0, allow_negative=True)
    assert (optimum.penalty, optimum.test_error) == (-8.0 / 200.0, 0.0)
    held = theory.optimal_penalty(modes, 200.0)
    assert (held.penalty, held.at_bound) == (0.0, True)


@pytest.mark.parametrize("n_unpenalised", [0, 1])
def test_without_signal_nothing_is_best(n_unpenalised: int) -> None:
    silent = theory.Modes(
        eigenvalues=[1.0], multiplicities=[9.0], energies=[0.0], noise_variance=0.5, n_unpenalised=n_unpenalised
    )
    optimum = theory.optimal_penalty(silent, 20.0)
    assert (optimum.penalty, optimum.effective_ridge, optimum.at_bound) == (np.inf, np.inf, False)
    np.testing.assert_allclose(optimum.test_error, 0.5 * 20.0 / (20.0 - n_unpenalised), rtol=1e-15)


def test_the_lower_of_two_minima_is_taken() -> None:
    # Two groups of modes six decades apart, each best served by its own ridge.
    for weak in (0.05, 0.2, 0.35, 0.5, 1.0):
        modes = theory.Modes(
            eigenvalues=[1.0, 1e-6], multiplicities=[50.0, 150.0], energies=[1.0, weak], noise_variance=0.03
        )
        optimum = theory.optimal_penalty(modes, 200.0)
        penalties = np.geomspace(1e-12, 1e4, 4001)
        curve = theory.predict_ridge(modes, 200.0, penalties).test_error
        best = int(np.argmin(curve))
        assert optimum.test_error <= curve[best]
        np.testing.assert_allclose(
            np.log(optimum.penalty), np.log(penalties[best]), atol=np.log(penalties[1] / penalties[0])
        )
    minima = np.sum((curve[1:-1] < curve[:-2]) & (curve[1:-1] < curve[2:]))
    assert minima >= 1


def test_a_curve_with_two_minima() -> None:
    modes = theory.Modes(
        eigenvalues=[1.0, 1e-6], multiplicities=[100.0, 80.0], energies=[1.0, 0.3], noise_variance=1e-3
    )
    penalties = np.geomspace(1e-12, 10.0, 4001)
    for n_samples in (140.0, 160.0, 190.0, 240.0, 400.0):
        curve = theory.predict_ridge(modes, n_samples, penalties).test_error
        optimum = theory.optimal_penalty(modes, n_samples)
        assert optimum.test_error <= min(curve.min(), theory.predict_ridge(modes, n_samples, 0.0).test_error) * (
            1 + 1e-14
        )


@REPRODUCIBLE
@given(problems(decades=3.0, finite_width=False))
def test_brute_force_finds_nothing_better(problem: Problem) -> None:
    modes, n_samples, *_ = problem
    optimum = theory.optimal_penalty(modes, n_samples)
    free = theory.optimal_penalty(modes, n_samples, allow_negative=True)
    assert free.test_error <= optimum.test_error * (1.0 + 1e-13)
    around = optimum.penalty * np.geomspace(0.5, 2.0, 41) if 0.0 < optimum.penalty < np.inf else np.empty(0)
    penalties = np.concatenate([[0.0], np.geomspace(1e-20, 1e20, 401), around])
    curve = theory.predict_ridge(modes, n_samples, penalties).test_error
    assert optimum.test_error <= curve.min() * (1.0 + 1e-12)
    if np.isfinite(optimum.penalty):
        at_optimum = theory.predict_ridge(modes, n_samples, optimum.penalty)
        np.testing.assert_allclose(at_optimum.test_error, optimum.test_error, rtol=1e-12)
    if optimum.at_bound:
        assert optimum.penalty == 0.0
        # Whatever the rounding at an optimum of exactly 0.
        assert free.penalty <= 1e-12 * free.effective_ridge


def test_units() -> None:
    modes = theory.Modes(eigenvalues=[0.1, 3.0], multiplicities=[50.0, 50.0], energies=[1.0, 1.0], noise_variance=0.2)
    metres = theory.optimal_penalty(modes, 70.0)
    feet = theory.optimal_penalty(
        theory.Modes(eigenvalues=[1e5, 3e6], multiplicities=[50.0, 50.0], energies=[7.0, 7.0], noise_variance=1.4), 70.0
    )
    np.testing.assert_allclose(
        [feet.penalty / 1e6, feet.test_error / 7], [metres.penalty, metres.test_error], rtol=1e-12
    )


def test_inadmissible_arguments_say_which_rule_they_break() -> None:
    batch = theory.Modes(eigenvalues=np.ones((2, 1)), multiplicities=np.ones((2, 1)), energies=np.ones((2, 1)))
    with pytest.raises(ValueError, match="one mode table; call it for each problem"):
        theory.optimal_penalty(batch, 3.0)
    fitted = theory.Modes(eigenvalues=[1.0], multiplicities=[1.0], energies=[1.0], n_unpenalised=1)
    with pytest.raises(ValueError, match=r"n_samples must exceed n_unpenalised = 1, got 1\.0"):
        theory.optimal_penalty(fitted, 1.0)


def two_valleys() -> theory.Modes:
    """A target on two scales far apart, and so little data that there are two best penalties."""
    return theory.Modes(eigenvalues=[1.0, 1e-6], multiplicities=[50.0, 200.0], energies=[0.2, 1.0], noise_variance=1e-4)


@given(problems())
@REPRODUCIBLE
def test_the_deepest_minimum_is_the_optimum(problem: Problem) -> None:
    modes, n_samples = problem.modes, problem.n_samples
    optimum = theory.optimal_penalty(modes, n_samples)
    if not np.isfinite(optimum.penalty) or optimum.effective_ridge == 0.0:
        return
    minima, evaluations = penalty_minima(modes, n_samples, lower=0.0, upper=max(10.0 * optimum.penalty, 1.0))
    assert minima[0].test_error == pytest.approx(optimum.test_error, rel=1e-9)
    assert [one.test_error for one in minima] == sorted(one.test_error for one in minima)
    assert evaluations > 0


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 10.0), (1e-9, 1e-3), (1e-2, 1.0), (1e-12, 1e-11)])
def test_all_minima_within_bounds_agree_with_a_fine_grid(lower: float, upper: float) -> None:
    modes = two_valleys()
    minima, _ = penalty_minima(modes, 150.0, lower=lower, upper=upper)
    grid = np.geomspace(lower or 1e-14, upper, 20_001)
    grid[0], grid[-1] = lower, upper
    errors = theory.predict_ridge(modes, np.full(grid.size, 150.0), grid).test_error
    padded = np.concatenate([[np.inf], errors, [np.inf]])
    dips = np.flatnonzero((errors <= padded[:-2]) & (errors < padded[2:]))
    assert len(minima) == len(dips)
    for one, dip in zip(minima, sorted(dips, key=lambda place: errors[place]), strict=True):
        np.testing.assert_allclose(one.test_error, errors[dip], rtol=1e-6)
        assert lower <= one.penalty <= upper
        assert (one.bound is None) == (0 < dip < grid.size - 1)


def test_minima_at_negative_penalties() -> None:
    unrestricted = theory.optimal_penalty(ALIGNED, 150.0, allow_negative=True)
    [found] = penalty_minima(ALIGNED, 150.0, lower=-1.0, upper=10.0)[0]
    np.testing.assert_allclose((found.penalty, found.test_error), (unrestricted.penalty, unrestricted.test_error))
    [held] = penalty_minima(ALIGNED, 150.0, lower=-0.05, upper=10.0)[0]
    assert (held.penalty, held.bound) == (-0.05, "lower")
    assert unrestricted.test_error < held.test_error < theory.predict_ridge(ALIGNED, 150.0, 0.0).test_error


def test_the_equations_continue_to_negative_penalties() -> None:
    # At a positive penalty the two ways meet; across 0 the objective stays the integral of the squared norm.
    solved = theory.predict_ridge(ALIGNED, 150.0, 0.3)
    found = predict_at_ridge(ALIGNED, 150.0, solved.effective_ridge)
    for name in ("test_error", "train_error", "bias", "variance", "estimator_norm_squared", "df1", "df2"):
        np.testing.assert_allclose(getattr(found, name), getattr(solved, name), rtol=1e-13)

    def objective(penalty: float) -> float:
        at = predict_at_ridge(ALIGNED, 150.0, ridge_of_penalty(ALIGNED, 150.0, penalty))
        return float(at.train_error + penalty * at.estimator_norm_squared)

    for penalty in (-0.1, -0.05, 0.05):
        slope = (objective(penalty + 1e-5) - objective(penalty - 1e-5)) / 2e-5
        at = predict_at_ridge(ALIGNED, 150.0, ridge_of_penalty(ALIGNED, 150.0, penalty))
        np.testing.assert_allclose(slope, at.estimator_norm_squared, rtol=1e-6)


def test_negative_penalties_against_simulation() -> None:
    # Least squares with a negative penalty in 60 draws at the very sizes.
    rng = np.random.default_rng(3)
    eigenvalues = np.repeat([1.0, 100.0], [240, 60])
    energies = np.repeat([0.02 / 240, 98.0 / 60], [240, 60])
    penalty, n = -0.1, 150
    errors = []
    for _ in range(60):
        weights = rng.standard_normal(300) * np.sqrt(energies / eigenvalues)
        x = rng.standard_normal((n, 300)) * np.sqrt(eigenvalues)
        y = x @ weights + 0.1 * rng.standard_normal(n)
        fitted = x.T @ np.linalg.solve(x @ x.T / n + penalty * np.eye(n), y) / n
        errors.append(float(eigenvalues @ (weights - fitted) ** 2) + 0.01)
    expected = predict_at_ridge(ALIGNED, 150.0, ridge_of_penalty(ALIGNED, 150.0, penalty)).test_error
    error = float(np.std(errors) / np.sqrt(len(errors)))
    # The limit neglects terms of relative order 1 / n.
    assert abs(np.mean(errors) - expected) < 4.0 * error + expected * 3.0 / n


def test_penalties_below_the_least_have_no_ridge() -> None:
    assert np.isnan(ridge_of_penalty(ALIGNED, 150.0, -50.0))
