"""Population covariances, each as its eigenvalues and their multiplicities.

A :class:`Spectrum` is all that the theory needs to know of a covariance. Every function here takes the number of
features ``n_features`` (d) first, then the parameters of its kind.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from theory.quadrature import counting_nodes

Vector = npt.NDArray[np.float64]

COMPRESS_ABOVE = 4096
"""Families with more modes than this are summed by :func:`theory.quadrature.counting_nodes`, at rounding accuracy."""


class InadmissibleProblem(ValueError):
    """The arguments describe no problem that the theory covers; the message says which rule they break.

    Attributes:
        argument: the name of the argument at fault, where it is one.
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Eigenvalues of a covariance with their multiplicities.

    Attributes:
        eigenvalues: shape ``(m,)``, nonnegative, in units of the squared input.
        multiplicities: shape ``(m,)``, positive, summing to ``n_features``; real numbers, because a sum over many
            modes may be carried by fewer weighted ones.
        index: shape ``(m,)`` or None. The mode's (real) position in its family, from 1, largest eigenvalue first,
            where energies are a function of position.
        groups: for each eigenvalue that the user named, in the order given, how many consecutive entries it fills;
            None where the entries are not individually addressable.
        count: the exact sum of the multiplicities, where theirs carries rounding.
    """

    eigenvalues: Vector
    multiplicities: Vector
    index: Vector | None = None
    groups: int | None = None
    count: float | None = None


def isotropic(n_features: float, *, variance: float = 1.0) -> Spectrum:
    """Every direction has the same ``variance``."""
    return Spectrum(eigenvalues=np.array([variance]), multiplicities=np.array([float(n_features)]), groups=1)


def discrete(n_features: float, *, eigenvalues: npt.ArrayLike, weights: npt.ArrayLike) -> Spectrum:
    """A share ``weights[i]`` of all directions has variance ``eigenvalues[i]``.

    Raises:
        InadmissibleProblem: the lengths differ, or the weights do not sum to 1 within 1e-9.
    """
    values, shares = np.asarray(eigenvalues, float), np.asarray(weights, float)
    if values.shape != shares.shape:
        raise InadmissibleProblem(
            f"weights must have one entry per eigenvalue, got {shares.size} weights for {values.size} eigenvalues",
            argument="weights",
        )
    total = float(shares.sum())
    if abs(total - 1.0) > 1e-9:
        raise InadmissibleProblem(
            f"weights must sum to 1, got {total:.12g}; divide each by the sum", argument="weights"
        )
    return Spectrum(eigenvalues=values, multiplicities=n_features * (shares / total), groups=values.size)


def power_law(n_features: float, *, exponent: float, scale: float = 1.0, every_mode: bool = False) -> Spectrum:
    """Eigenvalue i is ``scale * i**-exponent``, i = 1, ..., n_features.

    Args:
        n_features: a whole number.
        exponent: positive.
        scale: positive, the largest eigenvalue.
        every_mode: list every mode, however many; otherwise large families are carried by a few hundred weighted ones.

    Raises:
        InadmissibleProblem: ``n_features`` is not a whole number.
    """
    count = whole(n_features, "power_law")
    if every_mode or count <= COMPRESS_ABOVE:
        index, weights = np.arange(1, count + 1, dtype=float), np.ones(count)
    else:
        index, weights = counting_nodes(count, roughness=exponent)
    return Spectrum(
        eigenvalues=scale * index**-exponent, multiplicities=weights, index=index, groups=count, count=float(count)
    )


def spiked(n_features: float, *, spikes: npt.ArrayLike, bulk_variance: float = 1.0) -> Spectrum:
    """All directions have ``bulk_variance`` except one for each of the eigenvalues in ``spikes``.

    Raises:
        InadmissibleProblem: there are more spikes than features.
    """
    values = np.asarray(spikes, float)
    bulk = n_features - values.size
    if bulk < 0:
        raise InadmissibleProblem(
            f"at most n_features spikes fit, got {values.size} for n_features = {n_features:g}", argument="spikes"
        )
    return Spectrum(
        eigenvalues=np.concatenate([[bulk_variance], values]),
        multiplicities=np.concatenate([[float(bulk)], np.ones(values.size)]),
        groups=values.size + 1,
    )


def ar1(n_features: float, *, correlation: float, every_mode: bool = False) -> Spectrum:
    """Covariance ``correlation**|i-j|`` of a stationary first-order autoregression, by its exact finite-size eigenvalues.

    The eigenvalues are ``(1 - r^2) / (1 - 2 r cos t + r^2)`` at the d angles t in (0, pi) that solve
    ``(d + 1) t + 2 atan2(r sin t, 1 - r cos t) = k pi``; the spectra of r and -r are the same.

    Raises:
        InadmissibleProblem: ``n_features`` is not a whole number.

    Source: Kac, Murdock, Szegö, *On the eigenvalues of certain Hermitian forms* (1953).
    """
    count, r = whole(n_features, "ar1"), abs(correlation)
    if every_mode or count <= COMPRESS_ABOVE:
        index, weights = np.arange(1, count + 1, dtype=float), np.ones(count)
    else:
        index, weights = counting_nodes(count, roughness=2.0)
    low, high = np.zeros_like(index), np.full_like(index, np.pi)
    angle = index * np.pi / (count + 1.0)
    for _ in range(100):
        cosine, sine = np.cos(angle), np.sin(angle)
        # 1 - r cos t and 1 - 2 r cos t + r^2, written so that they keep their digits as r -> 1 and t -> 0.
        half = 2.0 * r * np.sin(angle / 2.0) ** 2
        off_axis, power = (1.0 - r) + half, (1.0 - r) ** 2 + 2.0 * half
        gap = (count + 1.0) * angle + 2.0 * np.arctan2(r * sine, off_axis) - index * np.pi
        slope = (count + 1.0) + 2.0 * (r * cosine - r * r) / power
        low, high = np.where(gap < 0, angle, low), np.where(gap > 0, angle, high)
        newton = angle - gap / slope
        following = np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        following = np.where(gap == 0, angle, following)
        moved = np.max(np.abs(following - angle) / following)
        angle = following
        if moved < 1e-15:
            break
    eigenvalues = (1.0 - r) * (1.0 + r) / ((1.0 - r) ** 2 + 4.0 * r * np.sin(angle / 2.0) ** 2)
    return Spectrum(eigenvalues=eigenvalues, multiplicities=weights, index=index, groups=count, count=float(count))


def explicit(n_features: float, *, eigenvalues: npt.ArrayLike) -> Spectrum:
    """The d eigenvalues themselves.

    Raises:
        InadmissibleProblem: there are not exactly ``n_features`` of them.
    """
    values = np.asarray(eigenvalues, float)
    if values.size != n_features:
        raise InadmissibleProblem(
            f"an explicit covariance needs n_features = {n_features:g} eigenvalues, got {values.size};"
            " for a distribution with weights use covariance.kind = 'discrete'",
            argument="eigenvalues",
        )
    return Spectrum(eigenvalues=values, multiplicities=np.ones(values.size), groups=values.size)


def whole(n_features: float, kind: str) -> int:
    """Return ``n_features`` as an int, refusing fractions where a kind has one eigenvalue per feature."""
    if n_features != int(n_features):
        raise InadmissibleProblem(
            f"{kind}: the covariance needs a whole number of features, got {n_features!r}", argument="n_features"
        )
    return int(n_features)
