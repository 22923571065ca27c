"""``POST /v1/optima`` over HTTP: answers, keys, and what is refused and where."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_schemas.optima import EXAMPLE_REQUEST, Optima, OptimumRequest
from service.computations import OPTIMA
from tests.running import RunningService
from tests.service.wire import assert_problem, changed, finite
from workers.optima import key_of, optima

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "optima").glob("*.json"))


def ask(service: RunningService, request: Any = EXAMPLE_REQUEST, **options: Any) -> httpx.Response:
    """Post one optima request."""
    return httpx.post(service.url + OPTIMA.path, json=request, timeout=60.0, **options)


def at(pointer: str, value: Any) -> Any:
    """Return the example with one place set to a value."""
    return changed(pointer, value, request=EXAMPLE_REQUEST)


class TestAnswers:
    def test_has_the_fields_of_the_contract(self, service: RunningService) -> None:
        answer = finite(ask(service).content)
        assert {
            "optimum",
            "local_optima",
            "certificate",
            "regret_of_request",
            "prior",
            "evaluations",
        } <= set(answer)
        assert set(answer["optimum"]) >= {"values", "prediction"}
        assert set(answer["prior"]) == {"paths", "scales", "mean", "covariance"}
        assert answer["optimum"]["prediction"]["status"] == "converged"

    def test_is_what_a_notebook_gets(self, service: RunningService) -> None:
        here = optima(OptimumRequest.model_validate(EXAMPLE_REQUEST))
        there = Optima.model_validate(finite(ask(service).content))
        # Descent ends where the error is flat to rounding, which is not the same with other numbers of threads.
        assert there.optimum.prediction.test_error == pytest.approx(here.optimum.prediction.test_error, rel=1e-12)
        assert there.optimum.values == pytest.approx(here.optimum.values, rel=1e-4)
        assert there.key == here.key

    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_every_example(self, service: RunningService, file: Path) -> None:
        answer = ask(service, json.loads(file.read_text()))
        assert answer.status_code == 200, answer.content
        found = Optima.model_validate(finite(answer.content))
        assert found.status == "converged"
        assert found.regret_of_request is not None
        assert found.regret_of_request > 0.0

    def test_the_prediction_is_that_of_the_optimal_values(self, service: RunningService) -> None:
        found = Optima.model_validate(finite(ask(service).content))
        request = EXAMPLE_REQUEST["request"]
        for path, value in found.optimum.values.items():
            request = changed("/" + path.replace(".", "/"), value, request=request)
        again = service.predict(request).json()
        assert again == json.loads(found.optimum.prediction.model_dump_json())


class TestKeys:
    def test_spelling_makes_no_difference(self) -> None:
        keys = {
            key_of(OptimumRequest.model_validate(request))
            for request in (
                EXAMPLE_REQUEST,
                at("/over/0/upper", 10.0),
                at("/tolerance", 0.01),
                at("/request/model/fit_intercept", False),
            )
        }
        assert len(keys) == 1

    def test_answers_are_cached_and_revalidated(self, service: RunningService) -> None:
        request = at("/tolerance", 0.0123)
        first, second = ask(service, request), ask(service, request)
        assert "stored" in first.headers["cache-status"]
        assert second.headers["cache-status"] == "foretell; hit; detail=memory"
        assert first.content == second.content
        same = ask(service, request, headers={"If-None-Match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")


class TestRefusals:
    @pytest.mark.parametrize(
        ("pointer", "value", "place"),
        [
            ("/over", [], "/over"),
            ("/over", [EXAMPLE_REQUEST["over"][0]] * 5, "/over"),
            ("/over/0/scale", "cubic", "/over/0/scale"),
            ("/over/0/lower", "1", "/over/0/lower"),
            ("/over/0/path", "", "/over/0/path"),
            ("/over/1/upper", 1e13, "/over/1/upper"),
            ("/over/1/lower", 0.5, "/over/1/lower"),
            ("/over/0/step", 1, "/over/0/step"),
            ("/budget/at_most", 0, "/budget/at_most"),
            ("/budget/expression", "", "/budget/expression"),
            ("/budget/expression", "n" * 501, "/budget/expression"),
            ("/tolerance", 0, "/tolerance"),
            ("/request/model/learner/penalty", -1, "/request/model/learner/penalty"),
            ("/request/regime/kind", "sandbox", "/request/regime/kind"),
            ("/requests", [], "/requests"),
        ],
    )
    def test_what_does_not_fit_the_vocabulary(
        self, service: RunningService, pointer: str, value: Any, place: str
    ) -> None:
        assert_problem(ask(service, at(pointer, value)), 422, "validation_error", pointer=place)

    @pytest.mark.parametrize(
        ("pointer", "value", "place"),
        [
            ("/over/0/path", "model.learner.time", "/over/0/path"),
            ("/over/0/path", "model.features.layers.1.width", "/over/0/path"),
            ("/over/0/path", "model.features.layers.0.activation", "/over/0/path"),
            ("/over/0/path", "regime.n_samples", "/over/2/path"),
            ("/over/0/lower", 0, "/over/0/lower"),
            ("/over/0/lower", 10, "/over/0/upper"),
            ("/budget/expression", "n_samples * depth", "/budget/expression"),
            ("/budget/expression", "__import__('os')", "/budget/expression"),
            ("/budget/expression", "n_samples.real", "/budget/expression"),
            ("/budget/expression", "n_samples ** ", "/budget/expression"),
            ("/budget/at_most", 1, "/budget/at_most"),
            ("/budget/expression", "log(0 * n_samples - 1)", "/budget/expression"),
            ("/request/regime/covariance", {"kind": "discrete", "eigenvalues": [1], "weights": [2]}, None),
        ],
    )
    def test_what_cannot_be_searched(
        self, service: RunningService, pointer: str, value: Any, place: str | None
    ) -> None:
        expected = place or "/request/regime/covariance/weights"
        assert_problem(ask(service, at(pointer, value)), 422, "inadmissible_problem", pointer=expected)

    def test_more_work_than_one_request_may_ask_for(self, service: RunningService) -> None:
        count = 20_000
        regime = {
            "kind": "eigenspectrum",
            "n_samples": 100,
            "eigenvalues": [1.0 / (i + 1) for i in range(count)],
            "energies": [1.0] * count,
        }
        request = {
            "request": {"model": {"learner": {"kind": "gradient_flow", "time": 1}}, "regime": regime},
            "over": [{"path": "model.learner.time", "lower": 0.1, "upper": 10}],
        }
        assert_problem(ask(service, request), 413, "too_large", pointer="/over")

    def test_parts_without_a_theory_together(self, service: RunningService) -> None:
        request = at("/request/model/learner", {"kind": "lda", "penalty": 0.1})
        assert_problem(ask(service, request), 422, "unsupported_combination", pointer="/request/model/learner/kind")
