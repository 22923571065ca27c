"""The application: FastAPI with its routes, and the edge around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api_schemas.base import Schema
from api_schemas.batch import BatchRequest
from api_schemas.problem import Problem
from api_schemas.validation import ValidationRequest
from service.answering import Answerer
from service.batching import Batches
from service.cache import MemoryCache
from service.computations import COMPUTATIONS
from service.datasets import Datasets
from service.edge import Edge
from service.jobs import Jobs
from service.keys import KeyStore
from service.logs import AccessLog
from service.parameters import refuse_unknown
from service.problems import (
    ProblemException,
    handle_http_exception,
    handle_problem,
    handle_unexpected,
)
from service.rate_limits import RateLimits
from service.routes import (
    batches,
    catalogue,
    datasets,
    docs,
    health,
    jobs,
    optima,
    predictions,
    requirements,
    scaling_laws,
    spectra,
    sweeps,
    validations,
)
from service.settings import Settings
from service.shared_cache import SharedCache
from service.stores import open_stores
from workers import data_store
from workers.catalogue import catalogue as describe_everything

VERSION = version("foretell")
DESCRIPTION = """\
Predicts how well a machine-learning model will do **before it is trained**: training and test error, bias and variance,
effective degrees of freedom and phase, from the deterministic equivalents of random matrix theory.

A request has two parts, the **model** (features and learner: what you choose) and the **regime** (the data and its sizes:
what you have). `GET /v1/catalogue` lists every kind of either. Errors are `application/problem+json`.
"""


def create_app(settings: Settings, *, cache_url: str, queue_url: str) -> Edge:
    """Build the ASGI application.

    Args:
        settings: of the process.
        cache_url: of the server that answers are shared through, which need not be there.
        queue_url: of the server that holds jobs, likewise.
    """
    open_stores(settings)
    memory = MemoryCache(max_bytes=settings.memory_cache_bytes, max_entries=settings.memory_cache_entries)
    shared = SharedCache(cache_url, timeout=settings.redis_timeout, ttl=settings.redis_cache_ttl)
    limits = None
    if settings.rate_limit not in ("auto", "off"):
        limits = RateLimits(settings.rate_limit, url=cache_url, timeout=settings.redis_timeout)
    keys = KeyStore(settings.keys_file) if settings.auth == "required" else None

    access_log = AccessLog(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await shared.start()
        yield
        await shared.stop()
        access_log.flush()
        if limits is not None:
            await limits.close()

    app = api(lifespan=lifespan)
    app.state.shared_cache = shared
    app.state.settings = settings
    app.state.jobs = Jobs(queue_url, timeout=settings.redis_timeout, most_queued=settings.queue_limit)
    app.state.datasets = Datasets(data_store.store(), app.state.jobs, settings)
    app.state.batches = Batches(settings, memory, shared)
    app.state.answerer = answerer = Answerer(settings, memory, shared, app.state.jobs)
    return Edge(
        app, settings=settings, cache=memory, answerer=answerer, keys=keys, limits=limits, access_log=access_log
    )


def api(lifespan: Any = None) -> FastAPI:
    """Build the routes and the OpenAPI document, without anything behind them."""
    app = FastAPI(
        title="foretell",
        summary="Asymptotic performance of machine-learning models, before they are trained.",
        description=DESCRIPTION,
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        dependencies=[Depends(refuse_unknown)],
        license_info={"name": "MIT", "identifier": "MIT"},
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        telemetry={"tracing": False},
        exception_handlers={
            ProblemException: handle_problem,
            HTTPException: handle_http_exception,
            RequestValidationError: _handle_parameters,
            Exception: handle_unexpected,
        },
    )
    modules = (
        predictions,
        batches,
        spectra,
        sweeps,
        requirements,
        scaling_laws,
        optima,
        validations,
        datasets,
        jobs,
        catalogue,
        health,
        docs,
    )
    for module in modules:
        app.include_router(module.router)
    app.state.routes = [route for module in modules for route in module.router.routes]
    app.state.catalogue = describe_everything(VERSION).model_dump_json().encode()
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _handle_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Never what was given: it may be a secret, or no valid text.
    found = [f"{' '.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
    problem = ProblemException("bad_request", "; ".join(found) or "a parameter is not admissible; see /docs")
    return problem.response(request.scope.get("request_id"))


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the models that routes read and write as raw bytes."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            license_info=app.license_info,
            separate_input_output_schemas=False,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        read_raw: list[type[Schema]] = [computation.schema for computation in COMPUTATIONS.values()]
        read_raw += [BatchRequest, ValidationRequest, Problem]
        for model in read_raw:
            definition = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(definition.pop("$defs", {}))
            schemas[model.__name__] = definition
        # FastAPI declares its own validation errors wherever there is a parameter; here these are problems with status 400.
        for path in document["paths"].values():
            for operation in path.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        document["components"]["securitySchemes"] = {
            "apiKey": {"type": "http", "scheme": "bearer", "description": "Where the service asks for keys."}
        }
        document["security"] = [{}, {"apiKey": []}]
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        app.openapi_schema = document
    return app.openapi_schema
