"""Every learner's fit, against scikit-learn or another independent method; the same in every namespace."""

from collections.abc import Callable

import array_api_strict
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import linprog, minimize
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC

from simulation import (
    DiscriminantAnalysis,
    GradientDescent,
    GradientFlow,
    Hinge,
    Logistic,
    Ridge,
    fit,
)
from simulation.designs import KernelMatrix, ListedFeatures
from simulation.learners import beside_raw_features
from theory import InadmissibleProblem

TALL, WIDE = (60, 12), (25, 40)
SHAPES = [TALL, WIDE]


def training_set(shape: tuple[int, int], *, classes: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of unequal variances that are not centred, and labels that overlap; twice as many are positive."""
    rng = np.random.default_rng(seed)
    scales = np.linspace(0.3, 1.5, shape[1])
    numbers = rng.standard_normal(shape[0])
    labels = np.where(np.arange(shape[0]) % 3 > 0, 1.0, -1.0) if classes else 2.0 + numbers
    inputs = 0.4 + scales * rng.standard_normal(shape)
    inputs[:, 0] += numbers if not classes else 0.8 * labels
    return inputs, labels


def assert_same(fitted: tuple[np.ndarray, np.ndarray], weights: np.ndarray, intercept: float, rtol: float) -> None:
    np.testing.assert_allclose(fitted[0], weights, rtol=rtol, atol=rtol * np.abs(weights).max())
    np.testing.assert_allclose(fitted[1], intercept, rtol=rtol, atol=rtol)


# Gradient flow and descent.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("time", [0.05, 1.0, 30.0])
def test_gradient_flow_is_the_exponential_of_its_generator(shape: tuple[int, int], penalty: float, time: float) -> None:
    # d (theta, 1) / dt is linear in (theta, 1), and its exponential is taken as it stands.
    inputs, labels = training_set(shape)
    generator = np.zeros((shape[1] + 1, shape[1] + 1))
    generator[:-1, :-1] = -inputs.T @ inputs / shape[0] - penalty * np.eye(shape[1])
    generator[:-1, -1] = inputs.T @ labels / shape[0]
    weights = expm(time * generator)[:-1, -1]
    learner = GradientFlow(time=time, penalty=penalty)
    assert_same(fit(learner, inputs, labels, fit_intercept=False), weights, 0.0, 1e-11)


def test_gradient_flow_keeps_the_intercept_at_its_best() -> None:
    # The weights flow while the constant minimises the loss at every time: integrated as an ordinary differential equation.
    inputs, labels = training_set(TALL)
    n_samples, n_features = TALL

    def best_intercept(weights: np.ndarray) -> float:
        return float(np.mean(labels - inputs @ weights))

    def velocity(_: float, weights: np.ndarray) -> np.ndarray:
        residuals = labels - inputs @ weights - best_intercept(weights)
        return inputs.T @ residuals / n_samples - 0.1 * weights

    flow = solve_ivp(velocity, (0.0, 2.0), np.zeros(n_features), rtol=1e-11, atol=1e-13)
    weights = flow.y[:, -1]
    learner = GradientFlow(time=2.0, penalty=0.1)
    assert_same(fit(learner, inputs, labels, fit_intercept=True), weights, best_intercept(weights), 1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("steps", [0, 1, 7, 200])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_gradient_descent_is_its_loop(shape: tuple[int, int], penalty: float, steps: int, fit_intercept: bool) -> None:
    inputs, labels = training_set(shape)
    weights, intercept, step_size = np.zeros(shape[1]), 0.0, 0.15

    def residuals() -> np.ndarray:
        return labels - inputs @ weights

    for _ in range(steps):
        intercept = np.mean(residuals()) if fit_intercept else 0.0
        weights = weights + step_size * (inputs.T @ (residuals() - intercept) / shape[0] - penalty * weights)
    intercept = np.mean(residuals()) if fit_intercept else 0.0
    learner = GradientDescent(step_size=step_size, steps=steps, penalty=penalty)
    assert_same(fit(learner, inputs, labels, fit_intercept=fit_intercept), weights, intercept, 1e-10)


def test_gradient_descent_diverges_as_its_loop_does() -> None:
    inputs, labels = training_set(TALL)
    largest = np.linalg.eigvalsh(inputs.T @ inputs / TALL[0])[-1]
    learner = GradientDescent(step_size=2.2 / largest, steps=40)
    weights = np.zeros(TALL[1])
    for _ in range(40):
        weights = weights + learner.step_size * inputs.T @ (labels - inputs @ weights) / TALL[0]
    assert_same(fit(learner, inputs, labels, fit_intercept=False), weights, 0.0, 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_long_training_is_ridge_regression(shape: tuple[int, int], penalty: float, fit_intercept: bool) -> None:
    # The eigenvalues that are not 0 are above 0.01; without a penalty both tend to the solution of least norm.
    inputs, labels = training_set(shape)
    weights, intercept = fit(Ridge(penalty=penalty), inputs, labels, fit_intercept=fit_intercept)
    for learner in (
        GradientFlow(time=1e12, penalty=penalty),
        GradientDescent(step_size=0.05, steps=10**9, penalty=penalty),
    ):
        assert_same(fit(learner, inputs, labels, fit_intercept=fit_intercept), weights, intercept, 1e-8)


# Losses of the margin.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_scikit_learn_trains_the_same_logistic_regression(
    shape: tuple[int, int], penalty: float, fit_intercept: bool
) -> None:
    inputs, labels = training_set(shape, classes=True)
    reference = LogisticRegression(
        C=1.0 / (shape[0] * penalty), fit_intercept=fit_intercept, tol=1e-10, solver="newton-cholesky"
    ).fit(inputs, labels)
    intercept = float(reference.intercept_[0]) if fit_intercept else 0.0
    trained = fit(Logistic(penalty=penalty), inputs, labels, fit_intercept=fit_intercept)
    assert_same(trained, reference.coef_[0], intercept, 1e-8)


def test_logistic_regression_without_a_penalty_is_maximum_likelihood_where_it_exists() -> None:
    inputs, labels = training_set((300, 5), classes=True)
    inputs[:, 0] -= 0.6 * labels
    reference = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(inputs, labels)
    trained = fit(Logistic(penalty=0.0), inputs, labels, fit_intercept=True)
    assert_same(trained, reference.coef_[0], float(reference.intercept_[0]), 1e-8)
    apart = inputs + 20.0 * labels[:, None]
    assert np.isnan(fit(Logistic(penalty=0.0), apart, labels, fit_intercept=True)[0]).all()
    wide, some = training_set(WIDE, classes=True)
    assert np.isnan(fit(Logistic(penalty=0.0), wide, some, fit_intercept=False)[0]).all()


def hinge_objective(inputs: np.ndarray, labels: np.ndarray, penalty: float, weights: np.ndarray, b: float) -> float:
    margins = labels * (inputs @ weights + b)
    return float(np.mean(np.maximum(1.0 - margins, 0.0)) + 0.5 * penalty * weights @ weights)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_scikit_learn_trains_the_same_support_vector_machine(
    shape: tuple[int, int], penalty: float, fit_intercept: bool
) -> None:
    inputs, labels = training_set(shape, classes=True)
    cost = 1.0 / (shape[0] * penalty)
    if fit_intercept:
        reference = SVC(kernel="linear", C=cost, tol=1e-8).fit(inputs, labels)
        intercept = float(reference.intercept_[0])
    else:
        reference = LinearSVC(loss="hinge", C=cost, tol=1e-10, fit_intercept=False, max_iter=10**7).fit(inputs, labels)
        intercept = 0.0
    weights, b = fit(Hinge(penalty=penalty), inputs, labels, fit_intercept=fit_intercept)
    ours, theirs = (
        hinge_objective(inputs, labels, penalty, *found) for found in ((weights, b), (reference.coef_[0], intercept))
    )
    # The gap of ours is at most 1e-10 of it, and theirs is no better; the objective bends by the penalty at least.
    assert ours <= theirs + 1e-10 * ours
    apart = np.linalg.norm(weights - reference.coef_[0])
    assert 0.5 * penalty * apart**2 <= theirs - ours + 2e-10 * ours
    # Where every sample violates the conditions of the dual by at most tol, the gap is of that order.
    assert theirs - ours <= 1e-7


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_no_penalty_is_the_hard_margin(fit_intercept: bool) -> None:
    # The widest margin 1 / ||w||, by a general-purpose solver of its quadratic program.
    inputs, labels = training_set(WIDE, classes=True)
    signed = labels[:, None] * np.hstack([inputs, np.full((WIDE[0], 1), float(fit_intercept))])
    size = np.append(np.ones(WIDE[1]), 0.0)
    reference = minimize(
        lambda w: 0.5 * np.sum(size * w * w),
        np.zeros(WIDE[1] + 1),
        jac=lambda w: size * w,
        constraints={"type": "ineq", "fun": lambda w: signed @ w - 1.0, "jac": lambda _: signed},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    weights, intercept = fit(Hinge(penalty=0.0), inputs, labels, fit_intercept=fit_intercept)
    assert_same((weights, intercept), reference.x[:-1], float(reference.x[-1]), 1e-5)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_no_penalty_is_the_least_loss_where_there_is_no_margin(fit_intercept: bool) -> None:
    # A linear program in the weights and what each sample lacks.
    inputs, labels = training_set(TALL, classes=True)
    inputs[:, 0] -= 0.6 * labels
    n_samples, n_features = inputs.shape
    columns = np.hstack([inputs, np.full((n_samples, 1), float(fit_intercept))])
    program = linprog(
        np.append(np.zeros(n_features + 1), np.full(n_samples, 1.0 / n_samples)),
        A_ub=-np.hstack([labels[:, None] * columns, np.eye(n_samples)]),
        b_ub=-np.ones(n_samples),
        bounds=[(None, None)] * (n_features + 1) + [(0.0, None)] * n_samples,
    )
    weights, intercept = fit(Hinge(penalty=0.0), inputs, labels, fit_intercept=fit_intercept)
    assert program.fun > 0.1
    loss = hinge_objective(inputs, labels, 0.0, weights, float(intercept))
    np.testing.assert_allclose(loss, program.fun, rtol=1e-8)
    assert_same((weights, intercept), program.x[:n_features], float(program.x[n_features]), 1e-6)


# Discriminant analysis.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", [1e-2, 0.5])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_scikit_learn_trains_the_same_discriminant(shape: tuple[int, int], penalty: float, fit_intercept: bool) -> None:
    # Its covariance is divided by n and shrunk: (1 - s) S_n + s tr(S_n) / d, that is (1 - s) (n - 2) / n (S + penalty).
    inputs, labels = training_set(shape, classes=True)
    n_samples, n_features = shape
    within = inputs.copy()
    for label in (-1.0, 1.0):
        within[labels == label] -= within[labels == label].mean(axis=0)
    mean_variance = np.sum(within**2) / (n_samples * n_features)
    biased = penalty * (n_samples - 2) / n_samples
    shrinkage = biased / (biased + mean_variance)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(inputs, labels)
    # Theirs is log-odds of Gaussian classes with the covariance above, ours with S + penalty.
    factor = (1.0 - shrinkage) * (n_samples - 2) / n_samples
    log_odds = float(np.log(np.sum(labels > 0) / np.sum(labels < 0)))
    intercept = factor * (float(reference.intercept_[0]) - log_odds) + log_odds
    trained = fit(DiscriminantAnalysis(penalty=penalty), inputs, labels, fit_intercept=fit_intercept)
    assert_same(trained, factor * reference.coef_[0], intercept, 1e-9)


def test_a_class_without_samples_has_no_discriminant() -> None:
    inputs, _ = training_set(TALL)
    weights, intercept = fit(DiscriminantAnalysis(penalty=1.0), inputs, np.ones(60), fit_intercept=False)
    assert np.isnan(weights).all()
    assert np.isnan(intercept)


# Laws of every learner.

LEARNERS = {
    "ridge": Ridge(penalty=0.1),
    "ridgeless": Ridge(penalty=0.0),
    "flow": GradientFlow(time=3.0),
    "a long flow": GradientFlow(time=1e9),
    "flow with a penalty": GradientFlow(time=3.0, penalty=0.2),
    "descent": GradientDescent(step_size=0.1, steps=40),
    "descent with a penalty": GradientDescent(step_size=0.1, steps=40, penalty=0.2),
    "logistic": Logistic(penalty=0.05),
    "hinge": Hinge(penalty=0.05),
    "discriminant": DiscriminantAnalysis(penalty=0.2),
}
CERTIFIED = 1e-5
"""The hinge loss is minimised to 1e-10, its weights to the root of that."""


def tolerance(name: str) -> float:
    return CERTIFIED if name == "hinge" else 1e-8


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_every_namespace_trains_the_same(name: str, shape: tuple[int, int], fit_intercept: bool) -> None:
    inputs, labels = training_set(shape, classes=True)
    plain = fit(LEARNERS[name], inputs, labels, fit_intercept=fit_intercept)
    arrays = [array_api_strict.asarray(array) for array in (inputs, labels)]
    strict = [np.asarray(part) for part in fit(LEARNERS[name], *arrays, fit_intercept=fit_intercept)]
    assert_same(plain, strict[0], float(strict[1]), tolerance(name))


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_kernel_trains_as_its_features_do(name: str, shape: tuple[int, int], fit_intercept: bool) -> None:
    inputs, labels = training_set(shape, classes=True)
    listed = ListedFeatures.of(inputs, fit_intercept=fit_intercept)
    matrix = KernelMatrix.of(inputs @ inputs.T, fit_intercept=fit_intercept)
    by_features, by_kernel = (LEARNERS[name].fit(design, labels) for design in (listed, matrix))
    rtol = tolerance(name)
    np.testing.assert_allclose(by_kernel.scores, by_features.scores, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(by_kernel.norm_squared, by_features.norm_squared, rtol=10 * rtol)
    fresh = np.random.default_rng(1).standard_normal((7, shape[1]))
    new = fresh @ by_features.readout + beside_raw_features(by_features, listed)
    of_kernel = fresh @ inputs.T @ by_kernel.readout + beside_raw_features(by_kernel, matrix)
    np.testing.assert_allclose(of_kernel, new, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_intercept_absorbs_a_shift_of_the_inputs(name: str) -> None:
    inputs, labels = training_set(TALL, classes=True)
    weights, intercept = fit(LEARNERS[name], inputs, labels, fit_intercept=True)
    shifted = fit(LEARNERS[name], inputs + 3.0, labels, fit_intercept=True)
    assert_same(shifted, weights, float(intercept - 3.0 * np.sum(weights)), 10 * tolerance(name))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Ridge(penalty=-1.0), "penalty must be finite and at least 0"),
        (lambda: GradientFlow(time=-1.0), "time must be finite and at least 0"),
        (lambda: GradientFlow(time=1.0, penalty=np.inf), "penalty must be finite and at least 0"),
        (lambda: GradientDescent(step_size=0.0, steps=1), "step_size must be positive and finite"),
        (lambda: GradientDescent(step_size=0.1, steps=1.5), r"steps must be a whole number, at least 0, got 1\.5"),
        (lambda: Logistic(penalty=-1.0), "penalty must be finite and at least 0"),
        (lambda: Hinge(penalty=-1.0), "penalty must be finite and at least 0"),
        (lambda: DiscriminantAnalysis(penalty=-1.0), "penalty must be finite and at least 0"),
    ],
)
def test_inadmissible_learners_say_which_rule_they_break(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        build()
