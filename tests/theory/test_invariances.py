"""Changes of description that must not change the answer, and answers that must stay sane, over random problems.

Factors are powers of two and multiplicities whole, so that the changed problem is the same one to the last bit of its
inputs and thresholds stay where they were; what differs is rounding inside the solver.
"""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import theory
from tests.theory.oracles import ERRORS, OUTPUTS
from tests.theory.strategies import REPRODUCIBLE, Problem, magnitudes, or_zero, problems, replaced

RTOL = 2e-13
POWERS_OF_TWO = st.integers(-30, 30).map(lambda exponent: 2.0**exponent)


def assert_same(
    actual: theory.RidgePrediction, expected: theory.RidgePrediction, rtol: float = RTOL, **factors: float
) -> None:
    assert (actual.status, actual.phase) == (expected.status, expected.phase)
    for name in OUTPUTS:
        value = getattr(expected, name) * factors.get(name, 1.0)
        np.testing.assert_allclose(getattr(actual, name), value, rtol=rtol, atol=1e-290, err_msg=name)


@REPRODUCIBLE
@given(problems(), POWERS_OF_TWO)
def test_units_of_the_inputs(problem: Problem, factor: float) -> None:
    modes, n_samples, penalty, width = problem
    rescaled = replaced(modes, eigenvalues=modes.eigenvalues * factor, tail_trace=modes.tail_trace * factor)
    prediction = theory.predict_ridge(rescaled, n_samples, penalty * factor, width=width)
    assert_same(prediction, problem.predict(), effective_ridge=factor, estimator_norm_squared=1.0 / factor)


@REPRODUCIBLE
@given(problems(), POWERS_OF_TWO)
def test_units_of_the_label(problem: Problem, factor: float) -> None:
    modes, n_samples, penalty, width = problem
    rescaled = replaced(
        modes,
        energies=modes.energies * factor,
        noise_variance=modes.noise_variance * factor,
        unlearnable_variance=modes.unlearnable_variance * factor,
    )
    prediction = theory.predict_ridge(rescaled, n_samples, penalty, width=width)
    assert_same(prediction, problem.predict(), **dict.fromkeys(ERRORS, factor))


@REPRODUCIBLE
@given(problems(unpenalised=False), POWERS_OF_TWO)
def test_counts_may_be_proportions(problem: Problem, factor: float) -> None:
    modes, n_samples, penalty, width = problem
    rescaled = replaced(modes, multiplicities=modes.multiplicities * factor, tail_trace=modes.tail_trace * factor)
    prediction = theory.predict_ridge(rescaled, n_samples * factor, penalty, width=width * factor)
    # The weights of the proportional form are those of one problem of size 1: ||theta||^2 does not scale.
    assert_same(prediction, problem.predict(), df1=factor, df2=factor)


@REPRODUCIBLE
@given(problems(), st.integers(0, 4), st.integers(1, 999))
def test_an_atom_may_be_split(problem: Problem, which: int, part: int) -> None:
    modes, n_samples, penalty, width = problem
    index = which % modes.eigenvalues.size
    whole, chosen = modes.multiplicities[index], np.arange(modes.eigenvalues.size) == index
    assume(part < whole)
    split = replaced(
        modes,
        eigenvalues=np.append(modes.eigenvalues, modes.eigenvalues[index]),
        multiplicities=np.append(np.where(chosen, whole - part, modes.multiplicities), part),
        energies=np.append(np.where(chosen, 0.0, modes.energies), modes.energies[index]),
    )
    assert_same(theory.predict_ridge(split, n_samples, penalty, width=width), problem.predict())


@REPRODUCIBLE
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_modes(problem: Problem, random: object) -> None:
    modes, n_samples, penalty, width = problem
    order = list(range(modes.eigenvalues.size))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = replaced(
        modes,
        eigenvalues=modes.eigenvalues[order],
        multiplicities=modes.multiplicities[order],
        energies=modes.energies[order],
    )
    assert_same(theory.predict_ridge(shuffled, n_samples, penalty, width=width), problem.predict())


@REPRODUCIBLE
@given(problems(), st.floats(1.0, 1e6), or_zero(magnitudes(4.0)))
def test_modes_without_variance_only_add_unlearnable_energy(
    problem: Problem, multiplicity: float, energy: float
) -> None:
    modes, n_samples, penalty, width = problem
    null = replaced(
        modes,
        eigenvalues=np.append(modes.eigenvalues, 0.0),
        multiplicities=np.append(modes.multiplicities, multiplicity),
        energies=np.append(modes.energies, energy),
    )
    assert null.n_modes == modes.n_modes
    unlearnable = replaced(modes, unlearnable_variance=modes.unlearnable_variance + energy)
    expected = theory.predict_ridge(unlearnable, n_samples, penalty, width=width)
    assert_same(theory.predict_ridge(null, n_samples, penalty, width=width), expected)


@REPRODUCIBLE
@given(st.lists(problems(unpenalised=False), min_size=1, max_size=6), st.integers(0, 1))
def test_a_batch_is_its_problems(batch: list[Problem], n_unpenalised: int) -> None:
    longest = max(problem.modes.eigenvalues.size for problem in batch)

    def stacked(name: str) -> np.ndarray:
        # Shorter tables are filled up with modes that have no multiplicity.
        filler = 1.0 if name == "eigenvalues" else 0.0
        rows = [getattr(problem.modes, name) for problem in batch]
        return np.array([np.append(row, np.full(longest - row.size, filler)) for row in rows])

    table = theory.Modes(
        eigenvalues=stacked("eigenvalues"),
        multiplicities=stacked("multiplicities"),
        energies=stacked("energies"),
        tail_trace=np.array([problem.modes.tail_trace for problem in batch]),
        unlearnable_variance=np.array([problem.modes.unlearnable_variance for problem in batch]),
        noise_variance=np.array([problem.modes.noise_variance for problem in batch]),
        n_unpenalised=n_unpenalised,
    )
    n_samples, penalty, width = (
        np.array([getattr(p, name) for p in batch]) for name in ("n_samples", "penalty", "width")
    )
    together = theory.predict_ridge(table, n_samples, penalty, width=width)
    for row, problem in enumerate(batch):
        alone = problem._replace(modes=replaced(problem.modes, n_unpenalised=n_unpenalised)).predict()
        assert (together.status[row], together.phase[row]) == (alone.status, alone.phase)
        for name in OUTPUTS:
            np.testing.assert_allclose(getattr(together, name)[row], getattr(alone, name), rtol=5e-14, err_msg=name)


@REPRODUCIBLE
@given(problems(), st.lists(or_zero(magnitudes(6.0)), min_size=2, max_size=20, unique=True))
def test_the_effective_ridge_grows_with_the_penalty(problem: Problem, penalties: list[float]) -> None:
    ordered = np.sort(np.array(penalties))
    curve = theory.predict_ridge(problem.modes, problem.n_samples, ordered, width=problem.width)
    assert np.all(np.diff(curve.effective_ridge) >= -1e-13 * curve.effective_ridge[1:])
    assert np.all(np.diff(curve.df1) <= 1e-13 * curve.df1[1:])
    assert np.all(curve.effective_ridge >= ordered)
    assert np.all(curve.df2 <= curve.df1 * (1.0 + 1e-14))


@REPRODUCIBLE
@given(problems(), st.lists(st.integers(2, 5000), min_size=2, max_size=20, unique=True))
def test_the_effective_ridge_falls_with_more_samples(problem: Problem, sizes: list[int]) -> None:
    n_samples = np.sort(np.array(sizes, float))
    curve = theory.predict_ridge(problem.modes, n_samples, problem.penalty, width=problem.width)
    assert np.all(np.diff(curve.effective_ridge) <= 1e-13 * curve.effective_ridge[:-1])
    assert np.all(curve.df1 <= n_samples * (1.0 + 1e-14))


@REPRODUCIBLE
@given(problems(), st.lists(st.integers(2, 5000), min_size=2, max_size=20, unique=True))
def test_the_effective_ridge_falls_with_more_features(problem: Problem, sizes: list[int]) -> None:
    width = np.append(np.sort(np.array(sizes, float)), np.inf)
    curve = theory.predict_ridge(problem.modes, problem.n_samples, problem.penalty, width=width)
    assert np.all(np.diff(curve.effective_ridge) <= 1e-13 * curve.effective_ridge[:-1])


@REPRODUCIBLE
@given(problems(decades=100.0, below=300.0))
def test_any_admissible_problem_has_a_finite_answer_or_a_status_that_says_why(problem: Problem) -> None:
    prediction = problem.predict()
    assert prediction.status in {"converged", "divergent"}
    values = [getattr(prediction, name) for name in OUTPUTS]
    assert not np.any(np.isnan(values))
    assert np.all(np.asarray(values) >= 0.0)
    if prediction.status == "converged":
        # Only the weights may diverge alone: as many features as modes, regression.md 0.5.
        # And they overflow where 1e100 is learned through a variance of 1e-300.
        finite = [value for name, value in zip(OUTPUTS, values, strict=True) if name != "estimator_norm_squared"]
        assert np.all(np.isfinite(finite))
        assert prediction.test_error >= problem.modes.noise_variance
        assert prediction.residual <= 1e-10
    else:
        assert np.all(np.isinf(values[: len(ERRORS)]))


@REPRODUCIBLE
@given(problems(decades=100.0, below=300.0))
def test_any_admissible_problem_in_a_batch_of_one(problem: Problem) -> None:
    modes = problem.modes
    row = replaced(
        modes, **{name: getattr(modes, name)[None] for name in ("eigenvalues", "multiplicities", "energies")}
    )
    together = theory.predict_ridge(row, np.array([problem.n_samples]), problem.penalty, width=problem.width)
    alone = problem.predict()
    assert together.status.tolist() == [alone.status]
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(together, name), [getattr(alone, name)], rtol=5e-14, err_msg=name)
