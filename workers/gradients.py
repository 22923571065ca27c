"""From a request and its solution to the exact derivatives of ``test_error`` by everything continuous in it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from api_schemas.features import KernelFeatures
from api_schemas.prediction import PredictionRequest
from theory.activations import Activation, activation
from theory.derivatives import blocks, inputs, kernels, layered, learners
from theory.derivatives.dual import Dual, Vector
from theory.derivatives.equivalents import Equivalent, ModalEquivalent, Solved, Table
from theory.derivatives.gradient_methods import FAR, Filter, at_rest, descent_filter, flow_filter, moments
from theory.derivatives.sphere import sphere
from theory.equivalents.blocks import BlockEquivalent
from theory.equivalents.point import Continued, Point
from theory.equivalents.point import Equivalent as PlainEquivalent
from theory.equivalents.population import ABUNDANT, trace_of
from theory.learners.filtered import Contours
from theory.learners.gradient_methods import Problem, descent_contours, flow_contours
from workers.answers import Answer, Built
from workers.directions import Directions, directions_of
from workers.inputs import inputs_of
from workers.features import kernel_of
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
WIDE: dict[str, Callable[..., kernels.LinearCoefficients]] = {
    "ck": kernels.conjugate,
    "ntk": kernels.neural_tangent,
}
"""Kernels of networks of infinite width."""


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
    directions = directions_of(request, n_unknowns=3)
    if answer.status != "converged":
        return dict.fromkeys(directions.paths)
    with np.errstate(all="ignore"):
        error = differentiate(request, built, answer, directions)
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


def _equivalent(request: PredictionRequest, built: Built, directions: Directions) -> Equivalent:
    """Return the equivalent of a request's features on labels that are numbers."""
    regime, model = directions.regime, directions.model
    if regime.kind == "eigenspectrum":
        return FEATURES[model.features.kind].of_modes(model.features, _listed(directions))
    if regime.kind == "sphere":
        return _on_sphere(request, built, directions)
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


def _on_sphere(request: PredictionRequest, built: Built, directions: Directions) -> Equivalent:
    """Return the equivalent of a kernel on the sphere."""
    regime, kernel, features = directions.regime, directions.model.features.kernel, request.model.features
    if kernel.kind in WIDE:
        raise Unsupported(
            "/include",
            f"'gradient' is not available for kernel.kind = '{kernel.kind}' with regime.kind = 'sphere' yet; leave it out",
        )
    [parameter] = (value for value in _fields(kernel).values() if isinstance(value, Dual))
    assert isinstance(features, KernelFeatures)
    return sphere(
        directions.space,
        _plain(built).tables[0],
        regime.degree_energies,
        kernel=kernel_of(features.kernel),
        parameter=parameter,
        dimension=int(regime.n_features),
        noise_variance=regime.noise_variance,
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
    if kernel.kind in WIDE:
        linearised = partial(WIDE[kernel.kind], layers=_layers(kernel.layers))
    else:
        linearised = partial(KERNELS[kernel.kind], **_fields(kernel))
    return kernels.kernel_features(spectrum, energies, linearised=linearised, **target)


def _random_features(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return layered.random_features(spectrum, energies, layers=_layers(features.layers), **target)


def _layers(layers: list[Any]) -> list[layered.Layer]:
    """Return the layers that a request names."""
    return [
        layered.Layer(
            activation=_activation(layer.activation),
            weight_variance=layer.weight_variance,
            bias_variance=layer.bias_variance,
            width=getattr(layer, "width", np.inf),
            parameters=tuple(_fields(layer.activation).values()) if not isinstance(layer.activation, str) else (),
        )
        for layer in layers
    ]


def _activation(chosen: Any) -> Activation:
    if isinstance(chosen, str):
        return activation(chosen)
    return activation(chosen.kind, **{name: value.value for name, value in _fields(chosen).items()})


def _random_fourier(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return blocks.random_fourier(
        spectrum, energies, frequencies=features.frequencies, length_scale=features.length_scale, **target
    )


FEATURES = {
    "linear": _FeatureMap(_linear, lambda _, table: ModalEquivalent(table=table)),
    "random_projection": _FeatureMap(
        _projection, lambda features, table: ModalEquivalent(table=table, width=features.width)
    ),
    "random_features": _FeatureMap(_random_features),
    "random_fourier": _FeatureMap(_random_fourier),
    "kernel": _FeatureMap(_kernel),
}


def _ridge(request: PredictionRequest, built: Built, _: Answer, directions: Directions) -> Dual:
    learner: Any = request.model.learner
    point = _plain(built).solve(request.regime.n_samples, learner.penalty)
    return learners.ridge(
        _equivalent(request, built, directions),
        point,
        _solved(built, point),
        n_samples=directions.regime.n_samples,
        penalty=directions.model.learner.penalty,
    )


def _solved(built: Built, point: Point) -> Solved:
    """Return the ridges of a solved point."""
    plain = _plain(built)
    inner = plain.inner_ridges(point.outer_ridge) if isinstance(plain, BlockEquivalent) else (point.target_ridge,)
    return Solved(outer=point.outer_ridge, inner=inner)


def _solved_continued(found: Continued) -> Solved:
    """Return the ridges at complex penalties."""
    return Solved(outer=found.ridge, inner=tuple(share.ridge for share in found.shares))


def _gradient_method(request: PredictionRequest, built: Built, answer: Answer, directions: Directions) -> Dual:
    learner: Any = directions.model.learner
    n_samples, equivalent = directions.regime.n_samples, _equivalent(request, built, directions)
    plain, space = _plain(built), directions.space
    problem = Problem.of(plain, n_samples.value, learner.penalty.value)
    available = n_samples - float(plain.n_unpenalised)
    share = available / n_samples
    plan, changing = _filtered(problem, learner, answer, share)
    if plan is None:
        far = FAR * trace_of(plain)
        time = getattr(learner, "time", None)
        solved = _solved(built, plain.solve(ABUNDANT, far))
        return at_rest(equivalent, solved, time=time, share=share, space=space) / share
    found = moments(
        equivalent,
        _solved_continued,
        problem,
        plan,
        changing,
        available=available,
        penalty=learner.penalty * n_samples / available,
    )
    return found.test_error / share


def _filtered(problem: Problem, learner: Any, answer: Answer, share: Any) -> tuple[Contours | None, Filter | None]:
    """Return the contours at the time asked for, and how the filter depends on it."""
    if learner.kind == "gradient_flow":
        plan = flow_contours(problem, learner.time.value)
        settled = learner.time.value * problem.share >= problem.last_time
        return plan, None if settled else flow_filter(learner.time * share)
    assert answer.critical_step_size is not None
    plan = descent_contours(
        problem, learner.steps, step_size=learner.step_size.value, bound=answer.critical_step_size
    )
    settled = plan is not None and plan.time == problem.last_time
    return plan, None if settled else descent_filter(learner.step_size * share, learner.steps)


def _plain(built: Built) -> PlainEquivalent:
    assert built.equivalent is not None
    return built.equivalent


LEARNERS: dict[tuple[str, str], Callable[[PredictionRequest, Built, Answer, Directions], Dual]] = {
    **{("ridge", regime): _ridge for regime in ("regression", "eigenspectrum", "sphere")},
    **{("gradient_flow", regime): _gradient_method for regime in ("regression", "eigenspectrum", "sphere")},
    **{("gradient_descent", regime): _gradient_method for regime in ("regression", "eigenspectrum", "sphere")},
}
