"""From labelled rows to Gaussian clusters, on which classifiers with convex losses have a theory."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import ClusterError, kmeans2

from theory.classification.gaussian_clusters import MAX_FEATURES, Clusters
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

SHRINKAGE = 0.1
FEWEST_ROWS = 2
"""In a cluster: one row has no covariance."""
ATTEMPTS = 8
"""Of k-means, from seeds of its own each; the closest clusters are kept."""
SMALL_ERROR = 0.03
"""Below, real errors come from tails that are not Gaussian: on images of 3 against 8, several times as many as predicted."""


def clusters_of(
    rows: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    clusters_per_class: int = 1,
    shrinkage: float = SHRINKAGE,
    seed: int = 0,
) -> Clusters:
    """Estimate weights, means and covariances of clusters.

    Args:
        rows: shape ``(N, d)``, d at most 500.
        labels: shape ``(N,)``, two distinct values, of which the larger one is the class +1.
        groups: shape ``(N,)``, known finer classes, each a cluster of its own with rows of one label; by default the labels.
        clusters_per_class: how many clusters k-means splits each group into; fewer where that leaves a cluster with one row.
        shrinkage: share of each covariance, in [0, 1], that is replaced by the isotropic one of its trace.
        seed: of k-means.

    Raises:
        InadmissibleProblem: shapes do not match, a value is not finite, there are not two labels, a group has rows of both,
            or one row only.

    Source: k-means++, Arthur and Vassilvitskii, *k-means++: the advantages of careful seeding* (2007).
    """
    inputs, codes = np.asarray(rows, float), np.asarray(labels)
    names = codes if groups is None else np.asarray(groups)
    _check(inputs, codes, names, clusters_per_class, shrinkage)
    classes = np.unique(codes)
    rng = np.random.default_rng(seed)
    parts: list[tuple[Array, float]] = []
    for group in np.unique(names):
        members = names == group
        own = np.unique(codes[members])
        if own.size > 1:
            raise InadmissibleProblem(
                f"the rows of one group need one label, group {group!r} has {own.tolist()}: split it", argument="groups"
            )
        if np.sum(members) < FEWEST_ROWS:
            raise InadmissibleProblem(
                f"a group needs {FEWEST_ROWS} rows to have a covariance, group {group!r} has {np.sum(members)}: join it to"
                " another one",
                argument="groups" if groups is not None else "labels",
            )
        sign = 1.0 if own[0] == classes[1] else -1.0
        parts += [(part, sign) for part in _split(inputs[members], clusters_per_class, rng)]
    return Clusters(
        means=np.array([part.mean(axis=0) for part, _ in parts]),
        covariances=np.array([_covariance(part, shrinkage) for part, _ in parts]),
        weights=np.array([part.shape[0] / inputs.shape[0] for part, _ in parts]),
        labels=np.array([sign for _, sign in parts]),
    )


def small_error_of_clusters(test_error: float) -> str | None:
    """Say what is wrong with a small predicted error, or return None where it is large enough, or not a number."""
    if not test_error < SMALL_ERROR:
        return None
    return (
        f"the predicted error {test_error:.2%} is below {SMALL_ERROR:.0%}: so far out the rows of real clusters are not"
        " Gaussian, and trained models were found to err up to six times as often; read it as a lower bound"
    )


def _check(inputs: Array, codes: npt.NDArray[Any], names: npt.NDArray[Any], count: int, shrinkage: float) -> None:
    if inputs.ndim != 2 or codes.shape != inputs.shape[:1] or names.shape != codes.shape:
        raise InadmissibleProblem(
            f"rows of the shape (N, d) need labels and groups of the shape (N,), got {inputs.shape}, {codes.shape} and"
            f" {names.shape}"
        )
    if inputs.shape[1] > MAX_FEATURES:
        raise InadmissibleProblem(
            f"at most {MAX_FEATURES} features fit the equations of clusters, got {inputs.shape[1]}: project the rows first",
            argument="rows",
        )
    if not np.all(np.isfinite(inputs)):
        raise InadmissibleProblem("rows must be finite; replace NaN and infinity", argument="rows")
    classes = np.unique(codes)
    if classes.size != 2:
        raise InadmissibleProblem(
            f"labels need two distinct values, got {classes.size}: for more classes use ridge, which has a theory of its own",
            argument="labels",
        )
    if count < 1:
        raise InadmissibleProblem(f"clusters_per_class must be at least 1, got {count}", argument="clusters_per_class")
    if not 0.0 <= shrinkage <= 1.0:
        raise InadmissibleProblem(f"shrinkage must lie in [0, 1], got {shrinkage:g}", argument="shrinkage")


def _covariance(part: Array, shrinkage: float) -> Array:
    centred = part - part.mean(axis=0)
    found = centred.T @ centred / part.shape[0]
    shrunk: Array = (1.0 - shrinkage) * found
    shrunk.flat[:: found.shape[0] + 1] += shrinkage * np.trace(found) / found.shape[0]
    return shrunk


def _split(part: Array, count: int, rng: np.random.Generator) -> list[Array]:
    """Split rows by k-means into at most so many clusters of at least two rows."""
    for clusters in range(min(count, part.shape[0] // FEWEST_ROWS), 1, -1):
        best, closest = None, np.inf
        for _ in range(ATTEMPTS):
            try:
                centres, nearest = kmeans2(part, clusters, iter=50, minit="++", missing="raise", rng=rng)
            except ClusterError:
                continue
            distance = float(np.sum((part - centres[nearest]) ** 2))
            if np.min(np.bincount(nearest, minlength=clusters)) >= FEWEST_ROWS and distance < closest:
                best, closest = nearest, distance
        if best is not None:
            return [part[best == index] for index in range(clusters)]
    return [part]
