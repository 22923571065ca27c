"""Laws of classifiers over random admissible problems: they are solved, finite, bounded and consistent."""

from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.strategies import REPRODUCIBLE, magnitudes, or_zero
from theory.classification.convex import ClassificationPrediction, predict_classifier
from theory.classification.discriminant import predict_discriminant
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Hinge, Logistic, Loss, Square
from theory.classification.separability import separability
from theory.classification.teacher import TeacherLabels
from theory.equivalents.population import SpectralPopulation

LOSSES: list[Loss] = [Square(), Logistic(), Hinge()]
ROUNDING = 1e-9
NUMBERS = (
    "test_error",
    "train_error",
    "test_loss",
    "train_loss",
    "estimator_norm_squared",
    "mean_margin",
    "score_variance",
    "intercept",
    "outer_ridge",
    "df1",
    "df2",
)


class Problem(NamedTuple):
    """One call of :func:`predict_classifier`."""

    population: SpectralPopulation
    labels: MixtureLabels | TeacherLabels
    loss: Loss
    n_samples: float
    penalty: float

    def predict(self, **changes: Any) -> ClassificationPrediction:
        """Solve it, or one like it."""
        found = self._replace(**changes)
        return predict_classifier(
            found.population, found.labels, found.loss, n_samples=found.n_samples, penalty=found.penalty
        )


@st.composite
def problems(draw: st.DrawFn, *, zero_penalty: bool = True) -> Problem:
    """Features, labels and sizes over many decades: means of norm 0 to 30, n from d / 100 to 100 d."""
    count = draw(st.integers(1, 4))
    unit = draw(st.one_of(st.just(1.0), magnitudes(6.0)))
    eigenvalues = unit * np.array(draw(st.lists(magnitudes(1.5), min_size=count, max_size=count)))
    multiplicities = np.array(draw(st.lists(st.integers(1, 500).map(float), min_size=count, max_size=count)))
    shares = np.array(draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count))) + 1e-3
    shares /= shares.sum()
    labels: MixtureLabels | TeacherLabels
    if draw(st.booleans()):
        fraction = draw(st.one_of(st.just(0.5), st.floats(0.01, 0.99)))
        labels = MixtureLabels(positive_fraction=fraction, fit_intercept=draw(st.booleans()))
        couplings = unit * draw(or_zero(st.floats(-2.0, 1.5).map(lambda exponent: 10.0**exponent))) ** 2 * shares
    else:
        link: Literal["sign", "logistic"] = draw(st.sampled_from(("sign", "logistic")))
        variance = draw(magnitudes(2.0))
        noise = draw(or_zero(magnitudes(1.0, below=3.0))) * variance if link == "sign" else 0.0
        labels = TeacherLabels(link=link, signal_variance=variance, noise_variance=noise)
        couplings = draw(st.floats(0.1, 1.0)) * variance * shares * eigenvalues
    population = SpectralPopulation(eigenvalues=eigenvalues, multiplicities=multiplicities, couplings=couplings)
    penalties = magnitudes(8.0).map(lambda penalty: unit * penalty)
    return Problem(
        population,
        labels,
        draw(st.sampled_from(LOSSES)),
        population.rank * draw(magnitudes(2.0)),
        draw(or_zero(penalties) if zero_penalty else penalties),
    )


def diverges(problem: Problem) -> bool:
    """Whether no finite weights are optimal."""
    if problem.penalty > 0.0 or isinstance(problem.loss, Hinge):
        return False
    if isinstance(problem.loss, Logistic):
        return separability(problem.population, problem.labels, n_samples=problem.n_samples).separable
    return abs(problem.n_samples - problem.population.rank) <= 1e-12 * problem.n_samples


@given(problem=problems())
@REPRODUCIBLE
def test_problems_are_solved(problem: Problem) -> None:
    found = problem.predict()
    assert found.status == ("divergent" if diverges(problem) else "converged")
    if found.status == "divergent":
        return
    assert all(np.isfinite(getattr(found, entry)) for entry in NUMBERS)
    assert found.residual <= ROUNDING
    assert found.energy_error <= 1e-8
    # No worse than always naming one class, or than chance.
    fraction = problem.labels.positive_fraction if isinstance(problem.labels, MixtureLabels) else 0.5
    assert 0.0 <= found.test_error <= max(fraction, 1.0 - fraction) + ROUNDING
    assert 0.0 <= found.train_error <= found.test_error + ROUNDING
    assert 0.0 <= found.train_loss <= found.test_loss * (1.0 + ROUNDING)
    # At no weights the objective is the loss at 0.
    objective = found.train_loss + 0.5 * problem.penalty * found.estimator_norm_squared
    assert objective <= float(problem.loss.value(np.zeros(1))[0]) * (1.0 + ROUNDING)
    assert 0.0 <= found.df2 <= found.df1 <= problem.population.rank * (1.0 + ROUNDING)
    # The margin of the population's best direction is out of reach.
    best = problem.population.traces(0.0).coupling
    assert found.mean_margin**2 <= best * found.score_variance * (1.0 + ROUNDING)


@given(problem=problems(zero_penalty=False))
@REPRODUCIBLE
def test_the_norm_is_the_slope_of_the_objective(problem: Problem) -> None:
    # d min (train_loss + penalty |w|^2 / 2) / d penalty = |w|^2 / 2, and the minimum is concave in the penalty.
    step = 1e-4
    penalties = [problem.penalty * factor for factor in (1.0 - step, 1.0, 1.0 + step)]
    found = [problem.predict(penalty=penalty) for penalty in penalties]
    objectives = [
        one.train_loss + 0.5 * penalty * one.estimator_norm_squared
        for one, penalty in zip(found, penalties, strict=True)
    ]
    slope = (objectives[2] - objectives[0]) / (penalties[2] - penalties[0])
    half = 0.5 * found[1].estimator_norm_squared
    # Rounding of the objective, and the third derivative.
    rounding = 1e-14 * objectives[1] / (step * problem.penalty)
    assert abs(slope - half) <= 1e-5 * half + rounding
    assert objectives[1] - 0.5 * (objectives[0] + objectives[2]) >= -1e-14 * objectives[1]


@given(problem=problems(), factor=magnitudes(4.0))
@REPRODUCIBLE
def test_units_do_not_matter(problem: Problem, factor: float) -> None:
    population = problem.population
    couplings = population.couplings * factor
    scaled = SpectralPopulation(
        eigenvalues=population.eigenvalues * factor, multiplicities=population.multiplicities, couplings=couplings
    )
    found, expected = problem.predict(population=scaled, penalty=problem.penalty * factor), problem.predict()
    assert found.status == expected.status
    for entry in ("test_error", "test_loss", "train_loss", "mean_margin", "score_variance", "intercept", "df1"):
        # Both are solved to 1e-9 and better; errors far out in a tail magnify it.
        np.testing.assert_allclose(getattr(found, entry), getattr(expected, entry), rtol=1e-6, atol=1e-12)


@given(problem=problems(zero_penalty=False), more=st.floats(1.0, 3.0))
@REPRODUCIBLE
def test_more_samples_fit_no_better(problem: Problem, more: float) -> None:
    # The least objective is an average over samples of a minimum: it grows with their number.
    few, many = problem.predict(), problem.predict(n_samples=problem.n_samples * more)
    objectives = [one.train_loss + 0.5 * problem.penalty * one.estimator_norm_squared for one in (few, many)]
    assert objectives[0] <= objectives[1] * (1.0 + ROUNDING)


@given(problem=problems())
@REPRODUCIBLE
def test_discriminants_are_solved(problem: Problem) -> None:
    fraction = getattr(problem.labels, "positive_fraction", 0.5)
    n_samples = problem.n_samples + 2.0
    found = predict_discriminant(
        problem.population, n_samples=n_samples, positive_fraction=fraction, penalty=problem.penalty
    )
    at_threshold = abs(problem.n_samples - problem.population.rank) <= 1e-12 * problem.n_samples
    assert found.status == ("divergent" if problem.penalty == 0.0 and at_threshold else "converged")
    if found.status == "converged":
        assert 0.0 <= found.test_error <= 1.0
        swapped = predict_discriminant(
            problem.population, n_samples=n_samples, positive_fraction=1.0 - fraction, penalty=problem.penalty
        )
        np.testing.assert_allclose(swapped.positive_error, found.negative_error, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_penalties_beyond_the_range_of_doubles_are_answered(loss: Loss) -> None:
    population = SpectralPopulation(
        eigenvalues=np.array([1.0]), multiplicities=np.array([100.0]), couplings=np.array([1.0])
    )
    labels = MixtureLabels(positive_fraction=0.3, fit_intercept=True)
    for penalty in (1e-300, 1e-200, 1e-30, 1e30, 1e200, 1e300):
        found = predict_classifier(population, labels, loss, n_samples=150.0, penalty=penalty)
        # A number, or the admission that there is none.
        assert found.status in {"converged", "not_converged"}
        if found.status == "converged":
            assert all(np.isfinite(getattr(found, entry)) for entry in NUMBERS)
