"""Work as jobs, against a real server, executed in this process."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rq.job import JobStatus

from service.embedded import EmbeddedValkey
from tests.running import EXAMPLE
from tests.workers.test_reconciliation import execute_one, queued
from workers.answered_jobs import answer_of, outcome_of, result_key, submit
from workers.queue import QueueFull, connect, find
from workers.works import OPTIMUM, PREDICTION, SWEEP, WORKS, work_of_job

KEY = "0" * 64
OPTIMA: dict[str, Any] = {
    "request": EXAMPLE,
    "over": [{"path": "model.learner.penalty", "lower": 1e-4, "upper": 10, "scale": "log"}],
}
TOO_DEAR = {**OPTIMA, "budget": {"expression": "penalty", "at_most": 1e-6}}
FEW = {"request": EXAMPLE, "axes": [{"path": "regime.n_samples", "values": [200, 300]}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield connect(valkey.url, timeout=5.0)


@pytest.fixture
def connection(server: Any) -> Any:
    server.flushall()
    return server


def put(connection: Any, work: Any, body: Any, **options: Any) -> Any:
    request = work.schema.model_validate(body)
    return submit(connection, work, request, **{"key": KEY, "most_queued": 10, **options})


def test_ids_lead_back_to_the_work() -> None:
    for work in WORKS.values():
        assert work_of_job(work.job_id(KEY)) is work
        assert work.key_of_job(work.job_id(KEY)) == KEY
    for other in (f"validation-{KEY}", f"validation-{KEY}-0", "", "prediction", f"prediction-{KEY}-0"):
        assert work_of_job(other) is None


def test_an_answer_is_part_of_its_job_and_is_worked_out_once(connection: Any) -> None:
    assert answer_of(connection, OPTIMUM, KEY) is None
    job_id = put(connection, OPTIMUM, OPTIMA).id
    assert answer_of(connection, OPTIMUM, KEY) is None
    assert put(connection, OPTIMUM, OPTIMA).id == job_id
    assert queued(connection) == [job_id]
    execute_one(connection)
    assert outcome_of(put(connection, OPTIMUM, OPTIMA)).refusal is None
    assert queued(connection) == []
    expected = OPTIMUM.work_out(OPTIMUM.schema.model_validate(OPTIMA), key=KEY)
    assert answer_of(connection, OPTIMUM, KEY) == (OPTIMUM.write(expected), True)
    assert not connection.exists(result_key(OPTIMUM, KEY))


def test_a_refusal_ends_a_job_without_another_try_and_asked_again_it_starts_again(connection: Any) -> None:
    job_id = put(connection, OPTIMUM, TOO_DEAR).id
    execute_one(connection)
    job = find(connection, job_id)
    assert job is not None
    assert job.get_status() == JobStatus.FINISHED
    refusal = outcome_of(job).refusal
    assert refusal is not None
    assert (refusal.pointer, refusal.code) == ("/budget/at_most", "inadmissible_problem")
    assert "raise it" in refusal.detail
    assert answer_of(connection, OPTIMUM, KEY) is None
    assert queued(connection) == []
    put(connection, OPTIMUM, TOO_DEAR)
    assert queued(connection) == [job_id]


def test_a_large_result_outlives_its_job_and_without_it_the_job_starts_again(connection: Any) -> None:
    job_id = put(connection, SWEEP, FEW).id
    execute_one(connection)
    job = put(connection, SWEEP, FEW)
    assert queued(connection) == []
    assert outcome_of(job).result is None
    expected = SWEEP.work_out(SWEEP.schema.model_validate(FEW), key=KEY)
    assert answer_of(connection, SWEEP, KEY) == (SWEEP.write(expected), True)
    assert connection.ttl(result_key(SWEEP, KEY)) > connection.ttl(job.key) > 0
    connection.delete(result_key(SWEEP, KEY))
    assert answer_of(connection, SWEEP, KEY) is None
    put(connection, SWEEP, FEW)
    assert queued(connection) == [job_id]


def test_an_answer_says_whether_it_may_be_kept(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changing = replace(PREDICTION, cacheable=lambda request: request.regime.n_samples < 0)
    monkeypatch.setitem(WORKS, PREDICTION.kind, changing)
    put(connection, changing, EXAMPLE)
    execute_one(connection)
    found = answer_of(connection, changing, KEY)
    assert found is not None
    assert found[1] is False


def test_all_kinds_share_the_queues_limit(connection: Any) -> None:
    put(connection, PREDICTION, EXAMPLE, most_queued=2)
    put(connection, SWEEP, FEW, most_queued=2)
    with pytest.raises(QueueFull):
        put(connection, OPTIMUM, OPTIMA, most_queued=2)
