"""Closed cases, limits and invariances of classifiers, and the traps on the way to them."""

from dataclasses import replace
from math import exp, inf, pi, sqrt
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, ndtr

import theory
from theory.classification.collapse import collapses
from theory.classification.convex import ClassificationPrediction, predict_classifier
from theory.classification.discriminant import predict_discriminant
from theory.classification.fixed_point import FixedPoint
from theory.classification.labels import MixtureLabels
from theory.classification.losses import HardMargin, Hinge, Logistic, Loss, Square
from theory.classification.rates import latent_misclassification, two_class_misclassification
from theory.classification.teacher import TeacherLabels
from theory.covariance import InadmissibleProblem
from theory.equivalents.mixture import MixtureEquivalent, mean_energies
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.population import EquivalentPopulation, SpectralPopulation, Traces

LOSSES: list[Loss] = [Square(), Logistic(), Hinge()]
PLAIN = MixtureLabels(positive_fraction=0.5, fit_intercept=False)
UNEQUAL = MixtureLabels(positive_fraction=0.7, fit_intercept=True)
SIGN = TeacherLabels(link="sign", signal_variance=1.5, noise_variance=0.2)
CHANCE = TeacherLabels(link="logistic", signal_variance=1.5)
LABELS: dict[str, MixtureLabels | TeacherLabels] = {
    "plain": PLAIN,
    "unequal": UNEQUAL,
    "sign": SIGN,
    "logistic": CHANCE,
}
TWO = SpectralPopulation(
    eigenvalues=np.array([0.5, 2.0]), multiplicities=np.array([200.0, 200.0]), couplings=np.array([0.4, 0.9])
)
NUMBERS = (
    "test_error",
    "train_error",
    "test_loss",
    "train_loss",
    "estimator_norm_squared",
    "mean_margin",
    "score_variance",
    "proximal",
    "intercept",
    "outer_ridge",
    "df1",
    "df2",
)


def name(value: Any) -> str:
    return value if isinstance(value, str) else type(value).__name__


def isotropic(coupling: float, n_features: float = 400.0) -> SpectralPopulation:
    return SpectralPopulation(
        eigenvalues=np.array([1.0]), multiplicities=np.array([n_features]), couplings=np.array([coupling])
    )


def assert_alike(found: ClassificationPrediction, expected: ClassificationPrediction, *, rtol: float) -> None:
    assert found.status == expected.status == "converged"
    for entry in NUMBERS:
        # Training errors of well separated classes are tails of tails.
        np.testing.assert_allclose(
            getattr(found, entry), getattr(expected, entry), rtol=rtol, atol=1e-12 * rtol, err_msg=entry
        )


@pytest.mark.parametrize("loss", LOSSES, ids=name)
@pytest.mark.parametrize("penalty", [1e4, 1e6, 1e8])
def test_large_penalties_average_the_samples(loss: Loss, penalty: float) -> None:
    # w is proportional to the mean of y x, whatever the loss.
    s, counts, t = TWO.eigenvalues, TWO.multiplicities, TWO.couplings
    for n_samples in (40.0, 4000.0):
        hebb = np.sum(t) / sqrt(t @ s + counts @ s**2 / n_samples)
        for labels in (PLAIN, replace(PLAIN, fit_intercept=True), replace(PLAIN, positive_fraction=0.1)):
            found = predict_classifier(TWO, labels, loss, n_samples=n_samples, penalty=penalty)
            assert found.status == "converged"
            # The next order is of relative size 1 / penalty, with a constant of order 10.
            np.testing.assert_allclose(found.test_error, ndtr(-hebb), rtol=30.0 / penalty + 1e-12)
            unit = found.mean_margin * penalty
            slope = loss.slope_at_zero
            np.testing.assert_allclose(unit, slope * np.sum(t), rtol=30.0 / penalty)
        found = predict_classifier(TWO, SIGN, loss, n_samples=n_samples, penalty=penalty)
        slope = sqrt(2.0 / (pi * 1.7))
        variance = slope**2 * (t @ s) + counts @ s**2 / n_samples
        angle = np.arccos(slope * np.sum(t) / sqrt(variance * 1.7)) / pi
        np.testing.assert_allclose(found.test_error, angle, rtol=30.0 / penalty + 1e-12)


@pytest.mark.parametrize("rho", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("ratio", [0.2, 0.8, 3.0])
def test_isotropic_classes_in_closed_form(rho: float, ratio: float) -> None:
    population, n_samples = isotropic(rho), 400.0 / ratio
    for loss in LOSSES:
        found = predict_classifier(population, PLAIN, loss, n_samples=n_samples, penalty=1e10)
        np.testing.assert_allclose(found.test_error, ndtr(-rho / sqrt(rho + ratio)), rtol=1e-8)
    if ratio < 1.0:
        found = predict_classifier(population, PLAIN, Square(), n_samples=n_samples, penalty=0.0)
        np.testing.assert_allclose(found.test_error, ndtr(-rho * sqrt(1.0 - ratio) / sqrt(rho + ratio)), rtol=1e-13)


@pytest.mark.parametrize("penalty", [0.0, 1e-8, 0.1, 30.0])
@pytest.mark.parametrize("n_samples", [150.0, 399.0, 1600.0])
@pytest.mark.parametrize("positive_fraction", [None, 0.5, 0.1])
def test_square_loss_on_classes_is_ridge_regression(
    penalty: float, n_samples: float, positive_fraction: float | None
) -> None:
    # T = v / (1 + v M), by the equivalent that gradient methods use too.
    spectrum = theory.covariance.discrete(400, eigenvalues=[0.5, 2.0], weights=[0.5, 0.5])
    energies = mean_energies(spectrum, TWO.couplings)
    modes = theory.linear_modes(spectrum, energies, noise_variance=0.0)
    labels = MixtureLabels(positive_fraction=positive_fraction or 0.3, fit_intercept=positive_fraction is not None)
    variance = 4.0 * positive_fraction * (1.0 - positive_fraction) if positive_fraction else 1.0
    equivalent = MixtureEquivalent(
        base=ModalEquivalent(modes=modes),
        mean_label=2.0 * positive_fraction - 1.0 if positive_fraction else 0.0,
        fit_intercept=labels.fit_intercept,
    )
    ridge = theory.predict_ridge(equivalent, n_samples, penalty)
    found = predict_classifier(TWO, labels, Square(), n_samples=n_samples, penalty=penalty)
    assert found.status == "converged"
    np.testing.assert_allclose(2.0 * found.test_loss, ridge.test_error, rtol=1e-11)
    np.testing.assert_allclose(2.0 * found.train_loss, ridge.train_error, rtol=1e-10, atol=1e-24)
    np.testing.assert_allclose(found.estimator_norm_squared, ridge.estimator_norm_squared, rtol=1e-11)
    np.testing.assert_allclose(found.outer_ridge, ridge.outer_ridge, rtol=1e-11)
    if variance == 1.0:
        # On the class +1 the score is N(1 - T, TEST - T^2).
        total = 1.0 - found.mean_margin
        np.testing.assert_allclose(found.score_variance, ridge.test_error - total**2, rtol=1e-10)
        rate = ndtr(-(1.0 - total) / sqrt(ridge.test_error - total**2))
        np.testing.assert_allclose(found.test_error, rate, rtol=1e-10)


@pytest.mark.parametrize("labels", [SIGN, CHANCE], ids=["sign", "logistic"])
def test_square_loss_on_a_latent_is_ridge_regression(labels: TeacherLabels) -> None:
    # E[y nu] / rho is the linear part of the label; the rest of its variance 1 acts as noise.
    slope = sum(share * sqrt(2.0 / (pi * v)) for v, share in zip(*labels.latent, strict=True))
    energies = slope**2 * TWO.couplings / TWO.eigenvalues
    modes = theory.Modes(
        eigenvalues=TWO.eigenvalues,
        multiplicities=TWO.multiplicities,
        energies=energies,
        noise_variance=1.0 - float(np.sum(energies)),
    )
    for n_samples, penalty in ((150.0, 0.0), (300.0, 0.1), (1000.0, 0.0)):
        ridge = theory.predict_ridge(modes, n_samples, penalty)
        found = predict_classifier(TWO, labels, Square(), n_samples=n_samples, penalty=penalty)
        np.testing.assert_allclose(2.0 * found.test_loss, ridge.test_error, rtol=1e-11)
        np.testing.assert_allclose(2.0 * found.train_loss, ridge.train_error, rtol=1e-10, atol=1e-24)
        np.testing.assert_allclose(found.estimator_norm_squared, ridge.estimator_norm_squared, rtol=1e-11)
        rate = labels.misclassification(found.mean_margin, found.score_variance)
        np.testing.assert_allclose(found.test_error, rate, rtol=1e-14)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_square_loss_solves_the_general_equations(labels: Any) -> None:
    found = predict_classifier(TWO, labels, Square(), n_samples=300.0, penalty=0.1)
    conjugates = labels.conjugates(Square(), found.mean_margin, sqrt(found.score_variance), found.proximal)
    if labels is UNEQUAL:
        # Its balance has a closed form, and duals of either sign, for which the search between logarithms is not made.
        assert abs(found.intercept - 0.4 * (1.0 - found.mean_margin)) < 1e-14
        return
    mean, variance, curvature = conjugates[:3]
    traces = TWO.traces(0.1 / curvature)
    np.testing.assert_allclose(found.mean_margin, mean / curvature * traces.coupling, rtol=1e-11)
    np.testing.assert_allclose(found.proximal, traces.df1 / (300.0 * curvature), rtol=1e-11)
    noise = variance / curvature**2 * traces.df2 / 300.0
    expected = (mean / curvature) ** 2 * traces.coupling_variance + noise
    np.testing.assert_allclose(found.score_variance, expected, rtol=1e-11)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("loss", LOSSES, ids=name)
@pytest.mark.parametrize("penalty", [0.0, 1e-4, 1.0])
def test_units_of_the_inputs_do_not_matter(labels: Any, loss: Loss, penalty: float) -> None:
    # x -> c x with mu -> c mu and penalty -> c^2 penalty: the scores stay.
    n_samples, scale = 500.0 if isinstance(loss, Logistic) and penalty == 0.0 else 300.0, 1e-3
    if penalty == 0.0 and isinstance(loss, Logistic):
        n_samples = 5000.0
    expected = predict_classifier(TWO, labels, loss, n_samples=n_samples, penalty=penalty)
    scaled = replace(TWO, eigenvalues=scale**2 * TWO.eigenvalues, couplings=scale**2 * TWO.couplings)
    found = predict_classifier(scaled, labels, loss, n_samples=n_samples, penalty=scale**2 * penalty)
    assert found.status == expected.status == "converged"
    for entry in ("test_error", "test_loss", "train_loss", "mean_margin", "score_variance", "intercept", "df1"):
        np.testing.assert_allclose(getattr(found, entry), getattr(expected, entry), rtol=1e-9, atol=1e-18)
    norm = found.estimator_norm_squared * scale**2
    np.testing.assert_allclose(norm, expected.estimator_norm_squared, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_units_of_a_latent_do_not_matter_to_its_sign(loss: Loss) -> None:
    expected = predict_classifier(TWO, SIGN, loss, n_samples=300.0, penalty=0.1)
    labels = TeacherLabels(link="sign", signal_variance=1.5e-6, noise_variance=0.2e-6)
    found = predict_classifier(replace(TWO, couplings=1e-6 * TWO.couplings), labels, loss, n_samples=300.0, penalty=0.1)
    for entry in ("test_error", "train_loss", "score_variance", "estimator_norm_squared"):
        np.testing.assert_allclose(getattr(found, entry), getattr(expected, entry), rtol=1e-10)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
@pytest.mark.parametrize("penalty", [0.0, 1e-3, 1.0])
def test_names_of_the_classes_do_not_matter(loss: Loss, penalty: float) -> None:
    few, many = (
        predict_classifier(
            TWO,
            MixtureLabels(positive_fraction=fraction, fit_intercept=True),
            loss,
            n_samples=4000.0,
            penalty=penalty,
        )
        for fraction in (0.25, 0.75)
    )
    assert_alike(few, replace(many, intercept=-many.intercept), rtol=1e-14)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_splitting_atoms_changes_nothing(labels: Any, loss: Loss) -> None:
    parts = SpectralPopulation(
        eigenvalues=np.array([2.0, 0.5, 0.5, 2.0, 0.0]),
        multiplicities=np.array([50.0, 120.0, 80.0, 150.0, 77.0]),
        couplings=np.array([0.9, 0.0, 0.4, 0.0, 0.0]),
    )
    spectrum = theory.covariance.discrete(400, eigenvalues=[0.5, 2.0], weights=[0.5, 0.5])
    modes = theory.linear_modes(spectrum, mean_energies(spectrum, TWO.couplings), noise_variance=0.0)
    through = EquivalentPopulation(equivalent=ModalEquivalent(modes=modes))
    for penalty in (0.0, 0.01, 10.0):
        n_samples = 4000.0 if penalty == 0.0 else 300.0
        whole = predict_classifier(TWO, labels, loss, n_samples=n_samples, penalty=penalty)
        for population in (parts, through):
            found = predict_classifier(population, labels, loss, n_samples=n_samples, penalty=penalty)
            assert_alike(found, whole, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_an_intercept_between_equal_classes_is_idle(loss: Loss) -> None:
    with_it = predict_classifier(TWO, replace(PLAIN, fit_intercept=True), loss, n_samples=300.0, penalty=0.1)
    without = predict_classifier(TWO, PLAIN, loss, n_samples=300.0, penalty=0.1)
    assert_alike(with_it, without, rtol=1e-14)
    # And continuous there.
    nearly = MixtureLabels(positive_fraction=0.5 + 1e-7, fit_intercept=True)
    found = predict_classifier(TWO, nearly, loss, n_samples=300.0, penalty=0.1)
    np.testing.assert_allclose(found.test_error, without.test_error, rtol=1e-10)
    assert abs(found.intercept) < 1e-5


def test_many_samples_leave_the_population_problem() -> None:
    # Logistic regression on a logistic latent is well specified: w is the latent's, and the loss its entropy.
    population = isotropic(1.5, n_features=10.0)
    found = predict_classifier(population, CHANCE, Logistic(), n_samples=1e12, penalty=0.0)
    z, w = np.polynomial.hermite_e.hermegauss(200)
    p = expit(sqrt(1.5) * z)
    entropy = -(w @ (p * np.log(p) + (1.0 - p) * np.log(1.0 - p))) / np.sqrt(2.0 * np.pi)
    np.testing.assert_allclose(found.test_loss, entropy, rtol=1e-9)
    np.testing.assert_allclose((found.mean_margin, found.score_variance), 1.5, rtol=1e-9)
    np.testing.assert_allclose(found.train_loss, found.test_loss, rtol=1e-9)
    # On classes it is the discriminant of Fisher: m = q = r^2.
    found = predict_classifier(TWO, PLAIN, Logistic(), n_samples=1e12, penalty=0.0)
    distance = TWO.traces(0.0).coupling
    np.testing.assert_allclose(found.test_error, ndtr(-sqrt(distance)), rtol=1e-8)
    np.testing.assert_allclose(found.mean_margin, 2.0 * distance, rtol=1e-8)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_hinge_without_a_penalty_is_the_limit(labels: Any) -> None:
    # Separable: the largest margin, reached exactly once no dual is at its bound. Not separable: of first order.
    for n_samples, rtol in ((300.0, 1e-10), (6000.0, 1e-6)):
        limit = predict_classifier(TWO, labels, Hinge(), n_samples=n_samples, penalty=0.0)
        small = predict_classifier(TWO, labels, Hinge(), n_samples=n_samples, penalty=1e-10)
        assert limit.status == small.status == "converged"
        for entry in ("test_error", "test_loss", "mean_margin", "score_variance", "estimator_norm_squared"):
            np.testing.assert_allclose(getattr(small, entry), getattr(limit, entry), rtol=rtol, err_msg=entry)
        np.testing.assert_allclose(small.train_loss, limit.train_loss, rtol=rtol, atol=1e-15)
        assert (limit.proximal == inf) == (n_samples == 300.0)


def test_hard_margins_do_not_depend_on_the_penalty() -> None:
    solutions = [
        FixedPoint(population=TWO, labels=UNEQUAL, loss=HardMargin(), n_samples=300.0, penalty=penalty).solve()
        for penalty in (1e-3, 1.0, 1e3)
    ]
    for solution in solutions[1:]:
        np.testing.assert_allclose(solution.scores[:2], solutions[0].scores[:2], rtol=1e-10)
        np.testing.assert_allclose(solution.ridge, solutions[0].ridge, rtol=1e-10)


def test_logistic_approaches_the_largest_margin_like_a_logarithm() -> None:
    # Eight decades of penalty close only part of the gap: no penalty stands for 0, and at 0 there is no estimate.
    margin = predict_classifier(TWO, PLAIN, Hinge(), n_samples=300.0, penalty=0.0)
    gaps = []
    for penalty in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
        found = predict_classifier(TWO, PLAIN, Logistic(), n_samples=300.0, penalty=penalty)
        assert found.status == "converged"
        gaps.append(margin.test_error - found.test_error)
    assert np.all(np.diff(gaps) < 0.0)
    assert gaps[-1] > 0.1 * gaps[0]
    # From 1e-4 on, the gap is nearly in inverse proportion to the logarithm.
    products = np.array(gaps[1:]) * np.log(1.0 / np.array([1e-4, 1e-6, 1e-8, 1e-10]))
    assert np.ptp(products) < 0.35 * products.mean()
    divergent = predict_classifier(TWO, PLAIN, Logistic(), n_samples=300.0, penalty=0.0)
    assert divergent.status == "divergent"
    assert divergent.test_error == divergent.estimator_norm_squared == inf
    # The direction that it takes has the ridge of the largest margin.
    np.testing.assert_allclose(divergent.outer_ridge, margin.outer_ridge, rtol=1e-9)


def test_least_squares_diverges_at_the_threshold() -> None:
    for labels in LABELS.values():
        found = predict_classifier(TWO, labels, Square(), n_samples=400.0, penalty=0.0)
        assert found.status == "divergent"
        assert found.test_error == found.test_loss == inf


def plain_prox(u: np.ndarray, proximal: float) -> np.ndarray:
    """Newton's method from p = u, which runs into two-cycles."""
    p = u.copy()
    for _ in range(30):
        s = expit(-p)
        p = p - (p - u - proximal * s) / (1.0 + proximal * s * (1.0 - s))
    return p


def test_a_small_residual_does_not_mean_a_right_answer() -> None:
    # The same damped iteration with either proximal operator: both converge, one to another error.
    s, counts, t, n_samples, penalty = TWO.eigenvalues, TWO.multiplicities, np.ones(2), 800.0, 1e-3
    z = np.linspace(-9.0, 9.0, 1201)
    weights = np.exp(-0.5 * z * z) / sqrt(2.0 * pi) * (z[1] - z[0])
    answers = []
    for prox in (plain_prox, Logistic().prox):
        state, moved = np.array([0.1, 0.1, 1.0]), inf
        for _ in range(500):
            gamma = expit(-prox(state[0] + sqrt(state[1]) * z, state[2]))
            second = gamma * (1.0 - gamma)
            over = 1.0 / (penalty + weights @ (second / (1.0 + state[2] * second)) * s)
            mean, variance = weights @ gamma, weights @ gamma**2
            following = np.array(
                [
                    mean * (t @ over),
                    mean**2 * (t @ (s * over**2)) + variance / n_samples * (counts @ (s * over) ** 2),
                    counts @ (s * over) / n_samples,
                ]
            )
            moved = float(np.max(np.abs(following / state - 1.0)))
            state = 0.3 * state + 0.7 * following
            if moved < 1e-10:
                break
        assert moved < 1e-10
        answers.append(ndtr(-state[0] / sqrt(state[1])))
    population = replace(TWO, couplings=t)
    found = predict_classifier(population, PLAIN, Logistic(), n_samples=n_samples, penalty=penalty)
    assert found.status == "converged"
    np.testing.assert_allclose(found.test_error, answers[1], rtol=1e-9)
    assert answers[0] > found.test_error + 0.05


class Cycling(Logistic):
    """The logistic loss with the proximal operator that cycles."""

    def prox(self, margin: np.ndarray, proximal: float) -> np.ndarray:
        return plain_prox(margin, proximal)

    def pointwise(self, margin: np.ndarray, proximal: float) -> Any:
        right = super().pointwise(margin, proximal)
        p = self.prox(margin, proximal)
        gamma = expit(-p)
        second = gamma * (1.0 - gamma)
        return right._replace(prox=p, dual=gamma, curvature=second / (1.0 + proximal * second))


def test_the_certificates_refuse_a_wrong_proximal_operator() -> None:
    found = predict_classifier(replace(TWO, couplings=np.ones(2)), PLAIN, Cycling(), n_samples=800.0, penalty=1e-3)
    assert found.status == "not_converged"
    assert Cycling().prox_error(20.0, 168.0) > 1e-3


def test_an_unequal_hinge_keeps_its_digits_at_large_penalties() -> None:
    # All margins of the larger class gather at the kink, within O(1 / penalty): computed from 1 - (m + b) their place
    # there has no digits left. In units of 1 / penalty the problem has a limit.
    labels, n_samples = MixtureLabels(positive_fraction=0.7, fit_intercept=True), 200.0
    limit = predict_classifier(TWO, labels, Hinge(), n_samples=n_samples, penalty=1e12)
    for penalty in (1e3, 1e5, 1e7, 1e9, 1e11):
        found = predict_classifier(TWO, labels, Hinge(), n_samples=n_samples, penalty=penalty)
        assert found.status == "converged"
        ratio = found.mean_margin / sqrt(found.score_variance)
        np.testing.assert_allclose(ratio, limit.mean_margin / sqrt(limit.score_variance), rtol=30.0 / penalty + 1e-11)
        np.testing.assert_allclose(found.mean_margin * penalty, limit.mean_margin * 1e12, rtol=30.0 / penalty + 1e-11)
        np.testing.assert_allclose(found.outer_ridge, limit.outer_ridge, rtol=30.0 / penalty + 1e-11)
        if penalty >= 1e7:
            from_rounded = (1.0 - (found.mean_margin + found.intercept)) / sqrt(found.score_variance)
            kink = (1.0 - (limit.mean_margin + limit.intercept)) / sqrt(limit.score_variance)
            assert abs(from_rounded - kink) > 1e-10
    # It is no average of the samples: the larger class is clipped, and the ridge stays finite.
    assert limit.outer_ridge < 10.0


def test_the_hinge_gives_up_on_a_weak_signal_between_unequal_classes() -> None:
    labels = MixtureLabels(positive_fraction=0.9, fit_intercept=True)
    # In the limit of many samples: r <= p f(z) / (2 p'), N(z) = p' / p.
    z = -1.2206403488473493
    edge = 0.9 * exp(-0.5 * z * z) / sqrt(2.0 * pi) / 0.2
    assert abs(ndtr(z) - 1.0 / 9.0) < 1e-15
    for share, collapsed in ((0.999, True), (1.001, False)):
        population = isotropic((share * edge) ** 2)
        assert collapses(population, labels, 1e12) == collapsed
    population = isotropic(0.25)
    for penalty in (0.0, 1e-4, 1.0, 1e6):
        found = predict_classifier(population, labels, Hinge(), n_samples=40_000.0, penalty=penalty)
        assert found.status == "converged"
        assert found.estimator_norm_squared == found.mean_margin == found.score_variance == 0.0
        assert found.intercept == 1.0
        np.testing.assert_allclose((found.test_error, found.train_error, found.test_loss), (0.1, 0.1, 0.2), rtol=1e-15)
    # Continuous: just before, the weights are small, at every penalty.
    low, high = 100.0, 40_000.0
    for _ in range(60):
        middle = sqrt(low * high)
        low, high = (low, middle) if collapses(population, labels, middle) else (middle, high)
    for penalty in (1e-2, 1.0, 1e3):
        norms = [
            predict_classifier(population, labels, Hinge(), n_samples=low * (1.0 - gap), penalty=penalty)
            for gap in (1e-2, 1e-4)
        ]
        assert all(found.status == "converged" for found in norms)
        assert 0.0 < norms[1].estimator_norm_squared < 0.1 * norms[0].estimator_norm_squared


def test_the_direction_of_a_discriminant_is_that_of_ridge_regression() -> None:
    # Up to the two degrees of freedom of the class means, which vanish against n.
    population = replace(TWO, multiplicities=1e9 * TWO.multiplicities)
    for fraction in (0.5, 0.2):
        for penalty in (0.0, 0.3):
            for n_samples in (2e11, 8e11):
                lda = predict_discriminant(population, n_samples=n_samples, positive_fraction=fraction, penalty=penalty)
                labels = MixtureLabels(positive_fraction=fraction, fit_intercept=True)
                ridge = predict_classifier(population, labels, Square(), n_samples=n_samples, penalty=penalty)
                np.testing.assert_allclose(
                    lda.margin / lda.deviation, ridge.mean_margin / sqrt(ridge.score_variance), rtol=1e-9
                )


def test_discriminants_without_a_penalty_are_the_limit() -> None:
    for n_samples in (150.0, 1000.0):
        limit, small = (
            predict_discriminant(TWO, n_samples=n_samples, positive_fraction=0.2, penalty=penalty)
            for penalty in (0.0, 1e-12)
        )
        assert limit.status == small.status == "converged"
        np.testing.assert_allclose(limit.test_error, small.test_error, rtol=1e-9)
    # Interpolating, the score outgrows the logarithm of the class sizes.
    assert predict_discriminant(TWO, n_samples=150.0, positive_fraction=0.2, penalty=0.0).threshold == 0.0
    assert predict_discriminant(TWO, n_samples=402.0, positive_fraction=0.2, penalty=0.0).status == "divergent"


def test_discriminants_with_a_large_penalty_compare_distances_to_the_means() -> None:
    s, counts, t = TWO.eigenvalues, TWO.multiplicities, TWO.couplings
    found = predict_discriminant(TWO, n_samples=300.0, positive_fraction=0.5, penalty=1e9)
    spread = 4.0 * (t @ s) + 4.0 / 300.0 * (counts @ s**2)
    np.testing.assert_allclose(found.test_error, ndtr(-2.0 * np.sum(t) / sqrt(spread)), rtol=1e-8)


def test_rates_of_scores_from_elsewhere() -> None:
    rate = two_class_misclassification(
        positive_margin=1.0, negative_margin=2.0, score_variance=4.0, positive_fraction=0.3
    )
    np.testing.assert_allclose(rate, 0.3 * ndtr(-0.5) + 0.7 * ndtr(-1.0), rtol=1e-15)
    constant = two_class_misclassification(
        positive_margin=1.0, negative_margin=-1.0, score_variance=0.0, positive_fraction=0.3
    )
    assert constant == pytest.approx(0.7, rel=1e-15)
    for angle in (1e-3, 0.3, pi / 2.0, 3.0):
        rate = latent_misclassification(covariance=3.0 * np.cos(angle), score_variance=1.0, latent_variance=9.0)
        np.testing.assert_allclose(rate, angle / pi, rtol=1e-8)
    assert latent_misclassification(covariance=0.0, score_variance=0.0, latent_variance=1.0) == 0.5
    # The shifted one by simulation: 4e6 draws of the seed below.
    generator = np.random.default_rng(5)
    latent, rest = generator.standard_normal((2, 4_000_000))
    score = 0.6 * latent + 0.8 * rest
    labels = TeacherLabels(link="sign", signal_variance=1.0)
    for shift in (-0.4, 0.0, 0.3, 1.5):
        draws = shift + np.sign(latent) * score < 0.0
        error = draws.std() / sqrt(draws.size)
        assert abs(labels.train_misclassification(shift, 0.6, 1.0) - draws.mean()) < 4.0 * error


def test_training_errors_of_logistic_labels() -> None:
    # P(shift + y F < 0) with P(y = 1) = sigmoid(nu), by integrating over nu.
    z, w = np.polynomial.legendre.leggauss(400)
    nu, w = 12.0 * z, 12.0 * w * np.exp(-0.5 * (12.0 * z) ** 2 / 1.5) / sqrt(2.0 * pi * 1.5)
    covariance, variance, shift = 0.9, 1.1, 0.25
    mean, spread = covariance / 1.5 * nu, sqrt(variance - covariance**2 / 1.5)
    expected = w @ (expit(nu) * ndtr(-(shift + mean) / spread) + expit(-nu) * ndtr(-(shift - mean) / spread))
    np.testing.assert_allclose(CHANCE.train_misclassification(shift, covariance, variance), expected, rtol=1e-12)


def test_problems_that_are_none() -> None:
    with pytest.raises(InadmissibleProblem, match="noise_variance must be 0") as refused:
        TeacherLabels(link="logistic", signal_variance=1.0, noise_variance=0.1)
    assert refused.value.argument == "noise_variance"
    with pytest.raises(InadmissibleProblem, match="must not be negative"):
        TeacherLabels(link="sign", signal_variance=-1.0)
    for fraction in (0.0, 1.0, -0.1):
        with pytest.raises(InadmissibleProblem, match="nothing to tell apart") as refused:
            MixtureLabels(positive_fraction=fraction, fit_intercept=False)
        assert refused.value.argument == "positive_fraction"
    with pytest.raises(InadmissibleProblem, match="at least what the features explain") as refused:
        predict_classifier(TWO, TeacherLabels(link="sign", signal_variance=0.5), Square(), n_samples=100.0, penalty=1.0)
    assert refused.value.argument == "signal_variance"
    for sizes, argument in (
        ({"n_samples": 0.0, "penalty": 1.0}, "n_samples"),
        ({"n_samples": 10.0, "penalty": -1.0}, "penalty"),
        ({"n_samples": 10.0, "penalty": inf}, "penalty"),
    ):
        with pytest.raises(InadmissibleProblem) as refused:
            predict_classifier(TWO, PLAIN, Hinge(), **sizes)
        assert refused.value.argument == argument
    with pytest.raises(InadmissibleProblem, match="no variance"):
        predict_classifier(replace(TWO, eigenvalues=np.zeros(2)), PLAIN, Hinge(), n_samples=10.0, penalty=1.0)
    with pytest.raises(InadmissibleProblem, match="two degrees of freedom"):
        predict_discriminant(TWO, n_samples=2.0, positive_fraction=0.5, penalty=1.0)


class Counting:
    """A population that counts how often it is asked, as deep features are dear."""

    def __init__(self, population: SpectralPopulation) -> None:
        self.rank, self.trace, self._population, self.asked = population.rank, population.trace, population, 0

    def traces(self, ridge: float) -> Traces:
        self.asked += 1
        return self._population.traces(ridge)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_traces_are_asked_for_sparingly(loss: Loss) -> None:
    for penalty in (1e-3, 0.1, 10.0):
        population = Counting(TWO)
        found = predict_classifier(population, UNEQUAL, loss, n_samples=300.0, penalty=penalty)
        assert found.status == "converged"
        assert population.asked <= 12
