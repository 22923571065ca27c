"""Structured logs: one line an event on standard error, JSON or, on a terminal, for people."""

import asyncio
import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from pydantic_core import to_json

from service.settings import Settings

LATE_SECONDS = 0.1
MAX_LATE_LINES = 500


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


class AccessLog:
    """Writes the line of each request: in the form of the other lines, but past structlog's chain and in batches.

    It is the one line that every request may cost. On a terminal it is written at once; as JSON it may be late by
    ``LATE_SECONDS``, and a process that is killed loses what it had not written.
    """

    def __init__(self, settings: Settings) -> None:
        self._console = structlog.get_logger("foretell.access") if _on_console(settings) else None
        self._lines: list[str] = []
        self._second, self._stamp = 0, ""

    def write(self, fields: dict[str, Any]) -> None:
        """Write a line, or soon."""
        if self._console is not None:
            self._console.info("request", **fields)
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(LATE_SECONDS, self.flush)
        line = {"timestamp": self._timestamp(), "level": "info", "event": "request"} | fields
        self._lines.append(_json(line))
        if len(self._lines) >= MAX_LATE_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()

    def _timestamp(self) -> str:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._second))
        return f"{self._stamp}.{int(1e6 * (now - self._second)):06d}Z"


def _on_console(settings: Settings) -> bool:
    return settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())


def _json(event: Any, **_: Any) -> str:
    return to_json(event, fallback=str, inf_nan_mode="strings").decode()


def _event_first(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Order a line for the eye: when, how serious, what, then the details."""
    leading = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return leading | dict(event)
