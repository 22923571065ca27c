"""One small request of every kind of features, learner and regime."""

from typing import Any

from tests.datasets import DIABETES

RELU = {"kind": "random_features", "layers": [{"activation": "relu", "width": 600}]}
FOURIER = {"kind": "random_fourier", "frequencies": 300}
PROJECTION = {"kind": "random_projection", "width": 300}
LINEAR = {"kind": "linear"}
MINIMAL: dict[str, Any] = {
    "linear": LINEAR,
    "random_features": RELU,
    "random_fourier": FOURIER,
    "random_projection": PROJECTION,
    "kernel": {"kind": "kernel", "kernel": {"kind": "rbf"}},
    "two_layer": {"kind": "two_layer", "hidden_units": 2},
}
REGIME_EXAMPLES: dict[str, Any] = {
    "regression": {"kind": "regression", "n_samples": 400, "n_features": 300, "noise_variance": 0.1},
    "eigenspectrum": {"kind": "eigenspectrum", "n_samples": 50, "eigenvalues": [1.0], "energies": [1.0]},
    "sphere": {"kind": "sphere", "n_samples": 100, "n_features": 24, "degree_energies": [0, 0.5, 0.5]},
    "mixture": {"kind": "mixture", "n_samples": 400, "n_features": 300},
    "teacher_classification": {
        "kind": "teacher_classification",
        "n_samples": 400,
        "n_features": 300,
        "link": "logistic",
    },
    "teacher_network": {"kind": "teacher_network", "n_samples": 400, "n_features": 300, "hidden_units": 2},
    "dataset": {"kind": "dataset", "dataset_id": DIABETES, "n_samples": 200},
}
LEARNER_EXAMPLES: dict[str, Any] = {
    "ridge": {"kind": "ridge", "penalty": 0.1},
    "gradient_flow": {"kind": "gradient_flow", "time": 2.0},
    "gradient_descent": {"kind": "gradient_descent", "step_size": 0.1, "steps": 10},
    "sgd": {"kind": "sgd", "step_size": 0.001},
    "logistic": {"kind": "logistic", "penalty": 0.1},
    "hinge": {"kind": "hinge", "penalty": 0.1},
    "lda": {"kind": "lda", "penalty": 0.1},
}
