"""Leases on jobs: held by who gives signs of life, lost when others see none, each by its own monotonic clock.

RQ scores a lease with the wall clock of whoever renews it, so that a clock that jumps leaves jobs of the dead unfinished or
takes those of the living away. Here the score counts renewals. Whoever looks at it, every few seconds, notes when it last
changed; once it has been the same for :data:`LEASE_SECONDS` the job is put back. What is taken from a queue but not begun,
and what waits to be tried again, is timed in the same way. Every change is one script on the server, so that it does not
matter who dies in the middle of it, nor how many do it at once.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import structlog
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure
from rq.queue import Queue
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

log = structlog.get_logger("foretell.worker")

LEASE_SECONDS = 15.0
RENEWALS = 3
"""While a lease lasts."""
SWEEP_SECONDS = 2.0
"""At most, between two looks at a queue; with a shorter lease more often."""
NEW_LEASE = 1e11
"""Score of a new lease; renewals are counted from here. To RQ's own programs it is a time some thousand years ahead."""

RENEW = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'lost' end
redis.call('ZINCRBY', KEYS[1], 1, ARGV[1])
return redis.call('HEXISTS', KEYS[2], 'stop') == 1 and 'stop' or 'held'
"""
ASK_TO_STOP = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HSET', KEYS[1], 'stop', 1)
"""
TAKE_BACK = """
local held, execution, executions, job, queue, taken = unpack(KEYS)
local score = redis.call('ZSCORE', held, ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[4]) then return 'renewed' end
local status = redis.call('HGET', job, 'status')
local left = tonumber(redis.call('HGET', job, 'retries_left') or '0')
if status == 'started' and (left == 0 or redis.call('HEXISTS', execution, 'stop') == 1) then return 'spent' end
redis.call('ZREM', held, ARGV[1])
redis.call('ZREM', executions, ARGV[2])
redis.call('DEL', execution)
local unbegun = redis.call('LREM', taken, 1, ARGV[3])
if status == 'started' then redis.call('HSET', job, 'retries_left', left - 1)
elseif status ~= 'queued' or unbegun == 0 then return 'ended' end
redis.call('HSET', job, 'status', 'queued')
redis.call('LPUSH', queue, ARGV[3])
return 'back'
"""
HAND_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 or redis.call('HGET', KEYS[3], 'status') ~= 'queued' then return 0 end
return redis.call('RPUSH', KEYS[2], ARGV[1])
"""
TRY_LATER = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'status', 'scheduled', 'retries_left', ARGV[2])
return redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
"""
TRY_NOW = """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 or redis.call('HGET', KEYS[3], 'status') ~= 'scheduled' then return 0 end
redis.call('HSET', KEYS[3], 'status', 'queued')
return redis.call('LPUSH', KEYS[2], ARGV[1])
"""
PUT_BACK = """
local job, queue, taken, waiting, held, executions = unpack(KEYS)
local status = redis.call('HGET', job, 'status')
if status ~= 'queued' and status ~= 'started' and status ~= 'scheduled' then return 0 end
if redis.call('LPOS', queue, ARGV[1]) or redis.call('LPOS', taken, ARGV[1]) then return 0 end
if redis.call('ZSCORE', waiting, ARGV[1]) then return 0 end
for _, execution in ipairs(redis.call('ZRANGE', executions, 0, -1)) do
  if redis.call('ZSCORE', held, ARGV[1] .. ':' .. execution) then return 0 end
end
redis.call('HSET', job, 'status', 'queued')
return redis.call('RPUSH', queue, ARGV[1])
"""
BEGIN = """
local job, held, executions, execution, taken = unpack(KEYS)
local status = redis.call('HGET', job, 'status')
local free = status == 'queued' or status == 'started'
if status == 'started' then
  for _, other in ipairs(redis.call('ZRANGE', executions, 0, -1)) do
    if other ~= ARGV[2] and redis.call('ZSCORE', held, ARGV[1] .. ':' .. other) then free = false end
  end
end
redis.call('LREM', taken, 1, ARGV[1])
if free then
  redis.call('HSET', job, 'status', 'started')
  return 1
end
redis.call('ZREM', held, ARGV[1] .. ':' .. ARGV[2])
redis.call('ZREM', executions, ARGV[2])
redis.call('DEL', execution)
return 0
"""

Verdict = Literal["held", "stop", "lost"]


class Observed:
    """For how long values have stayed as they are, as far as one observer with a monotonic clock saw.

    Args:
        longest_gap: seconds between two looks after which the observer was away itself, and begins anew.
        clock: seconds that never jump.
    """

    def __init__(self, *, longest_gap: float = LEASE_SECONDS / 2, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_gap = longest_gap
        self._clock = clock
        self._looked = clock()
        self._seen: dict[str, tuple[float, float]] = {}

    def ages(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the seconds since each of the values is known to be what it is; names that are no more are forgotten."""
        now = self._clock()
        if now - self._looked > self._longest_gap:
            self._seen.clear()
        self._looked = now
        before = self._seen
        self._seen = {
            name: before[name] if name in before and before[name][0] == value else (value, now)
            for name, value in values.items()
        }
        return {name: now - since for name, (_, since) in self._seen.items()}


def lease(execution: Execution, held: StartedJobRegistry, pipeline: Any) -> None:
    """Turn RQ's registration of an execution into a lease: nothing of it runs out, or is evicted, by itself."""
    pipeline.zadd(held.key, {execution.composite_key: NEW_LEASE}, xx=True)
    pipeline.persist(execution.key)
    pipeline.persist(ExecutionRegistry(job_id=execution.job_id, connection=pipeline).key)


def renew(connection: Any, execution: Execution, held: StartedJobRegistry) -> Verdict:
    """Give a sign of life; returns whether the lease is still held, and whether its job should be stopped."""
    answer = connection.eval(RENEW, 2, held.key, execution.key, execution.composite_key)
    verdict: Verdict = answer.decode()
    return verdict


def is_held(connection: Any, execution: Execution, held: StartedJobRegistry) -> bool:
    """Whether an execution has its lease."""
    return connection.zscore(held.key, execution.composite_key) is not None


def ask_to_stop(connection: Any, execution: Execution) -> None:
    """Leave word for whoever executes a job, who may not hear the command that is sent beside it."""
    connection.eval(ASK_TO_STOP, 1, execution.key)


def begin(connection: Any, queue: Queue, job: Job, execution: Execution) -> bool:
    """Begin a job that was taken from the queue, unless it has ended, was cancelled, or is in other hands; whether so."""
    keys = (
        job.key,
        job.started_job_registry.key,
        job.execution_registry.key,
        execution.key,
        queue.intermediate_queue_key,
    )
    return bool(connection.eval(BEGIN, len(keys), *keys, job.id, execution.id))


def try_later(connection: Any, job: Job, *, seconds: int, retries_left: int) -> None:
    """Have a job tried again after so many seconds; they start when a worker first sees it waiting."""
    waiting = ScheduledJobRegistry.key_template.format(job.origin)
    connection.eval(TRY_LATER, 2, job.key, waiting, job.id, retries_left, seconds)


def put_back(connection: Any, job: Job) -> bool:
    """Queue a job that has not ended and that is in no queue and no worker's hands; returns whether it was so."""
    queue = Queue(job.origin, connection=connection, serializer=JSONSerializer)
    keys = (job.key, queue.key, queue.intermediate_queue_key, queue.scheduled_job_registry.key)
    return bool(connection.eval(PUT_BACK, 6, *keys, job.started_job_registry.key, job.execution_registry.key, job.id))


class Sweeper:
    """Puts back what was abandoned in a queue, and what has waited long enough; every worker has one.

    Args:
        queue: to look after.
        lease_seconds: after which who gives no sign of life has lost its job.
        clock: seconds that never jump.
    """

    def __init__(
        self, queue: Queue, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease_seconds = lease_seconds
        self._queue = queue
        self._connection: Any = queue.connection
        self._held = queue.started_job_registry
        self._waiting = queue.scheduled_job_registry
        self._leases, self._unbegun, self._delays = (
            Observed(longest_gap=lease_seconds / 2, clock=clock) for _ in range(3)
        )

    def sweep(self) -> None:
        """Look once; to be called every :data:`SWEEP_SECONDS`."""
        pipeline = self._connection.pipeline(transaction=False)
        pipeline.zrange(self._held.key, 0, -1, withscores=True)
        pipeline.lrange(self._queue.intermediate_queue_key, 0, -1)
        pipeline.zrange(self._waiting.key, 0, -1, withscores=True)
        held, unbegun, waiting = pipeline.execute()
        scores = {name.decode(): score for name, score in held}
        executing = {name.partition(":")[0] for name in scores}
        for name, age in self._leases.ages(scores).items():
            if age > self._lease_seconds:
                self._take_back(name, scores[name])
        taken = {name.decode(): 0.0 for name in unbegun if name.decode() not in executing}
        for job_id, age in self._unbegun.ages(taken).items():
            if age > self._lease_seconds:
                self._hand_back(job_id)
        delays = {name.decode(): delay for name, delay in waiting}
        for job_id, age in self._delays.ages(delays).items():
            if age >= delays[job_id]:
                keys = (self._waiting.key, self._queue.key, Job.key_for(job_id))
                self._connection.eval(TRY_NOW, 3, *keys, job_id)

    def _hand_back(self, job_id: str) -> None:
        keys = (self._queue.intermediate_queue_key, self._queue.key, Job.key_for(job_id))
        if self._connection.eval(HAND_BACK, 3, *keys, job_id):
            log.warning("job_redelivered", job=job_id, reason="taken but not begun")

    def _take_back(self, name: str, score: float) -> None:
        """Queue a job whose lease is lost, at the front; one that was tried often enough has failed."""
        execution = Execution.from_composite_key(name, connection=self._connection)
        registry = ExecutionRegistry(job_id=execution.job_id, connection=self._connection)
        keys = (
            self._held.key,
            execution.key,
            registry.key,
            Job.key_for(execution.job_id),
            self._queue.key,
            self._queue.intermediate_queue_key,
        )
        names = (name, execution.id, execution.job_id, score)
        answer = self._connection.eval(TAKE_BACK, len(keys), *keys, *names).decode()
        if answer == "back":
            log.warning("job_redelivered", job=execution.job_id, reason="its worker gave no sign of life")
        elif answer == "spent":
            self._give_up(execution, registry)

    def _give_up(self, execution: Execution, registry: ExecutionRegistry) -> None:
        job = self._queue.fetch_job(execution.job_id)
        stopped = self._connection.hexists(execution.key, "stop")
        with self._connection.pipeline() as pipeline:
            pipeline.zrem(self._held.key, execution.composite_key)
            registry.remove(execution, pipeline=pipeline)
            pipeline.delete(execution.key)
            if job is not None:
                reason = (
                    f"its worker gave no sign of life for {self._lease_seconds:g} s, and so did those that tried before"
                )
                record_job_failure(job, reason, pipeline)
                if stopped:
                    job.set_status(JobStatus.STOPPED, pipeline=pipeline)
            pipeline.execute()
        log.error("job_given_up", job=execution.job_id)
