"""``/v1/datasets``: pools of rows to predict from."""

import asyncio
import errno
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from api_schemas.dataset import Dataset, DatasetForm, DatasetList
from api_schemas.job import Job
from service.datasets import Datasets
from service.declarations import IDEMPOTENCY_KEY, JOB_HEADERS, prefer
from service.jobs import ENDED, Jobs
from service.problems import ProblemException
from service.replying import idempotency_of, waits_of
from service.responses import problem_responses
from service.settings import Settings
from workers.data_store import NoRoom

router = APIRouter(tags=["datasets"])

DatasetId = Annotated[str, Path(alias="id", description="The data set's id.", min_length=1, max_length=200)]
ABSENT = ("anyOf", "default")
FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "task"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "CSV, NPY, NPZ, Parquet or Arrow."},
                    # A field of a form is there or not; it has no null.
                    **{
                        name: {
                            key: value
                            for key, value in {**schema, **schema.get("anyOf", [{}])[0]}.items()
                            if key not in ABSENT
                        }
                        for name, schema in DatasetForm.model_json_schema()["properties"].items()
                    },
                },
            },
            "encoding": {"target": {"style": "form", "explode": True}},
        }
    },
}


@router.post(
    "/v1/datasets",
    name="createDataset",
    summary="Store a file of rows to predict from",
    status_code=202,
    response_model=Job,
    responses={
        200: {"model": Job, "description": "Ended within the seconds of Prefer: wait."},
        202: {"description": "Received; a worker reads it in.", "headers": JOB_HEADERS},
        **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503, 507),
    },
    openapi_extra={
        "requestBody": FORM,
        "parameters": [IDEMPOTENCY_KEY, prefer("wait=N waits up to N seconds for the end.")],
    },
)
async def create_dataset(request: Request) -> Any:
    """Receive a file and queue its reading; the same file, read in the same way, is the same data set and the same job."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    datasets: Datasets = request.app.state.datasets
    settings: Settings = request.app.state.settings
    jobs: Jobs = request.app.state.jobs
    try:
        job = await datasets.receive(request, idempotency=idempotency_of(headers))
    except ClientDisconnect:
        # Nobody hears it.
        raise ProblemException("bad_request", "the body ended before it was whole") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        full = "the disk with the data sets is full; delete some, or ask whoever runs the service"
        detail = str(error) if isinstance(error, NoRoom) else full
        raise ProblemException("insufficient_storage", detail) from None
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


@router.get(
    "/v1/datasets",
    name="listDatasets",
    summary="List data sets, the newest first",
    response_model=DatasetList,
    responses=problem_responses(400, 401, 429, 500),
)
async def list_datasets(
    request: Request,
    limit: Annotated[int, Query(description="How many at most.", ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before.", min_length=1, max_length=400)
    ] = None,
) -> Any:
    """Return a page of those that have been read in."""
    datasets: Datasets = request.app.state.datasets
    return await asyncio.to_thread(datasets.page, limit=limit, cursor=cursor)


@router.get(
    "/v1/datasets/{id}",
    name="readDataset",
    summary="Read what is stored of a data set, and what is known of it",
    response_model=Dataset,
    responses=problem_responses(400, 401, 404, 409, 429, 500),
)
async def read_dataset(request: Request, dataset_id: DatasetId) -> Any:
    """Return the description of a data set."""
    datasets: Datasets = request.app.state.datasets
    return await asyncio.to_thread(datasets.read, dataset_id)


@router.delete(
    "/v1/datasets/{id}",
    name="deleteDataset",
    summary="Delete a data set, with everything that was worked out from it",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "Rows, estimates, jobs and their results are gone."},
        **problem_responses(400, 401, 404, 429, 500, 503),
    },
)
async def delete_dataset(request: Request, dataset_id: DatasetId) -> Any:
    """Delete a data set, its estimates, and the jobs that rest on it with their results; those that run are cancelled."""
    datasets: Datasets = request.app.state.datasets
    await datasets.delete(dataset_id)
    return Response(status_code=204)
