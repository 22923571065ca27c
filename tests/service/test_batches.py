"""``POST /v1/predictions/batch`` over HTTP: JSON and lines, order, partial failure, caches and limits."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api_schemas.batch import MOST_REQUESTS, Batch
from service.batching import PATH, SLICE
from tests.running import EXAMPLE, RunningService
from tests.service.wire import assert_problem, changed, finite

NDJSON = "application/x-ndjson"
GOOD = changed("/model/learner/penalty", 0.2)
BAD = changed("/model/learner/penalty", -1)
UNSUPPORTED = changed("/model/learner", {"kind": "hinge", "penalty": 1})


def ask(service: RunningService, *requests: Any, **options: Any) -> httpx.Response:
    """Post requests as one JSON document."""
    return httpx.post(service.url + PATH, json={"requests": list(requests)}, timeout=60.0, **options)


def ask_lines(service: RunningService, content: str | bytes, **headers: str) -> httpx.Response:
    """Post lines."""
    given = {"Content-Type": NDJSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(service.url + PATH, content=content, headers=given, timeout=60.0)


def penalties(count: int, start: float) -> list[Any]:
    return [changed("/model/learner/penalty", start + 1e-6 * position) for position in range(count)]


class TestDocuments:
    def test_results_are_in_order_and_those_of_single_requests(self, service: RunningService) -> None:
        requests = penalties(20, 0.3)
        answer = ask(service, *requests)
        assert answer.status_code == 200, answer.content
        assert answer.headers["content-type"] == "application/json"
        results = Batch.model_validate(finite(answer.content)).results
        for request, result in zip(requests, results, strict=True):
            assert result.prediction is not None
            assert result.problem is None
            single = httpx.post(service.url + "/v1/predictions", json=request, headers={"Cache-Control": "no-cache"})
            assert result.prediction.key == single.json()["key"]
            np.testing.assert_allclose(result.prediction.test_error, single.json()["test_error"], rtol=1e-13)

    def test_a_bad_request_fails_alone(self, service: RunningService) -> None:
        results = ask(service, GOOD, BAD, 7, {}, UNSUPPORTED, EXAMPLE).json()["results"]
        assert [next(iter(result)) for result in results] == ["prediction", *["problem"] * 4, "prediction"]
        bad, number, empty, unsupported = (result["problem"] for result in results[1:5])
        assert bad["errors"][0]["pointer"] == "/model/learner/penalty"
        assert bad["status"] == number["status"] == 422
        assert bad["instance"].startswith("urn:foretell:request:")
        assert [error["pointer"] for error in empty["errors"]] == ["/model", "/regime"]
        assert unsupported["code"] == "unsupported_combination"
        assert unsupported["errors"][0]["pointer"] == "/model/learner/kind"

    def test_divergence_is_an_answer(self, service: RunningService) -> None:
        threshold = changed("/regime/n_samples", 400, request=changed("/model/learner/penalty", 0))
        [result] = ask(service, threshold).json()["results"]
        assert result["prediction"]["status"] == "divergent"
        assert result["prediction"]["test_error"] is None
        single = httpx.post(service.url + "/v1/predictions", json=threshold).json()
        assert result["prediction"]["warnings"] == single["warnings"]

    def test_one_request_many_times(self, service: RunningService) -> None:
        results = ask(service, *[changed("/model/learner/penalty", 0.777)] * 30).json()["results"]
        assert len({json.dumps(result) for result in results}) == 1

    def test_more_than_a_slice(self, service: RunningService) -> None:
        requests = penalties(SLICE + 5, 0.4)
        results = ask(service, *requests).json()["results"]
        assert len(results) == SLICE + 5
        errors = [result["prediction"]["test_error"] for result in results]
        assert np.all(np.diff(errors) != 0.0)


class TestCaching:
    def test_a_single_request_afterwards_is_a_hit(self, service: RunningService) -> None:
        request = changed("/model/learner/penalty", 0.123456)
        [result] = ask(service, request).json()["results"]
        single = httpx.post(service.url + "/v1/predictions", json=request)
        assert single.headers["cache-status"] == "foretell; hit; detail=memory"
        assert single.json() == result["prediction"]

    def test_a_batch_afterwards_has_the_same_bytes(self, service: RunningService) -> None:
        request = changed("/model/learner/penalty", 0.234567)
        single = httpx.post(service.url + "/v1/predictions", json=request)
        before = service.metric("foretell_predictions_total")
        answer = ask(service, request)
        assert single.content in answer.content
        assert service.metric("foretell_predictions_total") == before

    def test_what_a_batch_found_outlives_the_process(self, tmp_path: Path) -> None:
        request = changed("/model/learner/penalty", 0.345678)
        with RunningService(tmp_path) as own:
            [result] = ask(own, request).json()["results"]
            own.stop()
            own.start()
            single = httpx.post(own.url + "/v1/predictions", json=request)
            assert single.headers["cache-status"] == "foretell; hit; detail=redis"
            assert single.json() == result["prediction"]


class TestLines:
    def test_a_line_for_a_line(self, service: RunningService) -> None:
        lines = [json.dumps(GOOD), "{", "", json.dumps(BAD), '{"model": 1, "model": 2}', json.dumps(EXAMPLE)]
        answer = ask_lines(service, "\n".join(lines) + "\n")
        assert answer.headers["content-type"] == NDJSON
        results = [finite(line) for line in answer.text.splitlines()]
        codes = [result["problem"]["code"] if "problem" in result else "" for result in results]
        assert codes == ["", "invalid_json", "validation_error", "duplicate_key", ""]
        assert results[0]["prediction"] == ask(service, GOOD).json()["results"][0]["prediction"]

    def test_each_way_can_be_chosen(self, service: RunningService) -> None:
        line = json.dumps(GOOD)
        assert ask_lines(service, line, Accept="application/json").json()["results"][0]["prediction"]
        assert "prediction" in finite(ask(service, GOOD, headers={"Accept": NDJSON}).text)
        assert ask(service, GOOD, headers={"Accept": f"application/json, {NDJSON};q=0.5"}).json()["results"]

    def test_carriage_returns_and_a_charset(self, service: RunningService) -> None:
        answer = ask_lines(service, json.dumps(GOOD) + "\r\n", Content_Type=f"{NDJSON}; charset=utf-8")
        assert "prediction" in finite(answer.text)

    def test_lines_are_sent_as_they_are_done(self, service: RunningService) -> None:
        content = "\n".join(json.dumps(request) for request in penalties(2 * SLICE, 0.5))
        with httpx.stream(
            "POST", service.url + PATH, content=content, headers={"Content-Type": NDJSON}, timeout=60.0
        ) as answer:
            assert "content-length" not in answer.headers
            count = sum(1 for _ in answer.iter_lines())
        assert count == 2 * SLICE


class TestLimits:
    def test_too_many(self, service: RunningService) -> None:
        many = [1] * (MOST_REQUESTS + 1)
        assert_problem(ask(service, *many), 413, "too_large", pointer="/requests")
        assert_problem(ask_lines(service, "1\n" * (MOST_REQUESTS + 1)), 413, "too_large")
        assert len(ask(service, *many[1:]).json()["results"]) == MOST_REQUESTS

    def test_bodies_have_a_limit_of_their_own(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, body_limit="1024", batch_body_limit="4096") as own:
            assert ask(own, *[EXAMPLE] * 10).status_code == 200
            assert_problem(ask(own, *[EXAMPLE] * 50), 413, "body_too_large")
            long = changed("/regime/covariance", {"kind": "explicit", "eigenvalues": [1.0] * 400})
            answer = httpx.post(own.url + "/v1/predictions", json=long)
            assert_problem(answer, 413, "body_too_large")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/requests"),
            ([], "/requests"),
            ({"requests": {}}, "/requests"),
            ({"requests": []}, "/requests"),
            ({"requests": [EXAMPLE], "request": 1}, "/request"),
        ],
    )
    def test_what_is_no_batch(self, service: RunningService, body: Any, pointer: str) -> None:
        answer = httpx.post(service.url + PATH, json=body)
        assert_problem(answer, 422, "validation_error", pointer=pointer)

    def test_other_content(self, service: RunningService) -> None:
        assert_problem(ask_lines(service, b""), 422, "validation_error")
        assert_problem(ask_lines(service, b"{}", Content_Type="text/csv"), 415, "unsupported_media_type")
        assert_problem(ask_lines(service, b"{}", Content_Encoding="gzip"), 415, "unsupported_media_type")
        answer = httpx.post(service.url + PATH, content=b"{", headers={"Content-Type": "application/json"})
        assert_problem(answer, 400, "invalid_json")
        twice = b'{"requests": [1], "requests": [2]}'
        answer = httpx.post(service.url + PATH, content=twice, headers={"Content-Type": "application/json"})
        assert_problem(answer, 400, "duplicate_key")
        assert_problem(httpx.get(service.url + PATH), 405, "method_not_allowed")
