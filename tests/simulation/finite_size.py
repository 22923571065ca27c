"""From a request on the wire to the same problem at finite size, and how far apart theory and simulation are.

The allowance beside the standard error is not fitted to the draws: it is what the theory itself changes by when two samples
are taken away, and one part in n.
"""

from typing import Any

import numpy as np

import theory
from api_schemas.prediction import PredictionRequest
from simulation import (
    ConjugateKernel,
    DiscriminantAnalysis,
    Exponential,
    GaussianRegime,
    GradientDescent,
    GradientFlow,
    Hinge,
    InfiniteLayer,
    Laplace,
    Layer,
    LinearFeatures,
    Logistic,
    MixtureRegime,
    Moments,
    Polynomial,
    Problem,
    RandomFeatures,
    RandomFourier,
    RandomProjection,
    Rbf,
    Ridge,
    SphereRegime,
    TangentKernel,
    TeacherRegime,
    directions,
    simulate,
)
from theory.activations import Activation, activation
from workers.predictions import predict

SEEDS = (0, 1, 2)
N_TEST = 500
"""Fresh inputs a replicate: about as much scatter as its training set brings, at a bearable cost for kernels."""
STANDARD_ERRORS = 3.5

Request = dict[str, Any]


# From the wire to a problem of finite size.

FEATURES = {
    "linear": LinearFeatures,
    "random_features": RandomFeatures,
    "random_fourier": RandomFourier,
    "random_projection": RandomProjection,
    "rbf": Rbf,
    "polynomial": Polynomial,
    "laplace": Laplace,
    "exponential": Exponential,
    "ck": ConjugateKernel,
    "ntk": TangentKernel,
}
LEARNERS = {
    "ridge": Ridge,
    "gradient_flow": GradientFlow,
    "gradient_descent": GradientDescent,
    "logistic": Logistic,
    "hinge": Hinge,
    "lda": DiscriminantAnalysis,
}


def parameters_of(part: Any) -> dict[str, Any]:
    return {name: value for name, value in part.__dict__.items() if name != "kind"}


def activation_of(part: Any) -> Activation:
    return activation(part) if isinstance(part, str) else activation(part.kind, **parameters_of(part))


def features_of(features: Any) -> Any:
    part = features.kernel if features.kind == "kernel" else features
    fields = parameters_of(part)
    if "layers" in fields:
        row = InfiniteLayer if features.kind == "kernel" else Layer
        fields["layers"] = [
            row(**{**layer.__dict__, "activation": activation_of(layer.activation)}) for layer in part.layers
        ]
    return FEATURES[part.kind](**fields)


def learner_of(learner: Any) -> Any:
    return LEARNERS[learner.kind](**parameters_of(learner))


def regime_of(regime: Any) -> Any:
    if regime.kind == "sphere":
        return SphereRegime(
            n_features=regime.n_features,
            degree_energies=regime.degree_energies,
            noise_variance=regime.noise_variance,
        )
    if regime.kind == "eigenspectrum":
        counts = (
            np.ones(len(regime.eigenvalues), int)
            if regime.multiplicities is None
            else np.asarray(regime.multiplicities, int)
        )
        return GaussianRegime(
            eigenvalues=np.repeat(regime.eigenvalues, counts),
            energies=np.repeat(np.asarray(regime.energies) / counts, counts),
            noise_variance=regime.noise_variance,
            tail_trace=regime.tail_trace,
        )
    spectrum = getattr(theory.covariance, regime.covariance.kind)(regime.n_features, **parameters_of(regime.covariance))
    if regime.kind == "mixture":
        eigenvalues, mean_shares = directions(spectrum, mean_shares_of(regime, spectrum))
        return MixtureRegime(
            eigenvalues=eigenvalues, mean_shares=mean_shares, positive_fraction=regime.positive_fraction
        )
    target = regime.target
    shares = getattr(theory.target, target.alignment.kind)(
        spectrum, signal_variance=target.signal_variance, **parameters_of(target.alignment)
    )
    eigenvalues, energies = directions(spectrum, shares)
    drawn = {"eigenvalues": eigenvalues, "energies": energies, "noise_variance": regime.noise_variance}
    if regime.kind == "teacher_classification":
        return TeacherRegime(link=regime.link, **drawn)
    return GaussianRegime(nonlinear_variance=target.nonlinear_variance, mean=target.mean, **drawn)


def mean_shares_of(regime: Any, spectrum: theory.Spectrum) -> np.ndarray:
    """Squares of the class mean, one an entry of the spectrum: even, or as given."""
    shares = spectrum.multiplicities
    if regime.mean_alignment.kind == "energies":
        shares = np.asarray(regime.mean_alignment.values, float)
    return regime.mean_norm**2 * shares / np.sum(shares)


def problem_of(request: Request) -> Problem:
    valid = PredictionRequest.model_validate(request)
    return Problem(
        regime=regime_of(valid.regime),
        features=features_of(valid.model.features),
        learner=learner_of(valid.model.learner),
        n_samples=valid.regime.n_samples,
        fit_intercept=valid.model.fit_intercept,
    )


# Requests, briefly.

TWO_ATOMS = {"kind": "discrete", "eigenvalues": [0.5, 2.0], "weights": [0.6, 0.4]}


def regression(
    n_samples: int, n_features: int = 150, covariance: Request | None = None, noise_variance: float = 0.2, **target: Any
) -> Request:
    regime: Request = {
        "kind": "regression",
        "n_samples": n_samples,
        "n_features": n_features,
        "noise_variance": noise_variance,
        "target": {"signal_variance": 1.0, **target},
    }
    return regime | ({"covariance": covariance} if covariance else {})


def layer(kind: Any, width: int, weight_variance: float = 1.0, bias_variance: float = 0.0) -> Request:
    return infinite(kind, weight_variance, bias_variance) | {"width": width}


def infinite(kind: Any, weight_variance: float = 1.0, bias_variance: float = 0.0) -> Request:
    return {"activation": kind, "weight_variance": weight_variance, "bias_variance": bias_variance}


def network(*layers: Request) -> Request:
    return {"kind": "random_features", "layers": list(layers)}


def kernel(kind: str, **parameters: Any) -> Request:
    return {"kind": "kernel", "kernel": {"kind": kind, **parameters}}


def case(features: Request, regime: Request, learner: Request, *, fit_intercept: bool = False) -> Request:
    return {
        "model": {"features": features, "learner": learner, "fit_intercept": fit_intercept},
        "regime": regime,
    }


# Theory beside simulation.


def predicted(request: Request, fewer: int = 0) -> dict[str, float]:
    """What the theory says of every quantity that it knows, with so many samples less."""
    regime = request["regime"]
    changed = {**request, "regime": {**regime, "n_samples": regime["n_samples"] - fewer}}
    answer = predict(PredictionRequest.model_validate(changed))
    assert answer.status == "converged"
    names = ("test_error", "excess_risk", "train_error", "test_loss", "train_loss", "estimator_norm_squared")
    return {name: getattr(answer, name) for name in names if getattr(answer, name) is not None}


def simulated(request: Request, replicates: int) -> dict[str, Moments]:
    """Moments of the same quantities over so many replicates of every seed."""
    names = predicted(request)
    totals = dict.fromkeys(names, Moments())
    for seed in SEEDS:
        samples = simulate(problem_of(request), replicates=replicates, seed=seed, n_test=N_TEST)
        totals = {name: totals[name].merge(Moments.of(getattr(samples, name))) for name in names}
    return totals


def standard_errors_off(request: Request, quantity: str, moments: Moments) -> float:
    """Distance from theory to simulation beyond the allowance, in standard errors; its sign that of the simulation's."""
    value, fewer = predicted(request)[quantity], predicted(request, fewer=2)[quantity]
    allowance = abs(fewer - value) + abs(value) / request["regime"]["n_samples"]
    gap = moments.mean - value
    # Residuals of an interpolator are rounding, where the theory says 0.
    return float(np.sign(gap) * max(abs(gap) - allowance - 1e-20, 0.0) / moments.standard_error)


def assert_agreement(request: Request, replicates: int) -> None:
    for quantity, moments in simulated(request, replicates).items():
        off = standard_errors_off(request, quantity, moments)
        assert abs(off) <= STANDARD_ERRORS, f"{quantity}: {moments.mean} for {predicted(request)[quantity]}"
