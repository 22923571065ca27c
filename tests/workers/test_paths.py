"""Dotted paths: what they find, what they refuse, and the request with another number."""

import math
from typing import Any

import pytest

from api_schemas.canonical import canonical_json
from api_schemas.prediction import PredictionRequest
from workers.paths import check_values, place_of, replaced, value_at, varied_place_of
from workers.refusals import Refused

DEEP: dict[str, Any] = {
    "model": {
        "features": {
            "kind": "random_features",
            "layers": [{"activation": "relu", "width": 600}, {"activation": "erf", "width": 300.5}],
        },
        "learner": {"kind": "gradient_descent", "step_size": 0.1, "steps": 100},
    },
    "regime": {
        "kind": "regression",
        "n_samples": 800,
        "n_features": 400,
        "covariance": {"kind": "spiked", "spikes": [30, 10]},
    },
}

DISCRETE = {"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.4, 0.6]}


def request_of(body: Any = DEEP) -> PredictionRequest:
    return PredictionRequest.model_validate(body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("regime.n_samples", 800.0),
        ("model.features.layers.1.width", 300.5),
        ("model.features.layers.0.weight_variance", 1.0),
        ("regime.covariance.spikes.1", 10.0),
        ("model.learner.steps", 100.0),
        ("model.learner.penalty", 0.0),
        ("regime.target.signal_variance", 1.0),
    ],
)
def test_a_path_finds_what_was_given_and_what_is_there_by_default(path: str, value: float) -> None:
    assert value_at(request_of(), path) == value


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("regime.n_sample", "has no field 'n_sample'; it has kind, n_samples"),
        ("", "has no field ''"),
        ("regime", "must name a number, and regime is an object"),
        ("model.learner.kind", "'gradient_descent'"),
        ("model.fit_intercept", "is false"),
        ("model.features.layers.0.activation", "'relu'"),
        ("model.features.layers.2.width", "has the positions 0 to 1, got '2'"),
        ("model.features.layers.-1.width", "has the positions 0 to 1"),
        ("model.features.layers.0_1.width", "has the positions 0 to 1"),
        ("model.features.layers", "is an array"),
        ("regime.n_samples.0", "is a number, with nothing inside it"),
        ("regime.covariance.spikes.x", "has the positions"),
        ("regime..n_samples", "has no field ''"),
    ],
)
def test_a_path_that_leads_to_no_number_is_refused_where_the_caller_wrote_it(path: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        place_of(request_of(), path, pointer="/axes/0/path")
    assert refused.value.pointer == "/axes/0/path"
    assert says in refused.value.detail


def test_a_share_of_a_whole_does_not_vary_by_itself() -> None:
    request = request_of({**DEEP, "regime": {**DEEP["regime"], "covariance": DISCRETE}})
    assert varied_place_of(request, "regime.covariance.eigenvalues.1", pointer="/path").value == 5.0
    with pytest.raises(Refused, match=r"regime.covariance.weights.0 is a share: weights sum to 1") as refused:
        varied_place_of(request, "regime.covariance.weights.0", pointer="/path")
    assert refused.value.pointer == "/path"


@pytest.mark.parametrize(
    ("path", "values", "index", "says"),
    [
        ("regime.n_samples", [1.0, 2.0, -3.0, -4.0], 2, "must exceed 0"),
        ("model.learner.steps", [10.0, 10.5], 1, "must be a whole number"),
        ("model.learner.penalty", [0.0, -1e-9], 1, "must be at least 0"),
        ("model.features.layers.0.width", [0.5], 0, "must be at least 1"),
        ("regime.covariance.spikes.0", [0.0], 0, "must exceed 0"),
        ("model.learner.penalty", [math.nan], 0, "must be a finite number"),
        ("model.learner.penalty", [math.inf], 0, "must be a finite number"),
        ("model.learner.penalty", [0.0, 1e-120], 1, "must be 0 or lie between"),
    ],
)
def test_values_outside_a_fields_domain_are_refused_where_they_stand(
    path: str, values: list[float], index: int, says: str
) -> None:
    place = place_of(request_of(), path, pointer="")
    with pytest.raises(Refused) as refused:
        check_values(place, values, pointer_of=lambda position: f"/values/{position}")
    assert refused.value.pointer == f"/values/{index}"
    assert says in refused.value.detail


def test_admissible_values_pass() -> None:
    request = request_of()
    for path, values in (("model.learner.steps", [0.0, 7.0]), ("regime.n_samples", [1e-3, 812.25])):
        check_values(place_of(request, path, pointer=""), values, pointer_of=lambda _: "")


def test_a_replaced_request_is_the_one_that_would_have_been_posted() -> None:
    request = request_of()
    places = [place_of(request, path, pointer="") for path in ("model.features.layers.1.width", "model.learner.steps")]
    found = replaced(request, dict(zip(places, (50.25, 7.0), strict=True)))
    body: Any = request.model_dump()
    body["model"]["features"]["layers"][1]["width"] = 50.25
    body["model"]["learner"]["steps"] = 7
    assert canonical_json(found) == canonical_json(request_of(body))
    assert canonical_json(request) == canonical_json(request_of()), "the original is left as it was"


@pytest.mark.parametrize(
    ("name", "parameter", "default"),
    [("leaky_relu", "negative_slope", 0.01), ("ternary", "low", -0.5), ("ternary", "high", 0.5)],
)
def test_a_name_of_an_activation_stands_for_its_parameters(name: str, parameter: str, default: float) -> None:
    layer: dict[str, Any] = {"activation": name, "width": 100}
    body: Any = {**DEEP, "model": {**DEEP["model"], "features": {"kind": "random_features", "layers": [layer]}}}
    path = f"model.features.layers.0.activation.{parameter}"
    request = request_of(body)
    place = place_of(request, path, pointer="/path")
    assert place.value == default
    other = 0.25 if default >= 0.0 else -0.25
    check_values(place, [other], pointer_of=lambda _: "")
    layer["activation"] = {"kind": name, parameter: other}
    assert canonical_json(replaced(request, {place: other})) == canonical_json(request_of(body))
    # Back at its default it is the name again, as it would be in a request: one key for both.
    spelled = place_of(request_of(body), path, pointer="/path")
    assert canonical_json(replaced(request_of(body), {spelled: default})) == canonical_json(request)


def test_parameters_of_an_activation_by_name_have_their_domain() -> None:
    body: Any = {**DEEP, "model": {**DEEP["model"], "features": {"kind": "random_features"}}}
    body["model"]["features"]["layers"] = [{"activation": "leaky_relu", "width": 100}]
    place = place_of(request_of(body), "model.features.layers.0.activation.negative_slope", pointer="/path")
    with pytest.raises(Refused, match="must be at most 1"):
        check_values(place, [1.5], pointer_of=lambda _: "")
    with pytest.raises(Refused, match="has no field 'slope'; it has kind, negative_slope"):
        place_of(request_of(body), "model.features.layers.0.activation.slope", pointer="/path")
