"""Work as jobs: queued once under the key of its answer, executed by any worker, ended with an answer or a refusal."""

import json
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rq import get_current_job
from rq.job import Job

from api_schemas.canonical import canonical_json
from workers.queue import discard, enqueue_once, find
from workers.refusals import Refused
from workers.works import WORKS, Work, work_of_job

REPORT_SECONDS = 0.5
"""Between reports of progress."""
DATASET = re.compile(r'"dataset_id":"([0-9a-f]{64})"')
"""In a canonical request, where no other field has that name."""
OUTLIVES_SECONDS = 60
"""So much longer than its job a result that lies beside it is kept: a job that succeeded has one."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended by itself.

    Attributes:
        result: the answer in JSON; None where it lies beside the job, or there is none.
        cacheable: whether the answer may be kept and found again.
        pointer, detail, code: of the refusal, if it was refused.
    """

    result: str | None = None
    cacheable: bool = True
    pointer: str = ""
    detail: str = ""
    code: str = ""

    @property
    def refusal(self) -> Refused | None:
        """Why there is no answer, and would be none another time."""
        if not self.code:
            return None
        refusal = Refused(self.pointer, self.detail)
        refusal.code = self.code
        return refusal


def submit(connection: Any, work: Work, request: Any, *, key: str, most_queued: int) -> Job:
    """Queue a request, or return the job that is answering it or has answered it already.

    One that was refused, or whose result has gone before it, starts again.

    Args:
        connection: to the queue's server.
        work: that is asked for.
        request: that was checked.
        key: of the request.
        most_queued: no more than so many jobs may wait.

    Raises:
        QueueFull: there are as many jobs already.
    """
    job_id = work.job_id(key)
    job = find(connection, job_id)
    if (
        job is not None
        and job.is_finished
        and (outcome_of(job).refusal or (work.apart and not connection.exists(result_key(work, key))))
    ):
        discard(job)
    return enqueue_once(
        connection,
        run,
        (work.kind, canonical_json(request).decode(), key),
        job_id=job_id,
        most_queued=most_queued,
        result_ttl=work.ttl_seconds,
    )


def run(kind: str, canonical_request: str, key: str) -> str:
    """Work out an answer; a worker executes this.

    Args:
        kind: of the work.
        canonical_request: validated when it was queued.
        key: of the request.

    Returns:
        The outcome in JSON. A refusal is one: to try again would not help.
    """
    job = get_current_job()
    assert job is not None, "only a worker executes this"
    work = WORKS[kind]
    request = work.schema.model_validate_json(canonical_request)
    reports = {"progress": _reporter(job)} if work.reports else {}
    try:
        answer = work.work_out(request, key=key, **reports)
    except Refused as refusal:
        return json.dumps({"pointer": refusal.pointer, "detail": refusal.detail, "code": refusal.code})
    body = work.write(answer)
    outcome: dict[str, Any] = {"cacheable": work.cacheable(request)}
    if work.apart:
        connection: Any = job.connection
        connection.set(result_key(work, key), zlib.compress(body, 1), ex=work.ttl_seconds + OUTLIVES_SECONDS)
    else:
        outcome["result"] = body.decode()
    return json.dumps(outcome)


def dataset_of(job: Job) -> str | None:
    """Return the data set that a job is about, None where it is about none."""
    found = DATASET.search(job.args[1])
    return None if found is None else found[1]


def outcome_of(job: Job) -> Outcome:
    """Return how a job that has succeeded as a job ended."""
    return Outcome(**json.loads(job.return_value() or "{}"))


def answer_of(connection: Any, work: Work, key: str) -> tuple[bytes, bool] | None:
    """Return the answer that a job has found, in JSON, and whether it may be kept; None where there is none (any more)."""
    job = find(connection, work.job_id(key))
    if job is None or not job.is_finished:
        return None
    outcome = outcome_of(job)
    if outcome.result is not None:
        return outcome.result.encode(), outcome.cacheable
    found = connection.get(result_key(work, key)) if work.apart else None
    return None if found is None else (zlib.decompress(found), outcome.cacheable)


def delete(connection: Any, job_id: str) -> None:
    """Delete a job that has ended, and its result."""
    job = find(connection, job_id)
    if job is not None:
        discard(job)
    work = work_of_job(job_id)
    if work is not None:
        connection.delete(result_key(work, work.key_of_job(job_id)))


def result_key(work: Work, key: str) -> str:
    """Return where the result of a job lies."""
    return f"foretell:result:{work.job_id(key)}"


def _reporter(job: Job) -> Callable[[float], None]:
    """Return what notes the share that is done in a job, every now and then; it never falls."""
    reported, most = time.monotonic(), 0.0

    def report(share: float) -> None:
        nonlocal reported, most
        most = max(most, share)
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            job.meta["progress"] = most
            job.save_meta()  # type: ignore[no-untyped-call] # RQ's

    return report
