"""When a hyperplane separates the labels exactly: the threshold in features per sample.

Up to it the maximum-likelihood estimate of a logistic model exists, beyond it weights grow without bound.

Sources: Candes and Sur, arXiv:1804.09753, Theorem 1; Deng, Kammoun, Thrampoulidis, arXiv:1911.05822; Montanari et al.,
arXiv:1911.01544, for margins; Gardner, *The space of interactions in neural network models* (1988).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from theory.classification.half_lines import HalfLine, half_line
from theory.classification.labels import MixtureLabels
from theory.classification.nodes import Focus, gaussian_nodes
from theory.classification.teacher import SKEW_WIDTH, TeacherLabels
from theory.equivalents.population import Population

FURTHEST = 1e12
"""Weights of the signal, in units of the noise's, beyond which the minimum is taken to be 0."""


@dataclass(frozen=True, kw_only=True)
class Separability:
    """Where a problem lies.

    Attributes:
        threshold: features per sample, d / n, beyond which classes are separable; 0 where they always are.
        gap: bound on how much lower the minimum that is the threshold can be than what was found.
        separable: ``rank / n`` exceeds the threshold.
        distance: ``rank / n - threshold``.
        window: ``n^-1/2``; within about that distance finite samples are separable or not by chance.
    """

    threshold: float
    gap: float
    separable: bool
    distance: float
    window: float


def separability(
    population: Population, labels: MixtureLabels | TeacherLabels, *, n_samples: float, margin: float = 0.0
) -> Separability:
    """Tell whether n samples are separable, as n grows in proportion to the rank.

    Args:
        population: of the features.
        labels: where labels come from.
        n_samples: n > 0.
        margin: that every score must exceed on the side of its label, in units of the scores' deviation within a class.

    Source: see the module's docstring.
    """
    # Directions without variance are counted out of the traces, but divided by on the way.
    with np.errstate(all="ignore"):
        coupling = population.traces(0.0).coupling
    if isinstance(labels, MixtureLabels):
        threshold, gap = mixture_threshold(sqrt(coupling), shares=tuple(labels.shares), margin=margin)
    else:
        threshold, gap = teacher_threshold(labels, explained_variance=coupling, margin=margin)
    ratio = population.rank / n_samples
    return Separability(
        threshold=threshold,
        gap=gap,
        separable=ratio > threshold,
        distance=ratio - threshold,
        window=n_samples**-0.5,
    )


def mixture_threshold(
    distance: float, *, shares: tuple[float, ...] = (1.0,), margin: float = 0.0
) -> tuple[float, float]:
    """Return ``min_(t, b) sum_k p_k E max(0, margin - t r -+ b + sqrt(1 + t^2) z)^2`` and a bound on its error.

    Args:
        distance: r, ``sqrt(mu' Sigma^-1 mu)``; infinite where the classes do not overlap.
        shares: of the classes between which an intercept is fitted; one share where there is none or both are equal.
        margin: see :func:`separability`.
    """
    if not isfinite(distance):
        return 0.0, 0.0

    def sides(t: float) -> tuple[float, list[HalfLine]]:
        spread = sqrt(1.0 + t * t)
        middle = (margin - t * distance) / spread
        if len(shares) == 1:
            return spread, [half_line(middle)]

        def imbalance(b: float) -> float:
            return shares[0] * half_line(middle - b).first - shares[1] * half_line(middle + b).first

        # The larger class pulls harder at b = 0, and not at all far out.
        b = _falling_root(imbalance)
        return spread, [half_line(middle - b), half_line(middle + b)]

    def value(t: float) -> float:
        spread, terms = sides(t)
        return spread * spread * sum(share * term.second for share, term in zip(shares, terms, strict=True))

    def slope(t: float) -> float:
        # At the best b the envelope has the partial derivative.
        spread, terms = sides(t)
        return 2.0 * sum(
            share * (t * term.zeroth - distance * spread * term.first)
            for share, term in zip(shares, terms, strict=True)
        )

    return _minimum(value, slope)


def teacher_threshold(labels: TeacherLabels, *, explained_variance: float, margin: float = 0.0) -> tuple[float, float]:
    """Return ``min_t E max(0, margin - t u + z)^2`` and a bound on its error, u the best score on the side of its label.

    Args:
        labels: with the latent.
        explained_variance: ``phi' Omega^-1 phi``, at most ``signal_variance``.
        margin: see :func:`separability`.
    """
    labels.check(explained_variance)
    cosines = np.sqrt(np.minimum(explained_variance / labels.latent.variances, 1.0))
    sines = np.sqrt((1.0 - cosines) * (1.0 + cosines))
    if np.min(sines) < 1.0 / FURTHEST:
        return 0.0, 0.0
    skews = cosines / sines

    def pieces(t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        foci = [Focus(0.0, SKEW_WIDTH * float(np.min(sines)))]
        if t > 0.0:
            foci.append(Focus(margin / t, SKEW_WIDTH / sqrt(1.0 + t * t)))
        nodes = gaussian_nodes(tuple(foci))
        u = nodes.t
        weights = 2.0 * nodes.weights * (labels.latent.shares @ ndtr(np.outer(skews, u)))
        return u, weights, margin - t * u

    def value(t: float) -> float:
        _, weights, x = pieces(t)
        density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
        return float(weights @ ((1.0 + x * x) * ndtr(x) + x * density))

    def slope(t: float) -> float:
        u, weights, x = pieces(t)
        density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
        return -2.0 * float((weights * u) @ (x * ndtr(x) + density))

    return _minimum(value, slope)


def _minimum(value: Callable[[float], float], slope: Callable[[float], float]) -> tuple[float, float]:
    """Minimise a convex function over t >= 0, given its slope, which is not positive at 0.

    Between two points whose slopes differ in sign a convex function lies above both tangents, which bounds the minimum.
    """
    if slope(0.0) >= 0.0:
        return value(0.0), 0.0
    low, high = 0.0, 1.0
    while slope(high) < 0.0:
        low, high = high, 4.0 * high
        if high > FURTHEST:
            return 0.0, value(low)
    best = float(brentq(slope, low, high, xtol=1e-12 * high, rtol=8.9e-16))
    width = 1e-9 * best
    inner, outer = slope(best - width), slope(best + width)
    least = value(best)
    return least, max(abs(inner), abs(outer)) * width if inner <= 0.0 <= outer else inf


def _falling_root(function: Callable[[float], float]) -> float:
    high = 1.0
    while function(high) > 0.0:
        high *= 2.0
    return float(brentq(function, 0.0, high, xtol=1e-15, rtol=8.9e-16))
