"""Replicates of a problem: each drawn from a stream of its own, trained and measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulation.batches import in_batches
from simulation.devices import HOST, Device
from simulation.measures import measure
from simulation.problem import Problem, draw_training_set
from simulation.training import train

Array = npt.NDArray[np.float64]

N_TEST = 1000
"""Fresh inputs on which each replicate is tested where its features are not linear in the inputs."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What each replicate measured; arrays of shape ``(replicates,)`` in the order of the replicates.

    Attributes:
        test_error: mean squared error against a fresh noisy label; for classes, the rate of misclassification.
        train_error: the same on the training set, without the penalty.
        estimator_norm_squared: ``||theta||^2``, for a kernel the squared norm in its Hilbert space; the intercept left out.
        excess_risk: ``test_error - noise_variance``; None for classes.
        test_loss, train_loss: mean loss, without the penalty; None for numbers, and where the learner has no loss.
    """

    test_error: Array
    train_error: Array
    estimator_norm_squared: Array
    excess_risk: Array | None = None
    test_loss: Array | None = None
    train_loss: Array | None = None


def simulate(
    problem: Problem,
    *,
    replicates: int,
    seed: int,
    first_replicate: int = 0,
    n_test: int = N_TEST,
    device: Device = HOST,
) -> Samples:
    """Draw, train and measure ``replicates`` independent training sets, each with features and a target of its own.

    Replicate r has its own random stream, keyed by ``(seed, r)``: it comes out the same alone or among others, here or on
    another machine. On the host that holds to the last bit, with NumPy; a GPU draws other numbers of the same laws, and
    its libraries may round differently with the number of replicates that are side by side.

    Args:
        problem: what to draw and how to train.
        replicates: how many.
        seed: nonnegative.
        first_replicate: number of the first one, to carry on where an earlier call stopped.
        n_test: fresh inputs a replicate is tested on, against labels without noise or the chances of the classes, where the
            features are not linear; where they are, the test is exact. The scatter of a finite test set is part of that
            over replicates.
        device: that does the work: :data:`simulation.devices.HOST`, or one that :func:`simulation.devices.open_device`
            opens.
    """

    def run(numbers: Sequence[int]) -> dict[str, Array]:
        draw = draw_training_set(problem, device.streams(seed, numbers))
        return measure(train(problem, draw), problem, draw, n_test=n_test)

    nothing = dict.fromkeys(("test_error", "train_error", "estimator_norm_squared"), np.empty(0))
    return Samples(**(in_batches(run, first=first_replicate, count=replicates, device=device) or nothing))
