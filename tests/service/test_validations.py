"""Validations over HTTP: a real service, real workers, a real queue."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.data_folder import running_url
from tests.running import RunningService, wait_until
from tests.service.wire import assert_problem, changed
from tests.workers.test_worker import ended, running_worker, workers_started
from workers.queue import CPU_QUEUE, LeasedQueue, connect

PATH = "/v1/validations"
SMALL = changed("/regime/n_samples", 40, request=changed("/regime/n_features", 20))
LARGE = changed("/regime/n_samples", 1000, request=changed("/regime/n_features", 1000))
"""A chunk of six replicates takes about a second."""


def validation(request: Any = SMALL, **fields: Any) -> dict[str, Any]:
    return {"request": request, "replicates": 20, **fields}


def submit(service: RunningService, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{service.url}{PATH}", json=body, headers=headers, timeout=60.0)


def in_process(body: dict[str, Any]) -> dict[str, Any]:
    """The result as it is without queue and workers."""
    done = subprocess.run(
        [sys.executable, "-m", "service", "validate", "-", "--json"],
        input=json.dumps(body).encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def read(service: RunningService, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = httpx.get(f"{service.url}/v1/jobs/{job_id}").json()
    return job


def queued(service: RunningService) -> int:
    url = running_url(service.data_dir)
    assert url is not None
    with closing(connect(url, timeout=5.0)) as connection:
        return int(LeasedQueue(CPU_QUEUE, connection).count)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service without a worker, whose queue is short."""
    with RunningService(tmp_path_factory.mktemp("idle"), queue_limit="40", heartbeat="0.2") as running:
        yield running


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a worker."""
    with RunningService(tmp_path_factory.mktemp("working")) as running, running_worker(running):
        wait_until(lambda: workers_started(running), what="the worker's start")
        yield running


class TestAnswers:
    def test_the_result_is_that_of_a_run_in_one_process(self, working: RunningService) -> None:
        body = validation(replicates=1100, seed=7)
        accepted = submit(working, body)
        assert accepted.status_code == 202
        assert accepted.headers["retry-after"] == "1"
        job = accepted.json()
        assert (job["kind"], job["result"], job["problem"]) == ("validation", None, None)
        assert accepted.headers["location"] == f"/v1/jobs/{job['id']}"
        done = wait_until(lambda: ended(working, accepted.headers["location"]), seconds=60)
        assert (done["status"], done["progress"]) == ("succeeded", 1.0)
        assert done["result"] == in_process(body)
        assert done["result"]["replicates"] == 1100
        assert done["result"]["agrees"] is True
        assert submit(working, body).json() == done
        assert queued(working) == 0

    def test_waiting_answers_with_the_result(self, working: RunningService) -> None:
        body = validation(seed=8)
        answer = submit(working, body, Prefer="wait=60")
        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "wait=30"
        assert answer.json()["result"] == in_process(body)

    def test_it_stops_at_the_precision_asked_for(self, working: RunningService) -> None:
        body = validation(seed=9, replicates=100_000, precision=0.02)
        answer = submit(working, body, Prefer="wait=60")
        result = answer.json()["result"]
        assert result == in_process(body)
        assert result["replicates"] < 100_000
        measured = result["quantities"]["test_error"]
        assert measured["standard_error"] <= 0.02 * measured["mean"]
        wait_until(lambda: queued(working) == 0, what="an empty queue")

    def test_outcomes_are_counted_once(self, working: RunningService) -> None:
        before = working.metric("foretell_validations_total")
        job = submit(working, validation(seed=10), Prefer="wait=60").json()
        for _ in range(3):
            assert read(working, job["id"])["status"] == "succeeded"
        assert working.metric("foretell_validations_total") == before + 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_", "pointer"),
        [
            (changed("/regime/n_samples", 40.5, request=SMALL), "/request/regime/n_samples"),
            (changed("/regime/n_samples", 1e8), "/request/regime/n_samples"),
            (
                changed("/model/learner/penalty", 0, request=changed("/regime/n_samples", 20, request=SMALL)),
                "/request",
            ),
        ],
        ids=["fractional", "too large", "divergent"],
    )
    def test_what_cannot_be_simulated_is_refused_at_once(
        self, idle: RunningService, request_: Any, pointer: str
    ) -> None:
        assert_problem(submit(idle, validation(request_)), 422, "inadmissible_problem", pointer=pointer)

    def test_too_many_replicates_of_a_large_problem(self, idle: RunningService) -> None:
        answer = submit(idle, validation(LARGE, replicates=100_000))
        assert_problem(answer, 422, "inadmissible_problem", pointer="/replicates")

    def test_unknown_fields(self, idle: RunningService) -> None:
        assert_problem(submit(idle, validation(replicas=3)), 422, "validation_error", pointer="/replicas")

    def test_a_gpu_that_no_worker_has(self, idle: RunningService) -> None:
        problem = assert_problem(submit(idle, validation(backend="cupy")), 503, "unavailable")
        assert "GPU" in problem["detail"]

    def test_chunks_are_no_jobs_of_the_wire(self, working: RunningService) -> None:
        job = submit(working, validation(seed=11)).json()
        for job_id in (f"{job['id']}-0", "validation-none", f"{job['id']}:chunks"):
            assert_problem(httpx.get(f"{working.url}/v1/jobs/{job_id}"), 404, "not_found")

    def test_a_full_queue(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, queue_limit="2") as service:
            first = submit(service, validation(seed=1)).json()
            assert submit(service, validation(seed=2)).status_code == 202
            refusal = submit(service, validation(seed=3))
            assert_problem(refusal, 503, "queue_full")
            assert int(refusal.headers["retry-after"]) > 0
            assert_problem(service.predict(headers={"Prefer": "respond-async"}), 503, "queue_full")
            assert submit(service, validation(seed=1)).json() == first
            assert service.predict().status_code == 200


class TestIdempotency:
    def test_the_same_request_is_the_same_job(self, idle: RunningService) -> None:
        body = validation(seed=20)
        first = submit(idle, body).json()
        assert submit(idle, {**body, "backend": "auto"}).json()["id"] == first["id"]
        assert submit(idle, validation(seed=21)).json()["id"] != first["id"]

    def test_a_key_stands_for_one_request(self, idle: RunningService) -> None:
        body = validation(seed=22)
        first = submit(idle, body, **{"Idempotency-Key": "mine"})
        again = submit(idle, body, **{"Idempotency-Key": "mine"})
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        assert_problem(submit(idle, validation(seed=23), **{"Idempotency-Key": "mine"}), 409, "idempotency_conflict")
        assert submit(idle, validation(seed=23), **{"Idempotency-Key": "other"}).status_code == 202
        later = {"Prefer": "respond-async", "Idempotency-Key": "mine"}
        assert_problem(idle.predict(headers=later), 409, "idempotency_conflict")

    def test_a_key_that_is_too_long(self, idle: RunningService) -> None:
        answer = submit(idle, validation(), **{"Idempotency-Key": "x" * 256})
        assert_problem(answer, 400, "bad_request")


class TestWaiting:
    def test_without_a_worker_it_answers_202_in_the_end(self, idle: RunningService) -> None:
        answer = submit(idle, validation(seed=30), Prefer="respond-async, wait=1")
        assert answer.status_code == 202
        assert answer.json()["status"] == "queued"
        assert answer.headers["preference-applied"] == "wait=1"


class TestList:
    def test_newest_first_in_pages(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as service, service.client() as client:
            ids = [submit(service, validation(seed=seed)).json()["id"] for seed in range(3)]
            ids.append(service.predict(headers={"Prefer": "respond-async"}).json()["id"])
            submit(service, validation(seed=0))  # the same job keeps its place
            seen, cursor = [], None
            for count in (3, 1):
                parameters: Any = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
                page = client.get("/v1/jobs", params=parameters).json()
                assert len(page["jobs"]) == count
                seen += [job["id"] for job in page["jobs"]]
                cursor = page["next_cursor"]
            assert cursor is None
            assert seen == ids[::-1]

    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets", "/v1/catalogue", "/v1/jobs/x", "/v1/datasets/x"])
    def test_unknown_parameters_are_refused(self, idle: RunningService, path: str) -> None:
        problem = assert_problem(httpx.get(f"{idle.url}{path}?page_size=5"), 400, "bad_request")
        assert "'page_size' is no parameter" in problem["detail"]
        assert httpx.get(f"{idle.url}/healthz?page_size=5").status_code == 200

    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets"])
    def test_a_parameter_comes_once(self, idle: RunningService, path: str) -> None:
        problem = assert_problem(httpx.get(f"{idle.url}{path}?limit=1&limit=2"), 400, "bad_request")
        assert "'limit' came 2 times" in problem["detail"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=!", "cursor=Zm9v"])
    def test_bad_parameters(self, idle: RunningService, query: str) -> None:
        problem = assert_problem(httpx.get(f"{idle.url}/v1/jobs?{query}"), 400, "bad_request")
        assert query.partition("=")[0] in problem["detail"]


class TestMethods:
    def test_all_that_a_path_has_are_named(self, idle: RunningService) -> None:
        refusal = httpx.put(f"{idle.url}/v1/jobs/validation-{'0' * 64}")
        assert_problem(refusal, 405, "method_not_allowed")
        assert refusal.headers.get_list("allow") == ["DELETE, GET"]


class TestCancel:
    def test_a_queued_job(self, idle: RunningService) -> None:
        before = queued(idle)
        job = submit(idle, validation(seed=40)).json()
        assert queued(idle) == before + 1
        for _ in range(2):
            cancelled = httpx.delete(f"{idle.url}/v1/jobs/{job['id']}")
            assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert submit(idle, validation(seed=40)).json() == job

    def test_a_queued_prediction(self, idle: RunningService) -> None:
        job = idle.predict(SMALL, headers={"Prefer": "respond-async"}).json()
        assert httpx.delete(f"{idle.url}/v1/jobs/{job['id']}").json()["status"] == "cancelled"
        assert idle.predict(SMALL, headers={"Prefer": "respond-async"}).json()["status"] == "queued"

    def test_a_running_job_stops_and_goes_on_when_asked_for_again(self, working: RunningService) -> None:
        body = validation(LARGE, replicates=50)
        job = submit(working, body).json()
        wait_until(lambda: read(working, job["id"])["status"] == "running", seconds=60)
        cancelled = httpx.delete(f"{working.url}/v1/jobs/{job['id']}").json()
        assert cancelled["status"] == "cancelled"
        assert queued(working) == 0
        quick = submit(working, validation(seed=41), Prefer="wait=30")
        assert quick.json()["status"] == "succeeded"
        assert read(working, job["id"])["status"] == "cancelled"
        submit(working, body)
        done = wait_until(lambda: ended(working, f"/v1/jobs/{job['id']}"), seconds=90)
        assert done["result"] == in_process(body)
        after = httpx.delete(f"{working.url}/v1/jobs/{job['id']}").json()
        assert after == done

    def test_an_unknown_job(self, idle: RunningService) -> None:
        assert_problem(httpx.delete(f"{idle.url}/v1/jobs/validation-{'0' * 64}"), 404, "not_found")


def events_of(service: RunningService, job_id: str, **headers: str) -> list[dict[str, str]]:
    """All events of a stream, to its end."""
    url = f"{service.url}/v1/jobs/{job_id}/events"
    with httpx.stream("GET", url, headers=headers, timeout=60.0) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [dict(line.split(": ", 1) for line in block) for block in blocks if block[0].startswith("id:")]


class TestEvents:
    def test_progress_then_done_and_resumption(self, working: RunningService) -> None:
        body = validation(replicates=3000, seed=50)
        job = submit(working, body).json()
        events = events_of(working, job["id"])
        assert [event["event"] for event in events] == ["progress"] * (len(events) - 1) + ["done"]
        assert json.loads(events[-1]["data"]) == read(working, job["id"])
        shares = [json.loads(event["data"])["progress"] for event in events]
        assert shares == sorted(shares)
        resumed = events_of(working, job["id"], **{"Last-Event-ID": events[0]["id"]})
        assert [event["id"] for event in resumed] == [events[-1]["id"]]
        url = f"{working.url}/v1/jobs/{job['id']}/events"
        assert httpx.get(url, headers={"Last-Event-ID": events[-1]["id"]}).status_code == 204

    def test_signs_of_life_while_nothing_happens_and_an_end_by_cancelling(self, idle: RunningService) -> None:
        job = submit(idle, validation(seed=51)).json()
        url = f"{idle.url}/v1/jobs/{job['id']}/events"
        with httpx.stream("GET", url, timeout=30.0) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line.startswith("event")) == "event: progress"
            assert next(line for line in lines if line.startswith(":")) == ": still here"
            httpx.delete(f"{idle.url}/v1/jobs/{job['id']}")
            assert next(line for line in lines if line.startswith("event")) == "event: done"
            data = next(line for line in lines if line.startswith("data"))
            assert json.loads(data.removeprefix("data: "))["status"] == "cancelled"
            assert list(lines) == [""]

    def test_an_unknown_job(self, idle: RunningService) -> None:
        assert_problem(httpx.get(f"{idle.url}/v1/jobs/validation-{'0' * 64}/events"), 404, "not_found")


class TestCommandLine:
    def test_a_table_and_the_verdict(self, tmp_path: Path) -> None:
        (tmp_path / "request.json").write_text(json.dumps(SMALL))
        command = [sys.executable, "-m", "service", "validate", str(tmp_path / "request.json")]
        done = subprocess.run([*command, "--replicates", "30", "--seed", "4"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"test error" in done.stdout
        assert b"30 replicates on numpy" in done.stdout
        assert b"30/30" in done.stderr

    def test_a_refusal_points_into_the_file(self) -> None:
        command = [sys.executable, "-m", "service", "validate", "-"]
        body = json.dumps(changed("/regime/n_samples", 40.5, request=SMALL)).encode()
        done = subprocess.run(command, input=body, capture_output=True, check=False)
        assert done.returncode == 2
        assert b"/regime/n_samples: must be a whole number" in done.stderr
