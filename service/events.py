"""A job's progress as server-sent events, whose ids say how far the job was, so that a client can resume after any."""

import asyncio
from collections.abc import AsyncIterator

from api_schemas.job import Job
from service.jobs import ENDED, Jobs
from service.problems import ProblemException

PAUSE_SECONDS = 0.2
RETRY_MILLISECONDS = 1000
RANKS = {"queued": 0, "running": 1}
END = 2

Mark = tuple[int, int]
"""How far a job is: its status in order, and the progress in millionths. It never decreases."""


async def events(jobs: Jobs, job: Job, *, last: str | None, heartbeat: float) -> AsyncIterator[str]:
    """Yield events as the job goes on, and a comment whenever there was none for a while.

    Ends with the job, or when it cannot be read any more; then the client comes back and is told why.

    Args:
        jobs: to read it from.
        job: as it stands.
        last: id of the last event that the client has seen.
        heartbeat: seconds between signs of life.
    """
    seen = _mark_from(last)
    loop = asyncio.get_running_loop()
    spoke = loop.time()
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    while True:
        mark = _mark_of(job)
        if mark > seen or job.status in ENDED:
            seen, spoke = mark, loop.time()
            name = "done" if job.status in ENDED else "progress"
            yield f"id: {mark[0]}-{mark[1]}\nevent: {name}\ndata: {job.model_dump_json()}\n\n"
        elif loop.time() - spoke >= heartbeat:
            spoke = loop.time()
            yield ": still here\n\n"
        if job.status in ENDED:
            return
        await asyncio.sleep(min(PAUSE_SECONDS, heartbeat))
        try:
            job = await jobs.read(job.id)
        except ProblemException:
            return


def has_seen_the_end(last: str | None) -> bool:
    """Whether a client's last event was that of the end."""
    return _mark_from(last)[0] == END


def _mark_of(job: Job) -> Mark:
    return RANKS.get(job.status, END), round(1e6 * job.progress)


def _mark_from(event_id: str | None) -> Mark:
    """Read an event's id; anything else is before the first."""
    status, _, progress = (event_id or "").partition("-")
    if status.isdecimal() and progress.isdecimal() and len(event_id or "") < 20:
        return int(status), int(progress)
    return (-1, 0)
