"""Eigenvalues outside the bulk: population spikes, means of classes, the mean of features, fluctuations of norms.

Of an outlier at population eigenvalue u, with the passage's growth and companion (:mod:`theory.spectra.passage`), residues of
quadratic forms of the resolvent give the squared cosine of its eigenvector: n x n, of a spike with the samples' components
along it ``u growth / companion``, of two classes x = y mu + noise with the labels ``growth / (M2 companion)``, where u solves
``mu' (u - Sigma)^-1 mu = 1`` and ``M2 = mu' (u - Sigma)^-2 mu``; d x d, of a spike with its direction ``u growth / at`` and of
classes with mu that over ``M2 |mu|^2``.

Sources: for X'X/n Baik and Silverstein, arXiv:math/0408165, Paul (2007), Bai and Ding (2012); Couillet and Liao, *Random matrix
methods for machine learning* (2022), section 4; (1/n) y'(HH'/n + lambda)^-1 y = T / kappa for any features, whose poles
these are: Schröder, Cui, Dmitriev, Loureiro, arXiv:2302.00401.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, elementwise
from scipy.special import ndtr

from theory.spectra.finite_features import FiniteFeatures
from theory.spectra.law import Law
from theory.spectra.passage import Passage, covariance_passage
from theory.spectra.sample_covariance import SampleCovariance

Array = npt.NDArray[np.float64]

COMPLEX_STEP = 1e-5
"""Of the derivative of a transform, relative to the distance from the support; the error is its square."""
NEAREST = 1e-15
"""How near to an end of a gap an outlier is looked for, in units of that end."""
FARTHEST = 1e3
"""How far beyond the largest eigenvalue, in units of it and of the squared mean; the outlier is nearer."""

Origin = Literal["spike", "mean", "class_means", "norms"]


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """An eigenvalue that may leave the bulk.

    Attributes:
        origin: where it comes from.
        population: its value without noise: the population eigenvalue of a spike, the strength of a mean, the squared length
            of the classes' mean.
        at: where the sample eigenvalue is; for one that is hidden the end of the bulk it sticks to, None if there is none.
        alignment: squared cosine between the sample eigenvector and its origin's, None where that is not known.
        visible: whether it leaves the bulk.
        misclassification: share of samples on the wrong side when classes are told apart by the sign of the n x n matrix's
            eigenvector; None unless the origin is class_means.
        threshold: the ``population`` at which it begins to show; None where it is not known, or there is none.
    """

    origin: Origin
    population: float | None
    at: float | None
    alignment: float | None
    visible: bool
    misclassification: float | None = None
    threshold: float | None = None


def spike(model: SampleCovariance, population: float) -> Outlier:
    """Return the sample eigenvalue of one population eigenvalue beside the bulk, right, left or between, of X'X/n.

    Args:
        model: of the bulk.
        population: positive.

    Source: Baik and Silverstein, *Eigenvalues of large sample covariance matrices of spiked population models* (2006);
        eigenvectors: Paul (2007), and Bai and Ding (2012) for general bulks.
    """
    u = np.array([population / model.unit])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = float(model.law.slope(u)[0])
        at = float(model.law.image(u)[0])
    threshold = covariance_passage(model).threshold(population)
    if slope > 0.0 and at > 0.0:
        alignment = min(float(u[0]) * slope / at, 1.0)
        return Outlier(
            origin="spike",
            population=population,
            at=at * model.unit,
            alignment=alignment,
            visible=True,
            threshold=threshold,
        )
    beyond, below = u[0] >= model.law.atoms[-1], u[0] <= model.law.atoms[0]
    end = model.edges[-1, 1] if beyond else model.edges[0, 0] if below else None
    return Outlier(
        origin="spike",
        population=population,
        at=None if end is None else float(end) * model.unit,
        alignment=0.0,
        visible=False,
        threshold=threshold,
    )


def gram_spike(passage: Passage, population: float) -> Outlier:
    """Return what one eigenvalue of the inputs' covariance beside the bulk makes in an n x n matrix.

    Its alignment is with the samples' components along the spike's direction.

    Args:
        passage: of the bulk into the matrix.
        population: positive.
    """
    if not passage.shows(population):
        return Outlier(
            origin="spike",
            population=population,
            at=passage.end(population),
            alignment=0.0,
            visible=False,
            threshold=passage.threshold(population),
        )
    at, growth, companion = (float(value[0]) for value in passage.leads(np.array([population])))
    return Outlier(
        origin="spike",
        population=population,
        at=at,
        alignment=_share(population * growth / companion),
        visible=True,
        threshold=passage.threshold(population),
    )


def class_means(
    passage: Passage,
    *,
    eigenvalues: npt.ArrayLike,
    squares: npt.ArrayLike,
    side: Literal["samples", "inputs"] = "samples",
) -> list[Outlier]:
    """Return what two balanced classes at means plus and minus mu make: one outlier at most for each gap of the spectrum.

    Args:
        passage: of the bulk of the classes' common covariance Sigma into the matrix.
        eigenvalues: of Sigma, shape ``(m,)``, spikes included.
        squares: of mu, summed over each eigenspace, shape ``(m,)``, nonnegative.
        side: which eigenvector the alignment is of: "samples" of the n x n matrix, with the labels; "inputs" of X'X/n, d x d,
            with mu, for the passage of a sample covariance as it is.

    Returns:
        The outlier right of the bulk first, visible or not; others only where they are. None where mu is 0.
    """
    s, squared = np.asarray(eigenvalues, float), np.asarray(squares, float)
    rho = float(np.sum(squared))
    if rho == 0.0:
        return []
    s, squared = s[squared > 0.0], squared[squared > 0.0]

    def excess(u: Array) -> Array:
        return np.asarray((1.0 / (u[..., None] - s)) @ squared) - 1.0

    found = []
    for low, high in passage.gaps[::-1]:
        # Eigenvalues beside the bulk that the mean has a part of divide the gap.
        inside = np.sort(s[(low < s) & (s < high)])[::-1]
        bounds = np.concatenate([[high], inside, [low]])
        found += [_root(excess, float(start), float(end), rho) for end, start in pairwise(bounds)]
    roots = np.array([root for root in found if root is not None])
    threshold = _class_threshold(passage, s, squared, rho)
    right = found[0] if found else None
    outliers = []
    if right is None:
        end = float(passage.support[-1, 1]) if len(passage.gaps) else None
        outliers.append(_classes(rho, end, 0.0, 0.0, threshold, visible=False))
    if roots.size:
        at, growth, companion = passage.leads(roots)
        curvature = (1.0 / (roots[:, None] - s) ** 2) @ squared
        labels = growth / (curvature * companion)
        alignments = labels if side == "samples" else roots * growth / (at * curvature * rho)
        # The threshold is that of the one right of the bulk.
        known = [threshold if root == right else None for root in roots]
        outliers += [
            _classes(rho, float(place), float(alignment), float(label), begins, visible=True)
            for place, alignment, label, begins in zip(at, alignments, labels, known, strict=True)
        ]
    return outliers


def _root(excess: Callable[[Array], Array], low: float, high: float, rho: float) -> float | None:
    """Return the zero of a falling function between two poles or ends of a gap, None if there is none."""
    span = high - low if np.isfinite(high) else FARTHEST * (low + rho)
    nearest = NEAREST * max(low, NEAREST * span)
    reach = np.log(np.array([nearest, span - (nearest if np.isfinite(high) else 0.0)]))
    first, last = excess(low + np.exp(reach))
    if not first > 0.0 > last:
        return None
    zero = elementwise.find_root(lambda log_share: excess(low + np.exp(log_share)), (reach[:1], reach[1:]))
    return float(low + np.exp(zero.x[0]))


def _class_threshold(passage: Passage, s: Array, squared: Array, rho: float) -> float | None:
    """Return the squared length of the mean, its direction as it is, from which an outlier shows right of the bulk."""
    if len(passage.gaps) == 0:
        return None
    first = passage.gaps[-1, 0]
    return 0.0 if np.any(s > first) else float(rho / np.sum(squared / (first - s)))


def _classes(
    rho: float, at: float | None, alignment: float, label: float, threshold: float | None, *, visible: bool
) -> Outlier:
    return Outlier(
        origin="class_means",
        population=rho,
        at=at,
        alignment=_share(alignment),
        visible=visible,
        misclassification=misclassification(_share(label)),
        threshold=threshold,
    )


def misclassification(alignment: float) -> float:
    """Return the share of samples on the wrong side of an eigenvector's sign, from its squared cosine with the labels.

    The entries of the eigenvector are Gaussian about ``sqrt(alignment / n)`` times the labels.

    Source: Couillet and Liao, *Random matrix methods for machine learning* (2022), section 4.
    """
    if alignment >= 1.0:
        return 0.0
    return float(ndtr(-np.sqrt(alignment / (1.0 - alignment))))


def feature_mean(features: FiniteFeatures, strength: float) -> Outlier:
    """Return the outlier of the mean of features of finite width, with its alignment to the constant.

    A mean ``strength`` in squares of each feature adds a rank-one part of norm ``strength * width`` to their second moments,
    taken as unrelated to their weights. Its size is right to leading order, n times the strength; what it says beyond that
    neglects that lengths of inputs fluctuate, which moves the outlier by a share of the order of 1 / n.

    Args:
        features: without the mean.
        strength: positive, the constant in K.
    """
    chain = features.outside.chain
    first = float(features.outside.gaps[-1, 0])
    unit = float(chain.eigenvalues[-1])

    def resolvent(u: Array) -> tuple[Array, Array]:
        """Return width * strength * E[1 / D], and its derivative by -u."""
        state = chain.real(u)
        if not chain.layers:
            return strength * chain.width / state.ridges[0], -strength * chain.width / state.ridges[0] ** 2
        layer = chain.layers[-1]
        inverse = 1.0 / (layer.noises + state.ridges[-1][:, None] + layer.slopes * state.below[:, None])
        moving = state.last_growth[:, None] + layer.slopes * state.below_growth[:, None]
        scale = strength * chain.width
        return scale * (inverse @ layer.weights), -scale * ((inverse**2 * moving) @ layer.weights)

    # Far out all D are u times the amplification, and the last ridge of the outlier is about the mean's norm.
    reach = np.log(
        [NEAREST * (first + unit), FARTHEST * (first + unit + strength * chain.width / float(chain.amplifications[0]))]
    )
    with np.errstate(all="ignore"):
        low, high = (float(resolvent(first + np.exp(np.array([one])))[0][0]) for one in reach)
        if not low < -1.0 < high:
            end = float(features.support[-1, 1])
            return Outlier(origin="mean", population=strength * chain.n_samples, at=end, alignment=0.0, visible=False)
        found = elementwise.find_root(
            lambda log_distance: resolvent(first + np.exp(log_distance))[0] + 1.0, (reach[:1], reach[1:])
        )
        u = first + np.exp(np.array([found.x[0]]))
        state, (_, derivative) = chain.real(u), resolvent(u)
    alignment = state.growth / (derivative * state.ridges[-1])
    return Outlier(
        origin="mean",
        population=strength * chain.n_samples,
        at=float(-chain.unit * state.penalty[0]),
        alignment=_share(float(alignment[0])),
        visible=True,
    )


def rank_one(law: Law, strength: float) -> Outlier:
    """Return the eigenvalue that ``strength e e'`` adds to a matrix, for a unit vector e unrelated to it.

    Args:
        law: of the matrix.
        strength: positive.

    Source: Benaych-Georges and Nadakuditi, *The eigenvalues and eigenvectors of finite, low rank perturbations of large
        random matrices* (2011): m(z) = -1 / strength.
    """
    end = max([float(law.support[-1, 1])] if len(law.support) else [], default=-np.inf)
    end = max([end, *(at for at, _ in law.atoms)])
    margin = 1e-9 * max(abs(end), strength)

    def excess(z: float) -> float:
        return float(law.transform_outside(np.array([z]))[0]) + 1.0 / strength

    if not excess(end + margin) < 0.0:
        return Outlier(origin="mean", population=strength, at=end, alignment=0.0, visible=False)
    at = float(brentq(excess, end + margin, end + 2.0 * strength + margin, xtol=1e-14 * (end + strength), rtol=1e-14))
    step = COMPLEX_STEP * (at - end)
    slope = float(law.transform_above(np.array([at + 1j * step]))[0].imag) / step
    alignment = min(1.0 / (strength**2 * slope), 1.0)
    return Outlier(origin="mean", population=strength, at=at, alignment=alignment, visible=True)


def _share(value: float) -> float:
    """Clip what rounding may have taken out of [0, 1]."""
    return min(max(value, 0.0), 1.0)
