"""A chunk of a validation, beside the bare BLAS and LAPACK calls of its sizes; and the memory that it takes.

The goal is set against the calls alone, in double precision; the second ratio is against the calls with the random numbers
that they act on, which take a third as long again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from api_schemas.validation import ValidationRequest
from benchmarks.report import Report, median_processor_seconds, median_seconds
from simulation.devices import HOST, HostDevice, keep_freed_memory
from workers.finite import finite_problem
from workers.validations import chunks_of, run_chunk

SIZE = 1000
N_FEATURES = 500
GOAL = 0.75
PENALTY = 0.1
RIDGE = {
    "model": {"learner": {"kind": "ridge", "penalty": PENALTY}},
    "regime": {"kind": "regression", "n_samples": SIZE, "n_features": SIZE, "noise_variance": 0.25},
}
LAYER = {"activation": "relu", "width": SIZE}
RANDOM_FEATURES = {
    "model": {
        "features": {"kind": "random_features", "layers": [LAYER]},
        "learner": {"kind": "ridge", "penalty": PENALTY},
    },
    "regime": {"kind": "regression", "n_samples": SIZE, "n_features": N_FEATURES, "noise_variance": 0.25},
}
SMALL = {
    "model": {"learner": {"kind": "ridge", "penalty": PENALTY}},
    "regime": {"kind": "regression", "n_samples": 40, "n_features": 20, "noise_variance": 0.25},
}
N_SMALL = 1000
MEMORY = """
import json, resource, sys
from api_schemas.validation import ValidationRequest
from simulation.devices import HostDevice
from workers.finite import finite_problem
body, budget, replicates = json.load(sys.stdin)
problem = finite_problem(ValidationRequest.model_validate({"request": body}).request)
problem.measured(first=0, count=1, seed=0, device=HostDevice(budget=1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problem.measured(first=0, count=replicates, seed=0, device=HostDevice(budget=budget))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def run(report: Report, *, quick: bool = False) -> None:
    """Measure on one core and with freed memory kept, as workers do."""
    keep_freed_memory()
    with threadpool_limits(1):
        repeats = 3 if quick else 9
        _beside_bare_calls(report, "ridge, n = d = 1000", RIDGE, _bare_ridge, repeats)
        _beside_bare_calls(report, "random features, n = N = 1000", RANDOM_FEATURES, _bare_random_features, repeats)
        _side_by_side(report, repeats)
    _memory(report)


def _beside_bare_calls(
    report: Report, name: str, body: Any, bare: Callable[[np.random.Generator | None], object], repeats: int
) -> None:
    request = ValidationRequest.model_validate({"request": body})
    chunk = chunks_of(request)[0]

    def ours() -> object:
        return run_chunk(request, chunk)

    generator = np.random.Generator(np.random.SFC64(0))
    own, alone, drawn = median_processor_seconds(ours, lambda: bare(None), lambda: bare(generator), repeats=repeats)
    own /= chunk.size
    report.add(
        f"(v) a replicate of a chunk: {name}",
        f"{1e3 * own:.0f} ms",
        baseline=f"bare calls {1e3 * alone:.0f} ms; with the random numbers they act on {1e3 * drawn:.0f} ms",
        result=f"{alone / own:.2f} of the speed of bare calls, {drawn / own:.2f} with random numbers",
        goal=f">= {GOAL:g} of bare calls",
        met=alone / own >= GOAL,
    )


INPUTS = np.random.default_rng(0).standard_normal((SIZE, SIZE))
# Three arrays: NumPy multiplies one with its own transpose in half the time.
NARROW = tuple(np.random.default_rng(1).standard_normal((3, SIZE, N_FEATURES)))
LABELS = INPUTS[:, 0].copy()


def _drawn(like: np.ndarray[Any, Any], generator: np.random.Generator | None) -> np.ndarray[Any, Any]:
    return like if generator is None else generator.standard_normal(like.shape)


def _solved(features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    gram = features.T @ features
    gram[np.diag_indices(SIZE)] += SIZE * PENALTY
    factor = cho_factor(gram.T, lower=True, overwrite_a=True, check_finite=False)
    solution: np.ndarray[Any, Any] = cho_solve(factor, features.T @ LABELS, check_finite=False)
    return solution


def _bare_ridge(generator: np.random.Generator | None) -> object:
    inputs = _drawn(INPUTS, generator)
    return inputs @ _solved(inputs)


def _bare_random_features(generator: np.random.Generator | None) -> object:
    inputs, weights, fresh = (_drawn(like, generator) for like in NARROW)
    hidden = inputs @ weights.T
    readout = _solved(hidden)
    return hidden @ readout, (fresh @ weights.T) @ readout


def _side_by_side(report: Report, repeats: int) -> None:
    problem = finite_problem(ValidationRequest.model_validate({"request": SMALL}).request)

    def seconds(device: HostDevice, count: int) -> float:
        return (
            median_seconds(partial(problem.measured, first=0, count=count, seed=0, device=device), repeats=repeats)
            / count
        )

    together, alone = seconds(HOST, N_SMALL), seconds(HostDevice(budget=1), N_SMALL // 10)
    report.add(
        "(v) small replicates side by side: ridge, n = 40, d = 20",
        f"{1e6 * together:.0f} us",
        baseline=f"one after the other {1e6 * alone:.0f} us",
        result=f"{alone / together:.1f} times faster",
    )


def _memory(report: Report) -> None:
    budget, replicates = 256 * 2**20, 400
    body = json.loads(json.dumps(RANDOM_FEATURES).replace(str(SIZE), "200"))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        input=json.dumps([body, budget, replicates]).encode(),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    taken = int(done.stdout)
    report.add(
        "(v) memory of replicates side by side, random features n = N = 200",
        f"{taken / 2**20:.0f} MiB",
        baseline=f"budget {budget / 2**20:.0f} MiB; resident memory beyond that of one replicate",
        goal="<= the budget",
        met=taken <= budget,
    )
