"""Networks whose features are trained, by one pass of stochastic gradient descent on the labels of another network."""

from typing import Any

import numpy as np

import theory
from api_schemas.features import TwoLayerFeatures
from api_schemas.prediction import PredictionRequest
from api_schemas.regime import TeacherNetworkRegime
from theory import Spectrum
from theory.equivalents.point import phase_of
from theory.learners.committee import predict_committee
from theory.learners.networks import TeacherNetwork, TwoLayerStudent, typical_overlaps
from theory.learners.single_index import predict_single_index
from theory.namespace import single
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE
from workers.answers import Answer, Built
from workers.features import activation_of
from workers.refusals import Refused, Unsupported

COMMITTEE_SCALE = 2.0
"""erf(sqrt(a) w.x / sqrt(d)) is the erf(v.x / sqrt(2 d)) of a committee machine at v = sqrt(2 a) w."""
MOST_OVERLAPS = 4096
"""Numbers that are followed: hidden units times all units times distinct eigenvalues."""


def sgd(request: PredictionRequest, built: Built) -> Answer:
    """One pass of stochastic gradient descent of a network on another's labels."""
    features: Any = request.model.features
    regime: Any = request.regime
    spectrum = built.spectrum
    assert spectrum is not None
    if request.model.fit_intercept:
        raise Unsupported(
            "/model/fit_intercept", "must be false: networks in the teacher_network regime have no intercept"
        )
    followed = features.hidden_units * (features.hidden_units + regime.hidden_units) * spectrum.eigenvalues.size
    if followed > MOST_OVERLAPS:
        raise Refused(
            "/regime/covariance",
            f"{spectrum.eigenvalues.size} distinct eigenvalues times the pairs of hidden units are {followed} overlaps to"
            f" follow, and one request may ask for {MOST_OVERLAPS}; group the eigenvalues",
        )
    if features.activation == regime.activation == "erf":
        return _committee(request, features, regime, spectrum)
    if features.hidden_units > 1 or regime.hidden_units > 1:
        raise Unsupported(
            "/model/features/activation",
            "several hidden units have a theory for the activation erf in student and teacher alone; with one hidden unit in"
            " each any continuous activation will do",
        )
    return _single_index(request, features, regime, spectrum)


def _committee(
    request: PredictionRequest, features: TwoLayerFeatures, regime: TeacherNetworkRegime, spectrum: Spectrum
) -> Answer:
    learner: Any = request.model.learner
    own, taught = COMMITTEE_SCALE * features.weight_variance, COMMITTEE_SCALE * regime.weight_variance
    units = np.eye(regime.hidden_units) if regime.overlaps is None else _table("/regime/overlaps", regime.overlaps)
    teacher = TeacherNetwork(
        hidden_units=regime.hidden_units,
        spectrum=spectrum,
        readout=1.0 if regime.readout is None else regime.readout,
        overlaps=taught * units,
        noise_variance=regime.noise_variance,
    )
    student = TwoLayerStudent(
        hidden_units=features.hidden_units,
        step_size=own * learner.step_size,
        readout=1.0 if features.readout is None else features.readout,
        readout_step_size=features.readout_step_size,
        initial_variance=own * features.initial_variance,
        initial_overlaps=_scaled("initial_overlaps", features.initial_overlaps, (own * taught) ** 0.5),
        initial_self_overlaps=_scaled("initial_self_overlaps", features.initial_self_overlaps, own),
    )
    found = predict_committee(student, teacher, regime.n_samples, record=bool(request.include))
    return Answer.of(
        found,
        network={
            "self_overlaps": (found.self_overlaps / own).tolist(),
            "overlaps": (found.overlaps / (own * taught) ** 0.5).tolist(),
            "readout": found.readout.tolist(),
            "specialisation": found.specialisation,
        },
        phase=_phase(features, regime),
    )


def _single_index(
    request: PredictionRequest, features: TwoLayerFeatures, regime: TeacherNetworkRegime, spectrum: Spectrum
) -> Answer:
    learner: Any = request.model.learner
    for place, readout in (("/model/features", features.readout), ("/regime", regime.readout)):
        if readout is not None and readout != [1.0]:
            raise Unsupported(f"{place}/readout", f"must be [1] for other activations than erf, got {readout}")
    if features.readout_step_size > 0.0:
        raise Unsupported(
            "/model/features/readout_step_size", "must be 0 for other activations than erf: the read-out is not trained"
        )
    n_features = float(regime.n_features)
    taught = 1.0 if regime.overlaps is None else _single("/regime/overlaps", regime.overlaps)
    if not taught > 0.0:
        raise Refused("/regime/overlaps", f"the teacher's weights must have a positive square, got {taught:g}")
    square, overlap = _start(features, taught, n_features)
    per_input = spectrum.eigenvalues / n_features
    # Weights in directions in which inputs do not vary stay where they are, and do not matter.
    still = square * float(np.sum(spectrum.multiplicities[spectrum.eigenvalues == 0.0]))
    modes = theory.Modes(
        eigenvalues=features.weight_variance * per_input,
        multiplicities=spectrum.multiplicities,
        energies=taught * regime.weight_variance * per_input * spectrum.multiplicities,
        noise_variance=regime.noise_variance,
    )
    found = predict_single_index(
        modes,
        regime.n_samples,
        learner.step_size,
        activation=activation_of(features.activation),
        teacher_activation=activation_of(regime.activation),
        initial_norm_squared=square * n_features - still,
        initial_overlap=overlap,
        record=bool(request.include),
    )
    return Answer.of(found, estimator_norm_squared=found.norm_squared + still, phase=_phase(features, regime))


def _start(features: TwoLayerFeatures, taught: float, n_features: float) -> tuple[float, float]:
    """Return ``||w||^2 / d`` and the cosine with the teacher's weights, of ``||w*||^2 / d = taught``, at the start."""
    square = features.initial_variance
    if features.initial_self_overlaps is not None:
        square = _single("/model/features/initial_self_overlaps", features.initial_self_overlaps)
    if features.initial_overlaps is None:
        return square, float(typical_overlaps(1, 1)[0, 0]) / n_features**0.5
    shared = _single("/model/features/initial_overlaps", features.initial_overlaps)
    size = (square * taught) ** 0.5
    if abs(shared) > size:
        raise Refused(
            "/model/features/initial_overlaps",
            f"an overlap of {shared:g} exceeds the root of the squares of the weights, {size:g}",
        )
    return square, shared / size if size > 0.0 else 0.0


def _single(pointer: str, table: list[list[float]]) -> float:
    values = _table(pointer, table)
    if values.shape != (1, 1):
        raise Refused(pointer, f"must be one row of one number, got {values.shape[0]} x {values.shape[1]}")
    return float(values[0, 0])


def _table(pointer: str, rows: list[list[float]]) -> Any:
    if len({len(row) for row in rows}) > 1 or not rows or not rows[0]:
        raise Refused(pointer, "its rows must have the same, positive number of entries")
    return np.array(rows, float)


def _scaled(name: str, rows: list[list[float]] | None, scale: float) -> Any:
    return None if rows is None else scale * _table(f"/model/features/{name}", rows)


def _phase(features: TwoLayerFeatures, regime: TeacherNetworkRegime) -> str:
    parameters = features.hidden_units * regime.n_features
    return str(phase_of(single, regime.n_samples, parameters, THRESHOLD_TOLERANCE))


def pointer_of(argument: str) -> str:
    """Return where in the request the argument is that the theory of networks refused."""
    if argument == "step_size":
        return "/model/learner/step_size"
    if argument in ("n_samples", "n_features", "covariance", "noise_variance", "overlaps", "teacher_activation"):
        return f"/regime/{'activation' if argument == 'teacher_activation' else argument}"
    if argument in ("initial_norm_squared", "initial_overlap"):
        return "/model/features/initial_overlaps"
    return f"/model/features/{argument}" if argument else "/model/features"


def in_words_of_the_wire(message: str) -> str:
    """Return a refusal of the theory with the names that fields have in a request."""
    return message.replace("initial_norm_squared", "initial_variance").replace("initial_overlap,", "initial_overlaps,")
