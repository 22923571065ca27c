"""What the fault tests share: jobs whose undisturbed results are known, a server to kill, and what must hold at the end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from rq.executions import ExecutionRegistry

from service.embedded import find_binary
from tests.running import RunningService, wait_until
from tests.service.test_validations import LARGE, SMALL, submit, validation
from workers.queue import CPU_QUEUE, LeasedQueue, connect

LEASE = {"FORETELL_WORKER_LEASE": "4"}
"""So that a test need not wait for fifteen seconds."""
LONG = validation(LARGE, replicates=26, seed=1)
"""Two chunks, the first of the better part of a second."""

UNDISTURBED = """
import json, os, sys
from api_schemas.validation import ValidationRequest
from workers import validations
for line in sys.stdin:
    request = ValidationRequest.model_validate_json(line)
    chunks = [validations.run_chunk(request, chunk) for chunk in validations.chunks_of(request)]
    print(validations.conclude(request, chunks, backend="numpy", device="cpu").model_dump_json())
"""

Body = dict[str, Any]
KNOWN: dict[str, Body] = {}


def bodies(count: int, *, first: int = 0) -> list[Body]:
    """Small validations, of which no two are the same."""
    return [validation(SMALL, seed=1000 + first + number) for number in range(count)]


def undisturbed(requests: Sequence[Body]) -> list[Body]:
    """The results of a run in one process, with one thread as the workers have; each is worked out once."""
    lines = [json.dumps(request) for request in requests]
    missing = [line for line in lines if line not in KNOWN]
    if missing:
        done = subprocess.run(
            [sys.executable, "-c", UNDISTURBED],
            input="".join(line + "\n" for line in missing).encode(),
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
            timeout=600,
        )
        KNOWN.update(zip(missing, map(json.loads, done.stdout.splitlines()), strict=True))
    return [KNOWN[line] for line in lines]


def submit_all(service: RunningService, requests: Sequence[Body]) -> list[str]:
    """Submit validations; returns their ids."""
    answers = [submit(service, request) for request in requests]
    assert [answer.status_code for answer in answers] == [202] * len(answers), [answer.text for answer in answers]
    return [answer.json()["id"] for answer in answers]


def statuses(service: RunningService, ids: Sequence[str]) -> list[str]:
    """Where jobs stand."""
    with service.client() as client:
        return [client.get(f"/v1/jobs/{job_id}").json()["status"] for job_id in ids]


def left_over(url: str, queue_name: str = CPU_QUEUE) -> list[str]:
    """What is still queued, taken, waiting or executed."""
    with closing(connect(url, timeout=5.0)) as connection:
        queue = LeasedQueue(queue_name, connection)
        names: list[Any] = connection.lrange(queue.key, 0, -1)
        names += connection.lrange(queue.intermediate_queue_key, 0, -1)
        names += connection.zrange(queue.scheduled_job_registry.key, 0, -1)
        names += connection.zrange(queue.started_job_registry.key, 0, -1)
        names += list(connection.scan_iter("rq:execution:*"))
        names += list(connection.scan_iter(ExecutionRegistry("*", connection).key))
        return [name.decode() for name in names]


def assert_undisturbed(
    service: RunningService, url: str, ids: Sequence[str], requests: Sequence[Body], *, queue_name: str = CPU_QUEUE
) -> None:
    """Every job succeeded, with the result of an undisturbed run to the last bit, and nothing is left behind."""

    with service.client() as client:
        for job_id in ids:
            path = f"/v1/jobs/{job_id}"
            wait_until(
                lambda at=path: client.get(at).json()["status"] not in ("queued", "running"),
                seconds=90.0 + 2.0 * len(ids),
                what="the end of a job",
            )
    with service.client() as client:
        jobs = [client.get(f"/v1/jobs/{job_id}").json() for job_id in ids]
    assert [job["problem"] for job in jobs] == [None] * len(jobs)
    assert [job["result"] for job in jobs] == undisturbed(requests)
    wait_until(lambda: not left_over(url, queue_name), seconds=60, what="an empty queue")


class Server:
    """A Valkey with its append-only file on, as one's own machine or another would run it.

    Args:
        folder: for its files.
        environment: of its process, beside what is there.
        file_limit: bytes that no file of it may exceed, as if the disk were full.
    """

    def __init__(self, folder: Path, *, file_limit: int | None = None, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file_limit = file_limit
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"unix://{self._folder}/server.sock?db=0"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            if self.process is not None:
                self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it on what is in its folder."""
        options = {"port": "0", "unixsocket": "server.sock", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        limit = (
            "" if self._file_limit is None else f"resource.setrlimit(resource.RLIMIT_FSIZE, ({self._file_limit}, -1));"
        )
        # Python ignores SIGXFSZ, and so does what it executes: a write that is too much fails, as on a full disk.
        code = f"import os, resource, sys; {limit} os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(find_binary(None)), *words],
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C", **self._environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="the server's start")

    def kill(self) -> None:
        """As kill -9 does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        with closing(connect(self.url, timeout=1.0)) as connection, suppress(Exception):
            return bool(connection.ping())
        return False


@contextmanager
def running_workers(url: str, folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`foretell worker` on a server, with its log in a file."""
    command = [sys.executable, "-m", "service", "worker", "--redis-url", url, *arguments]
    settings = {"FORETELL_LOG_FORMAT": "json", **LEASE, **environment}
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=60)


def events(folder: Path, name: str) -> list[Body]:
    """What the workers have logged."""
    log = folder / "worker.log"
    lines = log.read_text().splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record for record in records if record["event"] == name]


def answers(service: RunningService) -> bool:
    """Whether a service answers."""
    try:
        return httpx.get(f"{service.url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def signal_tree(pids: Sequence[int], what: signal.Signals) -> None:
    """Send a signal to processes that may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


@contextmanager
def held(pids: Sequence[int]) -> Iterator[None]:
    """Have idle workers wait, so that jobs are there in numbers when they begin."""
    signal_tree(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_tree(pids, signal.SIGCONT)
