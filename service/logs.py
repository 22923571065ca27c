"""Structured logs: one line an event on standard error, JSON or, on a terminal, for people."""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from pydantic_core import to_json

from service.settings import Settings


def configure_logs(settings: Settings) -> None:
    """Set up structlog, and send what libraries log through the standard library the same way."""
    console = _on_console(settings)
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


def access_logger(settings: Settings) -> Callable[[dict[str, Any]], object]:
    """Return what writes the line of a request.

    It is the one line that every request may cost, so its JSON is written past structlog's chain, in the same form.
    """
    if _on_console(settings):
        log = structlog.get_logger("foretell.access")
        return lambda fields: log.info("request", **fields)

    second, stamp = 0, ""

    def write(fields: dict[str, Any]) -> object:
        nonlocal second, stamp
        now = time.time()
        if int(now) != second:
            second = int(now)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        timestamp = f"{stamp}.{int(1e6 * (now - second)):06d}Z"
        return sys.stderr.write(_json({"timestamp": timestamp, "level": "info", "event": "request"} | fields) + "\n")

    return write


def _on_console(settings: Settings) -> bool:
    return settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())


def _json(event: Any, **_: Any) -> str:
    return to_json(event, fallback=str, inf_nan_mode="strings").decode()


def _event_first(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Order a line for the eye: when, how serious, what, then the details."""
    leading = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return leading | dict(event)
