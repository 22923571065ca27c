"""How an eigenvalue of a population passes into a matrix of samples: where it shows, and how well.

A direction that the population tells apart, by an eigenvalue u of its own or by the means of two classes, makes an outlier
where ``-u`` is the innermost ridge of a real point outside the support. All that can be known of the outlier's eigenvector is
then in two more numbers: the derivative of the spectral variable by u, and the last ridge.

Sources: Baik and Silverstein, arXiv:math/0408165; Benaych-Georges and Nadakuditi, arXiv:1103.2221; for layers of random
features the same with the chain of ridges of :mod:`theory.spectra.chain`, whose poles the outliers are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theory.covariance import Spectrum
from theory.spectra.finite_features import FiniteFeatures
from theory.spectra.sample_covariance import SampleCovariance, sample_covariance

Array = npt.NDArray[np.float64]


class Passed(NamedTuple):
    """Where population eigenvalues u lead, each of their shape.

    Attributes:
        at: the eigenvalue of the matrix.
        growth: derivative by u of the spectral variable of samples, in units of its own.
        companion: minus the last ridge in the same units: ``-1 / companion`` is the transform of the n x n matrix.
    """

    at: Array
    growth: Array
    companion: Array


@dataclass(frozen=True, kw_only=True)
class Passage:
    """From eigenvalues of the inputs' covariance to those of a matrix.

    Attributes:
        gaps: intervals of u that show, shape ``(k, 2)``, ascending, the last without an end; none where nothing arrives.
        support: of the matrix's law, shape ``(j, 2)``.
        bulk: least and largest eigenvalue of the population's bulk.
        leads: from u inside the gaps to where they lead.
    """

    gaps: Array
    support: Array
    bulk: tuple[float, float]
    leads: Callable[[Array], Passed]

    def shows(self, population: float) -> bool:
        """Whether a population eigenvalue leads out of the support."""
        return bool(np.any((self.gaps[:, 0] < population) & (population < self.gaps[:, 1])))

    def threshold(self, population: float) -> float | None:
        """Return where eigenvalues on the same side of the bulk begin to show; None if they never do, or inside it."""
        if len(self.gaps) and population >= self.bulk[1]:
            return float(self.gaps[-1, 0])
        left = self.gaps[(self.gaps[:, 1] > 0.0) & (self.gaps[:, 1] <= self.bulk[0]), 1]
        return float(left[-1]) if population <= self.bulk[0] and left.size else None

    def end(self, population: float) -> float | None:
        """Return the right end of the support if a hidden eigenvalue sticks to it."""
        return float(self.support[-1, 1]) if len(self.gaps) and population >= self.bulk[1] else None


def covariance_passage(
    model: SampleCovariance, *, scale: float = 1.0, shift: float = 0.0, ratio: float = 1.0
) -> Passage:
    """Return the passage to X'X/n, and to the n x n matrix XX'/n with the same eigenvalues.

    Args:
        model: of the bulk.
        scale: positive; the matrix is ``scale * XX'/n + shift``.
        shift: see ``scale``.
        ratio: of the model's population eigenvalues to those that u stands for.
    """
    unit = model.unit
    ends = np.concatenate([[0.0], model.critical.ravel() * unit / ratio, [np.inf]]).reshape(-1, 2)

    def leads(u: Array) -> Passed:
        companion = ratio * u
        image, slope = model.law.image(companion / unit), model.law.slope(companion / unit)
        return Passed(at=scale * unit * image + shift, growth=ratio * slope, companion=companion)

    return Passage(
        gaps=ends[ends[:, 1] > 0.0],
        support=scale * unit * model.edges + shift,
        bulk=(float(model.law.atoms[0]) * unit / ratio, float(model.law.atoms[-1]) * unit / ratio),
        leads=leads,
    )


def wide_passage(modes: Spectrum, *, tail: float, n_samples: float, ratio: float) -> Passage:
    """Return the passage to K for features of infinite width; see :func:`theory.spectra.kernel_matrix.wide_kernel_law`.

    Args:
        modes: of the bulk.
        tail: what the diagonal of K has beyond them.
        n_samples: n.
        ratio: of the modes' eigenvalues to those of the inputs' covariance.
    """
    if not np.any(modes.eigenvalues > 0.0):
        return _blocked(np.empty((0, 2)))
    return covariance_passage(sample_covariance(modes, n_samples), scale=n_samples, shift=tail, ratio=ratio)


def features_passage(features: FiniteFeatures) -> Passage:
    """Return the passage to K = H H' / width for features of finite width, which know their inputs."""
    chain, gaps = features.outside.chain, features.outside.gaps
    ratio = chain.ratio
    if ratio is None:
        return _blocked(features.support)
    positive = gaps[gaps[:, 1] > 0.0] / ratio

    def leads(u: Array) -> Passed:
        with np.errstate(all="ignore"):
            state = chain.real(ratio * u)
        return Passed(at=-chain.unit * state.penalty, growth=ratio * state.growth, companion=-state.ridges[-1])

    return Passage(
        gaps=np.maximum(positive, 0.0),
        support=features.support,
        bulk=(float(chain.eigenvalues[0]) / ratio, float(chain.eigenvalues[-1]) / ratio),
        leads=leads,
    )


def _blocked(support: Array) -> Passage:
    """A passage through which no linear signal comes."""
    return Passage(
        gaps=np.empty((0, 2)),
        support=support,
        bulk=(np.nan, np.nan),
        leads=lambda u: Passed(at=np.full_like(u, np.nan), growth=np.zeros_like(u), companion=np.ones_like(u)),
    )
