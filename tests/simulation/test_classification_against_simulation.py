"""Classifiers within their standard error of scikit-learn's, trained on finite samples, plus the O(1/n) a limit neglects.

The allowance is not fitted to the draws: it is what the theory itself changes by when two samples are taken away, and one part
in n. The misclassification of fresh samples is exact given the weights, so that draws differ by their training sets alone.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit, ndtr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, LinearSVC

from simulation.statistics import Moments
from theory.classification.convex import ClassificationPrediction, predict_classifier
from theory.classification.discriminant import predict_discriminant
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Hinge, Logistic, Loss, Square
from theory.classification.teacher import TeacherLabels
from theory.equivalents.population import SpectralPopulation

Array = np.ndarray
REPLICATES = 40
N_FEATURES = 160
EIGENVALUES = np.repeat([0.5, 2.0], N_FEATURES // 2)
TWO_ATOMS = SpectralPopulation(
    eigenvalues=np.array([0.5, 2.0]),
    multiplicities=np.full(2, N_FEATURES / 2.0),
    couplings=np.array([1.0, 1.0]),
)
MEAN = np.zeros(N_FEATURES)
MEAN[[0, -1]] = 1.0
LATENT = SpectralPopulation(
    eigenvalues=np.array([1.0]), multiplicities=np.array([float(N_FEATURES)]), couplings=np.array([1.0])
)


class Case(NamedTuple):
    """A problem, with the seed of its draws."""

    labels: MixtureLabels | TeacherLabels
    loss: Loss
    n_samples: int
    penalty: float
    seed: int

    @property
    def population(self) -> SpectralPopulation:
        return TWO_ATOMS if isinstance(self.labels, MixtureLabels) else LATENT


PLAIN = MixtureLabels(positive_fraction=0.5, fit_intercept=False)
UNEQUAL = MixtureLabels(positive_fraction=0.75, fit_intercept=True)
RARE = MixtureLabels(positive_fraction=0.9, fit_intercept=True)
SIGN = TeacherLabels(link="sign", signal_variance=1.0)
NOISY = TeacherLabels(link="sign", signal_variance=1.0, noise_variance=0.25)
CHANCE = TeacherLabels(link="logistic", signal_variance=1.0)
CASES = {
    "logistic": Case(PLAIN, Logistic(), 320, 0.1, 1),
    "logistic, an intercept, separable": Case(UNEQUAL, Logistic(), 160, 0.01, 2),
    "logistic, an intercept": Case(UNEQUAL, Logistic(), 480, 0.05, 3),
    "hinge": Case(PLAIN, Hinge(), 320, 0.1, 4),
    "hinge, an intercept": Case(UNEQUAL, Hinge(), 480, 0.1, 5),
    "hinge, an intercept, a large penalty": Case(UNEQUAL, Hinge(), 320, 30.0, 6),
    "hinge, rare negatives, few samples": Case(RARE, Hinge(), 160, 1.0, 7),
    "the largest margin": Case(PLAIN, Hinge(), 320, 0.0, 8),
    "square, an intercept": Case(UNEQUAL, Square(), 320, 0.1, 9),
    "sign, logistic": Case(SIGN, Logistic(), 320, 0.1, 10),
    "sign with noise, hinge": Case(NOISY, Hinge(), 320, 0.1, 11),
    "sign with noise, the largest margin": Case(NOISY, Hinge(), 200, 0.0, 12),
    "chance, logistic": Case(CHANCE, Logistic(), 640, 0.05, 13),
    "chance, logistic without a penalty": Case(CHANCE, Logistic(), 960, 0.0, 14),
    "sign, square": Case(SIGN, Square(), 320, 0.1, 15),
}
QUANTITIES = ("test_error", "train_error", "train_loss", "estimator_norm_squared")


def draw(case: Case, generator: np.random.Generator) -> tuple[Array, Array]:
    """A training set; the classes have exactly their shares, as in the theory."""
    z = generator.standard_normal((case.n_samples, N_FEATURES))
    if isinstance(case.labels, MixtureLabels):
        positives = round(case.labels.positive_fraction * case.n_samples)
        y = np.where(np.arange(case.n_samples) < positives, 1.0, -1.0)
        return z * np.sqrt(EIGENVALUES) + y[:, None] * MEAN, y
    if case.labels.link == "logistic":
        return z, np.where(generator.random(case.n_samples) < expit(z[:, 0]), 1.0, -1.0)
    noise = sqrt(case.labels.noise_variance) * generator.standard_normal(case.n_samples)
    return z, np.sign(z[:, 0] + noise)


def fit(case: Case, x: Array, y: Array) -> tuple[Array, float]:
    """Weights and intercept of scikit-learn's estimate, to many more digits than are compared."""
    intercept = isinstance(case.labels, MixtureLabels) and case.labels.fit_intercept
    strength = 1.0 / (len(y) * case.penalty) if case.penalty > 0.0 else np.inf
    if isinstance(case.loss, Logistic):
        model = LogisticRegression(C=strength, fit_intercept=intercept, tol=1e-9, max_iter=10_000)
    elif isinstance(case.loss, Square):
        model = Ridge(alpha=len(y) * case.penalty, fit_intercept=intercept)
    elif intercept:
        model = SVC(kernel="linear", C=min(strength, 1e4), tol=1e-6)
    else:
        model = LinearSVC(loss="hinge", C=min(strength, 1e3), fit_intercept=False, tol=1e-7, max_iter=1_000_000)
    model.fit(x, y)
    return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]) if intercept else 0.0


def measured(case: Case, generator: np.random.Generator) -> dict[str, float]:
    x, y = draw(case, generator)
    w, b = fit(case, x, y)
    margins = y * (x @ w + b)
    return {
        "test_error": fresh_error(case, w, b),
        "train_error": float(np.mean(margins < 0.0)),
        "train_loss": float(np.mean(case.loss.value(margins))),
        "estimator_norm_squared": float(w @ w),
    }


def fresh_error(case: Case, w: Array, b: float) -> float:
    """Misclassification of fresh samples, given the weights."""
    if isinstance(case.labels, MixtureLabels):
        fraction, deviation, m = case.labels.positive_fraction, sqrt(w @ (EIGENVALUES * w)), float(w @ MEAN)
        return float(fraction * ndtr(-(m + b) / deviation) + (1.0 - fraction) * ndtr(-(m - b) / deviation))
    if case.labels.link == "sign":
        return float(np.arccos(w[0] / sqrt((w @ w) * (1.0 + case.labels.noise_variance))) / np.pi)
    z, weights = np.polynomial.hermite_e.hermegauss(80)
    wrong = expit(z) * ndtr(-w[0] * z / sqrt(w[1:] @ w[1:]))
    return float(2.0 * (weights @ wrong) / sqrt(2.0 * np.pi))


def predicted(case: Case, n_samples: float) -> ClassificationPrediction:
    found = predict_classifier(case.population, case.labels, case.loss, n_samples=n_samples, penalty=case.penalty)
    assert found.status == "converged"
    return found


@pytest.mark.parametrize("name", CASES)
def test_theory_is_within_its_standard_error(name: str) -> None:
    case = CASES[name]
    generator = np.random.default_rng(case.seed)
    draws = [measured(case, generator) for _ in range(REPLICATES)]
    asymptotic, fewer = predicted(case, case.n_samples), predicted(case, case.n_samples - 2)
    for quantity in QUANTITIES:
        value, moments = getattr(asymptotic, quantity), Moments.of(draw[quantity] for draw in draws)
        allowance = abs(getattr(fewer, quantity) - value) + value / case.n_samples
        distance = max(abs(moments.mean - value) - allowance - solver_accuracy(case), 0.0)
        assert distance <= 4.0 * moments.standard_error, (
            f"{quantity}: {moments.mean} +- {moments.standard_error} for {value}"
        )


def solver_accuracy(case: Case) -> float:
    """Of the loss of margins that a solver brings to 1 within its tolerance."""
    return 1e-5 if case.penalty == 0.0 else 1e-7


def test_the_hinge_gives_up_at_finite_size_too() -> None:
    # A weak signal between unequal classes: the theory says no weights at all, at every penalty.
    labels = MixtureLabels(positive_fraction=0.9, fit_intercept=True)
    n_features, n_samples = 20, 2000
    population = SpectralPopulation(
        eigenvalues=np.ones(1), multiplicities=np.array([float(n_features)]), couplings=np.array([0.16])
    )
    generator = np.random.default_rng(21)
    y = np.where(np.arange(n_samples) < 0.9 * n_samples, 1.0, -1.0)
    for penalty in (0.1, 1.0, 10.0):
        found = predict_classifier(population, labels, Hinge(), n_samples=n_samples, penalty=penalty)
        assert found.score_variance == 0.0
        x = generator.standard_normal((n_samples, n_features))
        x[:, 0] += 0.4 * y
        model = SVC(kernel="linear", C=1.0 / (n_samples * penalty), tol=1e-6).fit(x, y)
        # As far as its tolerance goes.
        assert np.linalg.norm(model.coef_) < 1e-5
        assert np.all(model.predict(x) == 1.0)


@pytest.mark.parametrize(
    ("positives", "negatives", "penalty", "seed"),
    [(300, 100, 0.1, 31), (300, 100, 1.0, 32), (200, 200, 0.0, 33), (60, 60, 0.1, 34), (60, 40, 1e-7, 35)],
)
def test_discriminants(positives: int, negatives: int, penalty: float, seed: int) -> None:
    n_samples, half = positives + negatives, np.zeros(N_FEATURES)
    half[[0, -1]] = 0.8, 1.2
    population = SpectralPopulation(
        eigenvalues=np.array([0.5, 2.0]),
        multiplicities=np.full(2, N_FEATURES / 2.0),
        couplings=np.array([0.8, 1.2]) ** 2,
    )
    fraction = positives / n_samples
    found, fewer = (
        predict_discriminant(population, n_samples=n, positive_fraction=fraction, penalty=penalty)
        for n in (n_samples, n_samples - 2)
    )
    assert found.status == "converged"
    generator = np.random.default_rng(seed)
    errors = []
    for _ in range(3 * REPLICATES):
        one, other = (
            generator.standard_normal((n, N_FEATURES)) * np.sqrt(EIGENVALUES) + sign * half
            for n, sign in ((positives, 1.0), (negatives, -1.0))
        )
        means = one.mean(axis=0), other.mean(axis=0)
        centred = np.concatenate([one - means[0], other - means[1]])
        pooled = centred.T @ centred / (n_samples - 2)
        w = np.linalg.solve(pooled + penalty * np.eye(N_FEATURES), means[0] - means[1])
        b = -0.5 * w @ (means[0] + means[1]) + np.log(positives / negatives)
        deviation = sqrt(w @ (EIGENVALUES * w))
        errors.append(
            fraction * ndtr(-(w @ half + b) / deviation) + (1.0 - fraction) * ndtr(-(w @ half - b) / deviation)
        )
    moments = Moments.of(errors)
    allowance = abs(fewer.test_error - found.test_error) + found.test_error / n_samples
    assert max(abs(moments.mean - found.test_error) - allowance, 0.0) <= 4.0 * moments.standard_error
