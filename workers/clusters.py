"""From a stored data set of two classes to Gaussian clusters, and what a classifier of linear features attains on them."""

from collections import OrderedDict
from typing import Any

import numpy as np

from theory.classification.gaussian_clusters import Clusters
from theory.covariance import InadmissibleProblem
from theory.pools.clusters import clusters_of
from workers.pools import PoolSource
from workers.refusals import Refused
from workers.stored_rows import rows_of, when_gone

LEARNERS = ("logistic", "hinge")
"""Which have no theory on rows themselves."""
MOST_KEPT = 4
"""Data sets whose clusters are in memory: each a covariance a class, found anew in a moment."""

_kept: OrderedDict[str, Clusters] = OrderedDict()


def clusters_in(source: PoolSource, *, learner: str) -> Clusters:
    """Return the clusters of a data set, one for each class.

    Raises:
        Refused: there are not two classes, or too many features; or the data set is gone.
    """
    if source.metric != "misclassification" or source.n_targets != 1:
        have = f"{source.n_targets} classes" if source.metric == "misclassification" else "numbers for labels"
        raise Refused(
            "/model/learner/kind",
            f"learner.kind = '{learner}' needs a data set of two classes, and this one has {have}; take learner.kind = 'ridge'",
        )
    found = _kept.get(source.dataset_id)
    if found is None:
        stored = rows_of(source.dataset_id)
        try:
            found = clusters_of(np.asarray(stored.rows), np.asarray(stored.labels))
        except InadmissibleProblem as problem:
            raise Refused("/regime/dataset_id", f"has no clusters: {problem}") from None
        _kept[source.dataset_id] = found
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return found


def _forget(dataset_id: str) -> Any:
    return _kept.pop(dataset_id, None)


when_gone(_forget)
