"""Margins as linear functions of the weights: what classifiers with an unpenalised constant have in common."""

from typing import Any

import array_api_compat


def signed_features(features: Any, labels: Any, *, penalty: Any, fit_intercept: bool) -> tuple[Any, Any]:
    """Return the matrix that takes weights to margins ``y (X w + b)``, and the penalty of each of its columns.

    Args:
        features: X, shape ``(n, r)``, of any array API namespace; leading axes are of problems side by side.
        labels: shape ``(n,)``, +-1.
        penalty: of w, one for each problem; b has none.
        fit_intercept: whether there is b, in a last column of labels.
    """
    xp = array_api_compat.array_namespace(features, labels)
    signed = features * labels[..., None]
    # Weights of a column of zeros are zero at the minimum, and stay there whatever their penalty.
    penalties = penalty + blank(features)
    if fit_intercept:
        signed = xp.concat([signed, labels[..., None]], axis=-1)
        penalties = xp.concat([penalties, xp.zeros_like(labels[..., :1])], axis=-1)
    return signed, penalties


def split(weights: Any, n_features: int) -> tuple[Any, Any]:
    """Return the weights of the features, and the intercept, 0 where none was fitted."""
    xp = array_api_compat.array_namespace(weights)
    return weights[..., :n_features], xp.sum(weights[..., n_features:], axis=-1)


def blank(features: Any) -> Any:
    """Return 1 for columns that are all zero and 0 for others, shape ``(r,)``."""
    xp = array_api_compat.array_namespace(features)
    return xp.astype(xp.all(features == 0.0, axis=-2), features.dtype)
