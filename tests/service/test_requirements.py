"""``POST /v1/requirements`` over HTTP."""

from typing import Any

import httpx
import numpy as np
import pytest

from api_schemas.requirement import EXAMPLE_REQUIREMENT, Requirement
from service.computations import REQUIREMENTS
from tests.running import RunningService
from tests.service.wire import assert_problem, changed, finite


def ask(service: RunningService, request: Any = EXAMPLE_REQUIREMENT, **options: Any) -> httpx.Response:
    return httpx.post(service.url + REQUIREMENTS.path, json=request, timeout=60.0, **options)


def test_the_example_of_the_contract(service: RunningService) -> None:
    answer = ask(service)
    assert answer.status_code == 200, answer.content
    found = Requirement.model_validate(finite(answer.content))
    assert found.reachable
    assert found.value is not None
    assert found.intervals == [[found.value, 1e7]]
    at_value = changed("/regime/n_samples", found.value)
    single = httpx.post(service.url + "/v1/predictions", json=at_value).json()
    np.testing.assert_allclose(single["test_error"], 0.3, rtol=1e-12)
    assert answer.json()["prediction"]["key"] == single["key"]


def test_out_of_reach_is_200(service: RunningService) -> None:
    found = ask(service, changed("/reach", {"test_error": 0.1}, request=EXAMPLE_REQUIREMENT)).json()
    assert found["reachable"] is False
    assert found["value"] is None
    assert found["intervals"] == []
    assert found["floor"] > 0.25


def test_it_is_cached_by_its_meaning(service: RunningService) -> None:
    first = ask(service)
    again = ask(service, changed("/lower", 10.0, request=EXAMPLE_REQUIREMENT))
    assert again.headers["cache-status"] == "foretell; hit; detail=memory"
    assert again.headers["etag"] == first.headers["etag"] == f'"{first.json()["key"]}"'
    assert ask(service, headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_metrics(service: RunningService) -> None:
    before = service.metric("foretell_requirements_total")
    ask(service, headers={"Cache-Control": "no-cache"})
    assert service.metric("foretell_requirements_total") == before + 1


@pytest.mark.parametrize(
    ("pointer", "value", "where", "code"),
    [
        ("/reach", {}, "/reach", "validation_error"),
        ("/reach", {"test_error": 0.3, "train_error": 0.1}, "/reach", "validation_error"),
        ("/reach", {"test_error": "0.3"}, "/reach/test_error", "validation_error"),
        ("/reach", {"train_loss": 0.3}, "/reach/train_loss", "inadmissible_problem"),
        ("/path", "regime.n", "/path", "inadmissible_problem"),
        ("/lower", -1, "/lower", "validation_error"),
        ("/upper", 5, "/upper", "validation_error"),
        ("/upper", 1e13, "/upper", "validation_error"),
        ("/scale", "ln", "/scale", "validation_error"),
        ("/request/regime/n_features", -1, "/request/regime/n_features", "validation_error"),
        (
            "/request/regime/covariance",
            {"kind": "discrete", "eigenvalues": [1], "weights": [0.5]},
            "/request/regime/covariance/weights",
            "inadmissible_problem",
        ),
    ],
)
def test_refusals_say_where(service: RunningService, pointer: str, value: Any, where: str, code: str) -> None:
    request = changed(pointer, value, request=EXAMPLE_REQUIREMENT)
    assert_problem(ask(service, request), 422, code, pointer=where)


def test_an_unknown_number_is_refused(service: RunningService) -> None:
    request = changed("/reach", {"key": 1}, request=EXAMPLE_REQUIREMENT)
    assert_problem(ask(service, request), 422, "validation_error")
