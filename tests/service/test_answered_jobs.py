"""Every computation can be a job, asked for or because it takes long, with the answers and refusals of an immediate one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_schemas.optima import EXAMPLE_REQUEST as OPTIMUM_EXAMPLE
from api_schemas.requirement import EXAMPLE_REQUIREMENT
from api_schemas.spectra import EXAMPLE_REQUEST as SPECTRUM_EXAMPLE
from service.computations import COMPUTATIONS, OPTIMA, PREDICTIONS, REQUIREMENTS, SCALING_LAWS, SPECTRA, SWEEPS
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import assert_problem, changed
from tests.workers.test_worker import ended, running_worker, workers_started

LOGISTIC = {
    "model": {"learner": {"kind": "logistic", "penalty": 0.01}},
    "regime": {"kind": "mixture", "n_samples": 800, "n_features": 400, "mean_norm": 1.5},
}
SAMPLES = {"path": "regime.n_samples", "lower": 100, "upper": 1e4, "scale": "log"}
PENALTIES = {"path": "model.learner.penalty", "lower": 1e-4, "upper": 10, "scale": "log"}
SLOW: dict[str, Any] = {
    OPTIMA.path: {"request": LOGISTIC, "over": [PENALTIES, SAMPLES]},
    REQUIREMENTS.path: {"request": LOGISTIC, **SAMPLES, "reach": {"test_error": 0.2}},
    SCALING_LAWS.path: {
        "spectrum": {"kind": "power_law", "exponent": 1.5, "source_exponent": 0.3},
        "budgets": [1e6, 1e9],
    },
    SPECTRA.path: {
        "matrix": "kernel_matrix",
        "model": {
            "features": {
                "kind": "random_features",
                "layers": [{"activation": "tanh", "width": 300, "bias_variance": 0.1}] * 4,
            }
        },
        "regime": {"kind": "regression", "n_samples": 400, "n_features": 300},
        "grid": {"num": 2000},
    },
}
"""Each takes tenths of a second."""
QUICK: dict[str, Any] = {
    PREDICTIONS.path: EXAMPLE,
    SWEEPS.path: {"request": EXAMPLE, "axes": [{"path": "regime.n_samples", "values": [200, 300]}]},
    OPTIMA.path: OPTIMUM_EXAMPLE,
    REQUIREMENTS.path: EXAMPLE_REQUIREMENT,
    SPECTRA.path: SPECTRUM_EXAMPLE,
    SCALING_LAWS.path: {"spectrum": {"kind": "power_law", "exponent": 2, "source_exponent": 0.4}, "budgets": [1e3]},
}
REFUSED = {
    OPTIMA.path: (
        {**SLOW[OPTIMA.path], "budget": {"expression": "n_samples", "at_most": 1e-3}},
        "/budget/at_most",
    ),
    REQUIREMENTS.path: ({**SLOW[REQUIREMENTS.path], "reach": {"bias": 0.2}}, "/reach/bias"),
}
"""What only the search itself finds out."""
LATER = {"Prefer": "respond-async"}


def ask(service: RunningService, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(service.url + path, json=body, headers=headers, timeout=60.0)


def listed(service: RunningService, job_id: str) -> dict[str, Any]:
    """Return a job as the list has it, which reads no result that lies beside a job, and keeps none."""
    with service.client() as client:
        jobs = client.get("/v1/jobs?limit=100").json()["jobs"]
    return {job["id"]: job for job in jobs}[job_id]


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that gives a request a twentieth of a second, and a worker."""
    with (
        RunningService(tmp_path_factory.mktemp("working"), time_limit="0.05", heartbeat="0.2") as running,
        running_worker(running),
    ):
        wait_until(lambda: workers_started(running), what="the worker's start")
        yield running


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service without a worker."""
    with RunningService(tmp_path_factory.mktemp("idle"), queue_limit="20") as running:
        yield running


@pytest.mark.parametrize("path", sorted(COMPUTATIONS))
def test_a_job_has_the_answer_of_an_immediate_one(working: RunningService, service: RunningService, path: str) -> None:
    work = COMPUTATIONS[path].work
    accepted = ask(working, path, QUICK[path], **LATER)
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    assert int(accepted.headers["retry-after"]) >= 1
    at_once = ask(service, path, QUICK[path])
    job = accepted.json()
    assert (job["kind"], job["id"]) == (work.kind, work.job_id(at_once.json()["key"]))
    assert accepted.headers["location"] == f"/v1/jobs/{job['id']}"
    wait_until(lambda: listed(working, job["id"])["status"] == "succeeded", seconds=60)
    assert listed(working, job["id"])["result"] == (None if work.apart else at_once.json())
    done = httpx.get(working.url + accepted.headers["location"]).json()
    assert (done["status"], done["progress"], done["problem"]) == ("succeeded", 1.0, None)
    assert done["result"] == at_once.json()
    # What was read is kept like any other answer.
    again = ask(working, path, QUICK[path])
    assert again.status_code == 200
    assert again.headers["cache-status"] == "foretell; hit; detail=memory"
    assert again.content == at_once.content
    assert again.headers["etag"] == at_once.headers["etag"]
    assert ask(working, path, QUICK[path], **{"If-None-Match": again.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("path", sorted(SLOW))
def test_what_takes_long_is_a_job(working: RunningService, service: RunningService, path: str) -> None:
    later = ask(working, path, SLOW[path])
    assert later.status_code == 202
    assert "preference-applied" not in later.headers
    job = later.json()
    assert (job["kind"], job["result"], job["problem"]) == (COMPUTATIONS[path].work.kind, None, None)
    assert (
        ask(working, path, SLOW[path]).headers.get("location", later.headers["location"]) == later.headers["location"]
    )
    waited = ask(working, path, SLOW[path], Prefer="wait=60")
    assert waited.status_code == 200
    assert waited.content == ask(service, path, SLOW[path]).content


def test_once_its_job_has_ended_it_is_answered(working: RunningService) -> None:
    slow = changed("/over/1/upper", 2e4, request=SLOW[OPTIMA.path])
    job_id = ask(working, OPTIMA.path, slow).json()["id"]
    wait_until(lambda: listed(working, job_id)["status"] == "succeeded", seconds=60)
    # No one has read the result, and it still takes too long to work out.
    found = ask(working, OPTIMA.path, slow)
    assert found.status_code == 200
    assert found.headers["cache-status"] == "foretell; hit; detail=redis"
    assert ask(working, OPTIMA.path, slow).headers["cache-status"] == "foretell; hit; detail=memory"


def test_those_who_ask_at_the_same_time_have_the_same_job(working: RunningService) -> None:
    slow = changed("/over/1/upper", 3e4, request=SLOW[OPTIMA.path])
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(working, OPTIMA.path, slow), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1


def test_other_forms_of_what_was_waited_for(working: RunningService, service: RunningService) -> None:
    slow = changed("/grid/num", 1999, request=SLOW[SPECTRA.path])
    table = ask(working, SPECTRA.path, slow, Prefer="wait=60", Accept="text/csv")
    assert table.status_code == 200
    assert table.headers["content-type"].startswith("text/csv")
    assert table.content == ask(service, SPECTRA.path, slow, Accept="text/csv").content


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_a_refusal_is_that_of_an_immediate_answer(working: RunningService, service: RunningService, path: str) -> None:
    body, pointer = REFUSED[path]
    at_once = assert_problem(ask(service, path, body), 422, "inadmissible_problem", pointer=pointer)
    waited = assert_problem(ask(working, path, body, Prefer="respond-async, wait=60"), 422, "inadmissible_problem")
    assert (waited["detail"], waited["errors"]) == (at_once["detail"], at_once["errors"])
    location = ask(working, path, body, **LATER).headers["location"]
    job = wait_until(lambda: ended(working, location), seconds=60)
    assert (job["status"], job["result"]) == ("failed", None)
    assert {name: job["problem"][name] for name in ("code", "detail", "errors", "status", "title")} == {
        name: at_once[name] for name in ("code", "detail", "errors", "status", "title")
    }


@pytest.mark.parametrize("path", sorted(COMPUTATIONS))
def test_what_can_be_seen_at_once_is_refused_at_once(idle: RunningService, path: str) -> None:
    broken = changed("/nonsense", 1, request=QUICK[path])
    assert_problem(ask(idle, path, broken, **LATER), 422, "validation_error", pointer="/nonsense")


def test_so_is_what_has_no_theory(idle: RunningService) -> None:
    unknown = changed("/over/0/path", "model.learner.tension", request=SLOW[OPTIMA.path])
    answer = ask(idle, OPTIMA.path, unknown, **LATER)
    assert_problem(answer, 422, "inadmissible_problem", pointer="/over/0/path")
    assert_problem(
        ask(idle, REQUIREMENTS.path, changed("/upper", 1, request=EXAMPLE_REQUIREMENT), **LATER),
        422,
        "validation_error",
        pointer="/upper",
    )


def test_jobs_of_every_kind_wait_are_followed_and_cancelled(idle: RunningService) -> None:
    for path, body in QUICK.items():
        first = ask(idle, path, body, **LATER)
        assert ask(idle, path, body, **LATER).json() == first.json()
        assert first.json()["status"] == "queued"
        url = idle.url + first.headers["location"]
        cancelled = httpx.delete(url).json()
        assert (cancelled["status"], cancelled["kind"]) == ("cancelled", COMPUTATIONS[path].work.kind)
        with httpx.stream("GET", f"{url}/events", timeout=30.0) as stream:
            assert "event: done" in list(stream.iter_lines())
        # What was cancelled starts again.
        assert ask(idle, path, body, **LATER).json()["status"] == "queued"


def test_an_idempotency_key_means_one_request(idle: RunningService) -> None:
    name = {"Idempotency-Key": "the first", **LATER}
    assert ask(idle, REQUIREMENTS.path, EXAMPLE_REQUIREMENT, **name).status_code == 202
    assert ask(idle, REQUIREMENTS.path, EXAMPLE_REQUIREMENT, **name).status_code == 202
    assert_problem(ask(idle, OPTIMA.path, OPTIMUM_EXAMPLE, **name), 409, "idempotency_conflict")


def test_without_a_queue_there_is_a_way_out(tmp_path: Any) -> None:
    with RunningService(tmp_path, "--redis-url", "redis://127.0.0.1:1/0", time_limit="0.05") as alone:
        answer = ask(alone, OPTIMA.path, SLOW[OPTIMA.path])
        problem = assert_problem(answer, 503, "unavailable")
        assert "search fewer paths" in problem["detail"]
        assert int(answer.headers["retry-after"]) >= 1
        assert_problem(ask(alone, OPTIMA.path, OPTIMUM_EXAMPLE, **LATER), 503, "unavailable")
        assert alone.predict().status_code == 200


def test_an_optimum_says_how_far_it_is(working: RunningService) -> None:
    hinge = {**LOGISTIC, "model": {"learner": {"kind": "hinge", "penalty": 0.1}}}
    body = {"request": hinge, "over": [PENALTIES, SAMPLES]}
    accepted = ask(working, OPTIMA.path, body, **LATER).json()
    assert accepted["kind"] == "optimum"
    wait_until(lambda: 0.0 < listed(working, accepted["id"])["progress"] < 1.0, what="a report of progress")
    httpx.delete(f"{working.url}/v1/jobs/{accepted['id']}")  # nobody waits for it


def test_what_runs_out_of_time_keeps_no_core(tmp_path: Path) -> None:
    # Two hundred points, of which each takes a while, are answered at once whatever they take; and one thread answers.
    model = {"features": {"kind": "two_layer", "hidden_units": 3}, "learner": {"kind": "sgd", "step_size": 0.3}}
    regime = {"kind": "teacher_network", "hidden_units": 3, "n_samples": 20000, "n_features": 100}
    axis = {"path": "model.learner.step_size", "start": 0.1, "stop": 0.5, "num": 200}
    with RunningService(tmp_path, time_limit="2", threads="1") as own:
        sweep = {"request": {"model": model, "regime": regime}, "axes": [axis]}
        assert ask(own, SWEEPS.path, sweep).status_code == 202
        wait_until(lambda: ask(own, PREDICTIONS.path, LOGISTIC).status_code == 200, seconds=15, what="the thread")
