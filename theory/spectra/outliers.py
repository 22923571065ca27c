"""Eigenvalues outside the bulk: population spikes, the mean of features, and what a kernel's nonlinearity makes of norms."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from theory.spectra.law import Law
from theory.spectra.sample_covariance import SampleCovariance

COMPLEX_STEP = 1e-5
"""Of the derivative of a transform, relative to the distance from the support; the error is its square."""

Origin = Literal["spike", "mean", "class_means", "norms"]


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """An eigenvalue that may leave the bulk.

    Attributes:
        origin: where it comes from.
        population: its value without noise: the population eigenvalue of a spike, the strength of a mean.
        at: where the sample eigenvalue is; for one that is hidden the end of the bulk it sticks to, None if there is none.
        alignment: squared cosine between the sample eigenvector and its origin's, None where that is not known.
        visible: whether it leaves the bulk.
    """

    origin: Origin
    population: float | None
    at: float | None
    alignment: float | None
    visible: bool


def spike(model: SampleCovariance, population: float) -> Outlier:
    """Return the sample eigenvalue of one population eigenvalue beside the bulk, right, left or between.

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
    if slope > 0.0 and at > 0.0:
        alignment = min(float(u[0]) * slope / at, 1.0)
        return Outlier(origin="spike", population=population, at=at * model.unit, alignment=alignment, visible=True)
    beyond, below = u[0] >= model.law.atoms[-1], u[0] <= model.law.atoms[0]
    end = model.edges[-1, 1] if beyond else model.edges[0, 0] if below else None
    return Outlier(
        origin="spike",
        population=population,
        at=None if end is None else float(end) * model.unit,
        alignment=0.0,
        visible=False,
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
