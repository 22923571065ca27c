"""The largest eigenvalue of the features' second moments on a sample: what bounds the step of gradient descent."""

import numpy as np

from theory.covariance import Spectrum
from theory.equivalents.mixture import MixtureEquivalent
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent
from theory.equivalents.population import trace_of
from theory.spectra.finite_features import finite_features
from theory.spectra.sample_covariance import covariance_law, sample_covariance


def largest_eigenvalue(equivalent: Equivalent, n_samples: float) -> float:
    """Return the limit of the largest eigenvalue of ``Phi' Phi / n``.

    It is the upper edge of the bulk, or the outlier of features with a mean,
    ``constant + trace / n`` up to terms of relative order ``(bulk / constant)^2``. A direction of its own in the covariance
    counts as bulk, whose edge lies two standard deviations above its outlier.

    Args:
        equivalent: of the features.
        n_samples: n > 0, without an unpenalised constant.

    Source: Bai and Silverstein, doi:10.1214/aop/1022855421, for the edge; Baik and Silverstein, arXiv:math/0408165, for
        outliers.
    """
    bulk, constant = equivalent.without_constant(), float(equivalent.constant)
    bulk = bulk.base if isinstance(bulk, MixtureEquivalent) else bulk
    edge = _of_modes(bulk, n_samples) if _wide(bulk) else _upper_edge(bulk, n_samples)
    # Of the constant's own direction there is one: fluctuations of a random direction do not widen it.
    return max(edge, constant + trace_of(bulk) / n_samples if constant > 0.0 else 0.0)


def _wide(equivalent: Equivalent) -> bool:
    return isinstance(equivalent, ModalEquivalent) and bool(np.isinf(equivalent.width))


def _of_modes(equivalent: Equivalent, n_samples: float) -> float:
    """The upper edge of a sample covariance; a tail adds to every eigenvalue."""
    assert isinstance(equivalent, ModalEquivalent)
    modes = equivalent.modes
    tail, present = float(modes.tail_trace) / n_samples, modes.multiplicities > 0.0
    if not np.any(present):
        return tail
    table = Spectrum(eigenvalues=modes.eigenvalues[present], multiplicities=modes.multiplicities[present])
    return float(covariance_law(sample_covariance(table, n_samples)).support.max()) + tail


def _upper_edge(equivalent: Equivalent, n_samples: float) -> float:
    """The upper end of the support of features of finite width."""
    support = finite_features(equivalent, n_samples=n_samples).support
    return float(support.max()) / n_samples if support.size else 0.0
