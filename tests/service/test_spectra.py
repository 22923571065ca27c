"""``POST /v1/spectra`` over HTTP and on the command line: answers, caching, CSV, and what is refused."""

import asyncio
import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic_core import from_json

from api_schemas.spectra import EXAMPLE_REQUEST, Spectrum, SpectrumRequest
from service.app import create_app
from service.computations import COMPUTATIONS, PREDICTIONS, SPECTRA
from service.forms import preferred
from service.settings import Settings
from tests.running import EXAMPLE, RunningService
from tests.service.wire import assert_problem, changed, finite
from workers.spectra import key_of, spectrum

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "spectra").glob("*.json"))
HIT = "foretell; hit; detail=memory"
MISS = "foretell; fwd=uri-miss; stored"
REGRESSION = {"kind": "regression", "n_samples": 300, "n_features": 200}


def ask(service: RunningService, request: Any = EXAMPLE_REQUEST, **options: Any) -> httpx.Response:
    """Post one spectrum request."""
    return httpx.post(service.url + SPECTRA.path, json=request, timeout=60.0, **options)


def at(pointer: str, value: Any, request: Any = EXAMPLE_REQUEST) -> Any:
    """Return the example with one place set to a value."""
    return changed(pointer, value, request=request)


def with_layers(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"features": {"kind": "random_features", "layers": list(layers)}}


class TestAnswers:
    def test_the_example_of_the_contract(self, service: RunningService) -> None:
        answer = ask(service)
        assert answer.status_code == 200, answer.content
        found = Spectrum.model_validate(finite(answer.content))
        assert found.status == "converged"
        assert found.dimension == 200
        np.testing.assert_allclose(found.support[0], [0.57947369, 1.33170392], atol=5e-9)
        assert len(found.density.x) == len(found.density.y) == 1000
        np.testing.assert_allclose(np.trapezoid(found.density.y, found.density.x), 1.0, atol=1e-4)
        np.testing.assert_allclose(found.stieltjes[0], [0.33155176, 0.0], atol=5e-9)
        assert [one.name or one.expression for one in found.statistics] == ["log_det", "x/(1+x)"]
        assert all(one.standard_deviation > 0.0 and one.detail is None for one in found.statistics)

    def test_is_what_a_notebook_gets(self, service: RunningService) -> None:
        request = SpectrumRequest.model_validate(EXAMPLE_REQUEST)
        assert ask(service).content == spectrum(request).model_dump_json().encode()

    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_every_example(self, service: RunningService, file: Path) -> None:
        answer = ask(service, json.loads(file.read_text()))
        assert answer.status_code == 200, answer.content
        assert finite(answer.content)["status"] == "converged"

    @pytest.mark.parametrize(
        "layer", [{"activation": "tanh", "width": 400}, {"activation": {"kind": "leaky_relu"}, "width": 250}]
    )
    def test_a_conjugate_kernel(self, service: RunningService, layer: Any) -> None:
        request = {"matrix": "kernel_matrix", "regime": REGRESSION, "model": with_layers(layer), "grid": {"num": 200}}
        found = Spectrum.model_validate(finite(ask(service, request).content))
        mass = np.trapezoid(found.density.y, found.density.x) + sum(atom.mass for atom in found.atoms)
        np.testing.assert_allclose(mass, 1.0, atol=2e-3)
        assert found.dimension == 300
        assert [outlier.origin for outlier in found.outliers] == (["mean"] if layer["activation"] != "tanh" else [])

    def test_units(self, service: RunningService) -> None:
        base = {**REGRESSION, "covariance": {"kind": "spiked", "spikes": [5, 1.2, 0.1]}}
        scaled = {**REGRESSION, "covariance": {"kind": "spiked", "bulk_variance": 1e30, "spikes": [5e30, 1.2e30, 1e29]}}
        one, other = (
            finite(ask(service, {"matrix": "sample_covariance", "regime": regime}).content) for regime in (base, scaled)
        )
        np.testing.assert_allclose(np.array(other["support"]) / 1e30, one["support"], rtol=1e-12)
        for mine, theirs in zip(one["outliers"], other["outliers"], strict=True):
            np.testing.assert_allclose(theirs["at"] / 1e30, mine["at"], rtol=1e-12)
            np.testing.assert_allclose(theirs["alignment"], mine["alignment"], rtol=1e-9)
            assert theirs["visible"] == mine["visible"]

    def test_no_grid_no_density(self, service: RunningService) -> None:
        found = ask(service, at("/grid/num", 0)).json()
        assert found["density"] == {"x": [], "y": []}

    def test_a_statistic_that_does_not_exist_says_why(self, service: RunningService) -> None:
        asked = [{"name": "log_det"}, {"expression": "1/(x-1)"}, {"name": "trace_inverse", "shift": 0.5}]
        request = {
            "matrix": "sample_covariance",
            "regime": {**REGRESSION, "n_samples": 100},
            "statistics": asked,
        }
        first, second, third = ask(service, request).json()["statistics"]
        assert first["per_dimension"] is None
        assert "positive shift" in first["detail"]
        assert second["per_dimension"] is None
        assert "pole" in second["detail"]
        assert third["detail"] is None

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"regime": {**REGRESSION, "n_samples": 10}}, "few_samples"),
            ({"regime": {**REGRESSION, "covariance": {"kind": "spiked", "spikes": [9.0] * 20}}}, "many_spikes"),
            (
                {
                    "matrix": "kernel_matrix",
                    "regime": {**REGRESSION, "covariance": {"kind": "power_law", "exponent": 2}},
                    "model": {"features": {"kind": "kernel", "kernel": {"kind": "rbf"}}},
                },
                "low_effective_rank",
            ),
            (
                {
                    "matrix": "kernel_matrix",
                    "regime": {**REGRESSION, "n_samples": 9000},
                    "model": {"features": {"kind": "kernel", "kernel": {"kind": "rbf"}}},
                },
                "polynomial_regime",
            ),
            (
                {"matrix": "inner_product_kernel", "model": with_layers({"activation": "relu", "width": 1})},
                "activation_centred",
            ),
        ],
    )
    def test_warnings(self, service: RunningService, changes: Any, code: str) -> None:
        request = {"matrix": "sample_covariance", "regime": REGRESSION, "grid": {"num": 10}, **changes}
        found = {warning["code"]: warning["detail"] for warning in ask(service, request).json()["warnings"]}
        assert any(character.isdigit() for character in found[code])
        page = (Path(__file__).parents[2] / "docs" / "spectra.md").read_text()
        assert f"| `{code}` |" in page

    def test_none_of_them_otherwise(self, service: RunningService) -> None:
        assert ask(service).json()["warnings"] == []


class TestKeysAndCache:
    def test_solved_once_then_from_memory(self, service: RunningService) -> None:
        request = at("/stieltjes", [[-1.25, 0.5]])
        first, second = ask(service, request), ask(service, request)
        assert [answer.headers["cache-status"] for answer in (first, second)] == [MISS, HIT]
        assert first.content == second.content
        assert first.headers["etag"] == f'"{first.json()["key"]}"'
        assert first.headers["vary"] == second.headers["vary"] == "Accept"

    def test_same_meaning_same_key(self, service: RunningService) -> None:
        spelled = {
            "regime": {"n_features": 2e2, "n_samples": 2000.0, "covariance": EXAMPLE_REQUEST["regime"]["covariance"],
                       "kind": "regression", "target": {"mean": -0.0}},
            "statistics": EXAMPLE_REQUEST["statistics"],
            "model": {"features": {"kind": "linear"}, "learner": {"kind": "ridge", "penalty": 3}, "fit_intercept": True},
            "stieltjes": [[-1, 0], [2, 0.1]],
            "matrix": "sample_covariance",
        }  # fmt: skip
        assert ask(service, spelled).json()["key"] == ask(service).json()["key"]

    @pytest.mark.parametrize(
        ("pointer", "value"),
        [
            ("/matrix", "kernel_matrix"),
            ("/grid/num", 999),
            ("/stieltjes/0/1", 1e-9),
            ("/statistics/0/shift", 0.2),
            ("/statistics/1/expression", "x / (1+x)"),
            ("/regime/n_samples", 2001),
        ],
    )
    def test_another_meaning_another_key(self, service: RunningService, pointer: str, value: Any) -> None:
        assert ask(service, at(pointer, value)).json()["key"] != ask(service).json()["key"]

    def test_revalidation_and_bypass(self, service: RunningService) -> None:
        etag = ask(service).headers["etag"]
        unchanged = ask(service, headers={"If-None-Match": etag})
        assert unchanged.status_code == 304
        assert unchanged.content == b""
        assert unchanged.headers["etag"] == etag
        anew = ask(service, headers={"Cache-Control": "no-cache"})
        assert anew.headers["cache-status"] == "foretell; fwd=request; stored"

    def test_after_a_restart_from_redis(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as running:
            first = ask(running)
            assert first.headers["cache-status"] == MISS
            assert running.stop() == 0
            running.start()
            second = ask(running)
            assert second.headers["cache-status"] == "foretell; hit; detail=redis"
            assert first.content == second.content
            assert ask(running, headers={"Accept": "text/csv"}).text.startswith("x,density\r\n")

    def test_equal_bodies_of_two_resources_have_two_answers(self, tmp_path: Path) -> None:
        # A body is found by its digest, which says for which resource it came.
        assert len({computation.digest(b"{}") for computation in COMPUTATIONS.values()}) == len(COMPUTATIONS)
        nowhere = f"unix://{tmp_path}/no.sock"
        app = create_app(Settings(data_dir=tmp_path, access_log="off"), cache_url=nowhere, queue_url=nowhere)

        async def exchange() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://foretell") as client:
                return [
                    await client.post(path, json=body)
                    for body, path in [(EXAMPLE, PREDICTIONS.path), (EXAMPLE, SPECTRA.path), (EXAMPLE_REQUEST, SPECTRA.path),
                                       (EXAMPLE_REQUEST, PREDICTIONS.path), (EXAMPLE_REQUEST, SPECTRA.path)]
                ]  # fmt: skip

        answers = asyncio.run(exchange())
        assert [answer.status_code for answer in answers] == [200, 422, 200, 422, 200]
        assert answers[4].headers["cache-status"] == HIT
        assert answers[2].content == answers[4].content

    def test_metrics(self, service: RunningService) -> None:
        before = service.metric("foretell_spectra_total")
        ask(service, headers={"Cache-Control": "no-cache"})
        assert service.metric("foretell_spectra_total") == before + 1


class TestCsv:
    def test_one_row_a_point(self, service: RunningService) -> None:
        found = ask(service).json()["density"]
        answer = ask(service, headers={"Accept": "text/csv"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        header, *rows = csv.reader(io.StringIO(answer.text))
        assert header == ["x", "density"]
        assert [[float(cell) for cell in row] for row in rows] == [
            [x, y] for x, y in zip(found["x"], found["y"], strict=True)
        ]

    def test_has_a_validator_of_its_own(self, service: RunningService) -> None:
        as_json, as_csv = ask(service), ask(service, headers={"Accept": "text/csv"})
        assert as_csv.headers["etag"] != as_json.headers["etag"]
        assert as_csv.headers["vary"] == "Accept"
        again = ask(service, headers={"Accept": "text/csv", "If-None-Match": as_csv.headers["etag"]})
        assert again.status_code == 304
        other = ask(service, headers={"Accept": "text/csv", "If-None-Match": as_json.headers["etag"]})
        assert other.status_code == 200

    def test_json_stays_json_afterwards(self, service: RunningService) -> None:
        ask(service, headers={"Accept": "text/csv"})
        assert ask(service).headers["content-type"] == "application/json"

    def test_many_points(self, service: RunningService) -> None:
        answer = ask(service, at("/grid/num", 10_000), headers={"Accept": "text/csv"})
        assert answer.text.count("\r\n") == 10_001

    def test_problems_stay_problems(self, service: RunningService) -> None:
        answer = ask(service, at("/grid/num", -1), headers={"Accept": "text/csv"})
        assert_problem(answer, 422, "validation_error", pointer="/grid/num")

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (b"text/csv", True),
            (b"TEXT/CSV; charset=utf-8", True),
            (b"text/csv, */*;q=0.1", True),
            (b"application/json;q=0.5, text/csv", True),
            (b"text/csv, application/json", True),
            (b"application/json, text/csv", False),
            (b"text/csv;q=0.5, application/json", False),
            (b"text/csv;q=0", False),
            (b"text/csv;q=x", False),
            (b"*/*", False),
            (b"", False),
        ],
    )
    def test_what_a_client_prefers(self, accept: bytes, expected: bool) -> None:
        assert (preferred(accept, SPECTRA.forms) is not None) == expected


KERNEL = {"features": {"kind": "kernel", "kernel": {"kind": "rbf"}}}
EIGENSPECTRUM = {"kind": "eigenspectrum", "n_samples": 60, "eigenvalues": [1, 0.1], "energies": [1, 1]}


class TestRefusals:
    @pytest.mark.parametrize(
        ("pointer", "value", "where"),
        [
            ("/matrix", "covariance", "/matrix"),
            ("/grid/num", 10_001, "/grid/num"),
            ("/grid/num", 1.5, "/grid/num"),
            ("/stieltjes", [[1.0]], "/stieltjes/0"),
            ("/stieltjes", [[1.0, 2.0, 3.0]], "/stieltjes/0"),
            ("/stieltjes", [["a", 1.0]], "/stieltjes/0/0"),
            ("/stieltjes", [[1e101, 1.0]], "/stieltjes/0/0"),
            ("/stieltjes", [[-1.0, 0.0]] * 1001, "/stieltjes"),
            ("/statistics", [{"name": "moment", "order": 1}] * 33, "/statistics"),
            ("/statistics/0", {"name": "entropy"}, "/statistics/0/name"),
            ("/statistics/0", {"name": "moment"}, "/statistics/0/order"),
            ("/statistics/0", {"name": "moment", "order": 33}, "/statistics/0/order"),
            ("/statistics/0", {"name": "log_det", "shift": -1}, "/statistics/0/shift"),
            ("/statistics/0", {"name": "log_det", "ridge": 1}, "/statistics/0/ridge"),
            ("/statistics/0", {"expression": ""}, "/statistics/0/expression"),
            ("/statistics/0", {"expression": "x" * 501}, "/statistics/0/expression"),
            ("/statistics/0", {"expression": 3}, "/statistics/0/expression"),
            ("/statistics/0", {}, "/statistics/0/expression"),
            ("/statistics/0", "log_det", "/statistics/0"),
            ("/statistics/0", None, "/statistics/0"),
            ("/colour", "red", "/colour"),
        ],
    )
    def test_by_the_vocabulary(self, service: RunningService, pointer: str, value: Any, where: str) -> None:
        assert_problem(ask(service, at(pointer, value)), 422, "validation_error", pointer=where)

    @pytest.mark.parametrize(
        ("pointer", "value", "where"),
        [
            ("/statistics/1", {"expression": "__import__('os')"}, "/statistics/1/expression"),
            ("/statistics/1", {"expression": "x.real"}, "/statistics/1/expression"),
            ("/stieltjes", [[-1.0, 0.0], [3.0, 0.0]], "/stieltjes/1"),
            ("/model", KERNEL, "/model/features"),
            ("/regime", {**EIGENSPECTRUM, "tail_trace": 1.0}, "/regime/tail_trace"),
            ("/regime", {**EIGENSPECTRUM, "multiplicities": [1]}, "/regime/multiplicities"),
            ("/regime/covariance", {"kind": "power_law", "exponent": 1.5}, None),
            ("/regime/covariance/weights", [0.4, 0.4, 0.3], "/regime/covariance/weights"),
            ("/regime/covariance", {"kind": "explicit", "eigenvalues": [0.0] * 200}, "/regime"),
        ],
    )
    def test_by_the_theory(self, service: RunningService, pointer: str, value: Any, where: str | None) -> None:
        answer = ask(service, at(pointer, value))
        if where is None:
            assert answer.status_code == 200
        else:
            assert_problem(answer, 422, "inadmissible_problem", pointer=where)

    @pytest.mark.parametrize(
        ("request_", "where"),
        [
            ({"matrix": "inner_product_kernel", "regime": REGRESSION}, "/model/features/kind"),
            ({"matrix": "inner_product_kernel", "regime": EIGENSPECTRUM,
              "model": with_layers({"activation": "relu", "width": 1})}, "/regime/kind"),
            ({"matrix": "inner_product_kernel", "regime": {**REGRESSION, "covariance": {"kind": "ar1", "correlation": 0.5}},
              "model": with_layers({"activation": "relu", "width": 1})}, "/regime/covariance/kind"),
            ({"matrix": "kernel_matrix", "regime": EIGENSPECTRUM, "model": KERNEL}, "/model/features/kind"),
        ],
    )  # fmt: skip
    def test_combinations_without_a_theory(self, service: RunningService, request_: Any, where: str) -> None:
        assert_problem(ask(service, request_), 422, "unsupported_combination", pointer=where)

    def test_too_many_eigenvalues(self, service: RunningService) -> None:
        request = at("/regime/covariance", {"kind": "power_law", "exponent": 1.5})
        request["regime"]["n_features"] = 10_001
        assert_problem(ask(service, request), 422, "inadmissible_problem", pointer="/regime/n_features")
        request["regime"]["n_features"] = 5000
        request["grid"]["num"] = 10_000
        assert_problem(ask(service, request), 422, "inadmissible_problem", pointer="/grid/num")
        explicit = {"kind": "explicit", "eigenvalues": [1.0 + index / 20_000 for index in range(20_000)]}
        request = at("/regime", {**REGRESSION, "n_features": 20_000, "covariance": explicit})
        assert_problem(ask(service, request), 422, "inadmissible_problem", pointer="/regime/covariance")

    def test_other_bodies(self, service: RunningService) -> None:
        def post(content: bytes, media_type: str = "application/json") -> httpx.Response:
            return httpx.post(service.url + SPECTRA.path, content=content, headers={"Content-Type": media_type})

        assert_problem(post(b"{"), 400, "invalid_json")
        assert_problem(post(b""), 400, "invalid_json")
        assert_problem(post(b'{"matrix": 1, "matrix": 2}'), 400, "duplicate_key")
        assert_problem(post(b"{}", "text/plain"), 415, "unsupported_media_type")
        assert_problem(post(b" " * (8 * 2**20 + 1)), 413, "body_too_large")
        assert_problem(httpx.get(service.url + SPECTRA.path), 405, "method_not_allowed")

    @pytest.mark.parametrize(
        "regime",
        [
            {**REGRESSION, "n_samples": 1e12},
            {**REGRESSION, "n_features": 1e12},
            {**REGRESSION, "n_samples": 1e-300},
            {**REGRESSION, "n_samples": 1e12, "n_features": 1e-300},
            {**REGRESSION, "n_samples": 1e12, "n_features": 1},
            {**REGRESSION, "covariance": {"kind": "discrete", "eigenvalues": [1, 2, 3], "weights": [1, 1e-30, 1e-300]}},
            {**REGRESSION, "covariance": {"kind": "isotropic", "variance": 1e100}},
            {**REGRESSION, "covariance": {"kind": "isotropic", "variance": 1e-100}},
            {**REGRESSION, "covariance": {"kind": "discrete", "eigenvalues": [1e-100, 1e100], "weights": [0.5, 0.5]}},
            {
                **REGRESSION,
                "covariance": {"kind": "discrete", "eigenvalues": [0, 1e-40, 1], "weights": [0.2, 0.4, 0.4]},
            },
            {**REGRESSION, "covariance": {"kind": "spiked", "bulk_variance": 0, "spikes": [3]}},
            {**REGRESSION, "covariance": {"kind": "spiked", "spikes": [1e100, 1e-100, 1]}},
            {**REGRESSION, "covariance": {"kind": "power_law", "exponent": 40}},
            {**REGRESSION, "covariance": {"kind": "ar1", "correlation": 0.999999}},
            {"kind": "sphere", "n_samples": 300, "n_features": 200, "degree_energies": [0, 1]},
        ],
    )
    @pytest.mark.parametrize("matrix", ["sample_covariance", "kernel_matrix"])
    def test_extreme_numbers_are_answered_or_refused(self, service: RunningService, regime: Any, matrix: str) -> None:
        statistics = [{"name": "log_det", "shift": 1}, {"name": "moment", "order": 32}, {"expression": "exp(-x)"}]
        request = {"matrix": matrix, "regime": regime, "statistics": statistics, "grid": {"num": 50}}
        answer = ask(service, request)
        assert answer.status_code in (200, 422), answer.content
        finite(answer.content)


class TestCommandLine:
    @staticmethod
    def run(*arguments: str, request: Any = EXAMPLE_REQUEST) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", "spectrum", *arguments, "-"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def test_table(self) -> None:
        done = self.run()
        assert done.returncode == 0, done.stderr
        for text in ("converged", "0.57947369 to 1.3317039", "log_det", "1000 points"):
            assert text in done.stdout

    def test_json_is_what_the_service_sends(self) -> None:
        request = SpectrumRequest.model_validate(EXAMPLE_REQUEST)
        assert from_json(self.run("--json").stdout)["key"] == key_of(request)

    def test_csv(self) -> None:
        lines = self.run("--csv").stdout.splitlines()
        assert lines[0] == "x,density"
        assert len(lines) == 1001

    def test_refusals(self) -> None:
        done = self.run(request=at("/statistics/1/expression", "x.real"))
        assert done.returncode == 2
        assert "/statistics/1/expression" in done.stderr
        done = self.run("--json", request=at("/grid/num", -1))
        assert done.returncode == 2
        assert from_json(done.stdout)["errors"][0]["pointer"] == "/grid/num"
