"""Gradients beside the predictions they belong to: a row for each family of features and learners."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api_schemas.prediction import PredictionRequest
from benchmarks.report import Report, median_processor_seconds
from tests.datasets import DIABETES, DIGITS, keep_all
from workers.data_store import open_store
from workers.predictions import predict

GOAL = 3.0
"""Times the prediction that its gradient may cost."""
SIZES = {"n_samples": 800, "n_features": 400}
REGRESSION: dict[str, Any] = {"kind": "regression", **SIZES, "noise_variance": 0.25}
MIXTURE: dict[str, Any] = {"kind": "mixture", **SIZES}
RIDGE = {"kind": "ridge", "penalty": 0.1}
RELU = {"activation": "relu", "width": 600}
BIASED = {"activation": "relu", "width": 600, "bias_variance": 0.1}
LINEAR = {"kind": "linear"}
KERNEL = {"kind": "kernel", "kernel": {"kind": "rbf"}}
SPHERE = {"kind": "sphere", "n_samples": 800, "n_features": 24, "degree_energies": [0, 0.5, 0.5]}
NETWORK: dict[str, Any] = {"kind": "two_layer", "hidden_units": 2}
NEURON: dict[str, Any] = {"kind": "two_layer", "hidden_units": 1, "activation": "relu"}
TRAINED = {"kind": "sgd", "step_size": 0.5}
TEACHER: dict[str, Any] = {
    "kind": "teacher_network",
    "n_samples": 2000,
    "n_features": 200,
    "hidden_units": 2,
    "noise_variance": 0.1,
}
POWER_LAW = {"covariance": {"kind": "power_law", "exponent": 1.2}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "linear, ridge": (LINEAR, RIDGE, REGRESSION),
    "power law of 4,000 modes, ridge": (
        LINEAR,
        RIDGE,
        {**REGRESSION, "n_features": 4000, "covariance": {"kind": "power_law", "exponent": 1.5}},
    ),
    "random projection, ridge": ({"kind": "random_projection", "width": 300}, RIDGE, REGRESSION),
    "a layer, ridge": ({"kind": "random_features", "layers": [RELU]}, RIDGE, REGRESSION),
    "three layers with biases, ridge": ({"kind": "random_features", "layers": [BIASED] * 3}, RIDGE, REGRESSION),
    "random Fourier features, ridge": ({"kind": "random_fourier", "frequencies": 300}, RIDGE, REGRESSION),
    "kernel, ridge": (KERNEL, RIDGE, REGRESSION),
    "kernel on the sphere, ridge": (KERNEL, RIDGE, SPHERE),
    "ck of two layers on the sphere, ridge": (
        {"kind": "kernel", "kernel": {"kind": "ck", "layers": [{"activation": "relu", "bias_variance": 0.1}] * 2}},
        RIDGE,
        SPHERE,
    ),
    "ntk of two layers on the sphere, ridge": (
        {"kind": "kernel", "kernel": {"kind": "ntk", "layers": [{"activation": "erf", "bias_variance": 0.1}] * 2}},
        RIDGE,
        SPHERE,
    ),
    "two hidden units, sgd": (NETWORK, TRAINED, TEACHER),
    "two hidden units on a power law, sgd": (NETWORK, TRAINED, {**TEACHER, **POWER_LAW}),
    "eight hidden units, sgd": ({**NETWORK, "hidden_units": 8}, TRAINED, {**TEACHER, "hidden_units": 8}),
    "one relu, sgd": (NEURON, TRAINED, {**TEACHER, "hidden_units": 1, "activation": "relu"}),
    "one tanh on a power law, sgd": (
        {**NEURON, "activation": "tanh"},
        TRAINED,
        {**TEACHER, **POWER_LAW, "hidden_units": 1, "activation": "tanh"},
    ),
    "linear, gradient flow": (LINEAR, {"kind": "gradient_flow", "time": 10.0}, REGRESSION),
    "linear, gradient descent": (LINEAR, {"kind": "gradient_descent", "step_size": 0.1, "steps": 100}, REGRESSION),
    "linear, sgd": (LINEAR, {"kind": "sgd", "step_size": 0.001}, REGRESSION),
    "linear, ridge on classes": (LINEAR, RIDGE, MIXTURE),
    "linear, logistic": (LINEAR, {"kind": "logistic", "penalty": 0.01}, MIXTURE),
    "linear, hinge": (LINEAR, {"kind": "hinge", "penalty": 0.01}, MIXTURE),
    "linear, ridge on a data set": (LINEAR, RIDGE, {"kind": "dataset", "dataset_id": DIABETES, "n_samples": 150}),
    "a layer, ridge on a data set of classes": (
        {"kind": "random_features", "layers": [RELU]},
        RIDGE,
        {"kind": "dataset", "dataset_id": DIGITS, "n_samples": 150},
    ),
    "linear, lda": (LINEAR, {"kind": "lda", "penalty": 0.01}, MIXTURE),
}


def run(report: Report, *, quick: bool = False) -> None:
    """Measure every family."""
    with TemporaryDirectory() as folder:
        keep_all(Path(folder))
        open_store(Path(folder))
        _measure(report, quick=quick)


def _measure(report: Report, *, quick: bool) -> None:
    for name, (features, learner, regime) in CASES.items():
        body = {"model": {"features": features, "learner": learner}, "regime": regime}
        plain = PredictionRequest.model_validate(body)
        whole = PredictionRequest.model_validate({**body, "include": ["gradient"]})
        both_ways = [lambda request=request: predict(request, key="") for request in (plain, whole)]
        # Medians of what takes long need few repeats.
        once, _ = median_processor_seconds(*both_ways, repeats=1)
        repeats = 20 if quick else max(20, min(200, int(2.0 / once)))
        alone, both = median_processor_seconds(*both_ways, repeats=repeats)
        ratio = (both - alone) / alone
        report.add(
            f"(g) gradient: {name}",
            f"{1e3 * (both - alone):.2f} ms",
            baseline=f"its prediction {1e3 * alone:.2f} ms",
            result=f"{ratio:.1f} times the prediction",
            goal=f"<= {GOAL:g} times",
            met=ratio <= GOAL,
        )
