"""Every learner, on numbers and on classes, within its standard error of training at finite size."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from tests.simulation.finite_size import (
    LEARNERS,
    STANDARD_ERRORS,
    TWO_ATOMS,
    Request,
    assert_agreement,
    case,
    infinite,
    kernel,
    layer,
    network,
    predicted,
    regression,
    simulated,
    standard_errors_off,
)
from workers.registry import COMBINATIONS

REPLICATES = 12

LINEAR = {"kind": "linear"}
TANH = network(layer("tanh", 150, 2.0), layer("tanh", 200, 2.0))
RELU = network(layer("relu", 200, 1.0, 0.2))
FOURIER = {"kind": "random_fourier", "frequencies": 100}
RBF = kernel("rbf")
NTK = kernel("ntk", layers=[infinite("relu", 2.0, 0.1)])


def projection(width: int) -> Request:
    return {"kind": "random_projection", "width": width}


def flow(time: float, penalty: float = 0.0) -> Request:
    return {"kind": "gradient_flow", "time": time, "penalty": penalty}


def descent(step_size: float, steps: int, penalty: float = 0.0) -> Request:
    return {"kind": "gradient_descent", "step_size": step_size, "steps": steps, "penalty": penalty}


def penalised(kind: str, penalty: float) -> Request:
    return {"kind": kind, "penalty": penalty}


def numbers(**target: Any) -> Request:
    return regression(150, 120, TWO_ATOMS, **target)


EIGENSPECTRUM = {
    "kind": "eigenspectrum",
    "n_samples": 120,
    "eigenvalues": [3.0, 1.0, 0.2],
    "multiplicities": [20, 60, 80],
    "energies": [0.5, 0.3, 0.2],
    "noise_variance": 0.1,
}
SPHERE = {
    "kind": "sphere",
    "n_samples": 100,
    "n_features": 24,
    "degree_energies": [0.2, 0.4, 0.4],
    "noise_variance": 0.05,
}

# The times are before, around and after the best.
NUMBERS = {
    "linear flow, early": case(LINEAR, numbers(), flow(0.5)),
    "linear flow, at its best": case(LINEAR, numbers(), flow(4.0)),
    "linear flow, late": case(LINEAR, numbers(), flow(40.0)),
    "linear flow, fewer samples": case(LINEAR, regression(80, 120), flow(10.0)),
    "linear flow, a penalty and an intercept": case(LINEAR, numbers(mean=2.0), flow(5.0, 0.1), fit_intercept=True),
    "linear flow, a mean and no intercept": case(LINEAR, numbers(mean=1.0, nonlinear_variance=0.3), flow(3.0)),
    "linear descent, early": case(LINEAR, numbers(), descent(0.3, 2)),
    "linear descent, at its best": case(LINEAR, numbers(), descent(0.3, 13)),
    "linear descent, late, with an intercept": case(LINEAR, numbers(mean=1.0), descent(0.1, 400), fit_intercept=True),
    "two tanh layers, flow, early": case(TANH, numbers(), flow(30.0)),
    "two tanh layers, flow, late": case(TANH, numbers(), flow(4000.0)),
    "two tanh layers, descent, at its best": case(TANH, numbers(), descent(1.0, 400)),
    "relu, flow, at its best": case(RELU, numbers(), flow(600.0)),
    "relu, flow, a penalty, an intercept": case(RELU, numbers(mean=1.0), flow(6000.0, 3e-4), fit_intercept=True),
    "relu, descent, a mean that its features carry": case(RELU, numbers(mean=0.5), descent(1.0, 60)),
    "a projection, flow, late": case(projection(100), numbers(), flow(30.0)),
    "a projection, descent, a penalty, an intercept": case(
        projection(180), numbers(mean=1.0), descent(0.1, 40, 0.05), fit_intercept=True
    ),
    "fourier features, flow, at its best": case(FOURIER, numbers(), flow(400.0)),
    "fourier features, descent, early, an intercept": case(
        FOURIER, numbers(mean=1.0), descent(2.0, 30), fit_intercept=True
    ),
    "rbf, flow, early": case(RBF, numbers(), flow(100.0)),
    "rbf, flow, late, a penalty, an intercept": case(RBF, numbers(mean=2.0), flow(1e4, 1e-3), fit_intercept=True),
    "rbf, descent": case(RBF, numbers(), descent(0.5, 600)),
    "ntk, flow, at a train error of a few percent": case(NTK, numbers(), flow(20.0)),
    "ntk, descent, early": case(NTK, numbers(), descent(0.2, 100)),
    "eigenspectrum, flow": case(LINEAR, EIGENSPECTRUM | {"tail_trace": 10.0}, flow(3.0)),
    "eigenspectrum, descent, projected": case(projection(100), EIGENSPECTRUM, descent(0.1, 100)),
    "sphere, flow": case(kernel("exponential", rate=2.0), SPHERE, flow(50.0)),
}


def mixture(n_samples: int = 160, **others: Any) -> Request:
    return {"kind": "mixture", "n_samples": n_samples, "n_features": 120, "mean_norm": 1.5, **others}


UNEQUAL = mixture(
    covariance=TWO_ATOMS, positive_fraction=0.7, mean_alignment={"kind": "energies", "values": [1.0, 0.5]}
)


def teacher(n_samples: int = 200, link: str = "sign", signal_variance: float = 1.0, **others: Any) -> Request:
    return {
        "kind": "teacher_classification",
        "n_samples": n_samples,
        "n_features": 120,
        "link": link,
        "target": {"signal_variance": signal_variance},
        **others,
    }


NOISY = teacher(noise_variance=0.2)
CHANCE = teacher(240, "logistic", 4.0, covariance=TWO_ATOMS)

CLASSES = {
    "mixture, linear, ridge": case(LINEAR, mixture(), penalised("ridge", 0.3)),
    "mixture, linear, logistic, unequal": case(LINEAR, UNEQUAL, penalised("logistic", 0.1), fit_intercept=True),
    "mixture, linear, logistic, classes that overlap": case(
        LINEAR, mixture(300, n_features=60, mean_norm=0.8), penalised("logistic", 1e-3)
    ),
    "mixture, linear, hinge, unequal": case(
        LINEAR, UNEQUAL | {"n_samples": 300}, penalised("hinge", 0.5), fit_intercept=True
    ),
    "mixture, linear, hard margin": case(LINEAR, mixture(), penalised("hinge", 0.0)),
    "mixture, linear, flow": case(LINEAR, UNEQUAL, flow(1.0), fit_intercept=True),
    "mixture, linear, descent": case(LINEAR, mixture(), descent(0.1, 20)),
    "mixture, relu, ridge": case(RELU, mixture(), penalised("ridge", 3e-3)),
    "mixture, relu, logistic, unequal": case(RELU, UNEQUAL, penalised("logistic", 1e-3), fit_intercept=True),
    "mixture, relu, hinge": case(RELU, mixture(), penalised("hinge", 2e-3)),
    "mixture, relu, flow, unequal": case(RELU, UNEQUAL, flow(100.0)),
    "mixture, two tanh layers, logistic": case(TANH, mixture(), penalised("logistic", 1e-3)),
    "mixture, two tanh layers, hinge": case(TANH, mixture(), penalised("hinge", 5e-3)),
    "mixture, projection, ridge": case(projection(100), mixture(), penalised("ridge", 0.2)),
    "mixture, fourier features, logistic": case(FOURIER, mixture(), penalised("logistic", 3e-4)),
    "mixture, rbf, ridge, unequal": case(RBF, UNEQUAL, penalised("ridge", 2e-3), fit_intercept=True),
    "mixture, rbf, logistic": case(RBF, mixture(), penalised("logistic", 5e-4)),
    "mixture, rbf, hinge": case(RBF, mixture(), penalised("hinge", 1e-2)),
    "mixture, rbf, flow": case(RBF, mixture(), flow(200.0)),
    "mixture, ntk, descent": case(NTK, UNEQUAL, descent(0.2, 100), fit_intercept=True),
    "mixture, discriminant": case(LINEAR, mixture(), penalised("lda", 0.1)),
    "mixture, discriminant, unequal, fewer samples": case(LINEAR, UNEQUAL | {"n_samples": 90}, penalised("lda", 0.3)),
    "mixture, discriminant, no penalty": case(LINEAR, mixture(240, positive_fraction=0.4), penalised("lda", 0.0)),
    "teacher, linear, ridge": case(LINEAR, NOISY, penalised("ridge", 0.1), fit_intercept=True),
    "teacher, linear, logistic": case(LINEAR, CHANCE, penalised("logistic", 0.02)),
    "teacher, linear, hinge": case(LINEAR, NOISY, penalised("hinge", 0.1)),
    "teacher, linear, flow": case(LINEAR, CHANCE, flow(2.0), fit_intercept=True),
    "teacher, relu, ridge": case(RELU, NOISY, penalised("ridge", 2e-3)),
    "teacher, relu, logistic": case(RELU, CHANCE, penalised("logistic", 1e-3), fit_intercept=True),
    "teacher, relu, hinge": case(RELU, NOISY, penalised("hinge", 2e-3)),
    "teacher, relu, flow": case(RELU, NOISY, flow(300.0), fit_intercept=True),
    "teacher, two tanh layers, logistic": case(TANH, NOISY, penalised("logistic", 1e-3)),
    "teacher, two tanh layers, flow": case(TANH, CHANCE, flow(100.0)),
    "teacher, rbf, ridge": case(RBF, CHANCE, penalised("ridge", 5e-3)),
    "teacher, rbf, logistic": case(RBF, NOISY, penalised("logistic", 1e-3), fit_intercept=True),
    "teacher, rbf, hinge": case(RBF, CHANCE, penalised("hinge", 5e-3)),
    "teacher, rbf, flow": case(RBF, NOISY, flow(200.0)),
}
CASES = NUMBERS | CLASSES


def fits_shares(request: Request) -> bool:
    """Whether an intercept follows the share of positive samples, which the theory of mixtures takes as given."""
    return request["model"]["fit_intercept"] and request["regime"]["kind"] == "mixture"


@pytest.mark.parametrize("name", CASES)
def test_theory_is_within_its_standard_error(name: str) -> None:
    assert_agreement(CASES[name], REPLICATES, given_shares=fits_shares(CASES[name]))


def test_every_kind_has_its_case() -> None:
    def kinds(*path: str) -> set[str]:
        parts = list(CASES.values())
        for name in path:
            parts = [part[name] for part in parts]
        return {part["kind"] for part in parts}

    # Ridge regression on numbers has its own files, and so have data sets.
    combined = [row for row in COMBINATIONS if row["learner"] in LEARNERS and row["regime"] != "dataset"]
    assert kinds("model", "learner") == {row["learner"] for row in combined}
    assert kinds("model", "features") == {row["features"] for row in combined}
    assert kinds("regime") == {row["regime"] for row in combined}


# Where the limit is known to be off at these sizes, and why.


def test_an_intercept_follows_the_share_of_positive_samples() -> None:
    # In a training set that share is O(1 / sqrt(n)) off what the regime says, and the theory of an intercept takes it as said.
    # With labels of mean e, E[y gamma] = 0 of square loss is offset = (1 - m) e for scores of mean margin m and variance q:
    # over training sets new scores have the variance q + (1 - m)^2 / n. That matters where a strong penalty keeps q small.
    request = case(LINEAR, mixture(), penalised("ridge", 10.0), fit_intercept=True)
    theory, n_samples = predicted(request), request["regime"]["n_samples"]
    given = simulated(request, REPLICATES, given_shares=True)["test_error"]
    drawn = simulated(request, 200)["test_error"]
    assert abs(standard_errors_off(request, "test_error", given)) <= STANDARD_ERRORS
    assert standard_errors_off(request, "test_error", drawn) > STANDARD_ERRORS
    # From the error Phi(-m / sqrt(q)) and the loss ((1 - m)^2 + q) / 2: the smaller root, of small scores.
    ratio = -norm.ppf(theory["test_error"])
    square = ratio**2 + 1.0
    deviation = (ratio - np.sqrt(ratio**2 - square * (1.0 - 2.0 * theory["test_loss"]))) / square
    margin = ratio * deviation
    resolved = norm.cdf(-margin / np.hypot(deviation, (1.0 - margin) / np.sqrt(n_samples)))
    allowance = abs(predicted(request, fewer=2)["test_error"] - theory["test_error"]) + resolved / n_samples
    assert abs(drawn.mean - resolved) <= allowance + STANDARD_ERRORS * drawn.standard_error


def test_a_train_error_that_decays_exponentially_is_larger() -> None:
    # A kernel's diagonal beyond its constant and linear part makes every residual decay as exp(-rate t). Each sample has a
    # rate of its own, O(1 / sqrt(d)) off their mean, and the average of the exponentials is that of the slow ones.
    request = case(NTK, numbers(), flow(200.0))
    measured = simulated(request, REPLICATES)
    train = measured.pop("train_error")
    for quantity, moments in measured.items():
        assert abs(standard_errors_off(request, quantity, moments)) <= STANDARD_ERRORS
    assert standard_errors_off(request, "train_error", train) > STANDARD_ERRORS
