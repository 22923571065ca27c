"""Classifiers on clusters of their own covariances: one common covariance, printed numbers, invariances, simulation."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import ortho_group

from simulation import learners
from tests.theory.oracles import assert_printed
from theory.classification.cluster_counts import predict_drawn_clusters
from theory.classification.cluster_fixed_point import ClusterFixedPoint

# DEL from theory.classification.cluster_counts import predict_drawn_clusters
from theory.classification.clusters import ClusterPrediction, Clusters, predict_clusters
from theory.classification.convex import predict_classifier
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Hinge, Logistic, Square
from theory.covariance import InadmissibleProblem
from theory.equivalents.population import SpectralPopulation

Loss = Square | Logistic | Hinge
LOSSES: dict[str, Loss] = {"square": Square(), "logistic": Logistic(), "hinge": Hinge()}
TRAINED = {"square": learners.Ridge, "logistic": learners.Logistic, "hinge": learners.Hinge}
EVERY_LOSS = pytest.mark.parametrize("loss", sorted(LOSSES))
SCALARS = ("test_error", "train_error", "test_loss", "train_loss", "estimator_norm_squared", "intercept")


def two_classes(eigenvalues: np.ndarray, mean: np.ndarray, positive_fraction: float) -> Clusters:
    return Clusters(
        means=np.stack([mean, -mean]),
        covariances=np.stack([np.diag(eigenvalues)] * 2),
        weights=np.array([positive_fraction, 1.0 - positive_fraction]),
        labels=np.array([1.0, -1.0]),
    )


def three_clusters(d: int) -> Clusters:
    """Labels + - +, each cluster stretched along directions of its own."""
    rng = np.random.default_rng(5)
    covariances = []
    for scale in (0.5, 1.0, 2.0):
        factor = rng.normal(size=(d, 2 * d)) * np.exp(0.5 * rng.normal(size=(d, 1)))
        covariances.append(scale * factor @ factor.T / (2.0 * d))
    means = 1.5 * rng.normal(size=(3, d)) / sqrt(d)
    return Clusters(
        means=means,
        covariances=np.array(covariances),
        weights=np.array([0.3, 0.5, 0.2]),
        labels=np.array([1.0, -1.0, 1.0]),
    )


def assert_alike(found: ClusterPrediction, expected: ClusterPrediction, *, rtol: float) -> None:
    assert found.status == expected.status == "converged"
    for name in SCALARS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=rtol, atol=rtol, err_msg=name)


PRINTED = """
    square   800  .1   .7  err .11585582 loss .07242879 m .62092950 q .30469470 V .71366973 b .15162820
    logistic 800  .1   .7  err .11279129 loss .15907690 m 1.55883964 q 1.79006832 V 2.95383962 b .79810012
    logistic 800  .001 .7  err .11932262 loss .00783817 V 168.24209
    hinge    800  .1   .7  err .12422782 loss .02382282 m 1.23522492 q 1.31692769 V 1.62240667 b .37467584
    hinge    800  1e-6 .5  err .14648932
"""


@pytest.mark.parametrize("row", PRINTED.strip().splitlines())
def test_reference_numbers(row: str) -> None:
    loss, n_samples, penalty, positive_fraction, *printed = row.split()
    mean = np.zeros(400)
    mean[[0, -1]] = 1.0
    clusters = two_classes(np.repeat([0.5, 2.0], 200), mean, float(positive_fraction))
    found = predict_clusters(
        clusters, LOSSES[loss], n_samples=float(n_samples), penalty=float(penalty), fit_intercept=True
    )
    assert found.status == "converged"
    values = {
        "err": found.test_error,
        "loss": found.train_loss,
        "m": found.mean_scores[0],
        "q": found.score_variances[0],
        "V": found.proximals[0],
        "b": found.intercept,
    }
    for name, value in zip(printed[::2], printed[1::2], strict=True):
        assert_printed(values[name], value)


@EVERY_LOSS
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(("n_samples", "penalty"), [(15.0, 1e-4), (40.0, 0.3), (400.0, 1e-3), (90.0, 1e4)])
def test_one_covariance_is_the_theory_of_two_classes(
    loss: str, fit_intercept: bool, n_samples: float, penalty: float
) -> None:
    eigenvalues, mean = np.geomspace(0.05, 3.0, 30), np.sin(np.arange(30.0)) / 2.5
    labels = MixtureLabels(positive_fraction=0.4, fit_intercept=fit_intercept)
    population = SpectralPopulation(eigenvalues=eigenvalues, multiplicities=np.ones(30), couplings=mean**2)
    expected = predict_classifier(population, labels, LOSSES[loss], n_samples=n_samples, penalty=penalty)
    found = predict_clusters(
        two_classes(eigenvalues, mean, 0.4),
        LOSSES[loss],
        n_samples=n_samples,
        penalty=penalty,
        fit_intercept=fit_intercept,
    )
    assert found.status == expected.status == "converged"
    for name in SCALARS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(found.proximals, expected.proximal, rtol=1e-8)


@EVERY_LOSS
def test_invariances(loss: str) -> None:
    clusters = three_clusters(12)
    known = {"loss": LOSSES[loss], "n_samples": 40.0, "fit_intercept": True}
    expected = predict_clusters(clusters, penalty=0.05, **known)
    rotation = ortho_group.rvs(12, random_state=np.random.default_rng(0))
    turned = replace(
        clusters, means=clusters.means @ rotation.T, covariances=rotation @ clusters.covariances @ rotation.T
    )
    # Rounding leaves it symmetric to rounding.
    assert_alike(predict_clusters(turned, penalty=0.05, **known), expected, rtol=1e-8)
    # An intercept makes a translation of all inputs its own business.
    moved = predict_clusters(replace(clusters, means=clusters.means + 0.7), penalty=0.05, **known)
    assert_alike(replace(moved, intercept=expected.intercept), expected, rtol=1e-8)
    # Units of the inputs.
    scaled = predict_clusters(
        replace(clusters, means=3.0 * clusters.means, covariances=9.0 * clusters.covariances), penalty=0.45, **known
    )
    assert_alike(replace(scaled, estimator_norm_squared=9.0 * scaled.estimator_norm_squared), expected, rtol=1e-8)
    # The names of the classes.
    swapped = predict_clusters(replace(clusters, labels=-clusters.labels), penalty=0.05, **known)
    assert_alike(replace(swapped, intercept=-swapped.intercept), expected, rtol=1e-8)
    # A cluster in two halves, in another order.
    order = [2, 0, 1, 1]
    halves = Clusters(
        means=clusters.means[order],
        covariances=clusters.covariances[order],
        weights=np.array([0.2, 0.3, 0.25, 0.25]),
        labels=clusters.labels[order],
    )
    assert_alike(predict_clusters(halves, penalty=0.05, **known), expected, rtol=1e-8)


@EVERY_LOSS
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_three_clusters_against_simulation(loss: str, fit_intercept: bool) -> None:
    d, n_samples, penalty, replicates = 60, 300, 0.05, 16
    clusters = three_clusters(d)
    found = predict_clusters(
        clusters, LOSSES[loss], n_samples=float(n_samples), penalty=penalty, fit_intercept=fit_intercept
    )
    assert found.status == "converged"
    rng = np.random.default_rng(11)
    roots = np.linalg.cholesky(clusters.covariances)
    # In the shares of the theory: chance in the number of rows of each cluster is of the order that it neglects.
    member = np.repeat(np.arange(3), np.round(n_samples * clusters.weights).astype(int))
    labels = clusters.labels[member]
    trained = []
    for _ in range(replicates):
        rows = clusters.means[member] + np.einsum("nij,nj->ni", roots[member], rng.normal(size=(n_samples, d)))
        weights, intercept = learners.fit(TRAINED[loss](penalty=penalty), rows, labels, fit_intercept=fit_intercept)
        margins = clusters.labels * (clusters.means @ weights + intercept)
        deviations = np.sqrt(np.einsum("i,kij,j->k", weights, clusters.covariances, weights))
        own = labels * (rows @ weights + intercept)
        trained.append(
            [
                clusters.weights @ ndtr(-margins / deviations),
                np.mean(own < 0.0),
                clusters.weights
                @ [
                    LOSSES[loss].test_loss(LOSSES[loss].anchor - m, s) for m, s in zip(margins, deviations, strict=True)
                ],
                np.mean(LOSSES[loss].value(own)),
                weights @ weights,
            ]
        )
    mean, error = np.mean(trained, axis=0), np.std(trained, axis=0, ddof=1) / sqrt(replicates)
    expected = np.array([getattr(found, name) for name in SCALARS[:5]])
    # What the theory neglects is of the order 1 / n.
    assert np.all(np.abs(mean - expected) <= 3.5 * error + 2.0 / n_samples * np.abs(expected)), (mean, expected, error)


@EVERY_LOSS
def test_a_solution_nearby_is_a_start(loss: str) -> None:
    clusters = three_clusters(15)
    here = predict_clusters(clusters, LOSSES[loss], n_samples=50.0, penalty=0.1, fit_intercept=True)
    there = predict_clusters(clusters, LOSSES[loss], n_samples=60.0, penalty=0.08, fit_intercept=True)
    followed = predict_clusters(clusters, LOSSES[loss], n_samples=60.0, penalty=0.08, fit_intercept=True, near=here)
    assert_alike(followed, there, rtol=1e-9)
    assert followed.iterations <= there.iterations


def test_the_slope_of_the_objective_is_the_norm() -> None:
    # d min (train_loss + penalty |w|^2 / 2) / d penalty = |w|^2 / 2: between quantities that are read off separately.
    clusters, step = three_clusters(20), 1e-4
    for loss in LOSSES.values():
        below, at, above = (
            predict_clusters(clusters, loss, n_samples=35.0, penalty=0.02 * factor, fit_intercept=True)
            for factor in (1.0 - step, 1.0, 1.0 + step)
        )
        objective = [
            one.train_loss + 0.01 * factor * one.estimator_norm_squared
            for one, factor in ((below, 1.0 - step), (above, 1.0 + step))
        ]
        slope = (objective[1] - objective[0]) / (0.04 * step)
        assert slope == pytest.approx(0.5 * at.estimator_norm_squared, rel=1e-6)


def test_clusters_far_on_their_side() -> None:
    # Only the two that touch matter, to rounding; the third has averages that underflow.
    near = two_classes(np.ones(5), np.array([1.0, 0.0, 0.0, 0.0, 0.0]), 0.5)
    far = Clusters(
        means=np.concatenate([near.means, [[300.0, 0.0, 0.0, 0.0, 0.0]]]),
        covariances=np.concatenate([near.covariances, near.covariances[:1]]),
        weights=np.array([0.5, 0.5, 1e-9]),
        labels=np.array([1.0, -1.0, 1.0]),
    )
    for loss in LOSSES.values():
        if isinstance(loss, Square):
            continue
        expected = predict_clusters(near, loss, n_samples=20.0, penalty=0.1, fit_intercept=True)
        found = predict_clusters(far, loss, n_samples=20.0, penalty=0.1, fit_intercept=True)
        assert_alike(found, expected, rtol=1e-6)


def test_the_hinge_that_learns_nothing_is_not_converged() -> None:
    # Unequal classes, hardly a signal and many samples leave no weights at all, whatever the penalty.
    clusters = two_classes(np.ones(10), np.full(10, 0.01), 0.9)
    found = predict_clusters(clusters, Hinge(), n_samples=2000.0, penalty=0.1, fit_intercept=True)
    assert found.status == "not_converged"


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"means": np.zeros(3)}, "means"),
        ({"means": np.zeros((2, 501))}, "means"),
        ({"covariances": np.zeros((2, 3, 3))}, "covariances"),
        ({"covariances": np.full((2, 2, 2), np.nan)}, "covariances"),
        ({"covariances": np.stack([np.array([[1.0, 0.5], [0.0, 1.0]])] * 2)}, "covariances"),
        ({"covariances": np.stack([np.diag([1.0, -0.1])] * 2)}, "covariances"),
        ({"covariances": np.zeros((2, 2, 2))}, "covariances"),
        ({"weights": np.array([1.0, 0.0])}, "weights"),
        ({"weights": np.ones(3)}, "weights"),
        ({"labels": np.ones(2)}, "labels"),
        ({"labels": np.array([0.0, 1.0])}, "labels"),
    ],
)
def test_inadmissible_clusters(change: dict[str, np.ndarray], argument: str) -> None:
    fields = two_classes(np.ones(2), np.ones(2), 0.5).arrays() | change
    with pytest.raises(InadmissibleProblem) as refused:
        Clusters.of_arrays(fields)
    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("sizes", "argument"),
    [
        ({"n_samples": 0.0, "penalty": 1.0}, "n_samples"),
        ({"n_samples": np.inf, "penalty": 1.0}, "n_samples"),
        ({"n_samples": 10.0, "penalty": 0.0}, "penalty"),
        ({"n_samples": 10.0, "penalty": -1.0}, "penalty"),
        ({"n_samples": 10.0, "penalty": np.nan}, "penalty"),
        ({"n_samples": 10.0, "penalty": 1e30}, "penalty"),
    ],
)
def test_inadmissible_sizes(sizes: dict[str, float], argument: str) -> None:
    with pytest.raises(InadmissibleProblem) as refused:
        predict_clusters(two_classes(np.ones(2), np.ones(2), 0.5), Logistic(), fit_intercept=True, **sizes)
    assert refused.value.argument == argument


def test_arrays_there_and_back() -> None:
    clusters = three_clusters(4)
    again = Clusters.of_arrays(clusters.arrays())
    for name, value in clusters.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), value)


@pytest.mark.parametrize(
    ("loss", "penalty"), [("square", 0.05), ("logistic", 0.3), pytest.param("hinge", 0.3, marks=pytest.mark.slow)]
)
def test_chance_in_the_counts_against_simulation(loss: str, penalty: float) -> None:
    d, n_samples, replicates = 20, 60, 250
    clusters = three_clusters(d)
    known = {"n_samples": float(n_samples), "penalty": penalty, "fit_intercept": True}
    expected = predict_clusters(clusters, LOSSES[loss], **known)
    found = predict_drawn_clusters(clusters, LOSSES[loss], **known)
    assert found.status == "converged"
    rng = np.random.default_rng(21)
    roots = np.linalg.cholesky(clusters.covariances)
    by_counts = []
    for drawn in (False, True):
        errors = []
        for _ in range(replicates):
            member = rng.choice(3, size=n_samples, p=clusters.weights) if drawn else np.repeat(range(3), (18, 30, 12))
            rows = clusters.means[member] + np.einsum("nij,nj->ni", roots[member], rng.normal(size=(n_samples, d)))
            weights, intercept = learners.fit(
                TRAINED[loss](penalty=penalty), rows, clusters.labels[member], fit_intercept=True
            )
            margins = clusters.labels * (clusters.means @ weights + intercept)
            deviations = np.sqrt(np.einsum("i,kij,j->k", weights, clusters.covariances, weights))
            errors.append(clusters.weights @ ndtr(-margins / deviations))
        by_counts.append(errors)
    # What either count leaves neglected, of the order 1 / n too, is the same and drops out.
    increase = np.mean(by_counts[1]) - np.mean(by_counts[0])
    error = sqrt(sum(np.var(errors, ddof=1) for errors in by_counts) / replicates)
    assert found.test_error > expected.test_error
    assert abs(found.test_error - expected.test_error - increase) <= 3.0 * error, (increase, error)


@EVERY_LOSS
def test_chance_in_the_counts_ends_with_many_samples(loss: str) -> None:
    clusters = three_clusters(6)
    known = {"n_samples": 1e9, "penalty": 0.1, "fit_intercept": True}
    drawn = predict_drawn_clusters(clusters, LOSSES[loss], **known)
    assert_alike(drawn, predict_clusters(clusters, LOSSES[loss], **known), rtol=1e-7)


def random_clusters(rng: np.random.Generator) -> Clusters:
    """Two to six clusters of shrunk covariances, some of low rank before, at any distance and scale."""
    count, d = int(rng.integers(2, 7)), int(rng.integers(3, 30))
    covariances = []
    for _ in range(count):
        factor = rng.normal(size=(d, int(rng.integers(1, 2 * d)))) * np.exp(1.5 * rng.normal(size=(d, 1)))
        raw = factor @ factor.T / d * 10.0 ** rng.uniform(-1.0, 1.0)
        covariances.append(0.9 * raw + 0.1 * np.trace(raw) / d * np.eye(d))
    labels = np.ones(count)
    labels[rng.permutation(count)[: rng.integers(1, count)]] = -1.0
    return Clusters(
        means=rng.normal(size=(count, d)) * 3.0 * 10.0 ** rng.uniform(-1.5, 0.7) / sqrt(d),
        covariances=np.array(covariances),
        weights=rng.dirichlet(np.full(count, 2.0)) + 1e-3,
        labels=labels,
    )


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_clusters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clusters = random_clusters(rng)
    d = clusters.means.shape[1]
    n_samples, penalty = d * 10.0 ** rng.uniform(-1.0, 2.0), clusters.trace / d * 10.0 ** rng.uniform(-6.0, 2.0)
    for loss in LOSSES.values():
        for fit_intercept in (False, True):
            found = predict_clusters(clusters, loss, n_samples=n_samples, penalty=penalty, fit_intercept=fit_intercept)
            # Only the hinge may leave no weights, where an intercept can do with the larger class.
            empty = isinstance(loss, Hinge) and fit_intercept and np.max(found.score_variances) < 1e-12
            assert found.status == ("not_converged" if empty else "converged"), (loss, fit_intercept, found)
            assert 0.0 <= found.train_error <= 1.0
            assert 0.0 <= found.test_error <= 1.0


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_jacobian_is_the_derivative(loss: str, fit_intercept: bool) -> None:
    problem = ClusterFixedPoint(
        clusters=three_clusters(9),
        loss=LOSSES[loss],
        n_samples=25.0,
        penalty=0.2,
        fit_intercept=fit_intercept,
    )
    at, step = problem.guess() + 0.2 * np.sin(np.arange(9.0)), 1e-5
    exact = problem.evaluate(at, None).jacobian
    for column in range(9):
        moved = [problem.evaluate(at + sign * step * np.eye(9)[column], None).change for sign in (1.0, -1.0)]
        np.testing.assert_allclose((moved[0] - moved[1]) / (2.0 * step), exact[:, column], rtol=1e-6, atol=1e-7)
