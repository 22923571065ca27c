"""``POST /v1/sweeps`` over HTTP: answers, caching, CSV, and what is refused."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.ipc
import pytest

from api_schemas.sweep import COLUMNS, EXAMPLE_SWEEP, Column, Sweep
from service.computations import SWEEPS
from tests.running import EXAMPLE, RunningService
from tests.service.wire import assert_problem, changed, finite
from tests.theory.oracles import assert_printed
from workers.grids import FIELDS

MISS = "foretell; fwd=uri-miss; stored"


def ask(service: RunningService, request: Any = EXAMPLE_SWEEP, **options: Any) -> httpx.Response:
    """Post one sweep."""
    return httpx.post(service.url + SWEEPS.path, json=request, timeout=60.0, **options)


def with_axes(*axes: Any, **more: Any) -> Any:
    return {"request": EXAMPLE, "axes": list(axes), **more}


SAMPLES = {"path": "regime.n_samples", "values": [200, 400.5, 800]}
PENALTIES = {"path": "model.learner.penalty", "start": 1e-3, "stop": 10, "num": 4, "scale": "log"}

ENDS = ("interval_low", "interval_high")


class TestAnswers:
    def test_the_double_descent_curve_is_one_call(self, service: RunningService) -> None:
        answer = ask(service)
        assert answer.status_code == 200, answer.content
        found = Sweep.model_validate(finite(answer.content))
        samples, penalties = found.axes
        np.testing.assert_allclose(samples.values, np.geomspace(10, 10_000, 200))
        assert penalties.values == [0.0, 0.001, 1.0]
        assert found.columns.keys() == {"test_error", "train_error"}
        errors = np.array(found.columns["test_error"], float)
        assert errors.shape == (200, 3)
        assert [item.model_dump() for item in found.divergences] == [{"path": "regime.n_samples", "at": 400.0}]
        # Least squares beyond the threshold, in closed form.
        over = np.array(samples.values) > 401.0
        n_samples = np.array(samples.values)[over]
        np.testing.assert_allclose(errors[over, 0], 0.25 * n_samples / (n_samples - 400.0), rtol=1e-12)

    def test_the_curve_over_the_width_of_deep_features_in_one_call(self, service: RunningService) -> None:
        # Two layers of tanh, d = 200, n = 300, in the units of unscaled features: width * penalty is 1e-6 on the diagonal.
        widths = [100.0, 200.0, 280.0, 300.0, 320.0, 400.0, 800.0, 3000.0]
        printed = ["1.291", "1.796", "7.265", "63.86", "7.637", "2.064", ".941", ".712"]
        layers = [{"activation": "tanh", "width": width, "weight_variance": 1.5} for width in (600, 300)]
        request = with_axes(
            {"path": "model.features.layers.1.width", "values": widths},
            {"path": "model.learner.penalty", "values": [1e-6 / width for width in widths]},
        )
        features = {"kind": "random_features", "layers": layers}
        request["request"] = changed("/model/features", features)
        request["request"]["regime"].update(n_samples=300, n_features=200)
        errors = np.diagonal(ask(service, request).json()["columns"]["test_error"])
        for error, digits in zip(errors, printed, strict=True):
            assert_printed(error, digits)

    def test_points_are_single_predictions(self, service: RunningService) -> None:
        found = ask(service, with_axes(SAMPLES, PENALTIES, columns=list(COLUMNS))).json()
        for i, n_samples in enumerate(found["axes"][0]["values"]):
            for j, penalty in enumerate(found["axes"][1]["values"]):
                request = changed("/model/learner/penalty", penalty, request=changed("/regime/n_samples", n_samples))
                single = httpx.post(service.url + "/v1/predictions", json=request).json()
                assert found["status"][i][j] == single["status"]
                for name in COLUMNS:
                    # The interval, a list, has a name for each of its ends.
                    expected: Any = (
                        single if name not in ENDS else (single["interval"] or (None, None))[ENDS.index(name)]
                    )
                    for part in name.split(".") if name not in ENDS else ():
                        expected = None if expected is None else expected.get(part)
                    got = found["columns"][name][i][j]
                    assert got == expected or np.isclose(got, expected, rtol=1e-13, atol=0.0), name

    def test_a_divergent_point_is_null_and_marked(self, service: RunningService) -> None:
        request = changed("/request/model/learner/penalty", 0, request=with_axes({**SAMPLES, "values": [400, 800]}))
        found = ask(service, request).json()
        assert found["columns"]["test_error"][0] is None
        assert found["status"] == ["divergent", "converged"]
        assert found["divergences"] == [{"path": "regime.n_samples", "at": 400.0}]

    def test_three_axes_nest_the_first_outermost(self, service: RunningService) -> None:
        noise = {"path": "regime.noise_variance", "start": 0, "stop": 1, "num": 5}
        found = ask(service, with_axes(SAMPLES, PENALTIES, noise)).json()
        assert np.array(found["columns"]["test_error"]).shape == (3, 4, 5)
        assert np.array(found["status"]).shape == (3, 4, 5)
        assert found["axes"][2]["values"] == [0.0, 0.25, 0.5, 0.75, 1.0]

    def test_many_points(self, service: RunningService) -> None:
        many = {"path": "regime.n_samples", "start": 1, "stop": 1000, "num": 1000}
        answer = ask(service, with_axes(many, {**PENALTIES, "num": 300}))
        assert len(answer.json()["columns"]["test_error"]) == 1000
        # Too large to keep.
        assert answer.headers["cache-status"] == "foretell; fwd=uri-miss"

    def test_every_number_of_a_prediction_that_is_offered_has_a_field(self) -> None:
        assert FIELDS.keys() == set(COLUMNS)
        assert Column.__name__ == "Column"


class TestCaching:
    def test_a_repeated_sweep_comes_from_memory(self, service: RunningService) -> None:
        request = with_axes({**SAMPLES, "values": [10, 20, 30]})
        first, second = ask(service, request), ask(service, request)
        assert first.headers["cache-status"] == MISS
        assert second.headers["cache-status"] == "foretell; hit; detail=memory"
        assert first.content == second.content
        assert first.headers["etag"] == f'"{first.json()["key"]}"'

    def test_an_etag_gives_304(self, service: RunningService) -> None:
        etag = ask(service).headers["etag"]
        assert ask(service, headers={"If-None-Match": etag}).status_code == 304

    def test_the_key_depends_on_meaning_alone(self, service: RunningService) -> None:
        spelled = changed("/axes/1/values", [0.0, 0.001, 1.0], request=EXAMPLE_SWEEP)
        assert ask(service, spelled).json()["key"] == ask(service).json()["key"]
        other = changed("/axes/1/values", [0.0, 0.002, 1.0], request=EXAMPLE_SWEEP)
        assert ask(service, other).json()["key"] != ask(service).json()["key"]

    def test_metrics(self, service: RunningService) -> None:
        before = service.metric("foretell_sweeps_total")
        ask(service, headers={"Cache-Control": "no-cache"})
        assert service.metric("foretell_sweeps_total") == before + 1


class TestCsv:
    def test_one_row_a_point(self, service: RunningService) -> None:
        request = changed(
            "/request/model/learner/penalty", 0, request=with_axes({**SAMPLES, "values": [400, 800]}, PENALTIES)
        )
        request["axes"][1] = {"path": "model.learner.penalty", "values": [0, 0.1]}
        found = ask(service, request).json()
        answer = ask(service, request, headers={"Accept": "text/csv"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        header, *rows = csv.reader(io.StringIO(answer.text))
        assert header == ["regime.n_samples", "model.learner.penalty", "test_error", "status"]
        assert [row[:2] for row in rows] == [["400.0", "0.0"], ["400.0", "0.1"], ["800.0", "0.0"], ["800.0", "0.1"]]
        assert [row[3] for row in rows] == [cell for line in found["status"] for cell in line]
        assert rows[0][2:] == ["", "divergent"]
        errors = [cell for line in found["columns"]["test_error"] for cell in line]
        assert [float(row[2]) for row in rows[1:]] == errors[1:]

    def test_has_a_validator_of_its_own(self, service: RunningService) -> None:
        as_json, as_csv = ask(service), ask(service, headers={"Accept": "text/csv"})
        assert as_csv.headers["etag"] != as_json.headers["etag"]
        assert as_csv.headers["vary"] == "Accept"


class TestArrow:
    def test_one_row_a_point(self, service: RunningService) -> None:
        request = with_axes({**SAMPLES, "values": [400, 800]}, {"path": "model.learner.penalty", "values": [0, 0.1]})
        found = ask(service, request).json()
        answer = ask(service, request, headers={"Accept": "application/vnd.apache.arrow.stream"})
        assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
        with pyarrow.ipc.open_stream(answer.content) as stream:
            table = stream.read_all()
        columns = dict(zip(table.column_names, table.columns, strict=True))
        assert columns["regime.n_samples"].to_pylist() == [400.0, 400.0, 800.0, 800.0]
        assert columns["model.learner.penalty"].to_pylist() == [0.0, 0.1, 0.0, 0.1]
        assert columns["test_error"].to_pylist() == [cell for line in found["columns"]["test_error"] for cell in line]
        assert columns["test_error"].to_pylist()[0] is None
        assert columns["status"].to_pylist() == [cell for line in found["status"] for cell in line]

    def test_has_a_validator_of_its_own(self, service: RunningService) -> None:
        accept = {"Accept": "application/vnd.apache.arrow.stream"}
        etag = ask(service, headers=accept).headers["etag"]
        assert etag not in {ask(service).headers["etag"], ask(service, headers={"Accept": "text/csv"}).headers["etag"]}
        assert ask(service, headers={**accept, "If-None-Match": etag}).status_code == 304


class TestRefusals:
    @pytest.mark.parametrize(
        ("pointer", "value", "where", "code"),
        [
            ("/axes", [], "/axes", "validation_error"),
            ("/axes", [SAMPLES] * 4, "/axes", "validation_error"),
            ("/axes/0", {}, "/axes/0/path", "validation_error"),
            ("/axes/0/values", [], "/axes/0/values", "validation_error"),
            ("/axes/0/values", [1, "2"], "/axes/0/values/1", "validation_error"),
            ("/axes/0/values", [1, None], "/axes/0/values/1", "validation_error"),
            ("/axes/0/values", [1, 0], "/axes/0/values/1", "validation_error"),
            ("/axes/0/values", [1, 1e13], "/axes/0/values/1", "validation_error"),
            ("/axes/0/num", 3, "/axes/0/num", "validation_error"),
            ("/axes/0/path", "regime.samples", "/axes/0/path", "inadmissible_problem"),
            ("/axes/0/path", "regime.kind", "/axes/0/path", "inadmissible_problem"),
            ("/axes/0/path", "", "/axes/0/path", "validation_error"),
            ("/axes/0/path", "a" * 300, "/axes/0/path", "validation_error"),
            ("/axes/1", SAMPLES, "/axes/1/path", "inadmissible_problem"),
            ("/axes/1/start", 0, "/axes/1/start", "validation_error"),
            ("/axes/1/stop", -1, "/axes/1/stop", "validation_error"),
            ("/axes/1/scale", "log10", "/axes/1/scale", "validation_error"),
            ("/axes/1/num", 0, "/axes/1/num", "validation_error"),
            ("/axes/1/num", 2.5, "/axes/1/num", "validation_error"),
            ("/columns", [], "/columns", "validation_error"),
            ("/columns", ["key"], "/columns/0", "validation_error"),
            ("/columns", ["test_error", "test_error"], "/columns/1", "validation_error"),
            ("/request/regime/n_samples", -1, "/request/regime/n_samples", "validation_error"),
            (
                "/request/model/learner",
                {"kind": "hinge", "penalty": 1},
                "/request/model/learner/kind",
                "unsupported_combination",
            ),
            ("/colums", ["test_error"], "/colums", "validation_error"),
            ("/request/include", ["gradient"], "/request/include", "inadmissible_problem"),
        ],
    )
    def test_says_where(self, service: RunningService, pointer: str, value: Any, where: str, code: str) -> None:
        request = changed(pointer, value, request=with_axes(SAMPLES, PENALTIES, columns=["test_error"]))
        assert_problem(ask(service, request), 422, code, pointer=where)

    def test_a_time_below_zero_names_the_axis(self, service: RunningService) -> None:
        request = with_axes({"path": "model.learner.time", "start": -1, "stop": 1, "num": 3})
        request["request"] = changed("/model/learner", {"kind": "gradient_flow", "time": 1})
        assert_problem(ask(service, request), 422, "validation_error", pointer="/axes/0/start")

    def test_whole_numbers_are_not_rounded(self, service: RunningService) -> None:
        learner = {"kind": "gradient_descent", "step_size": 0.1, "steps": 1}
        request = with_axes({"path": "model.learner.steps", "start": 0, "stop": 5, "num": 3})
        request["request"] = changed("/model/learner", learner)
        problem = assert_problem(ask(service, request), 422, "validation_error", pointer="/axes/0")
        assert "whole number" in problem["detail"]
        request["axes"][0]["stop"] = 6
        assert ask(service, request).json()["axes"][0]["values"] == [0.0, 3.0, 6.0]

    def test_a_point_without_a_theory_names_the_axis(self, service: RunningService) -> None:
        request = with_axes({"path": "regime.n_features", "values": [100, 100.5]})
        request["request"] = changed("/regime/covariance", {"kind": "power_law", "exponent": 1.5})
        assert_problem(ask(service, request), 422, "inadmissible_problem", pointer="/axes/0/values/1")

    def test_too_many_points(self, service: RunningService) -> None:
        request = with_axes(SAMPLES, {**PENALTIES, "num": 400_000})
        problem = assert_problem(ask(service, request), 413, "too_large", pointer="/axes")
        assert "3 x 400000" in problem["detail"]
        assert_problem(ask(service, with_axes({**PENALTIES, "num": 10**18})), 413, "too_large", pointer="/axes")

    def test_too_many_numbers(self, service: RunningService) -> None:
        request = with_axes({**PENALTIES, "num": 400_000}, columns=list(COLUMNS))
        assert_problem(ask(service, request), 413, "too_large", pointer="/columns")

    def test_queries_that_are_no_sweeps(self, service: RunningService) -> None:
        assert_problem(ask(service, EXAMPLE), 422, "validation_error", pointer="/request")
        assert_problem(ask(service, []), 422, "validation_error")
        answer = httpx.post(service.url + SWEEPS.path, content=b"{", headers={"Content-Type": "application/json"})
        assert_problem(answer, 400, "invalid_json")
        assert_problem(httpx.get(service.url + SWEEPS.path), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "examples" / "sweeps").glob("*.json")), ids=lambda f: f.stem
)
def test_the_examples_are_answered(service: RunningService, file: Path) -> None:
    found = Sweep.model_validate(finite(ask(service, finite(file.read_bytes())).content))
    assert [item.at for item in found.divergences] == ([200.0] if file.stem == "double_descent" else [])
