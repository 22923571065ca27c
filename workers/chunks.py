"""Validations as durable jobs: a coordinator cuts one into chunks, any worker runs them, whoever ends last concludes.

In Redis a validation is a hash, its record, and a hash of its chunks' results by their index. A result is recorded once, and so
is the outcome; whatever was killed in between is done again by RQ and finds what is there already. Neither hash has a time
to live before the end, so that a server that evicts leaves them alone.
"""

import json
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from rq import get_current_job
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from api_schemas.canonical import canonical_json
from api_schemas.validation import ValidationRequest
from workers import device, validations
from workers.queue import (
    CPU_QUEUE,
    GPU_QUEUE,
    RESULT_TTL_SECONDS,
    LeasedQueue,
    discard,
    enqueue_once,
    find,
    live_workers,
    reason_of,
    stop,
)
from workers.refusals import Refused

log = structlog.get_logger("foretell.worker")

ID_PREFIX = "validation-"
KEY = re.compile(r"[0-9a-f]{64}")
"""Whatever else follows the prefix in the id of a job names a chunk, which is no one's business."""
MOST_CHUNKS = 2000
BACKENDS: dict[str, validations.Backend] = {CPU_QUEUE: "numpy", GPU_QUEUE: "cupy"}
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

RECORD_CHUNK = """
if redis.call('HEXISTS', KEYS[1], 'outcome') == 1 or redis.call('HGET', KEYS[1], 'queue') ~= ARGV[3] then return 0 end
return redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2])
"""
SETTLE = """
if redis.call('HEXISTS', KEYS[1], 'outcome') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'outcome', ARGV[2], 'value', ARGV[3], 'done', redis.call('HLEN', KEYS[2]))
redis.call('EXPIRE', KEYS[1], ARGV[1])
if ARGV[2] == 'succeeded' then redis.call('DEL', KEYS[2]) else redis.call('EXPIRE', KEYS[2], ARGV[1]) end
return 1
"""
"""Chunks of what failed or was cancelled are kept as long as its record: asked for again, it goes on from there."""


class NoGpu(Exception):
    """A GPU was asked for, and no worker that lives has one."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a validation stands.

    Attributes:
        status: as on the wire.
        done: chunks whose results are there.
        total: chunks in all; 1 until they are known.
        value: the result as JSON, or why it failed.
        counted: whether :func:`count_once` was called about how it ended.
    """

    status: Status
    done: int = 0
    total: int = 1
    value: str = ""
    counted: bool = False

    @property
    def progress(self) -> float:
        """Return the share of the work that is done."""
        return 1.0 if self.status == "succeeded" else self.done / self.total


def check(request: ValidationRequest) -> None:
    """Make sure that a validation can be run, in a number of chunks that can be kept track of.

    Raises:
        Refused: it cannot, or would take too long; pointers are within the request.
    """
    validations.check(request)
    count = len(validations.chunks_of(request, "cupy" if request.backend == "cupy" else "numpy"))
    if count > MOST_CHUNKS:
        raise Refused(
            "/replicates",
            f"so many replicates of these sizes take {count} chunks of a second or so, more than {MOST_CHUNKS}; ask for"
            " fewer, or for smaller sizes in the same ratios",
        )


def submit_validation(connection: Any, request: ValidationRequest, *, key: str, most_queued: int) -> None:
    """Queue a validation unless it is under way or done; one that failed or was cancelled goes on from where it was.

    Which queue it is, and so what computes it, is decided here once, and holds for all of its chunks.

    Raises:
        NoGpu: a GPU is asked for, and no worker has one.
        QueueFull: there are as many jobs already.
    """
    standing = standing_of(connection, key)
    if standing is not None and standing.status not in ("failed", "cancelled"):
        return
    job_id = ID_PREFIX + key
    before = _queue_of(connection, key)
    queue_name = _queue_for(connection, request, before)
    if standing is not None:
        withdraw(connection, key, standing.total)
        if before in (None, queue_name):
            connection.persist(results_key(key))
        else:
            connection.delete(results_key(key))  # no result may mix what different backends computed
        connection.delete(record_key(key))
        job = find(connection, job_id)
        if job is not None:
            discard(job)
    arguments = (canonical_json(request).decode(), key)
    enqueue_once(connection, plan_validation, arguments, job_id=job_id, queue_name=queue_name, most_queued=most_queued)


def _queue_for(connection: Any, request: ValidationRequest, before: str | None) -> str:
    """Return whose workers run a validation: those with a GPU if it asks for one, or may have one and one is there."""
    if request.backend == "numpy" or (request.backend == "auto" and before == CPU_QUEUE):
        return CPU_QUEUE
    if live_workers(connection, GPU_QUEUE):
        return GPU_QUEUE
    if request.backend == "cupy":
        raise NoGpu
    return CPU_QUEUE


def _queue_of(connection: Any, key: str) -> str | None:
    """Return whose workers run a validation, None before it is planned."""
    name = connection.hget(record_key(key), "queue")
    return None if name is None else str(name.decode())


def standing_of(connection: Any, key: str) -> Standing | None:
    """Return where a validation stands, None if there is none of that key."""
    record = _strings(connection.hgetall(record_key(key))) if KEY.fullmatch(key) else {}
    total = int(record.get("total", 1))
    if "outcome" in record:
        outcome: Any = record["outcome"]
        done = min(int(record["done"]), total)
        return Standing(status=outcome, done=done, total=total, value=record["value"], counted="counted" in record)
    if "planned" in record:
        return _under_way(connection, key, total, started="started" in record)
    job = find(connection, ID_PREFIX + key) if KEY.fullmatch(key) else None
    if job is None:
        return None
    if job.get_status(refresh=False) == JobStatus.FAILED:
        _settle(connection, key, "failed", reason_of(job))
        return Standing(status="failed", total=total, value=reason_of(job))
    return Standing(status="queued", total=total)


def _under_way(connection: Any, key: str, total: int, *, started: bool) -> Standing:
    """Return where a validation stands whose chunks are queued; it has failed once one of them has, for good."""
    recorded = {int(index) for index in connection.hkeys(results_key(key))}
    reason = _failure(connection, key, total)
    if reason is not None and _settle(connection, key, "failed", reason):
        withdraw(connection, key, total, keep=recorded)
        return Standing(status="failed", done=len(recorded), total=total, value=reason)
    return Standing(status="running" if started else "queued", done=len(recorded), total=total)


def count_once(connection: Any, key: str) -> bool:
    """Whether this is the first call about a validation that has ended; for metrics of several processes."""
    return bool(connection.hsetnx(record_key(key), "counted", 1))


def cancel_validation(connection: Any, key: str) -> None:
    """Cancel a validation that has not ended: nothing of it is queued afterwards, and what runs is stopped."""
    standing = standing_of(connection, key)
    if standing is None or not _settle(connection, key, "cancelled", ""):
        return
    recorded = {int(index) for index in connection.hkeys(results_key(key))}
    withdraw(connection, key, standing.total, keep=recorded)


def delete_validation(connection: Any, key: str) -> bool:
    """Delete a validation that has ended, with the results of its chunks; whether no worker executes any of it still."""
    standing = standing_of(connection, key)
    ids = [ID_PREFIX + key, *(chunk_id(key, index) for index in range(standing.total if standing is not None else 0))]
    gone = True
    for job in Job.fetch_many(ids, connection=connection, serializer=JSONSerializer):
        if job is None:
            continue
        if job.get_status(refresh=False) == JobStatus.STARTED:
            stop(connection, job)
            gone = False
        else:
            discard(job)
    if gone:
        connection.delete(record_key(key), results_key(key))
    return gone


def withdraw(connection: Any, key: str, total: int, *, keep: Container[int] = ()) -> None:
    """Take the chunks of a validation that has ended out of the queue, and stop those that run.

    One that is being taken by a worker just now is neither; it finds the outcome when it starts.
    """
    ids = [chunk_id(key, index) for index in range(total) if index not in keep]
    for job in Job.fetch_many(ids, connection=connection, serializer=JSONSerializer):
        if job is None:
            continue
        if job.get_status(refresh=False) == JobStatus.STARTED:
            stop(connection, job)
        else:
            discard(job)


def plan_validation(canonical_request: str, key: str) -> None:
    """Queue the chunks of a validation; a worker executes this.

    Args:
        canonical_request: validated when it was queued.
        key: of the request.
    """
    connection, queue_name = _this_job()
    request = ValidationRequest.model_validate_json(canonical_request)
    total = len(validations.chunks_of(request, BACKENDS[queue_name]))
    record = record_key(key)
    if connection.hexists(record, "outcome"):
        return
    # The total comes first: a chunk that ends before the others are queued must not take itself for the last.
    connection.hset(record, mapping={"total": total, "queue": queue_name})
    recorded = {int(index) for index in connection.hkeys(results_key(key))}
    for index in range(total):
        if index not in recorded:
            queue_chunk(connection, canonical_request, key, index, queue_name)
    connection.hset(record, mapping={"planned": 1, "request": canonical_request})
    if connection.hexists(record, "outcome"):
        withdraw(connection, key, total)
    else:
        _conclude_if_enough(connection, request, key)


def run_validation_chunk(canonical_request: str, key: str, index: int) -> None:
    """Run a chunk, record what came out, and conclude if nothing is missing; a worker executes this.

    Args:
        canonical_request: validated when it was queued.
        key: of the request.
        index: of the chunk.
    """
    connection, queue_name = _this_job()
    record, chunks = record_key(key), results_key(key)
    if connection.hexists(record, "outcome"):
        return
    connection.hset(record, "started", 1)
    request = ValidationRequest.model_validate_json(canonical_request)
    if not connection.hexists(chunks, index):
        found = result_of_chunk(request, validations.chunks_of(request, BACKENDS[queue_name])[index])
        connection.eval(RECORD_CHUNK, 2, record, chunks, index, found, queue_name)
    _conclude_if_enough(connection, request, key)


def result_of_chunk(request: ValidationRequest, chunk: validations.Chunk) -> str:
    """Run a chunk on the device of this process; returns what is recorded of it."""
    on = device.chosen()
    values = validations.run_chunk(request, chunk, device=on)
    return json.dumps({"backend": on.backend, "device": on.name, "values": validations.dumped(values)})


def _conclude_if_enough(connection: Any, request: ValidationRequest, key: str) -> None:
    """Write the result once all chunks are there, or the first of them without a gap reach the precision."""
    total = int(connection.hget(record_key(key), "total") or 0)
    complete = 0 < total <= connection.hlen(results_key(key))
    if total == 0 or not (complete or request.precision is not None):
        return
    recorded = {int(index): values for index, values in connection.hgetall(results_key(key)).items()}
    first: list[dict[str, list[float | None]]] = []
    on: list[tuple[validations.Backend, str]] = []
    while len(first) in recorded:
        chunk = json.loads(recorded[len(first)])
        first.append(validations.loaded(chunk["values"]))
        on.append((chunk["backend"], chunk["device"]))
    count = validations.enough(request, first)
    if count is None and len(first) < total:
        return
    devices = ", ".join(sorted({name for _, name in on[:count]}))
    found = validations.conclude(request, first[:count], backend=on[0][0], device=devices)
    if _settle(connection, key, "succeeded", found.model_dump_json()):
        withdraw(connection, key, total, keep=recorded)
        log.info("validation_concluded", key=key, agrees=found.agrees, replicates=found.replicates)


def _settle(connection: Any, key: str, outcome: str, value: str) -> bool:
    """Write how a validation ended, once; whether this was the time."""
    return bool(connection.eval(SETTLE, 2, record_key(key), results_key(key), RESULT_TTL_SECONDS, outcome, value))


def _failure(connection: Any, key: str, total: int) -> str | None:
    """Return why a chunk, or the conclusion after it, has failed for good, None if none has."""
    queue_name = _queue_of(connection, key) or CPU_QUEUE
    registry = FailedJobRegistry(queue=LeasedQueue(queue_name, connection)).key
    scores = connection.zmscore(registry, [chunk_id(key, index) for index in range(total)])
    for index, score in enumerate(scores):
        job = find(connection, chunk_id(key, index)) if score is not None else None
        if job is None:
            continue
        if job.get_status(refresh=False) == JobStatus.FAILED:
            return f"chunk {index}: {reason_of(job)}"
        if job.get_status(refresh=False) == JobStatus.STOPPED:
            # Stopped for a cancellation that was taken back before it took effect.
            request, _, _ = job.args
            queue_chunk(connection, request, key, index, queue_name)
    return None


def queue_chunk(connection: Any, canonical_request: str, key: str, index: int, queue_name: str) -> None:
    """Queue a chunk unless it is queued already."""
    arguments, job_id = (canonical_request, key, index), chunk_id(key, index)
    enqueue_once(connection, run_validation_chunk, arguments, job_id=job_id, queue_name=queue_name, result_ttl=0)


def _this_job() -> tuple[Any, str]:
    """Return the connection of the job that this process executes, and the queue that it came from."""
    job = get_current_job()
    assert job is not None, "only a worker executes this"
    return job.connection, job.origin


def _strings(mapping: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in mapping.items()}


def record_key(key: str) -> str:
    """Return where the record of a validation is."""
    return f"foretell:validation:{key}"


def results_key(key: str) -> str:
    """Return where the results of its chunks are."""
    return f"foretell:validation:{key}:chunks"


def chunk_id(key: str, index: int) -> str:
    """Return the id of the job that runs a chunk."""
    return f"{ID_PREFIX}{key}-{index}"
