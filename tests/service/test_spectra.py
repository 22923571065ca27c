"""``POST /v1/spectra`` as a client meets it: answers, keys and caching, CSV, bad input, the command line."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.running import EXAMPLE, RunningService
from tests.service.wire import changed, without

SPECTRA = "/v1/spectra"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "spectra").glob("*.json"))
REQUEST: dict[str, Any] = json.loads((EXAMPLES[0].parent / "three_atoms.json").read_text())
MISS, HIT = "foretell; fwd=uri-miss; stored", "foretell; hit; detail=memory"


def post(service: RunningService, request: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{service.url}{SPECTRA}", json=request, headers=named, timeout=60.0)


def answer(service: RunningService, request: Any) -> dict[str, Any]:
    response = post(service, request)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = json.loads(response.text, parse_constant=pytest.fail)
    return found


def mass(found: dict[str, Any]) -> float:
    """Integrate the density over each interval, its ends like square roots, and add the atoms."""
    x, y = np.array(found["density"]["x"]), np.array(found["density"]["y"], float)
    total = sum(atom["mass"] for atom in found["atoms"])
    for left, right in found["support"]:
        inside = (x >= left) & (x <= right)
        angle = np.arccos(np.clip((left + right - 2.0 * x[inside]) / (right - left), -1.0, 1.0))
        total += np.trapezoid(y[inside] * (right - left) / 2.0 * np.sin(angle), angle)
    return float(total)


class TestAnswers:
    def test_the_contract_s_example(self, service: RunningService) -> None:
        found = answer(service, REQUEST)
        assert found["dimension"] == 400
        ends = [[0.57947369, 1.33170392], [1.92588385, 4.26242073], [7.60134859, 13.23504224]]
        np.testing.assert_allclose(found["support"], ends, atol=5.001e-9)
        np.testing.assert_allclose(found["stieltjes"][0], [0.33155176, 0.0], atol=5.001e-9)
        assert len(found["density"]["x"]) == len(found["density"]["y"]) == 1000
        np.testing.assert_allclose(mass(found), 1.0, rtol=1e-4)
        log_det, expression = found["statistics"]
        assert (log_det["name"], expression["expression"]) == ("log_det", "x/(1+x)")
        for statistic in (log_det, expression):
            assert None not in (
                statistic["per_dimension"],
                statistic["mean_correction"],
                statistic["standard_deviation"],
            )

    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_every_example(self, service: RunningService, file: Path) -> None:
        found = answer(service, json.loads(file.read_text()))
        assert found["status"] == "converged"
        np.testing.assert_allclose(mass(found), 1.0, rtol=2e-2 if file.stem == "deep_features" else 2e-3)
        assert found["sources"]

    def test_spikes(self, service: RunningService) -> None:
        found = answer(service, json.loads((EXAMPLES[0].parent / "spikes.json").read_text()))
        seen, hidden = found["outliers"]
        # 20 at 20 (1 + (1/2) / 19), squared cosine (1 - g / 19^2) / (1 + g / 19).
        assert (seen["origin"], seen["population"], seen["visible"]) == ("spike", 20.0, True)
        assert abs(seen["at"] / (20 * (1 + 0.5 / 19)) - 1) < 1e-12
        assert abs(seen["alignment"] / ((1 - 0.5 / 19**2) / (1 + 0.5 / 19)) - 1) < 1e-12
        assert (hidden["visible"], hidden["alignment"]) == (False, 0.0)

    def test_the_density_may_be_left_out(self, service: RunningService) -> None:
        found = answer(service, changed("/grid", {"num": 0}, request=REQUEST))
        assert found["density"] == {"x": [], "y": []}

    def test_what_has_no_number_says_why(self, service: RunningService) -> None:
        request = changed("/statistics", [{"expression": "log(x - 1)"}, {"expression": "abs(x)"}], request=REQUEST)
        assert post(service, request).status_code == 422
        [found] = answer(service, changed("/statistics", [{"expression": "log(x - 1)"}], request=REQUEST))["statistics"]
        assert found["per_dimension"] is None
        assert found["detail"]

    def test_a_statistic_that_does_not_exist_says_what_to_do(self, service: RunningService) -> None:
        regime = {"kind": "regression", "n_samples": 10, "n_features": 40}
        [found] = answer(
            service, {"matrix": "sample_covariance", "regime": regime, "statistics": [{"name": "log_det"}]}
        )["statistics"]
        assert found["per_dimension"] is None
        assert "positive shift" in found["detail"]


class TestKeysAndCaching:
    def test_a_repeated_request_is_a_hit(self, service: RunningService) -> None:
        request = changed("/grid/num", 37, request=REQUEST)
        first, again = post(service, request), post(service, request)
        assert (first.headers["cache-status"], again.headers["cache-status"]) == (MISS, HIT)
        assert first.content == again.content
        assert first.headers["etag"] == f'"{first.json()["key"]}"'

    def test_equal_requests_have_one_key(self, service: RunningService) -> None:
        spelt = changed("/grid/num", 37.0, request=changed("/model", {"features": {"kind": "linear"}}, request=REQUEST))
        plain = changed("/grid/num", 37, request=REQUEST)
        assert post(service, spelt).json()["key"] == post(service, plain).json()["key"]
        other = changed("/grid/num", 38, request=REQUEST)
        assert post(service, other).json()["key"] != post(service, plain).json()["key"]

    def test_if_none_match(self, service: RunningService) -> None:
        etag = post(service, REQUEST).headers["etag"]
        unchanged = post(service, REQUEST, if_none_match=etag)
        assert (unchanged.status_code, unchanged.content) == (304, b"")

    def test_no_cache_works_it_out_anew(self, service: RunningService) -> None:
        post(service, REQUEST)
        anew = post(service, REQUEST, cache_control="no-cache")
        assert anew.headers["cache-status"] == "foretell; fwd=request; stored"

    def test_one_body_at_two_addresses_is_two_requests(self, service: RunningService) -> None:
        """Repeated bodies are found by their digest: that of a prediction must not answer for a spectrum."""
        for _ in range(2):
            assert service.predict(EXAMPLE).status_code == 200
            assert post(service, EXAMPLE).status_code == 422
            assert post(service, REQUEST).status_code == 200
            assert service.predict(REQUEST).status_code == 422

    def test_a_restart_finds_the_answer(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as service:
            first = post(service, REQUEST)
            service.stop()
            service.start()
            again = post(service, REQUEST)
        assert again.headers["cache-status"] == "foretell; hit; detail=redis"
        assert again.content == first.content


class TestCsv:
    def test_one_row_a_point(self, service: RunningService) -> None:
        table = post(service, REQUEST, accept="text/csv")
        assert table.headers["content-type"].startswith("text/csv")
        header, *rows = csv.reader(table.text.splitlines())
        density = answer(service, REQUEST)["density"]
        assert header == ["x", "density"]
        assert [float(x) for x, _ in rows] == density["x"]
        assert [float(y) for _, y in rows] == density["y"]

    def test_both_forms_may_be_cached_on_the_way(self, service: RunningService) -> None:
        assert "accept" in post(service, REQUEST).headers["vary"].lower()
        assert "accept" in post(service, REQUEST, accept="text/csv").headers["vary"].lower()


BAD = [
    (changed("/matrix", "covariance", request=REQUEST), "/matrix", "sample_covariance"),
    (without("/regime", request=REQUEST), "/regime", "required"),
    (changed("/regime/n_samples", 0, request=REQUEST), "/regime/n_samples", "exceed 0"),
    (changed("/grid/num", 10_001, request=REQUEST), "/grid/num", "at most 10000"),
    (changed("/grid/num", 10.5, request=REQUEST), "/grid/num", "integer"),
    (changed("/stieltjes", [[1.0, 0.0]], request=REQUEST), "/stieltjes/0", "support"),
    (changed("/stieltjes", [[1.0]], request=REQUEST), "/stieltjes/0", "at least 2"),
    (
        changed("/statistics", [{"expression": "__import__('os')"}], request=REQUEST),
        "/statistics/0/expression",
        "use x, numbers",
    ),
    (changed("/statistics", [{"expression": "x.real"}], request=REQUEST), "/statistics/0/expression", ""),
    (changed("/statistics", [{"name": "median"}], request=REQUEST), "/statistics/0/name", "log_det"),
    (
        {"matrix": "kernel_matrix", "regime": {"n_features": 5e-324, "kind": "regression", "n_samples": 1e-45}},
        "/regime/n_samples",
        "",
    ),
    (
        {
            "matrix": "sample_covariance",
            "regime": REQUEST["regime"],
            "model": {"features": {"kind": "kernel", "kernel": {"kind": "rbf"}}},
        },
        "/model/features",
        "kernel_matrix",
    ),
]


@pytest.mark.parametrize(("request_body", "pointer", "way_out"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_with_its_place(
    service: RunningService, request_body: Any, pointer: str, way_out: str
) -> None:
    refusal = post(service, request_body)
    assert refusal.status_code == 422
    assert refusal.headers["content-type"] == "application/problem+json"
    pointers = [error["pointer"] for error in refusal.json()["errors"]]
    assert pointer in pointers, refusal.text
    assert way_out in refusal.text


def test_the_command_line_gives_the_same_answer(service: RunningService) -> None:
    command = [sys.executable, "-m", "service", "spectrum", str(EXAMPLES[0].parent / "three_atoms.json")]
    done = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == answer(service, REQUEST)
    table = subprocess.run([*command, "--csv"], capture_output=True, check=True, timeout=60)
    assert table.stdout.decode().splitlines() == post(service, REQUEST, accept="text/csv").text.splitlines()
    shown = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert b"log_det" in shown.stdout
