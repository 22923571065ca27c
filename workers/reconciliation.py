"""Jobs that have not ended and are in no queue: put back, by one worker at a time.

No crash of a process leads there. What does is a server that loses its last second of writes, or a hand that deletes a key.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from rq.job import Job, JobStatus

from workers import chunks, leases
from workers.leases import Observed
from workers.queue import CPU_QUEUE, GPU_QUEUE, OPEN_KEY, LeasedQueue, find

RECONCILE_SECONDS = 30.0
LONGEST_SECONDS = 0.5
"""At a time: meanwhile no lease is renewed."""
MOST_WAITING = 200_000
TURN_KEY = "foretell:reconciled"
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)

CLAIM = """
if tonumber(redis.call('GET', KEYS[1]) or '0') ~= tonumber(ARGV[1]) then return 0 end
redis.call('INCR', KEYS[1])
return 1
"""


class Reconciler:
    """Reconciles when no worker has done so for half a minute; to be called more often than that.

    Args:
        clock: seconds that never jump.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns = Observed(clock=clock)
        self._steps: Iterator[str] = iter(())

    def __call__(self, connection: Any) -> None:
        """Reconcile if it is time and no other worker does; a little now, and the rest the next times."""
        turn = float(connection.get(TURN_KEY) or 0)
        if self._turns.ages({TURN_KEY: turn})[TURN_KEY] >= RECONCILE_SECONDS and connection.eval(
            CLAIM, 1, TURN_KEY, int(turn)
        ):
            self._steps = reconciled(connection)
        until = self._clock() + LONGEST_SECONDS
        for _ in self._steps:
            if self._clock() > until:
                break


def reconciled(connection: Any) -> Iterator[str]:
    """Put back every job that has not ended and is nowhere, and forget those that have ended; yields the id of each."""
    known = _somewhere(connection)
    if known is None:
        return
    for name in connection.smembers(OPEN_KEY):
        job_id = name.decode()
        yield job_id
        if job_id in known:
            continue
        if job_id.startswith(chunks.ID_PREFIX):
            is_open = _reconcile_validation(connection, job_id.removeprefix(chunks.ID_PREFIX), known)
        else:
            is_open = _reconcile_job(connection, job_id)
        if not is_open:
            connection.srem(OPEN_KEY, job_id)


def _somewhere(connection: Any) -> set[str] | None:
    """Return the ids of all jobs that wait or are executed; None if they are so many that it can wait, too."""
    queues = (LeasedQueue(CPU_QUEUE, connection), LeasedQueue(GPU_QUEUE, connection))
    if sum(queue.count for queue in queues) > MOST_WAITING:
        return None
    pipeline = connection.pipeline(transaction=False)
    for queue in queues:
        pipeline.lrange(queue.key, 0, -1)
        pipeline.lrange(queue.intermediate_queue_key, 0, -1)
        pipeline.zrange(queue.scheduled_job_registry.key, 0, -1)
        pipeline.zrange(queue.started_job_registry.key, 0, -1)
    return {name.decode().partition(":")[0] for names in pipeline.execute() for name in names}


def _reconcile_job(connection: Any, job_id: str) -> bool:
    """Put a job back if it is nowhere; returns whether it has not ended."""
    job = find(connection, job_id)
    if job is None or job.get_status(refresh=False) in ENDED:
        return False
    leases.put_back(connection, job)
    return True


def _reconcile_validation(connection: Any, key: str, known: set[str]) -> bool:
    """Put back what a validation misses: its coordinator, or chunks without a result; returns whether it has not ended."""
    record = connection.hgetall(chunks.record_key(key))
    if b"planned" not in record:
        return b"outcome" not in record and _reconcile_job(connection, chunks.ID_PREFIX + key)
    standing = chunks.standing_of(connection, key)
    if standing is None or standing.status not in ("queued", "running"):
        return False
    recorded = {int(index) for index in connection.hkeys(chunks.results_key(key))}
    # With all results there, one more run of the last chunk draws the conclusion that was lost.
    missing = [index for index in range(standing.total) if index not in recorded] or [standing.total - 1]
    for index in missing:
        job_id = chunks.chunk_id(key, index)
        if job_id in known:
            continue
        job: Job | None = find(connection, job_id)
        if job is None:
            chunks.queue_chunk(connection, record[b"request"].decode(), key, index, record[b"queue"].decode())
        else:
            leases.put_back(connection, job)
    return True
