"""Sweeps that take long: queued, worked out by a real worker, followed, cancelled, and answered afterwards in any form."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from service.computations import SWEEPS
from service.data_folder import running_url
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import assert_problem, changed
from tests.workers.grids import POWER_LAW
from tests.workers.test_worker import ended, running_worker, workers_started
from workers.answered_jobs import OUTLIVES_SECONDS, result_key
from workers.queue import connect
from workers.works import APART_TTL_SECONDS, SWEEP

DEEP = {
    "kind": "random_features",
    "layers": [{"activation": "relu", "width": 600}, {"activation": "erf", "width": 300}],
}


def sweep_of(start: float, num: int = 1100, request: Any = EXAMPLE) -> Any:
    """A sweep that no other test asks for, of more points than are answered at once whatever they take."""
    return {"request": request, "axes": [{"path": "regime.n_samples", "start": start, "stop": 5000, "num": num}]}


def ask(service: RunningService, request: Any, **headers: str) -> httpx.Response:
    return httpx.post(service.url + SWEEPS.path, json=request, headers=headers, timeout=60.0)


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that answers no sweep of many points by itself, and a worker."""
    folder = tmp_path_factory.mktemp("sweeps")
    with RunningService(folder, inline_seconds="0") as running, running_worker(running):
        wait_until(lambda: workers_started(running), what="the worker's start")
        yield running


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The same without a worker."""
    with RunningService(tmp_path_factory.mktemp("idle"), inline_seconds="0", queue_limit="3") as running:
        yield running


def test_a_large_sweep_is_a_job_with_the_answer_of_a_small_one(
    working: RunningService, service: RunningService
) -> None:
    request = sweep_of(10)
    accepted = ask(working, request)
    assert accepted.status_code == 202
    assert accepted.headers["retry-after"] == "1"
    assert "preference-applied" not in accepted.headers
    job = accepted.json()
    assert (job["kind"], job["result"], job["problem"]) == ("sweep", None, None)
    location = accepted.headers["location"]
    assert location == f"/v1/jobs/{job['id']}"
    done = wait_until(lambda: ended(working, location), seconds=60)
    assert (done["status"], done["progress"]) == ("succeeded", 1.0)
    assert done["result"] == ask(service, request).json()


def test_asked_again_it_is_there_in_any_form(working: RunningService, service: RunningService) -> None:
    request = sweep_of(11)
    job_id = ask(working, request, Prefer="respond-async").json()["id"]

    def listed() -> dict[str, Any]:
        jobs = httpx.get(f"{working.url}/v1/jobs?limit=100", timeout=30.0).json()["jobs"]
        return {job["id"]: job for job in jobs}[job_id]

    wait_until(lambda: listed()["status"] == "succeeded", seconds=60)
    again = ask(working, request)
    assert again.status_code == 200
    assert again.headers["cache-status"] == "foretell; hit; detail=redis"
    assert ask(working, request).headers["cache-status"] == "foretell; hit; detail=memory"
    assert again.content == ask(service, request).content
    table = ask(working, request, Accept="text/csv")
    assert table.content == ask(service, request, Accept="text/csv").content
    assert ask(working, request, **{"If-None-Match": again.headers["etag"]}).status_code == 304


def test_waiting_answers_with_the_sweep(working: RunningService, service: RunningService) -> None:
    request = sweep_of(12)
    answer = ask(working, request, Prefer="wait=60")
    assert answer.status_code == 200
    assert answer.content == ask(service, request).content
    assert ask(working, sweep_of(12.5), Prefer="wait=60", Accept="text/csv").text.startswith("regime.n_samples,")


def test_a_small_sweep_is_a_job_if_asked(working: RunningService) -> None:
    request = sweep_of(13, num=5)
    accepted = ask(working, request, Prefer="respond-async")
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    done = wait_until(lambda: ended(working, accepted.headers["location"]), seconds=60)
    assert done["result"] == ask(working, request).json()


def test_lists_leave_the_result_out(working: RunningService) -> None:
    location = ask(working, sweep_of(14), Prefer="respond-async").headers["location"]
    wait_until(lambda: ended(working, location), seconds=60)
    jobs = {job["id"]: job for job in httpx.get(f"{working.url}/v1/jobs?limit=100").json()["jobs"]}
    listed = jobs[location.rpartition("/")[2]]
    assert (listed["status"], listed["result"]) == ("succeeded", None)


def test_what_only_solving_finds_out_fails_with_a_pointer(working: RunningService) -> None:
    # So short a length scale is beyond the theory of mixtures, unlike that at both ends of what is tried, and at the base.
    kernel = {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 1.0}}
    mixture = {"kind": "mixture", "n_samples": 400, "n_features": 200, "mean_norm": 1.5}
    values = [1.0] * 2200
    values[1] = 0.06
    request = {
        "request": {"model": {"features": kernel, "learner": {"kind": "ridge", "penalty": 0.01}}, "regime": mixture},
        "axes": [{"path": "model.features.kernel.length_scale", "values": values}],
    }
    problem = assert_problem(
        ask(working, request, Prefer="wait=60"), 422, "inadmissible_problem", pointer="/axes/0/values/1"
    )
    assert "eigenvalue" in problem["detail"]


def test_progress_and_cancelling(working: RunningService) -> None:
    slow = sweep_of(15, num=8_000, request=changed("/model/features", DEEP))
    location = ask(working, slow).headers["location"]
    url = working.url + location
    seen = wait_until(lambda: 0.0 < httpx.get(url).json()["progress"] < 1.0, seconds=60, what="progress")
    assert seen
    cancelled = httpx.delete(url, timeout=30.0).json()
    wait_until(lambda: httpx.get(url).json()["status"] == "cancelled", what="the end")
    assert cancelled["kind"] == "sweep"
    assert ask(working, sweep_of(16, num=5)).status_code == 200


def test_the_result_is_kept_for_a_while(working: RunningService) -> None:
    found = ask(working, sweep_of(17), Prefer="wait=60").json()
    url = running_url(working.data_dir)
    assert url is not None
    with closing(connect(url, timeout=5.0)) as connection:
        name = result_key(SWEEP, found["key"])
        assert APART_TTL_SECONDS < connection.ttl(name) <= APART_TTL_SECONDS + OUTLIVES_SECONDS
        connection.delete(name)
    # Gone before its time it is said to be, and worked out again.
    job_url = f"{working.url}/v1/jobs/{SWEEP.job_id(found['key'])}"
    assert_problem(httpx.get(job_url), 404, "not_found")
    assert ask(working, sweep_of(17), Prefer="wait=60", **{"Cache-Control": "no-cache"}).json() == found
    assert httpx.get(job_url).json()["result"] == found


def test_without_a_worker_it_waits_and_the_queue_has_a_limit(idle: RunningService) -> None:
    first = ask(idle, sweep_of(10), Prefer="wait=0")
    assert first.status_code == 202
    assert first.json()["status"] == "queued"
    assert ask(idle, sweep_of(10)).json()["id"] == first.json()["id"]
    for start in (11, 12):
        assert ask(idle, sweep_of(start)).status_code == 202
    assert_problem(ask(idle, sweep_of(13)), 503, "queue_full")
    assert httpx.delete(idle.url + first.headers["location"]).json()["status"] == "cancelled"


def test_an_idempotency_key_means_one_sweep(idle: RunningService) -> None:
    name = {"Idempotency-Key": "mine"}
    ask(idle, sweep_of(10), **name)
    assert_problem(ask(idle, sweep_of(20), **name), 409, "idempotency_conflict")


def test_what_would_take_too_long_for_a_job_is_refused(idle: RunningService) -> None:
    descent = changed("/model/learner", {"kind": "gradient_descent", "step_size": 0.1, "steps": 1000})
    huge = sweep_of(10, num=1_000_000, request=changed("/regime/covariance", POWER_LAW, request=descent))
    problem = assert_problem(ask(idle, huge), 413, "too_large", pointer="/axes")
    assert "minutes" in problem["detail"]
    assert_problem(ask(idle, huge, Prefer="respond-async"), 413, "too_large", pointer="/axes")


def test_without_redis_small_sweeps_are_answered_and_large_ones_are_not(tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("alone")
    with RunningService(folder, "--redis-url", "redis://127.0.0.1:1/0", inline_seconds="0") as alone:
        assert ask(alone, sweep_of(10, num=5)).status_code == 200
        assert_problem(ask(alone, sweep_of(10)), 503, "unavailable")
