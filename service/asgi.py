"""The application for an ASGI server, configured from the environment: ``uvicorn --factory service.asgi:create``."""

import gc
import os
import signal
import sys

import structlog

from service.app import VERSION, create_app
from service.edge import Edge
from service.logs import configure_logs
from service.settings import Settings, UnsafeConfiguration
from workers.lifetime import ends_with_parent

PARENT_PID = "FORETELL_PARENT_PID"
"""Names the process that supervises API processes or a worker, in their environment."""


def create() -> Edge:
    """Build the application of one API process.

    Raises:
        UnsafeConfiguration: no Redis is named; ``foretell serve`` starts one, a bare ASGI server does not.
    """
    end_with_parent()
    settings = Settings()
    configure_logs(settings)
    queue_url = settings.redis_url or settings.cache_url
    if queue_url is None:
        raise UnsafeConfiguration(
            "set FORETELL_REDIS_URL, or start the service with 'foretell serve', which brings its own"
        )
    # What is loaded by now stays; sweeping it, or the cached answers, for garbage over and over would only take time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    structlog.get_logger("foretell.service").info("api_started", version=VERSION)
    return create_app(settings, cache_url=settings.cache_url or queue_url, queue_url=queue_url)


def end_with_parent(*, with_signal: signal.Signals = signal.SIGTERM) -> bool:
    """Have the kernel end this process with the one that supervises it, if one does; returns whether one does."""
    parent = os.environ.get(PARENT_PID)
    if parent is not None and not ends_with_parent(int(parent), with_signal):
        sys.exit("the supervisor is gone")
    return parent is not None
