"""Gradient methods on the labels of classes: limits, identities, and the constant that features of nonzero mean form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

import theory
from theory.classification.gradient import MixtureRates, TeacherRates
from theory.classification.teacher import TeacherLabels
from theory.equivalents.mixture import MixtureEquivalent, mean_energies
from theory.learners.ridge import risks

SPECTRUM = theory.covariance.discrete(300, eigenvalues=[0.5, 2.0], weights=[0.5, 0.5])
MEANS = np.array([1.2, 0.8])
LINEAR = theory.ModalEquivalent(modes=theory.linear_modes(SPECTRUM, mean_energies(SPECTRUM, MEANS)))


def relu(width: float = 350.0) -> theory.Equivalent:
    layer = theory.RandomLayer(activation=theory.activations.activation("relu"), width=width)
    return theory.random_features(SPECTRUM, mean_energies(SPECTRUM, MEANS), layers=(layer,))


def with_constant(equivalent: theory.Equivalent, constant: float) -> theory.Equivalent:
    """Give features of one layer without differing neurons a mean of another size."""
    assert isinstance(equivalent, theory.ModalEquivalent)
    modes = equivalent.modes
    eigenvalues = np.where(modes.eigenvalues == equivalent.constant, constant, modes.eigenvalues)
    return replace(equivalent, modes=replace(modes, eigenvalues=eigenvalues), constant=constant)


def test_the_labels_of_two_classes_are_a_target_of_one_direction() -> None:
    """T = 1 / (1 + M) is what the least of E (y - f)^2 over all linear f is, by the Sherman-Morrison formula."""
    ridge = 0.3
    point = MixtureEquivalent(base=LINEAR).solve(1e60, ridge)
    covariance = np.diag(np.repeat(SPECTRUM.eigenvalues, 150))
    mean = np.zeros(300)
    mean[[0, -1]] = np.sqrt(MEANS)
    moments = covariance + np.outer(mean, mean)
    least = 1.0 - mean @ np.linalg.solve(moments + ridge * np.eye(300), mean)
    np.testing.assert_allclose(point.total, least, rtol=1e-12)
    np.testing.assert_allclose(point.learned, 1.0 - least, rtol=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.6])
def test_a_penalised_constant_is_a_direction_of_its_own(level: float) -> None:
    """The matrix form of T against the moments of features spelled out, a constant among them."""
    base, ridge, constant = relu(), 1e-3, 0.4
    base = with_constant(base, constant)
    mixture = MixtureEquivalent(base=base, mean_label=level)
    matrix = mixture.solve(1e60, ridge)
    coupling = float(base.solve(1e60, ridge).learned)
    # Two directions: the constant, and one that has this coupling at this ridge.
    mean = np.array([[constant**0.5, 0.0], [0.0, coupling**0.5]])
    moments = mean @ np.array([[1.0, level], [level, 1.0]]) @ mean.T
    within = np.diag([0.0, 1.0 - ridge])
    cross = mean @ np.array([level, 1.0])
    least = 1.0 - cross @ np.linalg.solve(moments + within + ridge * np.eye(2), cross)
    np.testing.assert_allclose(matrix.total, least, rtol=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.5])
@pytest.mark.parametrize("penalty", [1e-4, 1e-2])
def test_what_ridge_reads_follows_from_complex_steps(level: float, penalty: float) -> None:
    mixture = MixtureEquivalent(base=relu(), mean_label=level)
    prediction, step = risks(mixture.solve(200.0, penalty), 200.0), 1e-20
    found = mixture.continued(200.0, np.array([penalty * (1.0 + 1j * step)]))
    kappa, total = found.ridge, found.total
    slope, total_slope = kappa.imag[0] / (penalty * step), total.imag[0] / (penalty * step)
    test = total.real[0] * slope - kappa.real[0] * total_slope
    np.testing.assert_allclose(prediction.test_error, test, rtol=1e-9)
    norm = total.real[0] / kappa.real[0] - penalty * test / kappa.real[0] ** 2
    np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-7)


@pytest.mark.parametrize("time", [0.1, 3.0, 200.0])
@pytest.mark.parametrize("penalty", [0.0, 0.05])
@pytest.mark.parametrize("base", [LINEAR, relu()], ids=["linear", "relu"])
def test_moments_of_scores_and_errors_are_of_one_predictor(
    base: theory.Equivalent, time: float, penalty: float
) -> None:
    mixture = MixtureEquivalent(base=base, mean_label=0.4)
    flow = theory.predict_gradient_flow(mixture, 250.0, time, penalty=penalty)
    np.testing.assert_allclose(flow.test_error, 1.0 - 2.0 * flow.score_mean + flow.score_square, rtol=1e-9)
    train = 1.0 - 2.0 * flow.train_score_mean + flow.train_score_square
    np.testing.assert_allclose(flow.train_error, train, rtol=1e-8, atol=1e-12)


class TestLimits:
    def test_short_times_are_hebb_s_rule(self) -> None:
        """f is then proportional to sum_i y_i x_i . x: a mean mu and a noise of covariance Sigma / n beside it."""
        rates = MixtureRates(positive_fraction=0.3, fit_intercept=False)
        second = 150.0 * np.sum(SPECTRUM.eigenvalues**2)
        deviation = np.sqrt(SPECTRUM.eigenvalues @ MEANS + second / 250.0)
        hebb = ndtr(-np.sum(MEANS) / deviation)
        for time in (1e-3, 1e-6, 1e-9, 1e-50):
            test, _ = rates.rates(theory.predict_gradient_flow(MixtureEquivalent(base=LINEAR), 250.0, time))
            np.testing.assert_allclose(test, hebb, rtol=max(30.0 * time, 1e-7))

    def test_a_large_constant_is_an_intercept(self) -> None:
        """Its penalty vanishes beside its eigenvalue; what is left is the one direction that it takes."""
        base = relu()
        fitted = MixtureRates(positive_fraction=0.8, fit_intercept=True)
        free = MixtureEquivalent(base=base.without_constant(), mean_label=0.6, fit_intercept=True)
        expected = fitted.rates(theory.predict_gradient_flow(free, 4000.0, 300.0, penalty=1e-4))
        gaps = []
        for constant in (1e2, 1e4):
            own = MixtureRates(positive_fraction=0.8, fit_intercept=False, has_constant=True)
            penalised = MixtureEquivalent(base=with_constant(base, constant), mean_label=0.6)
            found = own.rates(theory.predict_gradient_flow(penalised, 4000.0, 300.0, penalty=1e-4))
            gaps.append(abs(found[0] / expected[0] - 1.0))
        # A direction more or less is of order 1 / n.
        assert max(gaps) < 4.0 / 4000.0

    def test_a_latent_of_no_variance_is_a_coin(self) -> None:
        labels = TeacherLabels(link="sign", signal_variance=1e-12, noise_variance=1.0)
        modes = theory.linear_modes(
            SPECTRUM, theory.target.isotropic(SPECTRUM, signal_variance=labels.pull**2 * 1e-12), noise_variance=1.0
        )
        test, train = TeacherRates(labels=labels).rates(theory.predict_gradient_flow(modes, 200.0, 1.0))
        np.testing.assert_allclose(test, 0.5, atol=1e-5)
        assert train < 0.3

    @pytest.mark.parametrize("variance", [1e-4, 1.0, 1e4])
    def test_the_slope_of_the_logistic_link(self, variance: float) -> None:
        """E[y nu] / E nu^2 = E tanh'(nu / 2) / 1, by Stein's lemma; by quadrature here."""
        z, step = np.linspace(-12.0, 12.0, 400_001, retstep=True)
        density = step * np.exp(-z * z / 2.0) / np.sqrt(2.0 * np.pi)
        nu = z * np.sqrt(variance)
        expected = density @ (np.tanh(nu / 2.0) * nu) / variance
        np.testing.assert_allclose(TeacherLabels(link="logistic", signal_variance=variance).pull, expected, rtol=1e-9)
