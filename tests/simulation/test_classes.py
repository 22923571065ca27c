"""Mixtures and teachers as drawn, and what is measured on them: against their formulas, fresh data and other namespaces."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from simulation import (
    DiscriminantAnalysis,
    GradientFlow,
    Hinge,
    Layer,
    LinearFeatures,
    Logistic,
    MixtureRegime,
    Moments,
    Problem,
    RandomFeatures,
    RandomProjection,
    Rbf,
    Ridge,
    TeacherRegime,
    draw_training_set,
    fit,
    losses,
    simulate,
)
from simulation.devices import stream
from simulation.scores import ScoreLaw, average
from tests.simulation.namespaces import STRICT
from theory import InadmissibleProblem
from theory.activations import activation

INDEX = np.arange(1.0, 21.0)
EIGENVALUES, SHARES = INDEX**-0.5, INDEX**-1.0
LOSSES = {
    "mistake": losses.mistake,
    "square": losses.square,
    "logistic": losses.logistic,
    "hinge": losses.hinge,
}


def mixture(positive_fraction: float = 0.3) -> MixtureRegime:
    return MixtureRegime(eigenvalues=EIGENVALUES, mean_shares=0.4 * SHARES, positive_fraction=positive_fraction)


def teacher(link: str = "sign", noise_variance: float = 0.0, scale: float = 1.0) -> TeacherRegime:
    return TeacherRegime(eigenvalues=EIGENVALUES, energies=scale * SHARES, link=link, noise_variance=noise_variance)


REGIMES = {
    "mixture": mixture(),
    "sign": teacher(),
    "noisy sign": teacher(noise_variance=0.5),
    "logistic": teacher("logistic", scale=4.0),
}


def z_score(values: np.ndarray, expected: float) -> float:
    moments = Moments.of(values)
    return (moments.mean - expected) / moments.standard_error


# What is drawn.


def test_a_mixture_has_its_moments() -> None:
    rng = np.random.default_rng(0)
    target = mixture().target(rng)
    inputs, is_positive = target.draw(rng, 20_000)
    labels = 2.0 * is_positive - 1.0
    assert set(is_positive.tolist()) == {0.0, 1.0}
    assert abs(z_score(is_positive, 0.3)) < 4
    np.testing.assert_allclose(target.mean**2, 0.4 * SHARES, rtol=1e-14)
    within = inputs - labels[:, None] * target.mean
    for direction in range(INDEX.size):
        assert abs(z_score(within[:, direction] * labels, 0.0)) < 4
        assert abs(z_score(within[:, direction] ** 2, EIGENVALUES[direction])) < 4
        assert abs(z_score(within[:, direction] * within[:, direction - 1], 0.0)) < 4


def test_the_signs_of_a_mean_and_the_number_of_positive_samples_are_random() -> None:
    problem = Problem(regime=mixture(), features=LinearFeatures(), learner=Ridge(penalty=0.1), n_samples=50)
    draws = [draw_training_set(problem, stream(0, number)) for number in range(300)]
    signs = np.array([np.sign(draw.target.mean) for draw in draws])
    assert np.all(np.abs(np.sum(signs, axis=0)) < 4 * np.sqrt(300))
    counts = np.array([np.sum(draw.labels > 0) for draw in draws])
    assert abs(z_score(counts, 15.0)) < 4
    assert abs(z_score((counts - 15.0) ** 2, 50 * 0.3 * 0.7)) < 4


@pytest.mark.parametrize("name", ["sign", "noisy sign", "logistic"])
def test_a_teacher_decides_by_its_latent(name: str) -> None:
    regime = REGIMES[name]
    problem = Problem(regime=regime, features=LinearFeatures(), learner=Ridge(penalty=0.1), n_samples=100_000)
    draw = draw_training_set(problem, stream(0, 0))
    latent = draw.inputs @ draw.target.latent.weights
    chance = {
        "sign": latent > 0.0,
        "noisy sign": norm.cdf(latent / np.sqrt(0.5)),
        "logistic": expit(latent),
    }[name]
    assert set(draw.labels.tolist()) == {-1.0, 1.0}
    if name == "sign":
        np.testing.assert_array_equal(draw.labels > 0.0, chance)
    else:
        for above in np.quantile(latent, [0.0, 0.2, 0.5, 0.8]):
            chosen = latent >= above
            assert abs(z_score((0.5 + 0.5 * draw.labels - chance)[chosen], 0.0)) < 4


# Averages over scores.


@pytest.mark.parametrize("shift", [0.0, -0.7])
def test_a_mixture_has_its_misclassification(shift: float) -> None:
    target = mixture().target(np.random.default_rng(0))
    weights = np.random.default_rng(1).standard_normal(INDEX.size)
    margin, deviation = weights @ target.mean, np.sqrt(EIGENVALUES @ weights**2)
    expected = 0.3 * norm.cdf(-(margin + shift) / deviation) + 0.7 * norm.cdf(-(margin - shift) / deviation)
    laws = target.score_laws(weights)
    found = sum(law.share * average(law, shift, losses.mistake) for law in laws)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("noise_variance", [0.0, 0.5])
@pytest.mark.parametrize("aside", [1e-5, 0.01, 1.0, 100.0])
def test_a_sign_has_its_angle(noise_variance: float, aside: float) -> None:
    target = teacher(noise_variance=noise_variance).target(np.random.default_rng(0))
    truth = target.latent.weights
    weights = truth + aside * np.random.default_rng(1).standard_normal(INDEX.size)
    overlap, square, whole = (
        np.sum(EIGENVALUES * one * two) for one, two in ((truth, weights), (weights, weights), (truth, truth))
    )
    expected = np.arccos(overlap / np.sqrt(square * (whole + noise_variance))) / np.pi
    (law,) = target.score_laws(weights)
    # The cosine is rounded, and so is the angle of a student that is nearly the teacher.
    np.testing.assert_allclose(average(law, 0.0, losses.mistake), expected, rtol=1e-10, atol=1e-9)


def test_the_teacher_itself_makes_no_mistakes() -> None:
    target = teacher().target(np.random.default_rng(0))
    (law,) = target.score_laws(3.0 * target.latent.weights)
    assert average(law, 0.0, losses.mistake) < 1e-7


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("deviation", [0.0, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("mean", [0.0, 0.8, -20.0])
def test_averages_are_integrals(name: str, deviation: float, mean: float) -> None:
    law = ScoreLaw(1.0, mean, deviation, np.ones_like)
    kinks = [(kink - mean) / deviation for kink in (-1.0, 0.0, 1.0)] if deviation else []
    inside = sorted({min(max(kink, -9.0), 9.0) for kink in kinks})
    expected, _ = quad(
        lambda t: norm.pdf(t) * float(LOSSES[name](np.asarray(mean + deviation * t))),
        -9.0,
        9.0,
        points=inside or None,
        epsabs=1e-12,
        epsrel=1e-12,
        limit=500,
    )
    np.testing.assert_allclose(average(law, 0.0, LOSSES[name]), expected, rtol=1e-9, atol=1e-12)


def test_a_logistic_teacher_averages_over_its_latent() -> None:
    target = teacher("logistic", scale=4.0).target(np.random.default_rng(0))
    weights = np.random.default_rng(1).standard_normal(INDEX.size)
    truth = target.latent.weights
    deviation, shift = np.sqrt(EIGENVALUES @ weights**2), 0.4
    slope = EIGENVALUES @ (weights * truth) / deviation
    spread = np.sqrt(EIGENVALUES @ truth**2 - slope**2)

    # The trapezoidal rule converges exponentially for such functions.
    grid = np.linspace(-9.0, 9.0, 721)
    t, rest = grid[:, None], grid[None, :]
    chance = expit(slope * t + spread * rest)
    scores = shift + deviation * t
    values = chance * losses.logistic(scores) + (1.0 - chance) * losses.logistic(-scores)
    expected = np.sum(norm.pdf(t) * norm.pdf(rest) * values) * (grid[1] - grid[0]) ** 2
    (law,) = target.score_laws(weights)
    np.testing.assert_allclose(average(law, shift, losses.logistic), expected, rtol=1e-12)


# What is measured.

LEARNERS = {
    "ridge": Ridge(penalty=0.1),
    "flow": GradientFlow(time=3.0),
    "logistic": Logistic(penalty=0.05),
    "hinge": Hinge(penalty=0.05),
    "discriminant": DiscriminantAnalysis(penalty=0.2),
}
FEATURES = {
    "linear": LinearFeatures(),
    "projection": RandomProjection(width=15),
    "random features": RandomFeatures(layers=[Layer(activation=activation("relu"), width=50, bias_variance=0.1)]),
    "rbf": Rbf(),
}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("learner", LEARNERS)
def test_measures_are_those_of_fresh_data(regime: str, learner: str) -> None:
    problem = Problem(
        regime=REGIMES[regime],
        features=LinearFeatures(),
        learner=LEARNERS[learner],
        n_samples=60,
        fit_intercept=True,
    )
    samples = simulate(problem, replicates=1, seed=2)
    draw = draw_training_set(problem, stream(2, 0))
    weights, intercept = fit(problem.learner, draw.inputs, draw.labels, fit_intercept=True)
    margins = draw.labels * (draw.inputs @ weights + intercept)
    np.testing.assert_allclose(samples.train_error, np.mean(margins < 0.0), rtol=1e-12)
    np.testing.assert_allclose(samples.estimator_norm_squared, weights @ weights, rtol=1e-12)
    rng = np.random.default_rng(9)
    fresh, chance = draw.target.draw(rng, 100_000)
    margins_then = np.where(rng.random(100_000) < chance, 1.0, -1.0) * (fresh @ weights + intercept)
    assert abs(z_score((margins_then < 0.0).astype(float), samples.test_error[0])) < 4
    assert samples.excess_risk is None
    loss = problem.learner.loss
    if loss is None:
        assert samples.train_loss is None
        assert samples.test_loss is None
    else:
        np.testing.assert_allclose(samples.train_loss, np.mean(loss(margins)), rtol=1e-12, atol=1e-15)
        assert abs(z_score(loss(margins_then), samples.test_loss[0])) < 4


@pytest.mark.parametrize("regime", REGIMES)
def test_exact_measures_are_those_on_a_sample_of_inputs(regime: str) -> None:
    # A layer of linear neurons is a projection up to sqrt(d), and is measured on fresh inputs.
    common = {"regime": REGIMES[regime], "n_samples": 60, "fit_intercept": True}
    neurons = RandomFeatures(layers=[Layer(activation=activation("linear"), width=15)])
    exact = Problem(features=FEATURES["projection"], learner=Logistic(penalty=0.05), **common)
    sampled = Problem(features=neurons, learner=Logistic(penalty=0.05 / 20), **common)
    one, other = (simulate(problem, replicates=80, seed=1, n_test=300) for problem in (exact, sampled))
    np.testing.assert_allclose(one.train_loss, other.train_loss, rtol=1e-8)
    for quantity in ("test_error", "test_loss"):
        assert abs(z_score(getattr(one, quantity) - getattr(other, quantity), 0.0)) < 4


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("regime", ["mixture", "noisy sign"])
def test_every_namespace_measures_the_same_and_every_replicate_stands_alone(
    features: str, learner: str, regime: str
) -> None:
    problem = Problem(
        regime=REGIMES[regime],
        features=FEATURES[features],
        learner=LEARNERS[learner],
        n_samples=40,
        fit_intercept=True,
    )
    plain = simulate(problem, replicates=2, seed=5, n_test=50)
    strict = simulate(problem, replicates=1, seed=5, first_replicate=1, n_test=50, device=STRICT)
    for quantity, values in vars(plain).items():
        if values is not None:
            # The hinge loss is minimised to 1e-10, its weights to the root of that.
            rtol = 1e-5 if learner == "hinge" else 1e-8
            np.testing.assert_allclose(getattr(strict, quantity), values[1:], rtol=rtol, atol=1e-12)
    assert plain.estimator_norm_squared[0] != plain.estimator_norm_squared[1]


def test_a_predictor_that_says_nothing_is_wrong_half_the_time() -> None:
    for name, features in FEATURES.items():
        problem = Problem(regime=mixture(), features=features, learner=GradientFlow(time=0.0), n_samples=40)
        samples = simulate(problem, replicates=2, seed=0, n_test=30)
        for quantity, expected in {"test_error": 0.5, "train_error": 0.5, "test_loss": 0.5, "train_loss": 0.5}.items():
            np.testing.assert_allclose(getattr(samples, quantity), expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mixture(0.0), r"positive_fraction must lie between 0 and 1, got 0\.0"),
        (lambda: mixture(1.0), r"positive_fraction must lie between 0 and 1, got 1\.0"),
        (
            lambda: MixtureRegime(eigenvalues=[1.0, 2.0], mean_shares=[1.0]),
            r"eigenvalues and mean_shares need one shape \(d,\), got \(2,\) and \(1,\)",
        ),
        (lambda: MixtureRegime(eigenvalues=[1.0], mean_shares=[-1.0]), "mean_shares must be finite and at least 0"),
        (lambda: MixtureRegime(eigenvalues=[-1.0], mean_shares=[1.0]), "eigenvalues must be finite and at least 0"),
        (lambda: teacher("step"), "link must be 'sign' or 'logistic', got 'step'"),
        (lambda: teacher("logistic", noise_variance=0.1), r"must be 0 for the logistic link, got 0\.1"),
        (lambda: teacher(noise_variance=-0.1), "noise_variance must be finite and at least 0"),
    ],
)
def test_inadmissible_classes_say_which_rule_they_break(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        build()
