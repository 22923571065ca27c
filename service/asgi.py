"""The application for an ASGI server, configured from the environment: ``uvicorn --factory service.asgi:create``."""

import structlog

from service.app import VERSION, create_app
from service.edge import Edge
from service.logs import configure_logs
from service.settings import Settings, UnsafeConfiguration


def create() -> Edge:
    """Build the application of one API process.

    Raises:
        UnsafeConfiguration: no Redis is named; ``foretell serve`` starts one, a bare ASGI server does not.
    """
    settings = Settings()
    configure_logs(settings)
    url = settings.cache_url or settings.redis_url
    if url is None:
        raise UnsafeConfiguration("set FORETELL_REDIS_URL, or start the service with 'foretell serve', which brings its own")
    structlog.get_logger("foretell.service").info("api_started", version=VERSION)
    return create_app(settings, redis_url=url)
