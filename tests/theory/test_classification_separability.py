"""Thresholds of separability: numbers in print, closed cases, and what classifiers do on either side."""

from itertools import pairwise
from math import inf, sqrt

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog, minimize_scalar
from scipy.special import expit, ndtr

from tests.theory.oracles import assert_printed
from theory.classification.convex import predict_classifier
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Hinge, Logistic
from theory.classification.separability import mixture_threshold, separability, teacher_threshold
from theory.classification.teacher import TeacherLabels
from theory.equivalents.population import SpectralPopulation

PLAIN = MixtureLabels(positive_fraction=0.5, fit_intercept=False)


def isotropic(coupling: float, n_features: float = 300.0) -> SpectralPopulation:
    return SpectralPopulation(
        eigenvalues=np.array([1.0]), multiplicities=np.array([n_features]), couplings=np.array([coupling])
    )


def logistic(deviation: float) -> TeacherLabels:
    return TeacherLabels(link="logistic", signal_variance=deviation**2)


@pytest.mark.parametrize(
    ("distance", "printed"), [(0.0, ".5"), (0.5, ".42713424"), (1.0, ".27026783"), (2.0, ".04825569")]
)
def test_two_classes(distance: float, printed: str) -> None:
    assert_printed(mixture_threshold(distance)[0], printed)
    found = separability(isotropic(distance**2), PLAIN, n_samples=1000.0)
    assert_printed(found.threshold, printed)
    assert found.separable == (found.threshold < 0.3)
    np.testing.assert_allclose(found.distance, 0.3 - found.threshold, rtol=1e-14)
    np.testing.assert_allclose(found.window, 1000.0**-0.5, rtol=1e-15)
    assert found.gap < 1e-15


@pytest.mark.parametrize(("distance", "printed"), [(0.0, ".37486956"), (0.5, ".32210610"), (1.0, ".20622649")])
def test_unequal_classes_with_an_intercept(distance: float, printed: str) -> None:
    for fraction in (0.2, 0.8):
        labels = MixtureLabels(positive_fraction=fraction, fit_intercept=True)
        assert_printed(separability(isotropic(distance**2), labels, n_samples=1000.0).threshold, printed)


# Gauss-Hermite rules are too coarse for the last two, whose link is steep; adaptive quadrature (below) confirms these.
@pytest.mark.parametrize(
    ("deviation", "printed"),
    [(0.5, ".48161246"), (1.0, ".43893907"), (2.0, ".34493013"), (5.0, ".18505186"), (10.0, ".09895880")],
)
def test_logistic_regression_of_candes_and_sur(deviation: float, printed: str) -> None:
    assert_printed(teacher_threshold(logistic(deviation), explained_variance=deviation**2)[0], printed)


@pytest.mark.parametrize("deviation", [0.5, 5.0, 10.0])
def test_a_link_by_adaptive_quadrature(deviation: float) -> None:
    def objective(t: float) -> float:
        def integrand(x: float) -> float:
            a = -t * x
            squared = (1.0 + a * a) * ndtr(a) + a * np.exp(-0.5 * a * a) / np.sqrt(2.0 * np.pi)
            return float(2.0 * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi) * expit(deviation * x) * squared)

        marks = [-12.0, -4.0 / deviation, 0.0, 4.0 / deviation, 12.0]
        return sum(quad(integrand, a, b, epsabs=1e-14, limit=200)[0] for a, b in pairwise(marks))

    expected = minimize_scalar(objective, bounds=(0.0, 30.0), method="bounded", options={"xatol": 1e-8}).fun
    found = teacher_threshold(logistic(deviation), explained_variance=deviation**2)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_random_labels() -> None:
    # Cover: two patterns a dimension; Gardner: fewer with a margin.
    for margin, printed in ((0.0, "2.00000000"), (0.5, ".96120505"), (1.0, ".51957223")):
        assert_printed(1.0 / mixture_threshold(0.0, margin=margin)[0], printed)
        nothing = TeacherLabels(link="sign", signal_variance=1.0)
        assert_printed(1.0 / teacher_threshold(nothing, explained_variance=0.0, margin=margin)[0], printed)
        coin = TeacherLabels(link="sign", signal_variance=0.0)
        assert_printed(1.0 / teacher_threshold(coin, explained_variance=0.0, margin=margin)[0], printed)


def test_what_is_always_separable() -> None:
    # A sign without noise, of which the features know everything; classes that do not overlap; a tail of features.
    clean = TeacherLabels(link="sign", signal_variance=2.0)
    found = separability(isotropic(2.0), clean, n_samples=1e12)
    assert found.separable
    assert found.threshold == 0.0
    flat = SpectralPopulation(
        eigenvalues=np.array([1.0, 0.0]), multiplicities=np.array([100.0, 100.0]), couplings=np.array([0.1, 0.1])
    )
    assert separability(flat, PLAIN, n_samples=1e12).separable
    assert mixture_threshold(1e3) == (0.0, 0.0)

    class Endless(SpectralPopulation):
        @property
        def rank(self) -> float:
            return inf

    endless = Endless(eigenvalues=np.ones(1), multiplicities=np.ones(1), couplings=np.ones(1))
    assert separability(endless, PLAIN, n_samples=1e12).separable


def test_nearly_noiseless_signs() -> None:
    # The threshold falls to 0 with the noise, monotonically.
    thresholds = [
        teacher_threshold(TeacherLabels(link="sign", signal_variance=1.0, noise_variance=noise), explained_variance=1.0)
        for noise in (1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e9)
    ]
    assert np.all(np.diff([threshold for threshold, _ in thresholds]) > 0.0)
    assert all(gap <= 1e-9 * threshold for threshold, gap in thresholds)
    np.testing.assert_allclose(thresholds[-1][0], 0.5, rtol=1e-8)


def test_only_the_distance_matters() -> None:
    # r^2 = mu' C^-1 mu, whatever the covariance; likewise what the features explain of a latent.
    spread = SpectralPopulation(
        eigenvalues=np.array([0.1, 3.0, 0.0]),
        multiplicities=np.array([100.0, 200.0, 50.0]),
        couplings=np.array([0.05, 1.5, 0.0]),
    )
    round_one = isotropic(1.0)
    for labels in (
        PLAIN,
        MixtureLabels(positive_fraction=0.1, fit_intercept=True),
        TeacherLabels(link="sign", signal_variance=1.3, noise_variance=0.1),
        TeacherLabels(link="logistic", signal_variance=1.3),
    ):
        for margin in (0.0, 0.4):
            found, expected = (
                separability(population, labels, n_samples=1000.0, margin=margin) for population in (spread, round_one)
            )
            np.testing.assert_allclose(found.threshold, expected.threshold, rtol=1e-12)
            np.testing.assert_allclose(found.distance, expected.distance, atol=1e-14)


@pytest.mark.parametrize(
    "labels",
    [
        PLAIN,
        MixtureLabels(positive_fraction=0.15, fit_intercept=True),
        TeacherLabels(link="sign", signal_variance=0.5, noise_variance=0.3),
        TeacherLabels(link="logistic", signal_variance=0.5),
    ],
    ids=["plain", "unequal", "sign", "logistic"],
)
def test_classifiers_know_their_side(labels: MixtureLabels | TeacherLabels) -> None:
    population = isotropic(0.45)
    threshold = separability(population, labels, n_samples=1.0).threshold
    norms, losses = [], []
    for gap in (0.1, 1e-2, 1e-3, 1e-4):
        # Few samples: separable. Logistic weights diverge, the largest margin vanishes towards the threshold.
        few, many = (300.0 / threshold * (1.0 + sign * gap) for sign in (-1.0, 1.0))
        assert separability(population, labels, n_samples=few).separable
        assert not separability(population, labels, n_samples=many).separable
        assert predict_classifier(population, labels, Logistic(), n_samples=few, penalty=0.0).status == "divergent"
        margin = predict_classifier(population, labels, Hinge(), n_samples=few, penalty=0.0)
        assert margin.status == "converged"
        assert margin.train_loss == margin.train_error == 0.0
        # More: the estimate exists, its weights growing without bound towards the threshold.
        estimate = predict_classifier(population, labels, Logistic(), n_samples=many, penalty=0.0)
        hinge = predict_classifier(population, labels, Hinge(), n_samples=many, penalty=0.0)
        assert estimate.status == hinge.status == "converged"
        norms.append((margin.estimator_norm_squared, estimate.estimator_norm_squared))
        losses.append((hinge.train_loss, estimate.train_loss))
    assert np.all(np.diff(np.array(norms), axis=0) > 0.0)
    assert np.all(np.diff(np.array(losses), axis=0) < 0.0)
    # From both sides the directions tend to the same one.
    np.testing.assert_allclose(
        margin.mean_margin / sqrt(margin.score_variance),
        estimate.mean_margin / sqrt(estimate.score_variance),
        rtol=2e-2,
    )


def test_finite_samples_cross_at_the_threshold() -> None:
    # Linear feasibility of y (x.w) >= 1, 60 draws of 200 samples at each of two ratios one and a half windows away.
    generator = np.random.default_rng(11)
    n_samples, distance = 200, 1.0
    threshold = mixture_threshold(distance)[0]
    for side in (-1.5, 1.5):
        n_features = round(n_samples * (threshold + side * n_samples**-0.5))
        found = []
        for _ in range(60):
            x = generator.standard_normal((n_samples, n_features))
            x[:, 0] += distance
            solved = linprog(np.zeros(n_features), A_ub=-x, b_ub=-np.ones(n_samples), bounds=(None, None))
            found.append(solved.status == 0)
        share = float(np.mean(found))
        # A fair share of draws would be this far on the wrong side with a probability below 1e-4.
        assert (share > 0.75) if side > 0.0 else (share < 0.25)
