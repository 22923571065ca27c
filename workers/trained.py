"""From a request of a trained network and the way that it took to the exact derivatives of its test error."""

from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from theory.derivatives.committee import Numbers, committee
from theory.derivatives.dual import Dual, Space, Vector, chained, value_of
from theory.derivatives.gathered import gathered, still, total_of_still
from theory.derivatives.single_index import Numbers as NeuronNumbers
from theory.derivatives.single_index import single_index
from theory.learners.committee import Motion
from theory.learners.networks import typical_overlaps
from theory.learners.trajectories import FEW
from workers.answers import Answer, Built
from workers.differentiable import spectrum_of
from workers.directions import Directions
from workers.networks import COMMITTEE_SCALE

Rows = list[list[Any]]


def trained(request: PredictionRequest, _: Built, answer: Answer, directions: Directions) -> Dual:
    """Differentiate the test error of a network that was trained by SGD."""
    motion, followed = answer.followed
    if isinstance(motion, Motion):
        return committee(motion, followed, _of_committee(request, directions), answer.test_error)
    return single_index(motion, followed, _of_neuron(request, directions), answer.test_error)


def _of_committee(request: PredictionRequest, directions: Directions) -> Numbers:
    features, regime, space = directions.model.features, directions.regime, directions.space
    spectrum = spectrum_of(request, directions)
    eigenvalues, counts = gathered(space, spectrum.eigenvalues, spectrum.multiplicities)
    if (zero := still(spectrum.eigenvalues, spectrum.multiplicities)) is not None:
        eigenvalues = eigenvalues.followed_by(zero)
        counts = counts.followed_by(total_of_still(spectrum.eigenvalues, spectrum.multiplicities))
    own, taught = COMMITTEE_SCALE * features.weight_variance, COMMITTEE_SCALE * regime.weight_variance
    students, teachers = features.hidden_units, regime.hidden_units
    of_teacher = _scaled(_table(regime.overlaps) or np.eye(teachers).tolist(), taught)
    if features.initial_self_overlaps is None:
        of_students = _scaled(np.eye(students).tolist(), own * features.initial_variance)
    else:
        of_students = _scaled(_table(features.initial_self_overlaps), own)
    if features.initial_overlaps is None:
        typical = typical_overlaps(students, teachers)
        shared = [
            [
                _root(of_students[k][k] * of_teacher[n][n] / spectrum.n_inputs) * float(typical[k, n])
                for n in range(teachers)
            ]
            for k in range(students)
        ]
    else:
        shared = _scaled(_table(features.initial_overlaps), _root(own * taught))
    return Numbers(
        eigenvalues=eigenvalues,
        shares=counts * (1.0 / spectrum.n_inputs),
        start=_array(space, [[*one, *other] for one, other in zip(of_students, shared, strict=True)]),
        taught=_array(space, of_teacher),
        readout=_readout(space, features.readout, students),
        teacher_readout=_readout(space, regime.readout, teachers),
        step_size=own * directions.model.learner.step_size,
        readout_step_size=features.readout_step_size,
        noise_variance=regime.noise_variance,
        time=regime.n_samples / spectrum.n_inputs,
    )


def _of_neuron(request: PredictionRequest, directions: Directions) -> NeuronNumbers:
    features, regime, space = directions.model.features, directions.regime, directions.space
    spectrum = spectrum_of(request, directions)
    per_input = spectrum.eigenvalues * (1.0 / spectrum.n_inputs)
    eigenvalues, counts = per_input * features.weight_variance, spectrum.multiplicities
    of_teacher: Any = 1.0
    if regime.overlaps is not None:
        [[of_teacher]] = _table(regime.overlaps)
    taught = regime.weight_variance * of_teacher
    energies = per_input * counts * taught
    if eigenvalues.value.size > FEW:
        eigenvalues, counts, energies = _two_rules(space, eigenvalues, counts, energies)
    square = features.initial_variance
    if features.initial_self_overlaps is not None:
        [[square]] = _table(features.initial_self_overlaps)
    if features.initial_overlaps is None:
        cosine = float(typical_overlaps(1, 1)[0, 0])
        shared = _root(square * of_teacher / spectrum.n_inputs) * cosine
        across = square * (1.0 - cosine**2 / spectrum.n_inputs)
    else:
        [[shared]] = _table(features.initial_overlaps)
        across = square - shared * shared / of_teacher
    return NeuronNumbers(
        eigenvalues=eigenvalues,
        multiplicities=counts,
        energies=energies,
        along=shared / of_teacher * _root(features.weight_variance / regime.weight_variance),
        across=across,
        step_size=directions.model.learner.step_size,
        noise_variance=regime.noise_variance,
        n_samples=regime.n_samples,
        parameters=[*_parameters(features.activation), *_parameters(regime.activation)],
    )


def _two_rules(space: Space, eigenvalues: Vector, counts: Vector, energies: Vector) -> tuple[Vector, Vector, Vector]:
    """Return the modes that stand for many: some with their multiplicities, others with their energies."""
    of_counts, loads = gathered(space, eigenvalues, counts)
    of_energies, squares = gathered(space, eigenvalues, energies)
    found = (
        of_counts.followed_by(of_energies),
        loads.followed_by(space.constants(np.zeros(squares.value.size))),
        space.constants(np.zeros(loads.value.size)).followed_by(squares),
    )
    zero = still(eigenvalues, counts)
    if zero is None:
        return found
    others = zero, total_of_still(eigenvalues, counts), total_of_still(eigenvalues, energies)
    return tuple(one.followed_by(other) for one, other in zip(found, others, strict=True))  # type: ignore[return-value]


def _parameters(activation: Any) -> list[Dual]:
    return [] if isinstance(activation, str) else [one for one in vars(activation).values() if isinstance(one, Dual)]


def _table(rows: list[Vector] | None) -> Rows:
    """Return the entries of a table that a request lists."""
    return [] if rows is None else [[row.entry(place) for place in range(row.value.size)] for row in rows]


def _scaled(rows: Rows, scale: Dual) -> Rows:
    return [[scale * entry for entry in row] for row in rows]


def _array(space: Space, rows: Rows) -> Dual:
    """Return a table of numbers with derivatives as one."""
    shape = len(rows), len(rows[0])
    tangent = [one.tangent if isinstance(one, Dual) else np.zeros(space.size) for row in rows for one in row]
    return Dual(
        np.array([[value_of(one) for one in row] for row in rows], float), np.reshape(tangent, (*shape, space.size))
    )


def _readout(space: Space, given: Vector | None, count: int) -> Dual:
    return space.constant(np.ones(count)) if given is None else Dual(given.value, given.left.T @ given.right)


def _root(square: Dual) -> Dual:
    """Return the square root: at 0 its derivative is infinite, but only along what moves it."""
    value = float(np.sqrt(square.value))
    if value > 0.0:
        return chained(square, value, 0.5 / value)
    return Dual(value, np.where(square.tangent != 0.0, np.inf * np.sign(square.tangent), 0.0))
