"""Optima, beside the brute-force grid of 10^4 points that they agree with to its resolution."""

from itertools import product
from typing import Any

import numpy as np

from api_schemas.optima import EXAMPLE_REQUEST, OptimumRequest
from api_schemas.prediction import PredictionRequest
from api_schemas.scaling import EXAMPLE_REQUEST as SCALING_REQUEST
from api_schemas.scaling import ScalingLawsRequest
from benchmarks.report import Report, median_seconds
from workers.objective import Objective
from workers.optima import optima
from workers.paths import place_of, replaced
from workers.predictions import predict
from workers.scaling import scaling_laws_of

POINTS = 10_000
RIDGE: dict[str, Any] = {
    "model": {"learner": {"kind": "ridge", "penalty": 0.1}},
    "regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25},
}
FLOW: dict[str, Any] = {**RIDGE, "model": {"learner": {"kind": "gradient_flow", "time": 1.0}}}
CASES: dict[str, dict[str, Any]] = {
    "the penalty, by stationarity": {
        "request": RIDGE,
        "over": [{"path": "model.learner.penalty", "lower": 1e-8, "upper": 10, "scale": "log"}],
    },
    "penalty, width and samples within a budget": EXAMPLE_REQUEST,
    "the time of gradient flow": {
        "request": FLOW,
        "over": [{"path": "model.learner.time", "lower": 0.01, "upper": 1e4, "scale": "log"}],
    },
}


def run(report: Report, *, quick: bool = False) -> None:
    """Measure one, two and three paths, and scaling laws."""
    for name, case in CASES.items():
        request = OptimumRequest.model_validate(case)
        places = [place_of(request.request, one.path, pointer="") for one in request.over]
        count = len(places)
        sides = [np.geomspace(one.lower, one.upper, round(POINTS ** (1.0 / count))) for one in request.over]
        points = np.array(list(product(*sides)))
        # Of what is not fast a part is measured and scaled up.
        share = 0.02 if "time" in name else 1.0
        part = points[:: round(1.0 / share)]
        ours = median_seconds(lambda: optima(request), repeats=3 if quick else 20)  # noqa: B023
        together = median_seconds(lambda: Objective(request.request, places)(part), repeats=1 if quick else 5)  # noqa: B023
        few = part[:: max(1, len(part) // 200)]

        def one_by_one() -> None:
            for point in few:  # noqa: B023
                predict(replaced(request.request, dict(zip(places, point.tolist(), strict=True))))  # noqa: B023

        apart = median_seconds(one_by_one, repeats=1 if quick else 5)
        grid, single = together * len(points) / len(part), apart * len(points) / len(few)
        best = float(Objective(request.request, places)(part).min())
        found = optima(request).optimum.prediction.test_error
        assert found is not None
        if request.budget is None:
            assert found <= best * (1.0 + 1e-9)
        report.add(
            f"(o) optimum over {name}",
            f"{1e3 * ours:.1f} ms",
            baseline=f"grid of {len(points)} points: vectorised {grid:.2f} s, one by one {single:.1f} s",
            result=f"{grid / ours:.1f} and {single / ours:.0f} times faster, with prior and certificate",
        )
    laws = ScalingLawsRequest.model_validate(SCALING_REQUEST)
    exponents = ScalingLawsRequest.model_validate({**SCALING_REQUEST, "budgets": []})
    prediction = PredictionRequest.model_validate(RIDGE)
    whole = median_seconds(lambda: scaling_laws_of(laws), repeats=1 if quick else 5)
    alone = median_seconds(lambda: scaling_laws_of(exponents), repeats=5 if quick else 30)
    plain = median_seconds(lambda: predict(prediction), repeats=50)
    report.add(
        "(o) scaling laws, with the best splits of 2 budgets",
        f"{1e3 * whole:.0f} ms",
        baseline=f"without budgets {1e3 * alone:.2f} ms; one prediction {1e3 * plain:.2f} ms",
        result=f"{whole / 2 / plain:.0f} predictions' time a budget",
    )
