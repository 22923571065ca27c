"""Gradient flow and descent of square loss on the labels of two classes: how often the sign is wrong.

Scores are Gaussian given the class, or jointly Gaussian with the latent that labels, on a fresh sample; on a training
sample so is what the predictor owes to all samples but that one, beside a share of its own label.

Sources: Mai and Liao, arXiv:1905.13742, for square loss on a mixture; Liao and Couillet, arXiv:1805.11917, for its
gradient flow; Loureiro et al., arXiv:2102.08127, for latents.
"""

from dataclasses import dataclass

from theory.classification.rates import two_class_misclassification
from theory.classification.teacher import TeacherLabels
from theory.learners.gradient_methods import GradientPrediction


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
    """Labels of a latent of the inputs.

    Attributes:
        labels: where they come from.
    """

    labels: TeacherLabels

    def rates(self, prediction: GradientPrediction) -> tuple[float, float]:
        """Return how often the sign is wrong on fresh and on training samples, of a prediction at one time."""
        own, pull = prediction.train_label_weight, self.labels.pull
        others = prediction.train_score_mean - own
        square = max(prediction.train_score_square - own * own - 2.0 * own * others, 0.0)
        return (
            self.labels.misclassification(prediction.score_mean / pull, prediction.score_square),
            self.labels.train_misclassification(own, others / pull, square),
        )
