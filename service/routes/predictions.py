"""``POST /v1/predictions``."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api_schemas.job import Job
from api_schemas.prediction import Prediction, PredictionRequest
from service import metrics
from service.cache import HIT
from service.predicting import Predictor
from service.problems import ProblemException
from service.responses import Reply, problem_responses

PATH = "/v1/predictions"
JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
CACHE_STATUS = {
    "memory": HIT[1],
    "redis": b"foretell; hit; detail=redis",
    "concurrent": b"foretell; fwd=uri-miss; collapsed",
    "solved": b"foretell; fwd=uri-miss; stored",
    "refreshed": b"foretell; fwd=request; stored",
}
ANSWER_HEADERS = {
    "ETag": {"description": "The prediction's key, quoted.", "schema": {"type": "string"}},
    "Cache-Status": {"description": "Where the answer came from (RFC 9211).", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "Given by the client or made up.", "schema": {"type": "string"}},
}

router = APIRouter(tags=["predictions"])


async def reply(predictor: Predictor, headers: Mapping[bytes, bytes], body: bytes, digest: bytes | None) -> Reply:
    """Answer a prediction request.

    Args:
        predictor: of the process.
        headers: of the request, names in lower case.
        body: as it came.
        digest: of the body, by which the answer will be found next time.

    Raises:
        ProblemException: the request is refused, or the answer took too long.
    """
    _check_content(headers)
    if _prefers_later(headers.get(b"prefer", b"")):
        return _accepted(await predictor.queue(body))
    directives = headers.get(b"cache-control", b"").lower()
    fresh = b"no-cache" in directives or b"no-store" in directives
    answer = await predictor.answer(body, digest, fresh=fresh)
    source = "refreshed" if fresh and answer.source == "solved" else answer.source
    metrics.labelled(metrics.CACHE, source).inc()
    entry, cache_status = answer.entry, (b"cache-status", CACHE_STATUS[source])
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is not None and (if_none_match.strip() == b"*" or entry.etag in if_none_match):
        return Reply(304, [(b"etag", entry.etag), cache_status], b"", source)
    return Reply(200, [*entry.headers, cache_status], entry.body, source)


def _prefers_later(prefer: bytes) -> bool:
    """Whether ``Prefer`` (RFC 7240) asks for an answer later."""
    return b"respond-async" in (preference.strip().lower() for preference in prefer.replace(b";", b",").split(b","))


def _accepted(job: Job) -> Reply:
    content = job.model_dump_json().encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"location", f"/v1/jobs/{job.id}".encode()),
        (b"retry-after", b"1"),
        (b"preference-applied", b"respond-async"),
    ]
    return Reply(202, headers, content, "queued")


def _check_content(headers: Mapping[bytes, bytes]) -> None:
    given = headers.get(b"content-type", b"")
    if given not in JSON_TYPES:
        media_type, _, parameters = given.decode("latin-1").lower().partition(";")
        charset = parameters.strip().replace('"', "").removeprefix("charset=")
        if media_type.strip() != "application/json" or charset not in ("", "utf-8"):
            got = f"got {given.decode('latin-1')[:60]!r}" if given else "none was given"
            raise ProblemException("unsupported_media_type", f"send Content-Type: application/json in UTF-8; {got}")
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        name = encoding.decode("latin-1")[:60]
        raise ProblemException("unsupported_media_type", f"send the body as it is, not encoded as {name!r}")


@router.post(
    PATH,
    name="createPrediction",
    summary="Predict how well a model will do in a regime, without training it",
    response_model=Prediction,
    responses={
        200: {"headers": ANSWER_HEADERS},
        202: {
            "model": Job,
            "description": "Queued, because of Prefer: respond-async; a worker will answer.",
            "headers": {
                "Location": {"description": "Where to read the job.", "schema": {"type": "string"}},
                "Retry-After": {"description": "Seconds to wait before reading it.", "schema": {"type": "integer"}},
            },
        },
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{PredictionRequest.__name__}"}}},
        },
        "parameters": [
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "An ETag; if the answer still has it, 304 without a body.",
                "schema": {"type": "string"},
            },
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": "respond-async queues the request and answers 202 with a job.",
                "schema": {"type": "string"},
            },
        ],
    },
)
async def create_prediction(request: Request) -> Any:
    """Answer from cache or by solving the model's fixed point; the same request always has the same key."""
    # The edge answers this path itself, by the same function, without the machinery of routes in between.
    headers = dict(request.scope["headers"])
    answer = await reply(request.app.state.predictor, headers, await request.body(), None)
    response = Response(answer.body, status_code=answer.status)
    response.raw_headers = answer.headers
    return response
