"""Labels drawn from a latent of the inputs: its sign, with normal noise or none, or a logistic probability.

Logistic noise is a mixture of normal ones, so that both links are the sign of a normal latent, averaged over its variance.
With c the cosine of score and latent, the score on the side of its label, ``t = y score / sqrt(q)``, is skew normal: its
density is ``2 f(t) Phi(k t)``, ``k = c / sqrt(1 - c^2)``.

Sources: Loureiro et al., arXiv:2102.08127, Theorems 1 and 2; Azzalini (1985) for the density.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from theory.classification.labels import Conjugates, Scores, SquareMoments
from theory.classification.loss import Loss
from theory.classification.nodes import Focus, Nodes, gaussian_nodes
from theory.classification.rates import (
    NormalMixture,
    logistic_noise,
    shifted_latent_misclassification,
)
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

SKEW_WIDTH = 4.0
"""Distance from the real axis up to which Phi(k t) is tame, in units of 1 / sqrt(1 + k^2)."""
SMALLEST_SINE_SQUARED = 1e-24
EXCESS = 1e-9
"""By how much rounding may make features explain more of a latent than there is."""


class _Angles(NamedTuple):
    """Between score and latent, one a component of the latent."""

    cosines: Array
    sines: Array


@dataclass(frozen=True, kw_only=True)
class TeacherLabels:
    """Labels drawn from a latent nu of the inputs; no constant is fitted, and by symmetry none but 0 would be.

    Attributes:
        link: "sign", y = sign(nu + noise), or "logistic", P(y = 1) = sigmoid(nu).
        signal_variance: rho, of nu.
        noise_variance: of the noise inside the sign; 0 for the logistic link, which has its own.
    """

    link: Literal["sign", "logistic"]
    signal_variance: float
    noise_variance: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative variances, and two noises at once."""
        for name in ("signal_variance", "noise_variance"):
            if not getattr(self, name) >= 0.0:
                raise InadmissibleProblem(f"{name} must not be negative, got {getattr(self, name):g}", argument=name)
        if self.link == "logistic" and self.noise_variance != 0.0:
            raise InadmissibleProblem(
                f"noise_variance must be 0 for the logistic link, got {self.noise_variance:g}: its noise is in the labels"
                " already; for normal noise use link = 'sign'",
                argument="noise_variance",
            )

    @cached_property
    def latent(self) -> NormalMixture:
        """What the label is the sign of: variances of latent and noise together, and their shares."""
        if self.link == "logistic":
            noise = logistic_noise()
            return NormalMixture(self.signal_variance + noise.variances, noise.shares)
        variance = self.signal_variance + self.noise_variance
        # Without latent and noise the label is a coin, in any units.
        return NormalMixture(np.array([variance if variance > 0.0 else 1.0]), np.ones(1))

    @property
    def pull(self) -> float:
        """``E[y nu] / E nu^2``: what of the labels is linear in nu."""
        return float(self.latent.shares @ np.sqrt(2.0 / (np.pi * self.latent.variances)))

    def check(self, explained_variance: float) -> None:
        """Refuse features that explain more of the latent than it varies.

        Args:
            explained_variance: ``phi' Omega^-1 phi``, phi = E x nu.

        Raises:
            InadmissibleProblem: it exceeds ``signal_variance``.
        """
        if explained_variance > self.signal_variance * (1.0 + EXCESS):
            raise InadmissibleProblem(
                f"signal_variance must be at least what the features explain of the latent, {explained_variance:.6g},"
                f" got {self.signal_variance:g}",
                argument="signal_variance",
            )

    def conjugates(
        self,
        loss: Loss,
        mean_margin: float,
        deviation: float,
        proximal: float,
        *,
        offset: float | None = None,  # noqa: ARG002 - of the protocol
        refinement: int = 1,
    ) -> Conjugates:
        """Average over the margins; mh is E gamma at a latent of 0, times twice the latent's density there."""
        cosines, sines = self._angles(mean_margin, deviation)
        skews, scale = cosines / sines, np.sqrt(self.latent.variances)
        nodes = self._nodes(loss, mean_margin, deviation, proximal, refinement=refinement)
        t, margins = nodes.t, deviation * nodes.t
        at = loss.pointwise(margins, proximal)
        steep = 2.0 * nodes.weights * np.exp(-0.5 * np.outer(skews, t) ** 2) / np.sqrt(2.0 * np.pi)
        weights = 2.0 * nodes.weights * (self.latent.shares @ ndtr(np.outer(skews, t)))
        boundary = (self.latent.shares / (scale * sines)) @ steep

        mean, flat = float(boundary @ at.dual), weights * at.curvature
        curvature = float(np.sum(flat))
        slopes = np.empty((3, 3))
        # The density turns with c = m / (s scale), dk / dc = 1 / sin^3, by m and by log s.
        for column, rate in enumerate((1.0 / (deviation * scale), -cosines)):
            turning = self.latent.shares * rate / sines**3
            turned = t * (turning @ steep)
            tilted = turning * cosines / scale
            turned_boundary = tilted @ steep - t * t * ((tilted / sines**2) @ steep)
            slopes[:, column] = turned_boundary @ at.dual, turned @ at.dual**2, turned @ at.curvature
        slopes[0, 1] -= boundary @ (at.curvature * margins)
        slopes[1, 1] -= 2.0 * (flat @ (at.dual * margins))
        slopes[2, 1] += weights @ (at.curvature_by_u * margins)
        slopes[:, 2] = (
            -proximal * (boundary @ (at.curvature * at.dual)),
            -2.0 * proximal * (flat @ at.dual**2),
            proximal * (weights @ at.curvature_by_proximal),
        )
        for margin, height, velocity in loss.jumps(proximal):
            density = height * self._density(margin / deviation, skews) / deviation
            slopes[2, 1] += density * margin
            slopes[2, 2] -= density * velocity * proximal
        return Conjugates(mean, float(weights @ at.dual**2), curvature, slopes, loss.anchor)

    def rates_by_latent_variance(
        self, loss: Loss, mean_margin: float, deviation: float, proximal: float
    ) -> tuple[float, float, float]:
        """Return the derivatives of mh, qh and Vh by the variance of latent and noise, at the same scores."""
        cosines, sines = self._angles(mean_margin, deviation)
        skews, variances = cosines / sines, self.latent.variances
        scale = np.sqrt(variances)
        nodes = self._nodes(loss, mean_margin, deviation, proximal)
        t = nodes.t
        at = loss.pointwise(deviation * t, proximal)
        steep = 2.0 * nodes.weights * np.exp(-0.5 * np.outer(skews, t) ** 2) / np.sqrt(2.0 * np.pi)
        # The density turns with c = m / (s scale), and mh is counted in units of the scale too.
        turning = self.latent.shares * (-0.5 * cosines / variances) / sines**3
        turned, tilted = t * (turning @ steep), turning * cosines / scale
        boundary = tilted @ steep - t * t * ((tilted / sines**2) @ steep)
        boundary -= (0.5 * self.latent.shares / (variances * scale * sines)) @ steep
        return float(boundary @ at.dual), float(turned @ at.dual**2), float(turned @ at.curvature)

    def intercept(self, loss: Loss, scores: Scores) -> float:  # noqa: ARG002 - of the protocol
        """0, by symmetry."""
        return 0.0

    def square_moments(self, coupling: float) -> SquareMoments:
        """See :class:`theory.classification.labels.Labels`: ``E y nu = pull rho``, and ``E (1 - y f)^2 = 1 - 2 pull m + q``."""
        return SquareMoments(self.pull, 1.0 - 2.0 * self.pull**2 * coupling, 1.0)

    def energy(self, loss: Loss, scores: Scores) -> float:
        """``E gamma p``."""
        nodes = self._nodes(loss, *scores[:3], refinement=2)
        at = loss.pointwise(scores.deviation * nodes.t, scores.proximal)
        return float(self._weights(scores, nodes) @ (at.dual * at.prox))

    def misclassification(self, mean_margin: float, score_variance: float) -> float:
        """Return how often a fresh score, jointly normal with the latent, has the wrong sign.

        Args:
            mean_margin: m, the covariance of score and nu.
            score_variance: q.
        """
        return self.train_misclassification(0.0, mean_margin, score_variance)

    def train_misclassification(self, shift: float, mean_margin: float, score_variance: float) -> float:
        """Return ``P(shift + y F < 0)``, F jointly normal with nu; see :mod:`theory.classification.rates`."""
        return float(
            sum(
                share
                * shifted_latent_misclassification(
                    shift=shift, covariance=mean_margin, score_variance=score_variance, latent_variance=variance
                )
                for variance, share in zip(*self.latent, strict=True)
            )
        )

    def test_error(self, loss: Loss, scores: Scores) -> float:  # noqa: ARG002 - of the protocol
        """Misclassification of fresh samples."""
        return self.misclassification(scores.mean_margin, scores.variance)

    def train_error(self, loss: Loss, scores: Scores) -> float:
        """Misclassification of the training set: ``p < 0`` where ``u < V l'(0)``."""
        fitted = scores.proximal * loss.slope_at_zero
        return self.train_misclassification(fitted, scores.mean_margin, scores.variance)

    def test_loss(self, loss: Loss, scores: Scores) -> float:
        """Loss on fresh samples."""
        nodes = self._nodes(loss, scores.mean_margin, scores.deviation, 0.0)
        return float(self._weights(scores, nodes) @ loss.value(scores.deviation * nodes.t))

    def train_loss(self, loss: Loss, scores: Scores) -> float:
        """Loss on the training set."""
        nodes = self._nodes(loss, scores.mean_margin, scores.deviation, scores.proximal)
        prox = loss.pointwise(scores.deviation * nodes.t, scores.proximal).prox
        return float(self._weights(scores, nodes) @ loss.value(prox))

    def _angles(self, mean_margin: float, deviation: float) -> _Angles:
        cosines = mean_margin / (deviation * np.sqrt(self.latent.variances))
        return _Angles(cosines, np.sqrt(np.maximum((1.0 - cosines) * (1.0 + cosines), SMALLEST_SINE_SQUARED)))

    def _nodes(
        self, loss: Loss, mean_margin: float, deviation: float, proximal: float, *, refinement: int = 1
    ) -> Nodes:
        sines = self._angles(mean_margin, deviation).sines
        # sin = 1 / sqrt(1 + k^2).
        turn = Focus(0.0, SKEW_WIDTH * float(np.min(sines)))
        foci = tuple(Focus(at / deviation, off / deviation) for at, off in loss.foci(proximal))
        tilt = min(2.0 * deviation, max(0.0, -foci[0].at)) if foci else 0.0
        breaks = tuple(kink / deviation for kink in loss.kinks(proximal))
        return gaussian_nodes((*foci, turn), tilt=tilt, breaks=breaks, refinement=refinement)

    def _weights(self, scores: Scores, nodes: Nodes) -> Array:
        cosines, sines = self._angles(scores.mean_margin, scores.deviation)
        weights: Array = 2.0 * nodes.weights * (self.latent.shares @ ndtr(np.outer(cosines / sines, nodes.t)))
        return weights

    def _density(self, t: float, skews: Array) -> float:
        return float(2.0 * np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi) * (self.latent.shares @ ndtr(skews * t)))
