"""``GET /v1/jobs/{id}``: what became of work that was answered with 202."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from api_schemas.job import Job
from service.answering import Answerer
from service.jobs import Jobs
from service.responses import problem_responses

router = APIRouter(tags=["jobs"])


@router.get(
    "/v1/jobs/{id}",
    name="readJob",
    summary="Read a job's status and, once it has ended, its result",
    response_model=Job,
    responses=problem_responses(400, 401, 404, 429, 500, 503),
)
async def read_job(
    request: Request,
    job_id: Annotated[str, Path(alias="id", description="The job's id.", min_length=1, max_length=200)],
) -> Any:
    """Return a job as it stands."""
    jobs: Jobs = request.app.state.jobs
    job = await jobs.read(job_id)
    if job.result is not None:
        answerer: Answerer = request.app.state.answerer
        answerer.keep(job.result)
    return job
