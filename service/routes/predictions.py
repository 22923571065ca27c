"""``POST /v1/predictions``."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api_schemas.prediction import Prediction, PredictionRequest
from service import metrics
from service.cache import Entry
from service.edge import PREDICTIONS_PATH
from service.predicting import Predictor
from service.problems import ProblemException
from service.responses import problem_responses

router = APIRouter(tags=["predictions"])

CACHE_STATUS = {
    "memory": b"foretell; hit; detail=memory",
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


@router.post(
    PREDICTIONS_PATH,
    name="createPrediction",
    summary="Predict how well a model will do in a regime, without training it",
    response_model=Prediction,
    responses={
        200: {"headers": ANSWER_HEADERS},
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
            }
        ],
    },
)
async def create_prediction(request: Request) -> Any:
    """Answer from cache or by solving the model's fixed point; the same request always has the same key."""
    headers = request.headers
    _check_content(headers.get("content-type"), headers.get("content-encoding"))
    predictor: Predictor = request.app.state.predictor
    directives = headers.get("cache-control", "").lower()
    fresh = "no-cache" in directives or "no-store" in directives
    answer = await predictor.answer(await request.body(), request.scope.get("body_digest"), fresh=fresh)
    source = "refreshed" if fresh and answer.source == "solved" else answer.source
    request.scope["cache_source"] = source
    metrics.CACHE.labels(source).inc()
    return _respond(answer.entry, CACHE_STATUS[source], headers.get("if-none-match"))


def _check_content(content_type: str | None, content_encoding: str | None) -> None:
    media_type, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower().replace('"', "").removeprefix("charset=")
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        got = f"got {content_type[:60]!r}" if content_type else "none was given"
        raise ProblemException("unsupported_media_type", f"send Content-Type: application/json in UTF-8; {got}")
    if content_encoding not in (None, "identity"):
        raise ProblemException("unsupported_media_type", f"send the body as it is, not encoded as {content_encoding[:60]!r}")


def _respond(entry: Entry, cache_status: bytes, if_none_match: str | None) -> Response:
    matches = if_none_match is not None and (if_none_match.strip() == "*" or entry.etag.decode() in if_none_match)
    response = Response(status_code=304) if matches else Response(entry.body)
    response.raw_headers = [
        (b"etag", entry.etag) if matches else entry.headers[2],
        (b"cache-status", cache_status),
        *(() if matches else entry.headers[:2]),
    ]
    return response
