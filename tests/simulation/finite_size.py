"""From a request on the wire to the same problem at finite size, and how far apart theory and simulation are.

The allowance beside the standard error is not fitted to the draws: it is what the theory itself changes by when two samples
are taken away, and one part in n.
"""

import json
from functools import cache
from itertools import count, islice
from typing import Any

import numpy as np

from api_schemas.prediction import Prediction, PredictionRequest
from simulation import Moments, Problem, draw_training_set, simulate
from simulation.devices import stream
from workers.finite import LEARNERS, QUANTITIES, features_of, regime_of
from workers.inputs import parameters_of
from workers.predictions import predict
from workers.registry import CLASSES

SEEDS = (0, 1, 2)
N_TEST = 500
"""Fresh inputs a replicate: about as much scatter as its training set brings, at a bearable cost for kernels."""
STANDARD_ERRORS = 3.5

Request = dict[str, Any]


def problem_of(request: Request) -> Problem:
    valid = PredictionRequest.model_validate(request)
    model = valid.model
    return Problem(
        regime=regime_of(valid.regime),
        features=features_of(model.features),
        learner=LEARNERS[model.learner.kind](**parameters_of(model.learner)),
        n_samples=int(valid.regime.n_samples),
        fit_intercept=model.fit_intercept,
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


@cache
def answered(request: str) -> Prediction:
    return predict(PredictionRequest.model_validate_json(request))


def predicted(request: Request, fewer: int = 0) -> dict[str, float]:
    """What the theory says of every quantity that it knows, with so many samples less."""
    regime = request["regime"]
    changed = {**request, "regime": {**regime, "n_samples": regime["n_samples"] - fewer}}
    answer = answered(json.dumps(changed))
    assert answer.status == "converged"
    return {name: getattr(answer, name) for name in QUANTITIES if getattr(answer, name) is not None}


def simulated(request: Request, replicates: int, *, given_shares: bool = False) -> dict[str, Moments]:
    """Moments of the same quantities over so many replicates of every seed.

    Args:
        request: what to simulate.
        replicates: of every seed.
        given_shares: take replicates whose training set has as many positive samples as the regime says, to one.
    """
    names, problem = predicted(request), problem_of(request)
    totals = dict.fromkeys(names, Moments())
    for seed in SEEDS:
        chosen = (number for number in count() if not given_shares or has_given_shares(problem, seed, number))
        for number in islice(chosen, replicates):
            samples = simulate(problem, replicates=1, seed=seed, first_replicate=number, n_test=N_TEST)
            totals = {name: totals[name].merge(Moments.of(getattr(samples, name))) for name in names}
    return totals


def has_given_shares(problem: Problem, seed: int, replicate: int) -> bool:
    regime: Any = problem.regime
    labels = draw_training_set(problem, stream(seed, replicate)).labels
    expected = problem.n_samples * regime.positive_fraction
    return bool(abs(np.sum(labels > 0.0) - expected) <= 1.0)


def standard_errors_off(request: Request, quantity: str, moments: Moments) -> float:
    """Distance from theory to simulation beyond the allowance, in standard errors; its sign that of the simulation's."""
    value, fewer = predicted(request)[quantity], predicted(request, fewer=2)[quantity]
    allowance = abs(fewer - value) + abs(value) / request["regime"]["n_samples"]
    gap = moments.mean - value
    assert np.isfinite(gap), f"{quantity}: {moments.mean} for {value}"
    # Residuals of an interpolator are rounding, where the theory says 0.
    beyond = max(abs(gap) - allowance - 1e-20, 0.0)
    return float(np.sign(gap) * beyond / scatter(request, quantity, moments, value)) if beyond > 0.0 else 0.0


def scatter(request: Request, quantity: str, moments: Moments, value: float) -> float:
    """Standard error; of mistakes in training, which are counted, at least that of as rare ones as the theory expects."""
    if quantity != "train_error" or request["regime"]["kind"] not in CLASSES:
        return moments.standard_error
    return max(moments.standard_error, float(np.sqrt(value / (request["regime"]["n_samples"] * moments.count))))


def assert_agreement(request: Request, replicates: int, **options: bool) -> None:
    for quantity, moments in simulated(request, replicates, **options).items():
        off = standard_errors_off(request, quantity, moments)
        assert abs(off) <= STANDARD_ERRORS, f"{quantity}: {moments.mean} for {predicted(request)[quantity]}"
