"""``POST /v1/validations``."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api_schemas.job import Job
from api_schemas.validation import ValidationRequest
from service.answering import Answerer
from service.declarations import IDEMPOTENCY_KEY, JOB_HEADERS, prefer, request_body
from service.jobs import ENDED, Jobs
from service.replying import check_content, idempotency_of, waits_of
from service.responses import problem_responses
from service.settings import Settings

router = APIRouter(tags=["validations"])


@router.post(
    "/v1/validations",
    name="createValidation",
    summary="Draw and train a prediction's model at its finite size, many times, and compare",
    status_code=202,
    response_model=Job,
    responses={
        200: {"model": Job, "description": "Ended within the seconds of Prefer: wait."},
        202: {"description": "Queued, or under way; workers run it.", "headers": JOB_HEADERS},
        **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={
        "requestBody": request_body(ValidationRequest),
        "parameters": [IDEMPOTENCY_KEY, prefer("wait=N waits up to N seconds for the end.")],
    },
)
async def create_validation(request: Request) -> Any:
    """Queue a validation; the same one is the same job, whose result is kept for a day."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    check_content(headers)
    answerer: Answerer = request.app.state.answerer
    settings: Settings = request.app.state.settings
    jobs: Jobs = request.app.state.jobs
    job = await answerer.validate(await request.body(), idempotency=idempotency_of(headers))
    applied = {}
    waits = waits_of(headers)
    if waits is not None:
        seconds = min(float(waits), settings.longest_wait)
        job = await jobs.wait(job, seconds)
        applied = {"Preference-Applied": f"wait={seconds:g}"}
    location = {"Location": f"/v1/jobs/{job.id}"}
    if waits is not None and job.status in ENDED:
        return Response(job.model_dump_json(), 200, {**location, **applied}, "application/json")
    return Response(job.model_dump_json(), 202, {**location, **applied, "Retry-After": "1"}, "application/json")
