"""The theory within its standard error of finite-size training, plus the O(1/n) that a limit neglects.

The allowance is not fitted to the draws: it is what the theory itself changes by when two samples are taken away, and
one part in n. For least squares the first is exact: the finite-size mean is the theory's at n - 1, or with an intercept
between n - 1 and n - 2.
"""

from typing import NamedTuple

import numpy as np
import pytest

import theory
from simulation import GaussianRegime, LinearFeatures, Moments, Problem, Ridge, directions, simulate

QUANTITIES = ("test_error", "excess_risk", "train_error", "estimator_norm_squared")


class Case(NamedTuple):
    """A problem that theory and simulation both understand."""

    spectrum: theory.Spectrum
    energies: np.ndarray
    n_samples: int
    penalty: float
    noise_variance: float
    options: dict[str, float]


def case(
    spectrum: theory.Spectrum, energies: np.ndarray, n_samples: int, penalty: float, noise: float, **options: float
) -> Case:
    return Case(spectrum, energies, n_samples, penalty, noise, options)


ISOTROPIC = theory.covariance.isotropic(150)
TWO_ATOMS = theory.covariance.discrete(150, eigenvalues=[1.0, 5.0], weights=[0.5, 0.5])
POWER_LAW = theory.covariance.power_law(200, exponent=1.5)
SPIKED = theory.covariance.spiked(150, spikes=[300.0, 30.0, 10.0])
AR1 = theory.covariance.ar1(150, correlation=0.8)


def even(spectrum: theory.Spectrum) -> np.ndarray:
    return theory.target.isotropic(spectrum, signal_variance=1.0)


SOURCE = theory.target.source(POWER_LAW, signal_variance=1.0, exponent=0.4, covariance_exponent=1.5)
SPIKE_ENERGIES = theory.target.energies(SPIKED, signal_variance=1.0, values=[0.3, 0.4, 0.2, 0.1])

CASES = {
    "isotropic, more samples than features": case(ISOTROPIC, even(ISOTROPIC), 300, 0.1, 0.25),
    "isotropic, ridgeless, fewer samples": case(ISOTROPIC, even(ISOTROPIC), 75, 0.0, 0.25),
    "two atoms, at the threshold": case(TWO_ATOMS, np.array([0.75, 0.25]), 150, 0.05, 0.5),
    "two atoms, ridgeless, fewer samples": case(TWO_ATOMS, np.array([0.75, 0.25]), 75, 0.0, 0.5),
    "power law with a source, fewer samples": case(POWER_LAW, SOURCE, 100, 1e-3, 0.05),
    "spikes, misaligned signal": case(SPIKED, SPIKE_ENERGIES, 120, 0.3, 0.2),
    "autoregression, least squares": case(AR1, even(AR1), 400, 0.0, 0.3),
    "an intercept and a mean": case(ISOTROPIC, even(ISOTROPIC), 220, 0.05, 0.25, mean=3.0, fit_intercept=True),
    "a mean and no intercept": case(TWO_ATOMS, even(TWO_ATOMS), 220, 0.05, 0.25, mean=1.0),
    "a nonlinear part": case(TWO_ATOMS, even(TWO_ATOMS), 300, 0.1, 0.1, nonlinear_variance=0.8),
    "an intercept, least squares": case(AR1, even(AR1), 300, 0.0, 0.3, mean=-2.0, fit_intercept=True),
}


def predicted(problem: Case, n_samples: float) -> theory.RidgePrediction:
    modes = theory.linear_modes(
        problem.spectrum, problem.energies, noise_variance=problem.noise_variance, **problem.options
    )
    return theory.predict_ridge(modes, n_samples, problem.penalty)


@pytest.mark.parametrize("name", CASES)
def test_theory_is_within_its_standard_error(name: str) -> None:
    problem = CASES[name]
    eigenvalues, energies = directions(problem.spectrum, problem.energies)
    options = dict(problem.options)
    fit_intercept = bool(options.pop("fit_intercept", False))
    regime = GaussianRegime(
        eigenvalues=eigenvalues, energies=energies, noise_variance=problem.noise_variance, **options
    )
    finite = Problem(
        regime=regime,
        features=LinearFeatures(),
        learner=Ridge(penalty=problem.penalty),
        n_samples=problem.n_samples,
        fit_intercept=fit_intercept,
    )
    samples = simulate(finite, replicates=150, seed=0)
    asymptotic, fewer = predicted(problem, problem.n_samples), predicted(problem, problem.n_samples - 2)
    for quantity in QUANTITIES:
        value, moments = getattr(asymptotic, quantity), Moments.of(getattr(samples, quantity))
        allowance = abs(getattr(fewer, quantity) - value) + value / problem.n_samples
        # Residuals of an interpolator are rounding, where the theory says 0.
        distance = max(abs(moments.mean - value) - allowance - 1e-20, 0.0)
        assert distance <= 4 * moments.standard_error, f"{quantity}: {moments.mean} for {value}"


def test_the_allowance_shrinks_with_the_size() -> None:
    # What is left between theory and the exact finite-size mean is of relative order 1 / n, as the allowance says.
    gaps = []
    for scale in (1, 4, 16):
        d, n = 40 * scale, 80 * scale
        limit = theory.predict_ridge(
            theory.linear_modes(theory.covariance.isotropic(d), [1.0], noise_variance=0.5, fit_intercept=True), n, 0.0
        )
        exact = 0.5 * (1 / n + (1 + 1 / n) * d / (n - d - 2))
        gaps.append(abs(limit.excess_risk / exact - 1) * n)
    # n times the relative gap tends to a constant, with corrections of order 1 / n themselves.
    np.testing.assert_allclose(gaps[1:], gaps[-1], rtol=0.05)
    assert gaps[-1] < 3
