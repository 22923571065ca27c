"""What stands between a request and its answer: the problem as built, and what a learner attains in it."""

from dataclasses import dataclass, fields
from typing import Any

from theory import Equivalent, Spectrum
from theory.classification.convex import ClassificationPrediction
from theory.classification.gaussian_clusters import Clusters
from theory.classification.gradient import MixtureRates, TeacherRates
from theory.classification.labels import MixtureLabels
from theory.classification.teacher import TeacherLabels
from theory.equivalents.population import Population
from workers.pools import PoolSource


@dataclass(frozen=True, kw_only=True)
class Built:
    """A request's features in its regime.

    Attributes:
        equivalent: of the features, as square loss on the labels sees them; None of a network whose features are trained.
        spectrum: of the inputs, where features that are not linear were built on them or are to be trained; None otherwise.
        classes: where labels are classes, what other losses and error rates need.
        pool: of stored rows, what stands for the equivalent.
        clusters: of such rows, for losses that have no theory on the rows themselves.
    """

    equivalent: Equivalent | None = None
    spectrum: Spectrum | None = None
    classes: "Classes | None" = None
    pool: PoolSource | None = None
    clusters: Clusters | None = None


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Labels that are classes.

    Attributes:
        population: the features, coupled to a class mean or to the latent.
        labels: where they come from.
        rates: the same, for gradient methods on square loss.
    """

    population: Population
    labels: MixtureLabels | TeacherLabels
    rates: MixtureRates | TeacherRates


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a learner attains; fields of the answer on the wire, infinite or None where there is no number.

    Attributes:
        ridge, target_ridge, df1, df2: of the fixed point.
        critical_step_size: from which the learner's steps diverge.
        intercept_noise: variance of a fitted constant over training sets, relative to that of the scores of a class.
        common_noise: share of the scores' scatter over training sets that all samples have in common, where that matters.
        network: overlaps of hidden units, by the names of the wire.
        interval_low, interval_high: between which what test_error means lies with a probability of 90 %, where it is estimated.
        reliability: leave-one-out over generalised cross-validation, less 1, of an estimate.
        correction, correction_error: the factor that trials on parts of the rows put to the square loss; its relative error.
        n_used: rows that it was made from.
        extrapolated: whether there are fewer rows than n_samples.
        classifier, outer_ridge: the solution of a convex loss, and of any fixed point: where derivatives start from.
        followed: the equations of a trained network and the way it took, where derivatives are to be carried along it.
        separability: of the classes; see :class:`theory.classification.separability.Separability`.
    """

    status: Any
    test_error: float
    residual: float
    iterations: int
    phase: Any
    excess_risk: float | None = None
    train_error: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    bias: float | None = None
    variance: float | None = None
    estimator_norm_squared: float | None = None
    ridge: float | None = None
    target_ridge: float | None = None
    df1: float | None = None
    df2: float | None = None
    critical_step_size: float | None = None
    separability: Any = None
    intercept_noise: float = 0.0
    common_noise: float = 0.0
    network: dict[str, Any] | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    reliability: float | None = None
    correction: float | None = None
    correction_error: float = 0.0
    n_used: int = 0
    extrapolated: bool = False
    classifier: ClassificationPrediction | None = None
    outer_ridge: float | None = None
    followed: Any = None

    @classmethod
    def of(cls, found: Any, **more: Any) -> "Answer":
        """Take what a prediction of :mod:`theory` has under the same names; ``more`` adds to it and goes before it."""
        same = {field.name: getattr(found, field.name) for field in fields(cls) if hasattr(found, field.name)}
        return cls(**{**same, **more})
