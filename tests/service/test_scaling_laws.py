"""``POST /v1/scaling-laws`` over HTTP: answers, keys, and what is refused."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api_schemas.scaling import EXAMPLE_REQUEST, ScalingLaws, ScalingLawsRequest
from service.computations import SCALING_LAWS
from tests.running import RunningService
from tests.service.wire import assert_problem, changed, finite
from workers import scaling
from workers.scaling import key_of, scaling_laws_of

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scaling-laws").glob("*.json"))
POSITIONS = np.arange(1.0, 401.0)
SPELLED_OUT = {"eigenvalues": list(POSITIONS**-1.5), "energies": list(POSITIONS**-1.9)}


def ask(service: RunningService, request: Any = EXAMPLE_REQUEST, **options: Any) -> httpx.Response:
    """Post one scaling-laws request."""
    return httpx.post(service.url + SCALING_LAWS.path, json=request, timeout=60.0, **options)


def found_by(service: RunningService, request: Any) -> ScalingLaws:
    """Post a request that is answered."""
    answer = ask(service, request)
    assert answer.status_code == 200, answer.content
    return ScalingLaws.model_validate(finite(answer.content))


def at(pointer: str, value: Any, request: Any = EXAMPLE_REQUEST) -> Any:
    """Return the example with one place set to a value."""
    return changed(pointer, value, request=request)


class TestAnswers:
    def test_the_example_of_the_contract(self, service: RunningService) -> None:
        answer = finite(ask(service).content)
        expected = {
            "samples": -0.9,
            "width": -0.9,
            "time": -0.6,
            "samples_noisy_optimal_penalty": -0.4737,
            "optimal_penalty": -0.7895,
            "samples_noisy_optimal_time": -0.4737,
        }
        for name, value in expected.items():
            assert answer["exponents"][name] == pytest.approx(value, abs=5e-5)
        ridge, flow = answer["compute_optimal"]["ridge"], answer["compute_optimal"]["gradient_flow"]
        assert (ridge["cost"], flow["cost"]) == ("n_samples * width", "width * time")
        assert [ridge[name] for name in ("error", "width", "n_samples")] == pytest.approx([-0.45, 0.5, 0.5])
        assert [flow[name] for name in ("error", "width", "time")] == pytest.approx([-0.36, 0.4, 0.6])
        assert [one["budget"] for one in answer["allocations"]] == [1e6, 1e9]
        for one in answer["allocations"]:
            assert one["width"] * one["n_samples"] == pytest.approx(one["budget"])
            assert one["test_error"] == one["excess_risk"] > 0.0
        for one in answer["flow_allocations"]:
            assert one["width"] * one["time"] == pytest.approx(one["budget"])
        assert answer["status"] == "converged"
        assert answer["standard_errors"] is answer["fit"] is None
        assert all(sentence.endswith(".") for sentence in answer["assumptions"])

    def test_is_what_a_notebook_gets(self, service: RunningService) -> None:
        request = ScalingLawsRequest.model_validate(EXAMPLE_REQUEST)
        assert ask(service).content == scaling_laws_of(request).model_dump_json().encode()

    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_every_example(self, service: RunningService, file: Path) -> None:
        assert found_by(service, json.loads(file.read_text())).status == "converged"

    def test_an_exact_spectrum_has_the_laws_of_its_power_law(self, service: RunningService) -> None:
        found = found_by(service, {"spectrum": SPELLED_OUT})
        exact = found_by(service, {"spectrum": {"kind": "power_law", "exponent": 1.5, "source_exponent": 0.3}})
        assert found.exponents.model_dump() == pytest.approx(exact.exponents.model_dump(), rel=1e-9)
        assert found.compute_optimal is not None
        assert found.fit is not None
        assert found.fit.source_exponent.value == pytest.approx(0.3, rel=1e-9)
        assert found.standard_errors is not None
        assert set(found.standard_errors) == {
            *(f"exponents.{name}" for name in type(found.exponents).model_fields),
            *(f"compute_optimal.ridge.{name}" for name in ("error", "width", "n_samples")),
            *(f"compute_optimal.gradient_flow.{name}" for name in ("error", "width", "time")),
        }
        assert max(found.standard_errors.values()) < 1e-9
        assert found.warnings == []

    def test_what_regimes_call_an_eigenspectrum_is_an_explicit_spectrum(self, service: RunningService) -> None:
        found = found_by(service, {"spectrum": {**SPELLED_OUT, "kind": "eigenspectrum"}})
        assert found.key == found_by(service, {"spectrum": SPELLED_OUT}).key

    def test_a_noisy_spectrum_has_standard_errors(self, service: RunningService) -> None:
        rng = np.random.default_rng(4)
        energies = POSITIONS**-1.9 * rng.chisquare(1.0, POSITIONS.size)
        found = found_by(service, {"spectrum": {"eigenvalues": list(POSITIONS**-1.5), "energies": list(energies)}})
        assert found.standard_errors is not None
        error = found.standard_errors["exponents.samples"]
        assert 0.01 < error < 0.5
        assert found.exponents.samples == pytest.approx(-0.9, abs=3.0 * error)

    @pytest.mark.parametrize(
        ("eigenvalues", "energies", "code"),
        [
            (np.exp(-POSITIONS / 50), POSITIONS**-2.0, "no_power_law"),
            (POSITIONS**-0.8, POSITIONS**-2.0, "slow_decay"),
            (POSITIONS**-1.5, POSITIONS**-0.7, "slow_decay"),
            (POSITIONS**-1.5, POSITIONS**-2.5, "logarithms"),
            (POSITIONS**-1.5, POSITIONS**-1.9, "budget_exceeds_spectrum"),
        ],
    )
    def test_what_a_careful_reader_should_know(
        self, service: RunningService, eigenvalues: Any, energies: Any, code: str
    ) -> None:
        spectrum = {"kind": "explicit", "eigenvalues": list(eigenvalues), "energies": list(energies)}
        found = found_by(service, {"spectrum": spectrum, "budgets": [1e6] if code == "budget_exceeds_spectrum" else []})
        assert code in [warning.code for warning in found.warnings]
        if code == "slow_decay":
            assert found.compute_optimal is None
            assert found.standard_errors is None
            assert found.crossovers == []
            assert set(found.exponents.model_dump().values()) == {None}

    @pytest.mark.parametrize(
        ("exponent", "source", "noise"),
        [
            (1.0001, 0.001, 1e30),
            (10.0, 10.0, 1e-30),
            (1.0001, 10.0, 0.0),
            (10.0, 0.001, 1e100),
            (2.0, 0.5, 0.0),
            (1.0000000000000002, 1e-15, 0.0),
            (1.0000000000000002, 1e-15, 1.0),
            (2.0, 1.0, 0.1),
        ],
    )
    def test_the_corners_are_finite(self, exponent: float, source: float, noise: float) -> None:
        spectrum = {"kind": "power_law", "exponent": exponent, "source_exponent": source}
        request = {"spectrum": spectrum, "noise_variance": noise, "budgets": [1, 1e18]}
        answer = scaling_laws_of(ScalingLawsRequest.model_validate(request))
        finite(answer.model_dump_json())
        for one in answer.allocations:
            assert 0.0 <= one.excess_risk <= 1.0 + 1e-9
            assert one.penalty >= 0.0


class TestKeys:
    def test_spelling_makes_no_difference(self) -> None:
        keys = {
            key_of(ScalingLawsRequest.model_validate(request))
            for request in (
                EXAMPLE_REQUEST,
                {**EXAMPLE_REQUEST, "budgets": [1000000, 1000000000]},
                at("/spectrum/signal_variance", 1),
                at("/noise_variance", -0.0),
            )
        }
        assert len(keys) == 1
        without_kind, with_kind = (
            key_of(ScalingLawsRequest.model_validate({"spectrum": spectrum}))
            for spectrum in (SPELLED_OUT, {**SPELLED_OUT, "kind": "explicit"})
        )
        assert without_kind == with_kind

    def test_answers_are_cached_and_revalidated(self, service: RunningService) -> None:
        request = at("/noise_variance", 0.123)
        first, second = ask(service, request), ask(service, request)
        assert "stored" in first.headers["cache-status"]
        assert second.headers["cache-status"] == "foretell; hit; detail=memory"
        assert first.content == second.content
        same = ask(service, request, headers={"If-None-Match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert first.headers["etag"] == f'"{first.json()["key"]}"'


class TestRefusals:
    @pytest.mark.parametrize(
        ("pointer", "value"),
        [
            ("/spectrum/exponent", 1.0),
            ("/spectrum/exponent", 10.5),
            ("/spectrum/exponent", "1.5"),
            ("/spectrum/source_exponent", 0.0),
            ("/spectrum/signal_variance", 0.0),
            ("/spectrum/scale", -1.0),
            ("/spectrum/kind", "isotropic"),
            ("/spectrum/n_features", 3),
            ("/noise_variance", -0.1),
            ("/budgets", [1e6] * 21),
            ("/budgets/0", 0.5),
            ("/budgets/1", 1e19),
            ("/n_samples", 100),
        ],
    )
    def test_what_does_not_fit_the_vocabulary(self, service: RunningService, pointer: str, value: Any) -> None:
        assert_problem(ask(service, at(pointer, value)), 422, "validation_error", pointer=pointer)

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"energies": [1.0]}, "/spectrum/energies"),
            ({"multiplicities": [1.0]}, "/spectrum/multiplicities"),
            ({"first": 10, "last": 9}, "/spectrum/last"),
            ({"first": 390}, "/spectrum/eigenvalues"),
            ({"energies": [0.0] * 400}, "/spectrum/energies"),
            ({"eigenvalues": [1e-200] * 400}, "/spectrum/eigenvalues"),
            ({"eigenvalues": [0.0] * 400}, "/spectrum/eigenvalues"),
        ],
    )
    def test_what_cannot_be_fitted(self, service: RunningService, change: Any, pointer: str) -> None:
        answer = ask(service, {"spectrum": {**SPELLED_OUT, **change}})
        assert_problem(answer, 422, "inadmissible_problem", pointer=pointer)

    def test_energies_that_do_not_decay(self, service: RunningService) -> None:
        answer = ask(service, at("/spectrum/source_exponent", 5e-324))
        assert_problem(answer, 422, "inadmissible_problem", pointer="/spectrum/source_exponent")

    def test_more_work_than_one_request_may_ask_for(self, service: RunningService) -> None:
        count = scaling.MOST_TERMS // 10
        spectrum = {"eigenvalues": [1.0 / (i + 1) ** 2 for i in range(count)], "energies": [1.0] * count}
        answer = ask(service, {"spectrum": spectrum, "budgets": [1e3] * 11})
        assert_problem(answer, 413, "too_large", pointer="/budgets")
