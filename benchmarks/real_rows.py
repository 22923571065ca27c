"""Real data sets, the models trained on them and their sizes, as chosen before any result was seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist
from sklearn.datasets import load_diabetes, load_digits

Array = NDArray[np.float64]
WIDTHS = (50, 150, 400, 1500)
PENALTIES = (1e-5, 1e-3, 1e-1)
"""In units of the mean of the kernel's diagonal."""
SMALLEST = 30
LARGEST = 0.95
"""Sizes are log-spaced between the smallest and this share of the pool, which is half the rows."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A data set: rows (N, d), targets (N, C) or codes of classes, labels (N,) or None."""

    name: str
    rows: Array
    targets: Array
    labels: NDArray[np.int64] | None


def digits() -> Rows:
    """1,797 images of 64 pixels, ten classes; pixels as they are, since some hardly vary."""
    rows, labels = load_digits(return_X_y=True)
    return Rows(name="digits", rows=rows / 16.0, targets=np.eye(10)[labels], labels=labels)


def diabetes() -> Rows:
    """442 patients, ten measurements, a regression."""
    rows, target = load_diabetes(return_X_y=True)
    return Rows(name="diabetes", rows=_scaled(rows), targets=_scaled(target[:, None]), labels=None)


def approval() -> Rows:
    """1,001 days of polls, the day and five agencies' figures and the average to be told from them, a regression."""
    from river import datasets  # noqa: PLC0415 - not where the tests run

    found = list(datasets.TrumpApproval())
    rows = np.array([list(row.values()) for row, _ in found], dtype=np.float64)
    return Rows(
        name="approval", rows=_scaled(rows), targets=_scaled(np.array([[target] for _, target in found])), labels=None
    )


def segments() -> Rows:
    """2,310 patches of outdoor images, 18 measurements of each, seven classes."""
    from river import datasets  # noqa: PLC0415 - not where the tests run

    found = list(datasets.ImageSegments())
    rows = np.array([list(row.values()) for row, _ in found], dtype=np.float64)
    names, labels = np.unique([label for _, label in found], return_inverse=True)
    return Rows(name="segments", rows=_scaled(rows), targets=np.eye(names.size)[labels], labels=labels)


SETS: dict[str, Callable[[], Rows]] = {
    "digits": digits,
    "diabetes": diabetes,
    "approval": approval,
    "segments": segments,
}


def _scaled(values: Array) -> Array:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def kernels(rows: Array) -> dict[str, Array]:
    """Return the kernels between all rows; RBF and Laplace have length scale 1 in units of the rows' standard deviation."""
    inner = rows @ rows.T
    squares = np.diag(inner)
    scale = rows.var(axis=0).sum()
    distances = cdist(rows, rows, "sqeuclidean")
    lengths = np.sqrt(squares[:, None] * squares)
    cosine = np.clip(np.divide(inner, lengths, out=np.ones_like(inner), where=lengths > 0.0), -1.0, 1.0)
    angle = np.arccos(cosine)
    return {
        "ridge": inner,
        "rbf": np.exp(-distances / (2.0 * scale)),
        "laplace": np.exp(-np.sqrt(distances / scale)),
        "relu": lengths / rows.shape[1] * (np.sin(angle) + (np.pi - angle) * cosine) / (2.0 * np.pi),
    }


def random_relu(rows: Array, width: int, rng: np.random.Generator) -> Array:
    """Draw ReLU features: (N, width), of which the kernel above is the limit."""
    weights = rng.standard_normal((rows.shape[1], width))
    return np.asarray(np.maximum(rows @ weights / np.sqrt(rows.shape[1]), 0.0) / np.sqrt(width))


def train(
    data: Rows, kernel: Array, cross: Array, training: NDArray[np.int64], testing: NDArray[np.int64], penalties: Array
) -> tuple[Array, Array, Array]:
    """Train ridge regression with an intercept at each of the penalties.

    Args:
        data: the targets.
        kernel: (n, n), of the training rows.
        cross: (m, n), of the testing rows with them.
        training: their places, (n,).
        testing: (m,).
        penalties: (P,).

    Returns:
        Mean square error and rate of misclassification of the testing rows, and the standard error of the former: (P,) each.
    """
    n = training.size
    means, mean = kernel.mean(axis=0), kernel.mean()
    centred = kernel - means - means[:, None] + mean
    towards = cross - cross.mean(axis=1, keepdims=True) - means + mean
    level = data.targets[training].mean(axis=0)
    found = []
    for penalty in penalties:
        factor = cho_factor(centred + n * penalty * np.eye(n), lower=True)
        scores = level + towards @ cho_solve(factor, data.targets[training] - level)
        losses = np.square(data.targets[testing] - scores).sum(axis=1)
        wrong = np.zeros(1)
        if data.labels is not None:
            guessed = scores[:, 0] > 0.0 if scores.shape[1] == 1 else scores.argmax(axis=1)
            wrong = guessed != data.labels[testing]
        found.append((losses.mean(), wrong.mean(), losses.std() / np.sqrt(losses.size)))
    squared, rate, error = np.array(found).T
    return squared, rate, error
