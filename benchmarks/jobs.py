"""What the queue costs: a validation through it, beside the same in one process; and how soon workers notice what happens."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from api_schemas.validation import ValidationRequest
from benchmarks.report import Report
from tests.running import RunningService, wait_until
from tests.service.test_validations import LARGE, SMALL, read, submit, validation
from tests.workers.faults import Server, events, running_workers
from tests.workers.test_validations import children, horse_of
from workers import validations

GOAL_OVERHEAD_SECONDS = 0.1
GOAL_TWO = 1.8
GOAL_CANCEL_SECONDS = 1.0
GOAL_REDELIVERY_SECONDS = 30.0
PAUSE_SECONDS = 0.05
LEASE = {"FORETELL_WORKER_LEASE": "15"}

IN_PROCESS = """
import sys, time
from api_schemas.validation import ValidationRequest
from workers import validations
request = ValidationRequest.model_validate_json(sys.stdin.read())
started = time.perf_counter()
chunks = [validations.run_chunk(request, chunk) for chunk in validations.chunks_of(request)]
validations.conclude(request, chunks, backend="numpy", device="cpu")
print(time.perf_counter() - started)
"""


def run(report: Report, *, quick: bool = False) -> None:
    """Measure with a server, a service and workers of its own."""
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as name:
        folder = Path(name)
        with Server(folder / "server") as server, RunningService(folder, "--redis-url", server.url) as service:
            _overhead(report, server, service, folder, repeats=1 if quick else 5)
            _two_workers(report, server, service, folder, replicates=240 if quick else 720)
            _cancel(report, server, service, folder, repeats=3 if quick else 10)
            _redelivery(report, server, service, folder, repeats=1 if quick else 5)


@contextmanager
def _workers(server: Server, folder: Path, count: int) -> Iterator[subprocess.Popen[bytes]]:
    before = len(events(folder, "worker_started"))
    with running_workers(server.url, folder, "--concurrency", str(count), **LEASE) as workers:
        wait_until(lambda: len(events(folder, "worker_started")) == before + count, what="the workers' start")
        yield workers


def _through_the_queue(service: RunningService, body: Any) -> float:
    started = time.perf_counter()
    job_id = submit(service, body).json()["id"]
    with service.client() as client:  # one connection, and pauses: who waits must not take the workers' cores
        while (status := client.get(f"/v1/jobs/{job_id}").json()["status"]) != "succeeded":
            assert status in ("queued", "running"), status
            time.sleep(PAUSE_SECONDS)
    return time.perf_counter() - started


def _in_process(body: Any) -> float:
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS],
        input=json.dumps(body).encode(),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    return float(done.stdout)


def _overhead(report: Report, server: Server, service: RunningService, folder: Path, *, repeats: int) -> None:
    count = len(validations.chunks_of(ValidationRequest.model_validate(validation(SMALL, replicates=10_000))))
    queued, alone = [], []
    with _workers(server, folder, 1):
        for seed in range(repeats + 1):
            body = validation(SMALL, replicates=10_000, seed=seed)
            queued.append(_through_the_queue(service, body))
            alone.append(_in_process(body))
    # The first one loads what later ones find.
    through, without = median(queued[1:]), median(alone[1:])
    overhead = (through - without) / count
    report.add(
        "(q) queue overhead per chunk",
        f"{1e3 * overhead:.0f} ms",
        baseline=f"in one process {without:.2f} s, through the queue {through:.2f} s, {count} chunks",
        result=f"{through / without:.2f} times the time",
        goal=f"<= {1e3 * GOAL_OVERHEAD_SECONDS:g} ms",
        met=overhead <= GOAL_OVERHEAD_SECONDS,
    )


def _two_workers(report: Report, server: Server, service: RunningService, folder: Path, *, replicates: int) -> None:
    seconds = []
    for count in (1, 2):
        with _workers(server, folder, count):
            seconds.append(_through_the_queue(service, validation(LARGE, replicates=replicates, seed=100 + count)))
    one, two = seconds
    report.add(
        "(q) two workers against one, on two cores",
        f"{two:.1f} s",
        baseline=f"one worker {one:.1f} s",
        result=f"{one / two:.2f} times faster",
        goal=f">= {GOAL_TWO:g} times",
        met=one / two >= GOAL_TWO,
    )


def _cancel(report: Report, server: Server, service: RunningService, folder: Path, *, repeats: int) -> None:
    seconds = []
    with _workers(server, folder, 1) as workers, service.client() as client:
        for seed in range(repeats):
            job_id = submit(service, validation(LARGE, replicates=1200, seed=200 + seed)).json()["id"]
            wait_until(lambda at=job_id: read(service, at)["status"] == "running", what="a running chunk")
            horse: int = wait_until(lambda: horse_of(workers), what="a work horse")
            started = time.perf_counter()
            client.delete(f"/v1/jobs/{job_id}")
            wait_until(lambda pid=horse: not Path(f"/proc/{pid}").exists(), what="its end")
            seconds.append(time.perf_counter() - started)
    report.add(
        "(q) from DELETE to the end of the running chunk",
        f"{median(seconds):.2f} s",
        baseline=f"worst of {repeats}: {max(seconds):.2f} s",
        goal=f"<= {GOAL_CANCEL_SECONDS:g} s, the worst",
        met=max(seconds) <= GOAL_CANCEL_SECONDS,
    )


def _redelivery(report: Report, server: Server, service: RunningService, folder: Path, *, repeats: int) -> None:
    seconds = []
    dying = folder / "dying"
    dying.mkdir()
    for seed in range(repeats):
        with _workers(server, dying, 1) as workers:
            job_id = submit(service, validation(LARGE, replicates=1200, seed=300 + seed)).json()["id"]
            wait_until(lambda at=job_id: read(service, at)["status"] == "running", what="a running chunk")
            with _workers(server, folder, 1):
                before = len(events(folder, "job_redelivered"))
                wait_until(lambda one=workers: horse_of(one), what="a work horse")
                started = time.perf_counter()
                for pid in [*children(workers.pid), workers.pid]:
                    os.kill(pid, signal.SIGKILL)
                wait_until(lambda known=before: len(events(folder, "job_redelivered")) > known, seconds=120)
                seconds.append(time.perf_counter() - started)
                with service.client() as client:
                    client.delete(f"/v1/jobs/{job_id}")
    report.add(
        "(q) from kill -9 of a worker to the redelivery of its job",
        f"{median(seconds):.1f} s",
        baseline=f"worst of {repeats}: {max(seconds):.1f} s",
        goal=f"<= {GOAL_REDELIVERY_SECONDS:g} s, the worst",
        met=max(seconds) <= GOAL_REDELIVERY_SECONDS,
    )
