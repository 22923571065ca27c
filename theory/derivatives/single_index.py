"""The test error of a single neuron with derivatives; see :mod:`theory.learners.single_index`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.derivatives.costates import Pull, carried_back
from theory.derivatives.dual import Dual, Vector
from theory.derivatives.neuron_averages import NeuronRates, neuron_rates
from theory.learners.single_index import Motion
from theory.learners.trajectories import Trajectory

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the equations are made of, with derivatives.

    Attributes:
        eigenvalues, multiplicities, energies: of the modes that the motion follows; one of the eigenvalue 0 may come last.
        along: the part of the weights at the start in the teacher's direction, in units of the teacher's weights.
        across: the square of their other part, for each direction of the inputs.
        step_size, noise_variance: of SGD and the labels.
        n_samples: n.
        parameters: of the student's activation, then of the teacher's.
    """

    eigenvalues: Vector
    multiplicities: Vector
    energies: Vector
    along: Dual
    across: Any
    step_size: Dual
    noise_variance: Dual
    n_samples: Dual
    parameters: Sequence[Dual]


def single_index(motion: Motion, followed: Trajectory, numbers: Numbers, test_error: float) -> Dual:
    """Return the test error with its derivatives.

    Args:
        motion: the equations.
        followed: the recorded way, of a single number of samples.
        numbers: what the equations are made of.
        test_error: at its end.

    Raises:
        ArithmeticError: derivatives cannot be followed along the trajectory.
    """
    motion, followed = _with_still(motion, followed, numbers)
    elapsed, size = numbers.step_size * numbers.n_samples, motion.eigenvalues.size
    scale = max(test_error, motion.noise_variance)
    carried = carried_back(followed, float(elapsed.value), _Equations(motion), size=scale)
    on_eigenvalues, on_counts, on_energies, (on_step, on_noise, *on_parameters) = np.split(
        carried.by_parameters, size * np.arange(1, 4)
    )

    # The start: (1 - along)^2 energies and what lies across; (1 - along) energies.
    on_apart, on_short = np.split(carried.by_start, 2)
    left = 1.0 - numbers.along.value
    on_along = -float(motion.energies @ (2.0 * left * on_apart + on_short))
    across = numbers.eigenvalues * numbers.multiplicities * numbers.across
    tangent = (
        numbers.eigenvalues.weighted(on_eigenvalues)
        + numbers.multiplicities.weighted(on_counts)
        + numbers.energies.weighted(on_energies + left * (left * on_apart + on_short))
        + across.weighted(on_apart)
    )
    for one, slope in (
        (numbers.along, on_along),
        (numbers.step_size, on_step),
        (numbers.noise_variance, on_noise + 1.0),
        (elapsed, carried.by_time),
        *zip(numbers.parameters, on_parameters, strict=True),
    ):
        # What does not depend on a number leaves it out, infinite though its own derivative may be.
        tangent = tangent + (slope * one.tangent if slope else 0.0)
    return Dual(test_error, tangent)


def _with_still(motion: Motion, followed: Trajectory, numbers: Numbers) -> tuple[Motion, Trajectory]:
    """Add the modes without variance, which stand still and have no place of their own in the motion."""
    size, path = motion.eigenvalues.size, followed.path
    if not np.any(numbers.eigenvalues.value == 0.0):
        return motion, followed
    motion = replace(
        motion,
        eigenvalues=numbers.eigenvalues.value,
        multiplicities=numbers.multiplicities.value,
        energies=numbers.energies.value,
    )
    if numbers.eigenvalues.value.size == size:
        return motion, followed

    def added(state: Array) -> Array:
        return np.concatenate([state[:size], [0.0], state[size:], [0.0]])

    return motion, followed._replace(
        states=np.array([added(state) for state in followed.states]),
        path=None if path is None else lambda time: added(path(time)),
    )


class _Equations:
    """The equations, with derivatives pulled back from the slope of the state, and from the error.

    Of the numbers eigenvalues, multiplicities and energies come first, then step_size, noise_variance and the parameters of the
    activations.
    """

    def __init__(self, motion: Motion) -> None:
        self.motion, self.slope, self.jacobian = motion, motion.slope, motion.jacobian

    def _rates(self, state: Array) -> NeuronRates:
        signal, apart, short = self.motion.sums(state)
        return neuron_rates(self.motion.activation, self.motion.teacher, signal=signal, apart=apart, short=short)

    def end(self, state: Array) -> Array:
        """Return the derivatives of the risk by the state, then by the numbers."""
        size = self.motion.eigenvalues.size
        on_signal, on_apart, on_short, *on_parameters = self._rates(state).rates[0]
        none, one = np.zeros(size), np.ones(size)
        return np.concatenate([on_apart * one, on_short * one, none, none, on_signal * one, [0.0, 0.0], on_parameters])

    def linearised(self, state: Array) -> Pull:
        """Return what pulls costates back from the slope at a state: to the state, then to the numbers."""
        motion, xi, size = self.motion, self.motion.eigenvalues, self.motion.eigenvalues.size
        apart, short = state[:size], state[size:]
        values, rates = self._rates(state)
        _, gradient_square, slope_square, restoring, mismatch = values
        kick = gradient_square + motion.noise_variance * slope_square
        driven = -2.0 * (restoring * apart - mismatch * short), mismatch * motion.energies - restoring * short

        def pull(costate: Array) -> Array:
            on_apart, on_short = costate[:size], costate[size:]
            kicked = xi * on_apart * motion.multiplicities
            on_restoring = -float((2.0 * apart * on_apart + short * on_short) @ xi)
            on_mismatch = float((2.0 * short * on_apart + motion.energies * on_short) @ xi)
            on_kick = motion.step_size * float(xi @ kicked)
            weights = np.array([0.0, on_kick, on_kick * motion.noise_variance, on_restoring, on_mismatch])
            on_signal, on_aparts, on_shorts, *on_parameters = weights @ rates
            return np.concatenate(
                [
                    on_aparts - 2.0 * restoring * xi * on_apart,
                    on_shorts + xi * (2.0 * mismatch * on_apart - restoring * on_short),
                    driven[0] * on_apart + driven[1] * on_short + 2.0 * motion.step_size * kick * kicked,
                    motion.step_size * kick * xi * xi * on_apart,
                    on_signal + mismatch * xi * on_short,
                    [kick * float(xi @ kicked), on_kick * slope_square],
                    on_parameters,
                ]
            )

        return pull
