"""Problems at finite size: any learner on any features or kernel in any regime; what each replicate draws to train on."""

from dataclasses import dataclass
from typing import Any

from simulation.devices import Streams
from simulation.domains import whole
from simulation.features import Features, is_linear
from simulation.kernels import Kernel
from simulation.learners import Learner
from simulation.regime import Regime, observed
from theory.covariance import InadmissibleProblem


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What to draw and how to train on it.

    Attributes:
        regime: of :mod:`simulation.gaussian`, :mod:`simulation.sphere`, :mod:`simulation.mixture` or
            :mod:`simulation.teacher`.
        features: of :mod:`simulation.features`, or a kernel, of :mod:`simulation.kernels` or
            :mod:`simulation.infinite_width`.
        learner: of :mod:`simulation.learners`; for a kernel ``||theta||`` is the norm in its Hilbert space.
        n_samples: whole, at least 1.
        fit_intercept: fit an unpenalised constant.

    Raises:
        InadmissibleProblem: a field is out of its domain, the features do not see the regime's tail, or the learner needs
            classes where the regime has numbers.
    """

    regime: Regime
    features: Features | Kernel
    learner: Learner
    n_samples: int
    fit_intercept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_samples", whole("n_samples", self.n_samples))
        if self.regime.tail_trace > 0.0 and not is_linear(self.features):
            raise InadmissibleProblem(
                f"a tail of trace {self.regime.tail_trace:g} is seen by linear features and projections only,"
                f" not by {type(self.features).__name__}",
                argument="tail_trace",
            )
        if self.learner.needs_classes and self.regime.metric != "misclassification":
            raise InadmissibleProblem(
                f"{type(self.learner).__name__} needs labels that are classes, and those of"
                f" {type(self.regime).__name__} are numbers; take a learner of square loss",
                argument="learner",
            )


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What one replicate draws before it trains; those of several have a leading axis.

    Attributes:
        inputs: shape ``(n, d)``.
        labels: shape ``(n,)``: numbers with noise, or +-1.
        target: of this replicate.
        streams: where they stand now: features and test inputs come next.
    """

    inputs: Any
    labels: Any
    target: Any
    streams: Streams


def draw_training_set(problem: Problem, streams: Streams) -> TrainingSet:
    """Draw what is trained on.

    Args:
        problem: whose regime it is.
        streams: of some replicates, :meth:`simulation.devices.Device.streams`, or of one, without the leading axis:
            :func:`simulation.devices.stream`.
    """
    target = problem.regime.target(streams)
    inputs, values = target.draw(streams, problem.n_samples)
    labels = observed(problem.regime, streams, values)
    return TrainingSet(inputs=inputs, labels=labels, target=target, streams=streams)
