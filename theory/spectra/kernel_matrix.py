"""Matrices of inner products of features, n x n: linear, kernels of infinite width, random features of any depth.

Features without finite widths act like ``X X' `` of Gaussian features with a spectrum, plus a tail on the diagonal: a
sample covariance, scaled and shifted. Features of finite width: :mod:`theory.spectra.finite_features`.

Sources: El Karoui, arXiv:1001.0492; Fan and Wang, arXiv:2005.11879.
"""

import numpy as np

from theory.covariance import Spectrum
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent
from theory.spectra.finite_features import features_law, finite_features
from theory.spectra.law import Law, affine
from theory.spectra.sample_covariance import gram_law, sample_covariance


def wide_kernel_law(modes: Spectrum, *, tail: float, n_samples: float) -> Law:
    """Return the law of K for features of infinite width.

    Args:
        modes: eigenvalues of the population operator and their multiplicities, the constant left out.
        tail: what the diagonal of K has beyond them.
        n_samples: n, the dimension.
    """
    if not np.any(modes.eigenvalues > 0.0):
        return _point_mass(tail, n_samples)
    return affine(gram_law(sample_covariance(modes, n_samples)), scale=n_samples, shift=tail)


def finite_kernel_law(equivalent: Equivalent, *, rank: float, n_samples: float) -> Law:
    """Return the law of K for features of finite width.

    Args:
        equivalent: of the features, without a constant.
        rank: of their covariance; beyond it K has eigenvalues 0.
        n_samples: n, the dimension.

    Raises:
        InadmissibleProblem: see :func:`theory.spectra.feature_chain.chain_of`.
    """
    return features_law(finite_features(equivalent, n_samples=n_samples, rank=rank))


def finite_rank(equivalent: Equivalent) -> float:
    """Return the rank of the features' covariance."""
    if isinstance(equivalent, ModalEquivalent):
        return float(min(equivalent.width, equivalent.modes.rank))
    return float(equivalent.rank)


def _point_mass(at: float, dimension: float) -> Law:
    """Return the law of ``at`` times the identity."""
    return Law(
        dimension=dimension,
        support=np.empty((0, 2)),
        masses=np.empty(0),
        atoms=((at, 1.0),),
        density_at=lambda x, _: np.zeros_like(x),
        transform_above=lambda z: 1.0 / (at - z),
        transform_outside=lambda x: 1.0 / (at - x),
    )
