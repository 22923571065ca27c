"""Gradients on stored data sets, against differences of high order of the prediction itself."""

from typing import Any

import pytest

from api_schemas.prediction import PredictionRequest
from tests.datasets import BINARY, DIABETES, DIGITS
from tests.workers.differences import check, gradient
from workers.predictions import predict
from workers.refusals import Unsupported

pytestmark = pytest.mark.usefixtures("stored")

FEATURES: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear"},
    "kernel": {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 1.0}},
    "random_features": {"kind": "random_features", "layers": [{"activation": "leaky_relu", "width": 150.0}]},
    "random_projection": {"kind": "random_projection", "width": 6.0},
}
WIDTHS = {"random_features": "model.features.layers.0.width", "random_projection": "model.features.width"}
STEPS = (4e-3, 1.5e-3, 4e-4, 1e-4)
"""Splines are smooth from knot to knot only: small steps cross none."""


def body(
    features: dict[str, Any], dataset_id: str, n_samples: float, penalty: float, *, fit_intercept: bool = True
) -> dict[str, Any]:
    """Return a request."""
    return {
        "model": {
            "features": features,
            "learner": {"kind": "ridge", "penalty": penalty},
            "fit_intercept": fit_intercept,
        },
        "regime": {"kind": "dataset", "dataset_id": dataset_id, "n_samples": n_samples},
    }


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("dataset_id", [DIABETES, DIGITS, BINARY], ids=["numbers", "classes", "two classes"])
@pytest.mark.parametrize("kind", FEATURES)
def test_every_place_agrees_with_differences(kind: str, dataset_id: str, fit_intercept: bool) -> None:
    for n_samples, penalty in ((37.0, 1e-3), (210.0, 0.3), (9000.0, 1e-3)):
        asked = body(FEATURES[kind], dataset_id, n_samples, penalty, fit_intercept=fit_intercept)
        check(asked, steps=STEPS)


def test_it_knows_sizes_the_penalty_and_the_width_alone() -> None:
    for kind, features in FEATURES.items():
        found = gradient(body(features, DIABETES, 100.0, 0.1))
        width = [WIDTHS[kind]] if kind in WIDTHS else []
        assert set(found) == {"regime.n_samples", "model.learner.penalty", *width}
        assert None not in found.values()


@pytest.mark.parametrize("kind", FEATURES)
def test_a_penalty_of_0_is_a_limit_without_a_derivative_by_it(kind: str) -> None:
    asked = body(FEATURES[kind], DIABETES, 300.0, 0.0)
    if kind == "random_features":
        asked["model"]["features"] = {"kind": kind, "layers": [{"activation": "relu", "width": 3000.0}]}
    if kind == "random_projection":
        asked["model"]["features"] = {"kind": kind, "width": 3000.0}
    found = gradient(asked)
    assert found.pop("model.learner.penalty") is None
    assert None not in found.values()
    check(asked, without=("penalty",), steps=STEPS)


def test_where_the_error_diverges_there_is_no_derivative() -> None:
    features = {"kind": "random_projection", "width": 60.0}
    asked = body(features, DIGITS, 57.0, 0.0)  # as many rows as directions and a constant
    assert predict(PredictionRequest.model_validate(asked)).status == "divergent"
    assert set(gradient(asked).values()) == {None}


def test_more_random_features_approach_their_kernel() -> None:
    found = []
    for width in (1e5, 1e6):
        features = {"kind": "random_features", "layers": [{"activation": "relu", "width": width}]}
        found.append(gradient(body(features, DIABETES, 200.0, 0.01)))
    kernel = {"kind": "kernel", "kernel": {"kind": "ck", "layers": [{"activation": "relu"}]}}
    limit = gradient(body(kernel, DIABETES, 200.0, 0.01))
    for path, slope in limit.items():
        gaps = [abs(one[path] - slope) for one in found]  # type: ignore[operator]
        # In proportion to 1/width, by width with its square.
        assert gaps[1] == pytest.approx(gaps[0] / 10.0, rel=0.01)
    slopes = [one["model.features.layers.0.width"] for one in found]
    assert slopes[1] == pytest.approx(slopes[0] / 100.0, rel=0.01)  # type: ignore[operator]


@pytest.mark.parametrize("learner", ["logistic", "hinge"])
def test_losses_on_clusters_are_refused(learner: str) -> None:
    asked = body({"kind": "linear"}, BINARY, 100.0, 0.1)
    asked["model"]["learner"]["kind"] = learner
    with pytest.raises(Unsupported, match="clusters") as refusal:
        predict(PredictionRequest.model_validate({**asked, "include": ["gradient"]}))
    assert refusal.value.pointer == "/include"
