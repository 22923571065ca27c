"""``POST /v1/predictions/batch``."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api_schemas.batch import Batch
from service.batching import LINES_TYPE, PATH, Batches, wants_lines
from service.responses import problem_responses

router = APIRouter(tags=["predictions"])
EXAMPLE_LINE = '{"model": {"learner": {"kind": "ridge", "penalty": 0.1}}, "regime": {"kind": "regression", ...}}\n'


@router.post(
    PATH,
    name="createPredictions",
    summary="Answer up to 10,000 prediction requests, each by itself",
    response_model=Batch,
    responses={
        200: {
            "description": "Results in order. As x-ndjson, a line each, sent as they are done.",
            "content": {LINES_TYPE: {"schema": {"type": "string"}, "example": '{"prediction": {...}}\n'}},
        },
        **problem_responses(400, 401, 408, 413, 415, 422, 429, 500),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/BatchRequest"}},
                LINES_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE_LINE},
            },
        },
    },
)
async def create_predictions(request: Request) -> Any:
    """Look each request up or solve it, those that differ in a few numbers together; a bad one fails alone."""
    batches: Batches = request.app.state.batches
    come_as_lines, go_as_lines = wants_lines(dict(request.scope["headers"]))
    items = await batches.read(await request.body(), lines=come_as_lines)
    slices = batches.results(items, request_id=request.scope.get("request_id"))
    if not go_as_lines:
        results = [result async for some in slices for result in some]
        return Response(b'{"results":[' + b",".join(results) + b"]}", media_type="application/json")

    async def lines() -> AsyncIterator[bytes]:
        async for some in slices:
            yield b"\n".join(some) + b"\n"

    return StreamingResponse(lines(), media_type=LINES_TYPE, headers={"X-Accel-Buffering": "no"})
