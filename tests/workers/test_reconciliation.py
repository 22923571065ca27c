"""What a server lost, or a hand deleted, is put back; against a real server, without workers of their own processes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rq.job import JobStatus

from api_schemas.prediction import PredictionRequest
from api_schemas.validation import ValidationRequest
from service.embedded import EmbeddedValkey
from tests.running import EXAMPLE
from tests.service.test_validations import SMALL, validation
from workers import answered_jobs, chunks, validations
from workers.queue import CPU_QUEUE, OPEN_KEY, LeasedQueue, connect, find
from workers.reconciliation import RECONCILE_SECONDS, TURN_KEY, Reconciler, reconciled
from workers.resident import ResidentWorker
from workers.works import PREDICTION

REQUEST = ValidationRequest.model_validate(validation(SMALL, replicates=2500, seed=70))
KEY = validations.key_of(REQUEST)
COUNT = len(validations.chunks_of(REQUEST))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield connect(valkey.url, timeout=5.0)


@pytest.fixture
def connection(server: Any) -> Any:
    server.flushall()
    return server


def queued(connection: Any) -> list[str]:
    return LeasedQueue(CPU_QUEUE, connection).get_job_ids()


@contextmanager
def worker_of(connection: Any) -> Iterator[ResidentWorker]:
    worker = ResidentWorker(CPU_QUEUE, connection=connection)
    yield worker
    assert not connection.exists(worker._held.key)


def execute_one(connection: Any) -> None:
    """Execute the next job in this process."""
    with worker_of(connection) as worker:
        worker.execute_job(*worker._take(burst=True))


def open_jobs(connection: Any) -> set[str]:
    return {name.decode() for name in connection.smembers(OPEN_KEY)}


def reconcile(connection: Any) -> None:
    """Without a pause."""
    for _ in reconciled(connection):
        pass


def submit(connection: Any) -> str:
    chunks.submit_validation(connection, REQUEST, key=KEY, most_queued=10)
    return chunks.ID_PREFIX + KEY


def test_a_queue_that_was_lost(connection: Any) -> None:
    coordinator = submit(connection)
    request = PredictionRequest.model_validate(EXAMPLE)
    prediction = answered_jobs.submit(connection, PREDICTION, request, key="0" * 64, most_queued=10).id
    for _ in range(2):
        reconcile(connection)
        assert sorted(queued(connection)) == sorted([prediction, coordinator])
    connection.delete(LeasedQueue(CPU_QUEUE, connection).key)
    for _ in range(2):
        reconcile(connection)
        assert sorted(queued(connection)) == sorted([prediction, coordinator])
    assert open_jobs(connection) == {prediction, coordinator}


def test_chunks_that_were_lost(connection: Any) -> None:
    assert COUNT > 2
    submit(connection)
    execute_one(connection)
    ids = [chunks.chunk_id(KEY, index) for index in range(COUNT)]
    assert queued(connection) == ids
    execute_one(connection)
    lost = find(connection, ids[1])
    assert lost is not None
    lost.delete()
    connection.lrem(LeasedQueue(CPU_QUEUE, connection).key, 1, ids[2])
    reconcile(connection)
    assert sorted(queued(connection)) == sorted(ids[1:])
    while queued(connection):
        execute_one(connection)
    standing = chunks.standing_of(connection, KEY)
    assert standing is not None
    assert standing.status == "succeeded"
    reconcile(connection)
    assert open_jobs(connection) == set()
    assert queued(connection) == []


def test_a_conclusion_that_was_lost(connection: Any) -> None:
    submit(connection)
    execute_one(connection)
    for index, chunk in enumerate(validations.chunks_of(REQUEST)):
        values = validations.dumped(validations.run_chunk(REQUEST, chunk))
        result = json.dumps({"backend": "numpy", "device": "cpu", "values": values})
        place = (chunks.record_key(KEY), chunks.results_key(KEY), index)
        assert connection.eval(chunks.RECORD_CHUNK, 2, *place, result, CPU_QUEUE) == 1
        job = find(connection, chunks.chunk_id(KEY, index))
        assert job is not None
        job.delete()
    assert queued(connection) == []
    reconcile(connection)
    assert len(queued(connection)) == 1
    execute_one(connection)
    standing = chunks.standing_of(connection, KEY)
    assert standing is not None
    assert standing.status == "succeeded"


def test_what_has_ended_or_is_gone_is_left_alone(connection: Any) -> None:
    submit(connection)
    execute_one(connection)
    chunks.cancel_validation(connection, KEY)
    connection.sadd(OPEN_KEY, "prediction-gone", chunks.ID_PREFIX + "1" * 64)
    reconcile(connection)
    assert queued(connection) == []
    assert open_jobs(connection) == set()


def test_a_chunk_that_has_failed_is_left_to_fail_the_job(connection: Any) -> None:
    submit(connection)
    execute_one(connection)
    with worker_of(connection) as worker:
        job, queue = worker._take(burst=True)
        job.retries_left = 0
        execution = worker.prepare_execution(job)
        assert worker.begins(job, queue, execution)
        worker.handle_job_failure(job, queue, exc_string="no luck", execution=execution)
    assert job.get_status() == JobStatus.FAILED
    reconcile(connection)
    standing = chunks.standing_of(connection, KEY)
    assert standing is not None
    assert (standing.status, standing.value) == ("failed", "chunk 0: no luck")
    assert queued(connection) == []


def test_one_worker_in_turn(connection: Any) -> None:
    seconds = [0.0]
    workers = [Reconciler(clock=lambda: seconds[0]) for _ in range(3)]
    for _ in range(round(3 * RECONCILE_SECONDS)):
        for worker in workers:
            worker(connection)
        seconds[0] += 1.0
    assert int(connection.get(TURN_KEY)) == 2


def test_many_jobs_are_reconciled_a_few_at_a_time(connection: Any) -> None:
    count = 5

    class Slow:
        seconds = 0.0

        def __call__(self) -> float:
            self.seconds += 0.2
            return self.seconds

    clock = Slow()
    worker = Reconciler(clock=clock)
    connection.sadd(OPEN_KEY, *(f"prediction-{number}" for number in range(count)))
    left = [count]
    while left[-1] > 0:
        worker(connection)
        left.append(connection.scard(OPEN_KEY))
    assert any(0 < number < count for number in left)
    assert int(connection.get(TURN_KEY)) == 1
