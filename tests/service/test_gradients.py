"""`"include": ["gradient"]` on the wire: what is added, what stays as it was, and how it is refused."""

import json
from typing import Any

import pytest

from api_schemas.canonical import canonical_json
from api_schemas.prediction import EXAMPLE_REQUEST, Prediction, PredictionRequest
from api_schemas.validation import ValidationRequest
from tests.running import RunningService
from workers.gradients import LEARNERS
from workers.predictions import key_of, predict
from workers.refusals import Refused
from workers.validations import check


def request(**more: Any) -> PredictionRequest:
    """Return the example with more fields."""
    return PredictionRequest.model_validate({**EXAMPLE_REQUEST, **more})


def test_without_it_keys_and_answers_are_what_they_were() -> None:
    plain = request()
    assert b"include" not in canonical_json(plain)
    assert key_of(plain) == key_of(request(include=[]))
    answer = json.loads(predict(plain).model_dump_json())
    assert "gradient" not in answer


def test_with_it_the_key_differs_and_the_rest_of_the_answer_does_not() -> None:
    with_it = request(include=["gradient"])
    assert key_of(with_it) != key_of(request())
    answer, plain = (json.loads(predict(one).model_dump_json()) for one in (with_it, request()))
    gradient = answer.pop("gradient")
    assert {**answer, "key": plain["key"]} == plain
    assert list(gradient) == [
        "model.learner.penalty",
        "regime.n_samples",
        "regime.n_features",
        "regime.covariance.variance",
        "regime.target.signal_variance",
        "regime.target.nonlinear_variance",
        "regime.target.mean",
        "regime.noise_variance",
    ]


def test_an_answer_survives_the_cache() -> None:
    answer = predict(request(include=["gradient"]))
    assert Prediction.model_validate_json(answer.model_dump_json()) == answer


@pytest.mark.parametrize("include", [["hessian"], ["gradient", "gradient"], "gradient", [1], None])
def test_anything_else_is_refused_with_a_pointer(service: RunningService, include: Any) -> None:
    response = service.predict({**EXAMPLE_REQUEST, "include": include})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["pointer"].startswith("/include")


def test_a_gradient_over_the_wire(service: RunningService) -> None:
    response = service.predict({**EXAMPLE_REQUEST, "include": ["gradient"]})
    assert response.status_code == 200
    assert response.json()["gradient"]["model.learner.penalty"] == pytest.approx(-0.119313054425189, rel=1e-12)
    again = service.predict({**EXAMPLE_REQUEST, "include": ["gradient"]})
    assert again.content == response.content


NETWORK = {
    "model": {"features": {"kind": "two_layer", "hidden_units": 1}, "learner": {"kind": "sgd", "step_size": 0.5}},
    "regime": {"kind": "teacher_network", "n_samples": 100, "n_features": 100, "hidden_units": 1},
    "include": ["gradient"],
}


def test_trained_networks_have_one(service: RunningService) -> None:
    response = service.predict(NETWORK)
    assert response.status_code == 200
    gradient = response.json()["gradient"]
    assert {"regime.n_samples", "model.learner.step_size", "model.features.initial_variance"} < set(gradient)
    assert None not in gradient.values()


def test_what_has_none_is_refused_at_include(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LEARNERS, ("sgd", "teacher_network"))
    with pytest.raises(Refused) as refusal:
        predict(PredictionRequest.model_validate(NETWORK))
    assert refusal.value.code == "unsupported_combination"
    assert refusal.value.pointer == "/include"


def test_validations_have_no_gradient() -> None:
    body = {"request": {**EXAMPLE_REQUEST, "include": ["gradient"]}}
    with pytest.raises(Refused) as refusal:
        check(ValidationRequest.model_validate(body))
    assert refusal.value.pointer == "/request/include"
