"""Chance in how many training samples fall into each cluster: classifiers on clusters, averaged over it.

The equations hold given the shares of a training set. With few samples these shares are not those of the population, and the
average of an error over them is not the error at their average: with a large penalty scores are small beside what the intercept
moves by. To second order in the shares p, whose covariance is ``(diag(pi) - pi pi') / n = sum_i s_i s_i'``, the average is

    E f(p) = f(pi) + sum_i (f(pi + h s_i) - 2 f(pi) + f(pi - h s_i)) / (2 h^2),

which needs two further solutions for each of K - 1 directions.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from theory.classification.clusters import ClusterPrediction, Clusters, predict_clusters
from theory.classification.half_lines import mass
from theory.classification.hinge import Hinge
from theory.classification.logistic import Logistic
from theory.classification.losses import Square

Array = npt.NDArray[np.float64]

FURTHEST = 0.5
"""Share of itself that a cluster's weight may change by."""


def predict_drawn_clusters(
    clusters: Clusters,
    loss: Square | Logistic | Hinge,
    *,
    n_samples: float,
    penalty: float,
    fit_intercept: bool,
) -> ClusterPrediction:
    """Predict as :func:`theory.classification.clusters.predict_clusters`, each training sample drawn from the population.

    Args:
        clusters: where fresh samples come from.
        loss: square, logistic or hinge.
        n_samples: n > 0.
        penalty: see there.
        fit_intercept: whether b is fitted.

    Returns:
        Errors and losses averaged over the counts, all else at the expected counts. "not_converged" where a solution is.

    Raises:
        InadmissibleProblem: see there.
    """
    expected = predict_clusters(clusters, loss, n_samples=n_samples, penalty=penalty, fit_intercept=fit_intercept)
    if expected.status != "converged":
        return expected
    weights = clusters.weights
    variances, vectors = np.linalg.eigh((np.diag(weights) - np.outer(weights, weights)) / n_samples)
    here, added = _qualities(clusters, loss, expected), np.zeros(4)
    # The first one is what adds up to 1 and does not vary.
    for variance, vector in zip(variances[1:], vectors.T[1:], strict=True):
        direction = np.sqrt(variance) * vector
        step = min(1.0, FURTHEST / float(np.max(np.abs(direction) / weights)))
        around = []
        for sign in (1.0, -1.0):
            at = predict_clusters(
                replace(clusters, weights=weights + sign * step * direction),
                loss,
                n_samples=n_samples,
                penalty=penalty,
                fit_intercept=fit_intercept,
                near=expected,
            )
            if at.status != "converged":
                return replace(expected, status="not_converged", residual=at.residual)
            around.append(_qualities(clusters, loss, at))
        added += (around[0] - 2.0 * here + around[1]) / (2.0 * step * step)
    test_error, test_loss, train_error, train_loss = np.maximum(here + added, 0.0).tolist()
    return replace(expected, test_error=test_error, test_loss=test_loss, train_error=train_error, train_loss=train_loss)


def _qualities(clusters: Clusters, loss: Square | Logistic | Hinge, at: ClusterPrediction) -> Array:
    """Return error and loss of fresh samples, which fall into clusters by their own weights, and of the training set."""
    margins = (clusters.labels * (at.mean_scores + at.intercept)).tolist()
    states = list(zip(margins, np.sqrt(at.score_variances).tolist(), strict=True))
    errors = [mass(-margin / s) for margin, s in states]
    losses = [loss.test_loss(loss.anchor - margin, s) for margin, s in states]
    return np.array([clusters.weights @ errors, clusters.weights @ losses, at.train_error, at.train_loss])
