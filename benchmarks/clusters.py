"""Linear classifiers on real rows beside Gaussian clusters estimated from half of them, and beside rows drawn from those.

Errors are relative, of the mean over random halves; sizes and penalties were chosen before any result was seen. What is wrong
on real rows and not on drawn ones is for want of Gaussian clusters; what is wrong on both is of finite size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from sklearn.datasets import load_digits

from benchmarks.report import Report
from simulation import learners
from theory.classification.cluster_counts import predict_drawn_clusters
from theory.classification.clusters import Clusters
from theory.classification.losses import Hinge, Logistic, Square
from theory.pools.clusters import clusters_of

Array = npt.NDArray[np.float64]

LOSSES: dict[str, tuple[Any, Callable[..., Any]]] = {
    "square": (Square(), learners.Ridge),
    "logistic": (Logistic(), learners.Logistic),
    "hinge": (Hinge(), learners.Hinge),
}
PENALTIES = (1e-3, 1e-2, 1e-1)
SIZES, FEW = (60, 250, 700), (40, 80, 160)
"""The second where there are two digits only."""
PER_CLASS = 5
"""Clusters of k-means in each class."""
ESTIMATES = ("known digits", "k-means", "one a class")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Rows, labels and the digit that each row shows."""

    name: str
    rows: Array
    labels: Array
    digits: npt.NDArray[np.int64]
    sizes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One size, penalty and loss: misclassification predicted, trained on real and on drawn rows, and the standard error."""

    loss: str
    n_samples: int
    penalty: float
    predicted: float
    trained: float
    drawn: float
    standard_error: float


def tasks() -> list[Task]:
    """Return three ways to split the digits into two classes."""
    data = load_digits()
    rows, digits = data.data[:, data.data.std(axis=0) > 0.0] / 16.0, data.target
    pair = np.isin(digits, [3, 8])
    signs = [2.0 * member - 1.0 for member in (digits >= 5, digits % 2 == 1, digits[pair] == 8)]
    return [
        Task(name=">=5 or <5", rows=rows, labels=signs[0], digits=digits, sizes=SIZES),
        Task(name="odd or even", rows=rows, labels=signs[1], digits=digits, sizes=SIZES),
        Task(name="3 or 8", rows=rows[pair], labels=signs[2], digits=digits[pair], sizes=FEW),
    ]


def estimated(task: Task, pool: npt.NDArray[np.int64], estimate: str) -> Clusters:
    """Estimate clusters from the rows of a pool."""
    return clusters_of(
        task.rows[pool],
        task.labels[pool],
        groups=task.digits[pool] if estimate == "known digits" else None,
        clusters_per_class=PER_CLASS if estimate == "k-means" else 1,
    )


def drawn_error(clusters: Clusters, learner: Any, n_samples: int, rng: np.random.Generator) -> float:
    """Train on rows drawn from the clusters; the error on fresh ones is exact."""
    member = rng.choice(clusters.weights.size, size=n_samples, p=clusters.weights)
    roots = np.linalg.cholesky(clusters.covariances)
    normal = rng.normal(size=(n_samples, clusters.means.shape[1]))
    rows = clusters.means[member] + np.einsum("nij,nj->ni", roots[member], normal)
    weights, intercept = learners.fit(learner, rows, clusters.labels[member], fit_intercept=True)
    margins = clusters.labels * (clusters.means @ weights + intercept)
    deviations = np.sqrt(np.einsum("i,kij,j->k", weights, clusters.covariances, weights))
    return float(clusters.weights @ ndtr(-margins / deviations))


def measure(task: Task, estimate: str, *, n_splits: int, n_subsets: int) -> tuple[list[Cell], float, float]:
    """Return every cell, and the seconds that predicting and training on real rows took."""
    cells: dict[tuple[str, int, float], list[tuple[float, float, float]]] = {}
    predicting = training = 0.0
    for split in range(n_splits):
        rng = np.random.default_rng(split)
        order = rng.permutation(task.labels.size)
        pool, held = np.array_split(order, 2)
        started = perf_counter()
        clusters = estimated(task, pool, estimate)
        predicting += perf_counter() - started
        for name, (loss, learner_of) in LOSSES.items():
            for penalty in PENALTIES:
                learner = learner_of(penalty=penalty)
                for n_samples in task.sizes:
                    started = perf_counter()
                    answer = predict_drawn_clusters(
                        clusters, loss, n_samples=float(n_samples), penalty=penalty, fit_intercept=True
                    )
                    predicting += perf_counter() - started
                    if answer.status != "converged":
                        raise ArithmeticError(f"{task.name}, {name}, {n_samples}, {penalty}: {answer.status}")
                    trained, drawn = [], []
                    for _ in range(n_subsets):
                        chosen = rng.choice(pool, n_samples, replace=False)
                        started = perf_counter()
                        weights, intercept = learners.fit(
                            learner, task.rows[chosen], task.labels[chosen], fit_intercept=True
                        )
                        training += perf_counter() - started
                        scores = task.rows[held] @ weights + intercept
                        trained.append(np.mean(task.labels[held] * scores < 0.0))
                        drawn.append(drawn_error(clusters, learner, n_samples, rng))
                    cells.setdefault((name, n_samples, penalty), []).append(
                        (answer.test_error, float(np.mean(trained)), float(np.mean(drawn)))
                    )
    found = []
    for (name, n_samples, penalty), values in cells.items():
        predicted, trained, drawn = np.array(values).T
        difference = predicted - trained
        found.append(
            Cell(
                loss=name,
                n_samples=n_samples,
                penalty=penalty,
                predicted=float(predicted.mean()),
                trained=float(trained.mean()),
                drawn=float(drawn.mean()),
                standard_error=float(difference.std(ddof=1) / np.sqrt(n_splits)),
            )
        )
    return found, predicting, training


def run(report: Report, *, quick: bool = False) -> None:
    """Measure three tasks by three estimates of clusters."""
    for task in tasks():
        for estimate in ESTIMATES[:1] if quick or task.name == "3 or 8" else ESTIMATES:
            cells, predicting, training = measure(
                task, estimate, n_splits=3 if quick else 6, n_subsets=1 if quick else 3
            )
            for name in LOSSES:
                own = [cell for cell in cells if cell.loss == name]
                real = np.array([cell.predicted / cell.trained - 1.0 for cell in own])
                drawn = np.array([cell.predicted / cell.drawn - 1.0 for cell in own])
                near = np.mean([abs(cell.predicted - cell.trained) <= 2.0 * cell.standard_error for cell in own])
                report.add(
                    f"digits {task.name}, {name} loss, clusters: {estimate}",
                    f"median |error| {np.median(np.abs(real)):.1%}, from {real.min():+.0%} to {real.max():+.0%}",
                    baseline=f"on rows drawn from them {np.median(np.abs(drawn)):.1%},"
                    f" from {drawn.min():+.0%} to {drawn.max():+.0%}",
                    result=f"within 2 standard errors {near:.0%}; predicted in {predicting / training:.1f} times the time"
                    f" of training {1 if quick else 3} times",
                )
