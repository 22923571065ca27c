"""Sweeps as jobs: those that take too long to wait for, with their progress, and a result too large for the job itself.

The result of a million points has some 50 MB of JSON, less when compressed. It lies beside the job, under a key of its own,
for an hour, so that following or listing jobs does not move it.
"""

import json
import time
import zlib
from dataclasses import dataclass
from typing import Any

from rq import get_current_job
from rq.job import Job

from api_schemas.canonical import canonical_json
from api_schemas.sweep import SweepRequest
from workers import sweeps
from workers.queue import TIME_LIMIT_SECONDS, enqueue_once, find
from workers.refusals import Refused, TooLarge
from workers.sweeps import seconds_of, sweep

ID_PREFIX = "sweep-"
RESULT_TTL_SECONDS = 3600
REPORT_SECONDS = 0.5
"""Between reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a sweep ended by itself: with a result of so many bytes, or refused."""

    size: int = 0
    pointer: str = ""
    detail: str = ""
    code: str = ""

    @property
    def refused(self) -> bool:
        """Whether there is no result."""
        return bool(self.code)


def check(request: SweepRequest) -> None:
    """Make sure that a sweep can be answered, in the time that a job has.

    Raises:
        Refused: it cannot.
    """
    sweeps.check(request)
    is_large(request, seconds=0.0)


def is_large(request: SweepRequest, *, seconds: float) -> bool:
    """Whether a sweep is expected to take longer than so many seconds.

    Raises:
        Refused: it has no theory, or would take longer than a job may.
    """
    expected = seconds_of(request)
    if expected > TIME_LIMIT_SECONDS:
        raise TooLarge(
            "/axes",
            f"so many points are expected to take {expected / 60.0:.0f} minutes, and a sweep may take"
            f" {TIME_LIMIT_SECONDS // 60}; take fewer values, or several sweeps",
        )
    return expected > seconds


def submit_sweep(connection: Any, request: SweepRequest, *, key: str, most_queued: int) -> Job:
    """Queue a sweep, or return the job that is doing it or has done it already.

    Raises:
        QueueFull: there are as many jobs already.
    """
    job_id = ID_PREFIX + key
    job = find(connection, job_id)
    if job is not None and job.is_finished and not connection.exists(result_key(key)):
        job.delete()  # its result has gone before it
    return enqueue_once(
        connection,
        run_sweep,
        (canonical_json(request).decode(), key),
        job_id=job_id,
        most_queued=most_queued,
        result_ttl=RESULT_TTL_SECONDS,
    )


def run_sweep(canonical_request: str, key: str) -> str:
    """Work out a sweep; a worker executes this.

    Args:
        canonical_request: validated when it was queued.
        key: of the request.

    Returns:
        The outcome in JSON. A refusal is one: to try again would not help.
    """
    job = get_current_job()
    assert job is not None, "only a worker executes this"
    connection: Any = job.connection
    request = SweepRequest.model_validate_json(canonical_request)
    reported = time.monotonic()

    def report(share: float) -> None:
        nonlocal reported
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            job.meta["progress"] = share
            job.save_meta()  # type: ignore[no-untyped-call]

    try:
        answer = sweep(request, key=key, progress=report)
    except Refused as refusal:
        return json.dumps({"pointer": refusal.pointer, "detail": refusal.detail, "code": refusal.code})
    body = answer.to_json()
    connection.set(result_key(key), zlib.compress(body, 1), ex=RESULT_TTL_SECONDS)
    return json.dumps({"size": len(body)})


def outcome_of(job: Job) -> Outcome:
    """Return how a job that has succeeded as a job ended."""
    return Outcome(**json.loads(job.return_value() or "{}"))


def result_of(connection: Any, key: str) -> bytes | None:
    """Return the result of a sweep in JSON, None where there is none, or none any more."""
    found = connection.get(result_key(key))
    return None if found is None else zlib.decompress(found)


def result_key(key: str) -> str:
    """Return where the result of a sweep is."""
    return f"foretell:sweep:{key}"
