"""What takes many steps says how far it is, and stops between them when its time is up."""

import itertools
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service.batching import _solved
from tests.running import EXAMPLE
from workers import answered_jobs, deadlines, predictions
from workers.batches import predict_all
from workers.deadlines import OutOfTime, check_time, stopping_at
from workers.works import OPTIMUM, PREDICTION, REQUIREMENT, SCALING_LAWS, SPECTRUM, SWEEP, Work

MIXTURE = {
    "model": {"learner": {"kind": "logistic", "penalty": 0.1}},
    "regime": {"kind": "mixture", "n_samples": 300, "n_features": 200, "mean_norm": 1.5},
}
ASKED: list[tuple[Work, Any]] = [
    (PREDICTION, EXAMPLE),
    (
        SPECTRUM,
        {
            "matrix": "sample_covariance",
            "regime": EXAMPLE["regime"],
            "statistics": [{"name": "log_det", "shift": 0.1}, {"expression": "x/(1+x)"}],
        },
    ),
    (SWEEP, {"request": MIXTURE, "axes": [{"path": "regime.n_samples", "values": [100, 200, 300]}]}),
    (
        REQUIREMENT,
        {
            "request": MIXTURE,
            "path": "regime.n_samples",
            "lower": 100,
            "upper": 1000,
            "scale": "log",
            "reach": {"test_error": 0.2},
        },
    ),
    (SCALING_LAWS, {"spectrum": {"kind": "power_law", "exponent": 1.5, "source_exponent": 0.3}, "budgets": [1e3, 1e4]}),
    (
        OPTIMUM,
        {
            "request": MIXTURE,
            "over": [{"path": "model.learner.penalty", "lower": 1e-3, "upper": 10, "scale": "log"}],
        },
    ),
]
BY_KIND = {work.kind: (work, work.schema.model_validate(asked)) for work, asked in ASKED}
MANY = ("spectrum", "requirement", "scaling_laws", "optimum")
"""Kinds of more than two steps; a sweep reports after some points together."""


@pytest.mark.parametrize("kind", MANY)
def test_how_far_it_is_never_falls(kind: str) -> None:
    work, request = BY_KIND[kind]
    seen: list[float] = []
    answer = work.work_out(request, key="", progress=seen.append)
    assert work.reports
    assert len(seen) >= 4
    assert seen == sorted(seen)
    assert 0.0 <= seen[0] < seen[-1] <= 1.0
    assert answer == work.work_out(request, key="")  # it changes nothing


def test_a_job_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answered_jobs, "REPORT_SECONDS", -1.0)
    noted: list[float] = []
    job: Any = SimpleNamespace(meta={})
    job.save_meta = lambda: noted.append(job.meta["progress"])
    report = answered_jobs._reporter(job)
    for share in (0.1, 0.5, 0.3, 0.7):
        report(share)
    assert noted == [0.1, 0.5, 0.5, 0.7]


@pytest.mark.parametrize("kind", BY_KIND)
def test_it_does_not_begin_after_its_time(kind: str) -> None:
    work, request = BY_KIND[kind]
    with stopping_at(time.monotonic() - 1.0), pytest.raises(OutOfTime):
        work.work_out(request, key="")
    check_time()  # no one's time is up here


@pytest.mark.parametrize("kind", ["sweep", *MANY])
def test_it_stops_at_any_step(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work, request = BY_KIND[kind]
    steps = _steps(monkeypatch, lambda: work.work_out(request, key=""))
    assert steps > 3
    for last in {1, 2, steps // 2, steps - 1}:
        ticks = itertools.count()
        monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda ticks=ticks: float(next(ticks))))
        with stopping_at(last - 0.5), pytest.raises(OutOfTime):
            work.work_out(request, key="")
        assert next(ticks) == last + 1  # no step after the one that noticed


def _steps(monkeypatch: pytest.MonkeyPatch, work_out: Callable[[], object]) -> int:
    """Return how often the time is asked for."""
    ticks = itertools.count()
    monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    with stopping_at(1e9):
        work_out()
    return next(ticks)


def test_a_batch_keeps_what_it_has_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    regimes: list[Any] = [{**MIXTURE["regime"], "n_samples": n_samples} for n_samples in (100, 200)]
    bodies = [EXAMPLE, *({"model": MIXTURE["model"], "regime": regime} for regime in regimes)]
    requests: list[Any] = [PREDICTION.schema.model_validate(body) for body in bodies]
    keys = [predictions.key_of(request) for request in requests]
    steps = _steps(monkeypatch, lambda: list(predict_all(requests, keys)))
    ticks = itertools.count()
    monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    found, problems = _solved(requests, keys, steps - 1.5, 1.0)
    assert 0 < len(found) < 3
    assert problems == {}
    assert all(json.loads(body)["status"] == "converged" for body in found.values())
