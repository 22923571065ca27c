"""Requests per second beside bare routes on the same server, and the memory that cached answers take."""

import itertools
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from api_schemas.prediction import EXAMPLE_REQUEST
from benchmarks.load import Load, drive, request_bytes
from benchmarks.report import Report
from tests.running import RunningService

PATH = "/v1/predictions"
CONNECTIONS = 16
UNSEEN = itertools.count()


def run(report: Report, *, quick: bool = False) -> None:
    """Measure (a) repeated requests against a bare Starlette route, (b) new ones against a bare FastAPI route."""
    rounds = 3 if quick else 7
    body = json.dumps(EXAMPLE_REQUEST).encode()
    with tempfile.TemporaryDirectory() as folder, RunningService(Path(folder)) as service:
        with bare("starlette") as port:
            base, ours = alternate(
                rounds,
                lambda: drive(port, [request_bytes(PATH, body, port=port)], count=20_000, connections=CONNECTIONS),
                lambda: drive(
                    service.port, [request_bytes(PATH, body, port=service.port)], count=20_000, connections=CONNECTIONS
                ),
            )
        compare(report, "(a) a repeated request", ours, base, baseline="bare Starlette route", goal=1.0)
        with bare("fastapi") as port:
            base, ours = alternate(
                rounds,
                lambda: drive(port, unseen(5000, port=port), count=5000, connections=CONNECTIONS),
                lambda: drive(service.port, unseen(5000, port=service.port), count=5000, connections=CONNECTIONS),
            )
        compare(report, "(b) a new request", ours, base, baseline="bare FastAPI route that validates", goal=0.4)


def memory(report: Report, *, quick: bool = False) -> None:
    """Measure (d) the service's resident memory at rest and with many distinct answers cached."""
    count = 10_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as folder, RunningService(Path(folder)) as service:
        service.predict()
        rest = resident(service)
        for _ in range(count // 5000):
            load = drive(service.port, unseen(5000, port=service.port), count=5000, connections=CONNECTIONS)
            assert load.errors == 0
        cached = resident(service)
        entries = service.metric("foretell_memory_cache_entries")
    each = (cached - rest) / max(entries, 1) * 1024
    report.add("(d) memory at rest", f"{rest:.0f} MiB")
    report.add(
        f"(d) after {count} distinct requests",
        f"{cached:.0f} MiB",
        result=f"{each:.1f} KiB each, {entries:.0f} kept in memory",
    )


@contextmanager
def bare(name: str) -> Iterator[int]:
    """Run one of the baseline applications as the service is run: one uvicorn process, uvloop and httptools."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    ]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", f"benchmarks.baselines:{name}", *options])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def alternate(rounds: int, baseline: object, ours: object) -> tuple[list[Load], list[Load]]:
    """Run two loads in turn, so that what else the machine does meets both; the first round warms up and is dropped."""
    results: tuple[list[Load], list[Load]] = ([], [])
    for _ in range(rounds + 1):
        for load, kept in zip((baseline, ours), results, strict=True):
            kept.append(load())  # type: ignore[operator]
    return results[0][1:], results[1][1:]


def compare(report: Report, what: str, ours: list[Load], base: list[Load], *, baseline: str, goal: float) -> None:
    """Add a row: the median of the rounds' ratios."""
    assert not any(load.errors for load in [*ours, *base])
    ratio = median(mine.per_second / other.per_second for mine, other in zip(ours, base, strict=True))
    report.add(
        what,
        f"{median(load.per_second for load in ours):.0f}/s, p50 {median(load.p50 for load in ours):.2f} ms, "
        f"p99 {median(load.p99 for load in ours):.2f} ms",
        baseline=f"{baseline} {median(load.per_second for load in base):.0f}/s",
        result=f"ratio {ratio:.2f}",
        goal=f">= {goal}",
        met=ratio >= goal,
    )


def unseen(count: int, *, port: int) -> list[bytes]:
    """Write requests that nobody sent before, equal in size."""
    requests = []
    for _ in range(count):
        changed = json.loads(json.dumps(EXAMPLE_REQUEST))
        changed["model"]["learner"]["penalty"] = 0.1 + next(UNSEEN) * 1e-9
        requests.append(request_bytes(PATH, json.dumps(changed).encode(), port=port))
    return requests


def resident(service: RunningService) -> float:
    """Resident memory of the API process in MiB."""
    assert service.process is not None
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")
