"""Structured logs: one line an event on standard error, JSON or, on a terminal, for people."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from pydantic_core import to_json

from service.settings import Settings


def configure_logs(settings: Settings) -> None:
    """Set up structlog, and send what libraries log through the standard library the same way."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(serializer=_json)
    exceptions: list[Any] = [] if console else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[*shared, *exceptions, _event_first, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared, *exceptions],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _event_first, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("uvicorn").setLevel(max(level, logging.WARNING))


def _json(event: Any, **_: Any) -> str:
    return to_json(event, fallback=str, inf_nan_mode="strings").decode()


def _event_first(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Order a line for the eye: when, how serious, what, then the details."""
    leading = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return leading | dict(event)
