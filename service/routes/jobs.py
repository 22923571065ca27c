"""``/v1/jobs``: what became of work that was answered with 202."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api_schemas.job import Job, JobList
from service.answering import Answerer
from service.events import events, has_seen_the_end
from service.jobs import ENDED, Jobs
from service.responses import problem_responses
from service.settings import Settings

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(alias="id", description="The job's id.", min_length=1, max_length=200)]


@router.get(
    "/v1/jobs",
    name="listJobs",
    summary="List jobs, the newest first",
    response_model=JobList,
    responses=problem_responses(400, 401, 429, 500, 503),
)
async def list_jobs(
    request: Request,
    limit: Annotated[int, Query(description="How many at most.", ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before.", min_length=1, max_length=400)
    ] = None,
) -> Any:
    """Return a page of jobs as they stand."""
    jobs: Jobs = request.app.state.jobs
    return await jobs.list(limit=limit, cursor=cursor)


@router.get(
    "/v1/jobs/{id}",
    name="readJob",
    summary="Read a job's status and, once it has ended, its result",
    response_model=Job,
    responses=problem_responses(400, 401, 404, 429, 500, 503),
)
async def read_job(request: Request, job_id: JobId) -> Any:
    """Return a job as it stands."""
    answerer: Answerer = request.app.state.answerer
    return Response(await answerer.read(job_id), media_type="application/json")


@router.delete(
    "/v1/jobs/{id}",
    name="cancelJob",
    summary="Cancel a job",
    response_model=Job,
    responses=problem_responses(400, 401, 404, 429, 500, 503),
)
async def cancel_job(request: Request, job_id: JobId) -> Any:
    """Cancel a job that is queued or running; one that has ended stays as it is."""
    jobs: Jobs = request.app.state.jobs
    return await jobs.cancel(job_id)


@router.get(
    "/v1/jobs/{id}/events",
    name="streamJobEvents",
    summary="Follow a job's progress as server-sent events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `progress`, then one event `done`; the data of each is the job.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "Last-Event-ID is that of the event `done`: there is nothing more, do not reconnect."},
        **problem_responses(400, 401, 404, 429, 500, 503),
    },
    openapi_extra={
        "parameters": [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The id of the last event that was seen; later ones follow.",
                "schema": {"type": "string"},
            }
        ]
    },
)
async def stream_job_events(request: Request, job_id: JobId) -> Any:
    """Stream the job's progress from now on, or from after Last-Event-ID, until it has ended."""
    jobs: Jobs = request.app.state.jobs
    settings: Settings = request.app.state.settings
    last = request.headers.get("last-event-id")
    job = await jobs.read(job_id)
    if job.status in ENDED and has_seen_the_end(last):
        return Response(status_code=204)
    return StreamingResponse(
        events(jobs, job, last=last, heartbeat=settings.heartbeat),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
