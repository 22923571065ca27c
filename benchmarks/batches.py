"""Many requests at once: batches beside single requests and bare validation, and points of sweeps on one core."""

import http.client
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from api_schemas.sweep import SweepRequest
from benchmarks.report import Report
from service.batching import PATH
from tests.running import EXAMPLE, RunningService
from workers.predictions import predict
from workers.sweeps import sweep

JSON = {"Content-Type": "application/json"}


def run(report: Report, *, quick: bool = False) -> None:
    """Measure batches through a running service, and sweeps in this process."""
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as folder, RunningService(Path(folder)) as service:
        _batches(report, service.port, count=2_000 if quick else 10_000)
    _sweeps(report, quick=quick)


def _requests(count: int, offset: float) -> list[dict[str, Any]]:
    """Return distinct ridge requests that no other call has made."""
    return [
        {
            "model": {"features": {"kind": "linear"}, "learner": {"kind": "ridge", "penalty": float(penalty)}},
            "regime": {**EXAMPLE["regime"], "n_samples": 100.0 + position + offset},
        }
        for position, penalty in enumerate(np.geomspace(1e-6, 10.0, count))
    ]


def _batches(report: Report, port: int, *, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def post(path: str, body: bytes) -> bytes:
        connection.request("POST", path, body, JSON)
        return connection.getresponse().read()

    singles = [json.dumps(request).encode() for request in _requests(count, 0.25)]
    batch = json.dumps({"requests": _requests(count, 0.5)}).encode()
    post(PATH, json.dumps({"requests": _requests(10, 0.75)}).encode())
    post("/v1/predictions", singles[0])

    one_by_one = _seconds(lambda: [post("/v1/predictions", body) for body in singles])
    together = _seconds(lambda: post(PATH, batch))
    bare = _seconds(lambda: _validate_and_return(batch))
    report.add(
        f"batch of {count} distinct ridge requests",
        f"{1e3 * together:.0f} ms, {count / together:.0f} a second",
        baseline=f"{count} single requests on one connection {1e3 * one_by_one:.0f} ms",
        result=f"{one_by_one / together:.1f} times faster",
        goal="faster",
        met=together < one_by_one,
    )
    report.add(
        "the same batch beside bare validation of its bodies, in process",
        f"{1e3 * together:.0f} ms",
        baseline=f"validate and return {1e3 * bare:.0f} ms",
        result=f"{together / bare:.1f} times as long",
    )


def _validate_and_return(body: bytes) -> bytes:
    """What a service would do with a batch if it had nothing to work out."""
    validated = [PredictionRequest.model_validate(request) for request in json.loads(body)["requests"]]
    return b"[" + b",".join(request.model_dump_json().encode() for request in validated) + b"]"


def _sweeps(report: Report, *, quick: bool) -> None:
    shallow = {"kind": "random_features", "layers": [{"activation": "relu", "width": 600}]}
    num = 300 if quick else 1000
    axes = [
        {"path": "regime.n_samples", "start": 10, "stop": 10_000, "num": num, "scale": "log"},
        {"path": "model.learner.penalty", "start": 1e-6, "stop": 10, "num": num, "scale": "log"},
    ]
    for name, features in (("linear", {"kind": "linear"}), ("shallow", shallow)):
        base = {**EXAMPLE, "model": {"features": features, "learner": {"kind": "ridge", "penalty": 0.1}}}
        request = SweepRequest.model_validate({"request": base, "axes": axes})
        seconds = _seconds(lambda: sweep(request).to_json())  # noqa: B023
        points = num * num
        single = PredictionRequest.model_validate(base)
        each = _seconds(lambda: [predict(single) for _ in range(200)]) / 200  # noqa: B023
        report.add(
            f"sweep of {points} points, {name}, with its JSON",
            f"{points / seconds:.0f} points a second",
            baseline=f"single predictions in process {1 / each:.0f} a second",
            result=f"{points * each / seconds:.0f} times faster",
            goal=">= 100000 points a second",
            met=points / seconds >= 1e5,
        )


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
