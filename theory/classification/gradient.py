"""Gradient flow and descent of square loss on the labels of two classes: how often the sign is wrong.

Scores are Gaussian given the class, or jointly Gaussian with the latent that labels, on a fresh sample; on a training
sample so is what the predictor owes to all samples but that one, beside a share of its own label.

Sources: Mai and Liao, arXiv:1905.13742, for square loss on a mixture; Liao and Couillet, arXiv:1805.11917, for its
gradient flow; Loureiro et al., arXiv:2102.08127, for latents.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from theory.classification.rates import (
    latent_misclassification,
    logistic_noise,
    shifted_latent_misclassification,
    two_class_misclassification,
)
from theory.learners.gradient_methods import GradientPrediction


class ClassRates(Protocol):
    """A source of labels, as square loss on them needs it."""

    def rates(self, prediction: GradientPrediction) -> tuple[float, float]:
        """Return how often the sign is wrong on fresh and on training samples."""
        ...


@dataclass(frozen=True, kw_only=True)
class MixtureRates:
    """Two classes of which ``positive_fraction`` is positive.

    Attributes:
        positive_fraction: in (0, 1).
        fit_intercept: whether an unpenalised constant is fitted.
        has_constant: whether the features have a mean, which then takes its place. With neither the fraction is of no
            consequence.
    """

    positive_fraction: float
    fit_intercept: bool
    has_constant: bool = False

    @property
    def mean_label(self) -> float:
        """Mean of the labels, as far as a constant is there to express it."""
        return 2.0 * self.positive_fraction - 1.0 if self.fit_intercept or self.has_constant else 0.0

    def rates(self, prediction: GradientPrediction) -> tuple[float, float]:
        """Return how often the sign is wrong on fresh and on training samples, of a prediction at one time."""
        return (
            self._rate(prediction.score_level, prediction.score_mean, prediction.score_square),
            self._rate(prediction.train_score_level, prediction.train_score_mean, prediction.train_score_square),
        )

    def _rate(self, level: float, mean: float, square: float) -> float:
        """Of scores f with ``E f = level``, ``E[y f] = mean`` and ``E f^2 = square``; centred where a constant is fitted."""
        label = self.mean_label
        within = (1.0 - label) * (1.0 + label)
        if self.fit_intercept:
            slope, shift = mean / within, label * (1.0 - mean / within)
            explained = mean * slope
        else:
            slope, shift = (mean - label * level) / within, (level - label * mean) / within
            explained = shift * level + slope * mean
        return two_class_misclassification(
            positive_margin=slope + shift,
            negative_margin=slope - shift,
            score_variance=max(square - explained, 0.0),
            positive_fraction=self.positive_fraction,
        )


@dataclass(frozen=True, kw_only=True)
class TeacherRates:
    """Labels of a latent nu of the inputs.

    Attributes:
        link: "sign" of nu and noise, or "logistic".
        signal_variance: of nu.
        noise_variance: under the sign; 0 for the logistic link.
    """

    link: str
    signal_variance: float
    noise_variance: float = 0.0

    @property
    def slope(self) -> float:
        """``E[y nu] / E nu^2``: what of the labels is linear in nu."""
        return sum(
            share * sqrt(2.0 / (np.pi * (self.signal_variance + noise)))
            for noise, share in self._noises
            if self.signal_variance + noise > 0.0
        )

    @property
    def _noises(self) -> list[tuple[float, float]]:
        """Variances of what is added under the sign, with their shares."""
        if self.link == "sign":
            return [(self.noise_variance, 1.0)]
        noise = logistic_noise()
        return list(zip(noise.variances.tolist(), noise.shares.tolist(), strict=True))

    def rates(self, prediction: GradientPrediction) -> tuple[float, float]:
        """Return how often the sign is wrong on fresh and on training samples, of a prediction at one time."""
        own = prediction.train_label_weight
        others = prediction.train_score_mean - own
        square = max(prediction.train_score_square - own * own - 2.0 * own * others, 0.0)
        slope, test, train = self.slope, 0.0, 0.0
        for noise, share in self._noises:
            latent = self.signal_variance + noise
            test += share * latent_misclassification(
                covariance=prediction.score_mean / slope, score_variance=prediction.score_square, latent_variance=latent
            )
            train += share * shifted_latent_misclassification(
                shift=own, covariance=others / slope, score_variance=square, latent_variance=latent
            )
        return test, train
