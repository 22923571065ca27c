"""From a request and its solution to the exact derivatives of ``test_error`` by everything continuous in it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from theory.derivatives import inputs, kernels, learners
from theory.derivatives.dual import Dual, Vector
from theory.derivatives.equivalents import Equivalent, ModalEquivalent, Solved, Table
from theory.equivalents.modal import ModalEquivalent as PlainModal
from theory.equivalents.point import Point
from workers.answers import Answer, Built
from workers.directions import Directions, directions_of
from workers.inputs import inputs_of
from workers.refusals import Unsupported

Gradient = dict[str, float | None]

COVARIANCES: dict[str, Callable[..., inputs.Spectrum]] = {
    "isotropic": inputs.isotropic,
    "discrete": inputs.discrete,
    "power_law": inputs.power_law,
    "spiked": inputs.spiked,
    "ar1": inputs.ar1,
    "explicit": inputs.explicit,
}
KERNELS: dict[str, Callable[..., kernels.LinearCoefficients]] = {
    "rbf": kernels.rbf,
    "polynomial": kernels.polynomial,
    "laplace": kernels.laplace,
    "exponential": kernels.exponential,
}


def gradient_of(request: PredictionRequest, built: Built, answer: Answer) -> Gradient:
    """Differentiate the test error of a request that was answered.

    Args:
        request: as it was asked.
        built: what was solved.
        answer: what was found.

    Returns:
        Derivatives by dotted path, None where there is none: the error is not finite there, or has a kink.

    Raises:
        Unsupported: derivatives of this combination are not known.
    """
    differentiate = LEARNERS.get((request.model.learner.kind, request.regime.kind))
    if differentiate is None or request.model.features.kind not in FEATURES:
        raise _unsupported(request)
    directions = directions_of(request, n_unknowns=2)
    if answer.status != "converged":
        return dict.fromkeys(directions.paths)
    with np.errstate(all="ignore"):
        error = differentiate(request, built, directions)
    values = error.tangent[: len(directions.paths)].tolist()
    return {
        path: value + 0.0 if -np.inf < value < np.inf else None
        for path, value in zip(directions.paths, values, strict=True)
    }


def _unsupported(request: PredictionRequest) -> Unsupported:
    features, learner, regime = request.model.features.kind, request.model.learner.kind, request.regime.kind
    return Unsupported(
        "/include",
        f"'gradient' is not available for features.kind = '{features}', learner.kind = '{learner}' and regime.kind ="
        f" '{regime}' yet; leave it out",
    )


def _fields(part: Any) -> dict[str, Any]:
    return {name: value for name, value in part.__dict__.items() if name != "kind"}


def _spectrum(request: PredictionRequest, directions: Directions) -> tuple[inputs.Spectrum, Vector]:
    """Return the spectrum of the inputs and the energies of the target's linear part."""
    regime: Any = directions.regime
    plain, _ = inputs_of(request.regime)  # type: ignore[arg-type]
    covariance, target = regime.covariance, regime.target
    spectrum = COVARIANCES[covariance.kind](directions.space, plain, regime.n_features, **_fields(covariance))
    alignment = target.alignment
    if alignment.kind == "isotropic":
        energies = inputs.isotropic_target(spectrum, signal_variance=target.signal_variance)
    elif alignment.kind == "source":
        energies = inputs.source(
            spectrum,
            signal_variance=target.signal_variance,
            exponent=alignment.exponent,
            covariance_exponent=covariance.exponent,
        )
    else:
        energies = inputs.energies(spectrum, signal_variance=target.signal_variance, values=alignment.values)
    return spectrum, energies


def _equivalent(request: PredictionRequest, directions: Directions) -> Equivalent:
    """Return the equivalent of a request's features on labels that are numbers."""
    regime, model = directions.regime, directions.model
    if regime.kind == "eigenspectrum":
        return FEATURES[model.features.kind].of_modes(model.features, _listed(directions))
    spectrum, energies = _spectrum(request, directions)
    return FEATURES[model.features.kind].of_inputs(
        model.features,
        spectrum,
        energies,
        noise_variance=regime.noise_variance,
        nonlinear_variance=regime.target.nonlinear_variance,
        mean=regime.target.mean,
        fit_intercept=model.fit_intercept,
    )


def _listed(directions: Directions) -> Table:
    """Return the mode table that a regime lists."""
    regime, space = directions.regime, directions.space
    multiplicities = regime.multiplicities
    return Table(
        space=space,
        eigenvalues=regime.eigenvalues,
        multiplicities=space.constants(np.ones(regime.eigenvalues.value.size))
        if multiplicities is None
        else multiplicities,
        energies=regime.energies,
        tail_trace=regime.tail_trace,
        noise_variance=regime.noise_variance,
        n_unpenalised=int(directions.model.fit_intercept),
    )


class _FeatureMap:
    """How features of a kind are built, on inputs and on modes."""

    def __init__(self, of_inputs: Callable[..., Equivalent], of_modes: Callable[..., Equivalent] | None = None) -> None:
        self.of_inputs, self._of_modes = of_inputs, of_modes

    def of_modes(self, features: Any, table: Table) -> Equivalent:
        """Return the equivalent of features of modes."""
        assert self._of_modes is not None
        return self._of_modes(features, table)


def _linear(_: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return ModalEquivalent(table=inputs.linear_table(spectrum, energies, **target))


def _projection(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return ModalEquivalent(table=inputs.linear_table(spectrum, energies, **target), width=features.width)


def _kernel(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    kernel = features.kernel
    linearised = partial(KERNELS[kernel.kind], **_fields(kernel))
    return kernels.kernel_features(spectrum, energies, linearised=linearised, **target)


FEATURES = {
    "linear": _FeatureMap(_linear, lambda _, table: ModalEquivalent(table=table)),
    "random_projection": _FeatureMap(
        _projection, lambda features, table: ModalEquivalent(table=table, width=features.width)
    ),
    "kernel": _FeatureMap(_kernel),
}


def _ridge(request: PredictionRequest, built: Built, directions: Directions) -> Dual:
    learner: Any = request.model.learner
    assert built.equivalent is not None
    point = built.equivalent.solve(request.regime.n_samples, learner.penalty)
    return learners.ridge(
        _equivalent(request, directions),
        point,
        _solved(built, point),
        n_samples=directions.regime.n_samples,
        penalty=directions.model.learner.penalty,
    )


def _solved(built: Built, point: Point) -> Solved:
    """Return the ridges of a solved point."""
    assert isinstance(built.equivalent, PlainModal)
    return Solved(outer=point.outer_ridge, inner=(point.target_ridge,))


LEARNERS: dict[tuple[str, str], Callable[[PredictionRequest, Built, Directions], Dual]] = {
    ("ridge", "regression"): _ridge,
    ("ridge", "eigenspectrum"): _ridge,
}
