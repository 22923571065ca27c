"""Margins as linear functions of the weights: what classifiers with an unpenalised constant have in common."""

from typing import Any

import array_api_compat


def signed_features(features: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Return the matrix that takes weights to margins ``y (X w + b)``, and the penalty of each of its columns.

    Args:
        features: X, shape ``(n, r)``, of any array API namespace.
        labels: shape ``(n,)``, +-1.
        penalty: of w; b has none.
        fit_intercept: whether there is b, in a last column of labels.
    """
    xp = array_api_compat.array_namespace(features, labels)
    signed = features * labels[:, None]
    penalties = penalty * xp.ones_like(signed[0, :])
    if fit_intercept:
        signed = xp.concat([signed, labels[:, None]], axis=1)
        penalties = xp.concat([penalties, xp.zeros_like(labels[:1])])
    return signed, penalties


def split(weights: Any, n_features: int) -> tuple[Any, Any]:
    """Return the weights of the features, and the intercept, 0 where none was fitted."""
    return weights[:n_features], array_api_compat.array_namespace(weights).sum(weights[n_features:])
