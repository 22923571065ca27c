"""Predictions on data sets over HTTP, by a real service and worker: no answer is kept, and nothing stays of what is deleted."""

import concurrent.futures
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.datasets import BINARY, DIGITS, HARD, MISSING, digits, keep_all
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import assert_problem, finite
from tests.workers.test_dataset_requests import LAPLACE, LINEAR, RBF, RELU, body
from tests.workers.test_worker import ended, running_worker, workers_started
from workers.data_store import DataStore

BYPASS = "foretell; fwd=bypass"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a worker, and data sets; estimates for several classes, and none other, take it too long."""
    folder = tmp_path_factory.mktemp("datasets")
    with RunningService(folder, inline_seconds="0.5") as running, running_worker(running):
        keep_all(running.data_dir / "datasets")
        wait_until(lambda: workers_started(running), what="the worker's start")
        yield running


def post(service: RunningService, path: str, asked: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{service.url}/v1/{path}", json=asked, headers=headers, timeout=60.0)


def test_an_answer_has_its_interval_and_is_never_kept(service: RunningService) -> None:
    first, second = (post(service, "predictions", body(RBF, BINARY)) for _ in range(2))
    assert first.status_code == 200, first.text
    assert first.headers["cache-status"] == second.headers["cache-status"] == BYPASS
    assert first.content == second.content
    found = finite(first.content)
    low, high = found["interval"]
    assert low < found["test_error"] < high
    assert found["metric"] == "misclassification"
    assert found["pool"]["n_rows"] == 500
    assert first.headers["etag"] == f'"{found["key"]}"'


def test_revalidation_and_no_cache(service: RunningService) -> None:
    etag = post(service, "predictions", body(LINEAR)).headers["etag"]
    unchanged = post(service, "predictions", body(LINEAR), **{"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    anew = post(service, "predictions", body(LINEAR), **{"Cache-Control": "no-cache"})
    assert anew.headers["cache-status"] == BYPASS


@pytest.mark.slow  # tests/workers/test_dataset_requests.py has the shorter form
def test_numbers_from_fewer_rows_have_another_key(service: RunningService, tmp_path: Path) -> None:
    own = {"datasets_dir": str(service.data_dir / "datasets"), "pool_memory": str(2**20)}
    with RunningService(tmp_path, **own) as other:  # whose estimates are of 295 rows
        for asked, differs in ((body(RBF, BINARY), True), (EXAMPLE, False)):
            here, there = post(service, "predictions", asked), post(other, "predictions", asked)
            assert (here.status_code, there.status_code) == (200, 200)
            assert (here.json()["test_error"] != there.json()["test_error"]) is differs
            assert (here.headers["etag"] != there.headers["etag"]) is differs
            again = post(other, "predictions", asked, **{"If-None-Match": here.headers["etag"]})
            assert again.status_code == (200 if differs else 304)


def test_equal_requests_at_once_make_the_estimate_once(service: RunningService) -> None:
    kernel = {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 0.77}}
    before = len(DataStore(service.data_dir / "datasets").pool_names(BINARY))
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        asked = [body(kernel, BINARY, n_samples) for n_samples in (50, 50, 100, 150, 200, 250, 300, 350)]
        found = list(threads.map(lambda one: post(service, "predictions", one), asked))
    assert {one.status_code for one in found} == {200}
    assert found[0].content == found[1].content
    assert len(DataStore(service.data_dir / "datasets").pool_names(BINARY)) == before + 1


def test_every_resource_takes_it(service: RunningService) -> None:
    axes = [{"path": "regime.n_samples", "values": [50, 100, 400]}]
    columns = ["test_error", "interval_low", "interval_high"]
    swept = post(service, "sweeps", {"request": body(LINEAR), "axes": axes, "columns": columns})
    assert swept.headers["cache-status"] == BYPASS
    low, error, high = (swept.json()["columns"][name] for name in ("interval_low", "test_error", "interval_high"))
    assert all(a < b < c for a, b, c in zip(low, error, high, strict=True))
    over_penalties: Any = [{"path": "model.learner.penalty", "values": [1e-7, 0.1]}]
    asked = {
        "request": body(RBF, BINARY, 300),
        "axes": over_penalties,
        "columns": ["test_error", "pool.reliability", "pool.correction"],
    }
    table = post(service, "sweeps", asked, Accept="text/csv").text.splitlines()
    assert table[0] == "model.learner.penalty,test_error,pool.reliability,pool.correction,status"
    for row, penalty in zip(table[1:], over_penalties[0]["values"], strict=True):
        single = post(service, "predictions", body(RBF, BINARY, 300, penalty)).json()
        assert float(row.split(",")[2]) == pytest.approx(single["pool"]["reliability"], rel=1e-9)
        assert float(row.split(",")[3]) == pytest.approx(single["pool"]["correction"], rel=1e-9)
        unreliable = "unreliable_pool" in [warning["code"] for warning in single["warnings"]]
        assert unreliable == (abs(float(row.split(",")[2])) > 0.1) == (penalty == 1e-7)
    over = [{"path": "model.learner.penalty", "lower": 1e-6, "upper": 10, "scale": "log"}]
    best = post(service, "optima", {"request": body(LINEAR), "over": over})
    assert best.headers["cache-status"] == BYPASS
    target = best.json()["optimum"]["prediction"]["test_error"] * 1.05
    asked = {"request": body(LINEAR), "path": "regime.n_samples", "lower": 15, "upper": 440, "scale": "log"}
    required = post(service, "requirements", {**asked, "reach": {"test_error": target}})
    assert required.status_code == 200
    assert required.headers["cache-status"] == BYPASS
    one = finite(post(service, "predictions", body(LINEAR)).content)
    batch = post(service, "predictions/batch", {"requests": [body(LINEAR), body(LINEAR, MISSING), body(RELU, BINARY)]})
    first, second, third = batch.json()["results"]
    assert first["prediction"]["test_error"] == pytest.approx(one["test_error"], rel=1e-12)
    assert second["problem"]["code"] == "unknown_dataset"
    assert third["prediction"]["metric"] == "misclassification"


def test_what_is_trained_agrees(service: RunningService) -> None:
    asked = {"request": body(RBF, BINARY, 300, 0.01), "replicates": 40}
    job = post(service, "validations", asked, Prefer="wait=60").json()
    assert job["status"] == "succeeded", job
    assert job["result"]["agrees"], job["result"]
    assert job["result"]["quantities"].keys() >= {"test_error", "test_loss", "train_loss"}


def test_refusals(service: RunningService) -> None:
    unknown = post(service, "predictions", body(LINEAR, MISSING))
    assert_problem(unknown, 422, "unknown_dataset", pointer="/regime/dataset_id")
    swept = post(
        service, "sweeps", {"request": body(LINEAR, MISSING), "axes": [{"path": "regime.n_samples", "values": [9]}]}
    )
    assert_problem(swept, 422, "unknown_dataset", pointer="/request/regime/dataset_id")
    later = post(service, "predictions", body(LINEAR, MISSING), Prefer="respond-async")
    assert_problem(later, 422, "unknown_dataset", pointer="/regime/dataset_id")
    path = post(service, "predictions", body(LINEAR, "../" * 20 + "etc"))
    assert_problem(path, 422, "validation_error", pointer="/regime/dataset_id")
    trained = post(service, "validations", {"request": body(LINEAR, n_samples=430)})
    assert_problem(trained, 422, "inadmissible_problem", pointer="/request/regime/n_samples")
    uploads = DataStore(service.data_dir / "datasets")
    uploads.keep_upload(uploads.new_upload(), MISSING)
    try:
        waiting = post(service, "predictions", body(LINEAR, MISSING))
        assert_problem(waiting, 409, "dataset_not_ready", pointer="/regime/dataset_id")
    finally:
        uploads.drop_upload(MISSING)


def test_an_estimate_that_takes_long_is_a_job_and_then_at_hand(service: RunningService) -> None:
    accepted = post(service, "predictions", body(LAPLACE, DIGITS))
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["dataset_id"] == DIGITS
    done = wait_until(lambda: ended(service, accepted.headers["location"]), seconds=60)
    assert done["status"] == "succeeded", done
    inline = post(service, "predictions", body(LAPLACE, DIGITS))
    assert inline.status_code == 200
    assert inline.headers["cache-status"] == BYPASS
    assert finite(inline.content) == done["result"]
    assert post(service, "predictions", body(LAPLACE, DIGITS, 77)).status_code == 200


def test_a_batch_says_that_an_estimate_takes_long(service: RunningService) -> None:
    kernel = {"kind": "kernel", "kernel": {"kind": "exponential"}}
    found = post(service, "predictions/batch", {"requests": [body(kernel, DIGITS)]}).json()["results"]
    assert found[0]["problem"]["code"] == "time_limit"
    refused = post(service, "validations", {"request": body(kernel, DIGITS)})
    assert_problem(refused, 503, "time_limit")
    swept = {"request": body(kernel, DIGITS), "axes": [{"path": "model.learner.penalty", "values": [0.1, 1.0]}]}
    answered = post(service, "sweeps", swept, Prefer="wait=60")
    assert answered.status_code == 200, answered.text
    assert answered.headers["cache-status"] == BYPASS


def test_what_is_deleted_is_gone_at_once(service: RunningService) -> None:
    store = DataStore(service.data_dir / "datasets")
    for features in (LINEAR, RBF):
        assert post(service, "predictions", body(features, BINARY)).status_code == 200
    later = post(service, "predictions", body(LINEAR, BINARY), Prefer="respond-async, wait=30")
    assert later.headers["cache-status"] == BYPASS
    store.delete(BINARY)
    for features in (LINEAR, RBF):
        answer = post(service, "predictions", body(features, BINARY))
        assert_problem(answer, 422, "unknown_dataset", pointer="/regime/dataset_id")
    assert BINARY not in json.dumps(sorted(path.name for path in store.folder.iterdir()))


def test_from_a_file_to_predictions_and_back_to_nothing(service: RunningService) -> None:
    rows, labels = digits()
    lines = [",".join([*(f"p{position}" for position in range(64)), "digit"])]
    lines += [",".join([*map(repr, row), str(HARD[label])]) for row, label in zip(rows.tolist(), labels, strict=True)]
    file = {"file": ("digits.csv", "\n".join(lines))}
    form = {"target": "digit", "task": "classification"}
    sent = httpx.post(f"{service.url}/v1/datasets", files=file, data=form, headers={"Prefer": "wait=30"}, timeout=60.0)
    assert sent.json()["status"] == "succeeded", sent.text
    dataset_id = sent.json()["dataset_id"]
    # The same rows give what they give when they are stored by hand.
    for one in (dataset_id, DIGITS):
        assert post(service, "predictions", body(RBF, one), Prefer="wait=30").status_code == 200
    for n_samples in (50, 200, 450):
        found, stored = (
            finite(post(service, "predictions", body(RBF, one, n_samples)).content) for one in (dataset_id, DIGITS)
        )
        assert found["test_error"] == pytest.approx(stored["test_error"], rel=1e-9)
        assert found["interval"] == pytest.approx(stored["interval"], rel=1e-9)
    trained = post(service, "validations", {"request": body(RBF, dataset_id, 200), "replicates": 30}, Prefer="wait=60")
    assert trained.json()["result"]["agrees"], trained.text
    later = post(service, "predictions", body(LINEAR, dataset_id), Prefer="respond-async, wait=30")
    assert later.status_code == 200
    jobs = [
        job for job in httpx.get(f"{service.url}/v1/jobs?limit=100").json()["jobs"] if job["dataset_id"] == dataset_id
    ]
    assert {job["kind"] for job in jobs} >= {"dataset", "prediction"}
    assert httpx.delete(f"{service.url}/v1/datasets/{dataset_id}", timeout=30.0).status_code == 204
    gone = post(service, "predictions", body(RBF, dataset_id, 200))
    assert_problem(gone, 422, "unknown_dataset", pointer="/regime/dataset_id")
    for job in [*jobs, trained.json()]:
        assert httpx.get(f"{service.url}/v1/jobs/{job['id']}").status_code == 404, job["kind"]
    assert httpx.delete(f"{service.url}/v1/datasets/{dataset_id}").status_code == 404
