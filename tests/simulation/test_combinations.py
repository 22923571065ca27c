"""Everything that has a theory can be simulated: one small draw of every features, learner and regime that go together."""

from typing import Any

import numpy as np
import pytest

from api_schemas.prediction import PredictionRequest
from simulation.devices import HOST
from tests.datasets import BINARY, DIABETES
from tests.simulation.finite_size import case, kernel, layer, network
from workers.finite import finite_problem
from workers.registry import COMBINATIONS

FEATURES = {
    "linear": {"kind": "linear"},
    "random_features": network(layer("relu", 8)),
    "random_fourier": {"kind": "random_fourier", "frequencies": 4},
    "random_projection": {"kind": "random_projection", "width": 8},
    "kernel": kernel("rbf"),
    "two_layer": {"kind": "two_layer", "hidden_units": 2},
}
LEARNERS = {
    "ridge": {"kind": "ridge", "penalty": 0.1},
    "gradient_flow": {"kind": "gradient_flow", "time": 2.0},
    "gradient_descent": {"kind": "gradient_descent", "step_size": 0.1, "steps": 20},
    "logistic": {"kind": "logistic", "penalty": 0.1},
    "hinge": {"kind": "hinge", "penalty": 0.1},
    "lda": {"kind": "lda", "penalty": 0.1},
    "sgd": {"kind": "sgd", "step_size": 0.05},
}
INPUTS = {"n_samples": 20, "n_features": 6}
REGIMES = {
    "regression": {"kind": "regression", **INPUTS},
    "eigenspectrum": {"kind": "eigenspectrum", "n_samples": 20, "eigenvalues": [1.0, 0.5], "energies": [1.0, 1.0]},
    "sphere": {"kind": "sphere", **INPUTS, "degree_energies": [0.0, 1.0]},
    "mixture": {"kind": "mixture", **INPUTS},
    "teacher_classification": {"kind": "teacher_classification", **INPUTS, "link": "sign"},
    "teacher_network": {"kind": "teacher_network", **INPUTS, "hidden_units": 2},
    "dataset": {"kind": "dataset", "dataset_id": DIABETES, "n_samples": 20},
}
TWO_CLASSES = {"kind": "dataset", "dataset_id": BINARY, "n_samples": 20}
WITHOUT_INTERCEPT = ("sgd",)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda combination: "-".join(combination.values()))
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_what_goes_together_can_be_simulated(combination: dict[str, Any], fit_intercept: bool) -> None:
    of_classes = combination["regime"] == "dataset" and combination["learner"] in ("logistic", "hinge")
    request = case(
        FEATURES[combination["features"]],
        TWO_CLASSES if of_classes else REGIMES[combination["regime"]],
        LEARNERS[combination["learner"]],
        fit_intercept=fit_intercept and combination["learner"] not in WITHOUT_INTERCEPT,
    )
    problem = finite_problem(PredictionRequest.model_validate(request))
    measured = problem.measured(first=0, count=1, seed=0, device=HOST)
    assert "test_error" in measured
    assert np.isfinite(list(measured.values())).all()
