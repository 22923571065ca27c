"""What a Prometheus server can scrape."""

import asyncio
import os
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

HAND_OVER_SECONDS = 1.0
SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

REQUESTS = Counter("foretell_requests_total", "Requests answered.", ["method", "route", "status"])
LATENCY = Histogram("foretell_request_seconds", "Time from headers to last byte.", ["route"], buckets=SECONDS)
CACHE = Counter("foretell_cache_total", "Answers by where they came from.", ["source"])
SOLVE_SECONDS = Histogram("foretell_solve_seconds", "Time to work out one answer.", buckets=SECONDS)
PREDICTIONS = Counter("foretell_predictions_total", "Predictions worked out.", ["status"])
SPECTRA = Counter("foretell_spectra_total", "Spectra worked out.", ["status"])
SCALING_LAWS = Counter("foretell_scaling_laws_total", "Scaling laws worked out.", ["status"])
OPTIMA = Counter("foretell_optima_total", "Optima worked out.", ["status"])
SWEEPS = Counter("foretell_sweeps_total", "Sweeps worked out, by the worst status of their points.", ["status"])
REQUIREMENTS = Counter("foretell_requirements_total", "Requirements worked out.", ["outcome"])
VALIDATIONS = Counter("foretell_validations_total", "Validations ended, counted when first read.", ["outcome"])
MEMORY_CACHE_BYTES = Gauge("foretell_memory_cache_bytes", "Answers held in memory.", multiprocess_mode="livesum")
MEMORY_CACHE_ENTRIES = Gauge("foretell_memory_cache_entries", "Answers held in memory.", multiprocess_mode="livesum")
REDIS_UP = Gauge(
    "foretell_redis_up", "1 while Redis answers, 0 while the service does without.", multiprocess_mode="livemin"
)
REDIS_ERRORS = Counter("foretell_redis_errors_total", "Commands to Redis that failed or timed out.")
REDIS_DROPPED = Counter(
    "foretell_redis_dropped_writes_total", "Answers not written to Redis because it was away or slow."
)

_METERS: set["HitMeter"] = set()


class HitMeter:
    """Counts answers from memory, of which there are many, in plain numbers, and hands them over once in a while.

    They are handed over a second after the first, so metrics lag by that much; a scrape of this process by nothing.
    """

    def __init__(self, method: str, route: str) -> None:
        self._requests = labelled(REQUESTS, method, route, "200")
        self._hits = labelled(CACHE, "memory")
        self._latency = labelled(LATENCY, route)
        self._seconds: list[float] = []

    def add(self, seconds: float) -> None:
        """Count an answer that took this long."""
        if not self._seconds:
            _METERS.add(self)
            asyncio.get_running_loop().call_later(HAND_OVER_SECONDS, self.flush)
        self._seconds.append(seconds)

    def flush(self) -> None:
        """Hand over what was counted."""
        seconds, self._seconds = self._seconds, []
        _METERS.discard(self)
        self._requests.inc(len(seconds))
        self._hits.inc(len(seconds))
        # What observe() does one by one, in one go; the library has no public call for it.
        seconds.sort()
        self._latency._sum.inc(sum(seconds))
        below = 0
        for bound, bucket in zip(self._latency._upper_bounds, self._latency._buckets, strict=True):
            count = bisect_right(seconds, bound)
            if count > below:
                bucket.inc(count - below)
                below = count


@lru_cache(maxsize=1024)
def labelled(metric: Any, *values: str) -> Any:
    """Return a metric's child for these label values; looking it up anew takes longer than counting."""
    return metric.labels(*values)


def exposition() -> tuple[bytes, str]:
    """Return the metrics of all API processes and their content type."""
    for meter in list(_METERS):
        meter.flush()
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        _forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_the_dead(folder: Path) -> None:
    """Drop the gauges of API processes that were killed; their counters stay."""
    for file in folder.glob("gauge_live*_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
