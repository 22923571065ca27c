"""``foretell serve``: checks that it is safe to, brings up Redis unless one is named, and runs the API processes."""

import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from service.asgi import PARENT_PID
from service.embedded import EmbeddedValkey
from service.keys import KeyStore
from service.logs import configure_logs
from service.settings import Settings, UnsafeConfiguration, check_exposure
from service.worker_processes import WorkerProcesses

log = structlog.get_logger("foretell.server")

QUEUE_DB = 0
CACHE_DB = 1


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration with what :mod:`service.http_protocol` needs; picklable, for several processes."""

    def __init__(self, settings: Settings) -> None:
        self.receive_timeout = settings.receive_timeout
        super().__init__(
            "service.asgi:create",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.api_processes,
            loop="uvloop",
            http="service.http_protocol:BoundedProtocol",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=settings.trusted_proxies is not None,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.graceful_timeout,
            backlog=2048,
        )


def serve(settings: Settings) -> int:
    """Serve until told to stop; returns the exit code.

    Raises:
        UnsafeConfiguration: other machines would get in without a decision to that effect.
        EmbeddedError: the embedded Valkey cannot be started.
        OSError: the address cannot be listened on.
    """
    check_exposure(settings)
    if settings.auth == "required" and not len(KeyStore(settings.keys_file)):
        raise UnsafeConfiguration(
            f"API keys are required but {settings.keys_file} has none;"
            f" add one: foretell keys add NAME --data-dir {settings.data_dir}"
        )
    configure_logs(settings)
    _warn_of_unknown_settings()
    with ExitStack() as stack:
        stack.callback(log.info, "stopped")
        stack.enter_context(_unwinding_on_signals())
        listener = stack.enter_context(_listener(settings))
        port = listener.getsockname()[1]
        redis_url = settings.redis_url
        cache_url = settings.cache_url or redis_url
        if redis_url is None:
            valkey = EmbeddedValkey(settings.data_dir, binary=settings.valkey_binary, on_event=_log_event)
            stack.enter_context(valkey)
            redis_url = f"{valkey.url}?db={QUEUE_DB}"
            cache_url = settings.cache_url or f"{valkey.url}?db={CACHE_DB}"
        # API processes build their settings from the environment, whether they are this process or its children.
        os.environ.update(_environment(settings, redis_url=redis_url, cache_url=str(cache_url)))
        if settings.redis_url is None and settings.embedded_worker:
            count, patience = settings.worker_concurrency, settings.graceful_timeout
            stack.enter_context(WorkerProcesses(redis_url, count=count, stop_seconds=patience))
        if settings.api_processes > 1:
            metrics_dir = tempfile.mkdtemp(prefix="foretell-metrics-")
            stack.callback(shutil.rmtree, metrics_dir, ignore_errors=True)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_dir
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        log.info(
            "serving", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs", processes=settings.api_processes
        )
        config = ServerConfig(settings)
        if settings.api_processes > 1:
            os.environ[PARENT_PID] = str(os.getpid())
            Multiprocess(config, sockets=[listener]).run()
            return 0
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        return 0 if server.started else 1


def _warn_of_unknown_settings() -> None:
    known = {f"FORETELL_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith("FORETELL_") and name not in known:
            log.warning("unknown_setting", name=name, consequence="ignored; docs/settings.md lists those there are")


def _environment(settings: Settings, *, redis_url: str, cache_url: str) -> dict[str, str]:
    values: dict[str, Any] = settings.model_dump(exclude_none=True)
    values |= {"redis_url": redis_url, "cache_url": cache_url}
    return {f"FORETELL_{name.upper()}": str(value) for name, value in values.items()}


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            reason = error.strerror or str(error)
            what = "--host" if error.errno == errno.EADDRNOTAVAIL else "--port"
            raise OSError(
                f"cannot listen on {settings.host}:{settings.port}: {reason}; choose another {what}"
            ) from None
        listener.listen(2048)
        listener.set_inheritable(True)
        yield listener


@contextmanager
def _unwinding_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into an orderly exit: uvicorn raises them again once it has shut down."""

    def leave(_: int, __: FrameType | None) -> None:
        sys.exit(0)

    previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _log_event(event: str, details: dict[str, Any]) -> None:
    log.warning(event, **details)
