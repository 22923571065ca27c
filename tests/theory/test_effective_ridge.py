"""The fixed point by itself: bounds, status, and what it costs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given

import theory
from tests.theory.strategies import REPRODUCIBLE, Problem, problems
from theory.solvers import effective_ridge as solver


@REPRODUCIBLE
@given(problems(decades=20.0, unpenalised=False))
def test_the_bounds_of_the_notes(problem: Problem) -> None:
    modes, n_samples, penalty, width = problem
    ridge = theory.solve_effective_ridge(modes, n_samples, penalty, width=width).ridge
    assert penalty <= ridge <= (penalty + modes.trace * (1.0 / n_samples + 1.0 / width)) * (1.0 + 1e-14)


@pytest.mark.parametrize("variance", [1e-6, 1.0, 3.7])
@pytest.mark.parametrize("penalty", [0.0, 1e-9, 1e-3, 50.0])
@pytest.mark.parametrize("n_samples", [10.0, 99.0, 101.0, 5000.0])
def test_one_eigenvalue_takes_one_evaluation(variance: float, penalty: float, n_samples: float) -> None:
    modes = theory.Modes(eigenvalues=[variance], multiplicities=[100.0], energies=[1.0])
    # The isotropic bounds are the root; the second evaluation, where there is one, only confirms it.
    assert theory.solve_effective_ridge(modes, n_samples, penalty).iterations <= 2


def test_few_evaluations_do_for_ordinary_spectra() -> None:
    spectrum = theory.covariance.power_law(500, exponent=1.5)
    modes = theory.linear_modes(spectrum, theory.target.isotropic(spectrum, signal_variance=1.0))
    n_samples, penalty = (grid.ravel() for grid in np.meshgrid(np.geomspace(5, 5000, 40), np.geomspace(1e-8, 10, 40)))
    root = theory.solve_effective_ridge(modes, n_samples, penalty)
    assert np.all(root.converged)
    assert np.all(root.residual < 1e-14)
    assert np.all(root.iterations <= 20)


def test_where_the_left_side_is_positive_for_the_wrong_reason() -> None:
    # k A (gap + A) is positive again left of the threshold, where both factors are negative: the root there is not one.
    modes = theory.Modes(
        eigenvalues=np.geomspace(1e6, 1e-12, 40), multiplicities=np.full(40, 10.0), energies=np.ones(40)
    )
    for n_samples, width in ((50.0, 50.0), (50.0, 200.0), (200.0, 200.0)):
        for penalty in (1e-12, 1e-6):
            root = theory.solve_effective_ridge(modes, n_samples, penalty, width=width)
            df1 = np.sum(10.0 * modes.eigenvalues / (modes.eigenvalues + root.ridge))
            assert root.converged
            assert df1 <= min(n_samples, width) * (1.0 + 1e-14)


def test_a_solve_that_is_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "MAX_ITERATIONS", 2)
    modes = theory.Modes(eigenvalues=[1e-6, 1.0, 1e6], multiplicities=[9.0, 9.0, 9.0], energies=[1.0, 1.0, 1.0])
    prediction = theory.predict_ridge(modes, 15.0, 1e-3)
    assert prediction.status == "not_converged"
    assert prediction.iterations == 2
    assert prediction.residual > 1e-10
    assert np.isfinite(prediction.test_error)
    batch = theory.predict_ridge(modes, np.array([15.0, 1e9]), np.array([1e-3, 1e9]))
    assert batch.status.tolist() == ["not_converged", "converged"]


def test_sizes_equal_up_to_rounding_are_the_threshold() -> None:
    # 300 * (0.1 + 0.2 + 0.7) is not 300 in floating point.
    spectrum = theory.covariance.discrete(300, eigenvalues=[1, 2, 3], weights=[0.1, 0.2, 0.7])
    modes = theory.linear_modes(spectrum, [1.0, 1.0, 1.0], noise_variance=0.1)
    assert theory.predict_ridge(modes, 300.0, 0.0).status == "divergent"
    assert theory.predict_ridge(modes, 300.0 * (1 + 1e-10), 0.0).status == "converged"


def test_nothing_to_learn_from() -> None:
    modes = theory.Modes(eigenvalues=[0.0], multiplicities=[5.0], energies=[2.0], noise_variance=0.5)
    for penalty in (0.0, 0.1):
        prediction = theory.predict_ridge(modes, 10.0, penalty)
        np.testing.assert_allclose([prediction.test_error, prediction.train_error], 2.5, rtol=1e-15)
        assert prediction.df1 == prediction.estimator_norm_squared == 0.0
        assert prediction.effective_ridge == penalty
        assert prediction.status == "converged"


def test_answers_are_frozen() -> None:
    modes = theory.Modes(eigenvalues=[1.0], multiplicities=[5.0], energies=[2.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        theory.solve_effective_ridge(modes, 2.0, 0.1).ridge = 3.0  # type: ignore[misc]
