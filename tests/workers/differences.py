"""Gradients of requests beside differences of high order of the prediction itself.

A difference along a random direction of all parameters at once tests all of them in a few predictions. Formulas of order 8
leave a truncation that falls with the eighth power of the step, and rounding of about 1e-16 over the step.
"""

import itertools
import zlib
from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from workers.paths import place_of, replaced, value_at
from workers.predictions import predict

CENTRAL = np.array([4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0])
STEPS = (4e-3, 1.5e-3)
RELATIVE = 1e-7


def gradient(body: dict[str, Any]) -> dict[str, float | None]:
    """Return the gradient of a request."""
    found = predict(PredictionRequest.model_validate({**body, "include": ["gradient"]})).gradient
    assert found is not None
    return found


def moved(request: PredictionRequest, changes: dict[str, float]) -> PredictionRequest:
    """Return a request with other numbers, at the paths that sweeps take."""
    places = [place_of(request, path, pointer="") for path in changes]
    return replaced(request, {place: place.value + changes[place.path] for place in places})


def error(request: PredictionRequest) -> float:
    """Return the test error of a request."""
    found = predict(request).test_error
    assert found is not None
    return found


def mirror(path: str) -> str:
    """Return the other place of an entry of a symmetric table; an impossible one of what is none."""
    *way, first, second = path.split(".")
    symmetric = way[-1:] in (["initial_self_overlaps"], ["overlaps"]) and first != second
    return ".".join([*way, second, first]) if symmetric else ""


def check(
    body: dict[str, Any],
    *,
    without: tuple[str, ...] = ("weights",),
    relative: float = RELATIVE,
    steps: tuple[float, ...] = STEPS,
) -> None:
    """Compare the derivative along a direction of all positive numbers with differences.

    Args:
        body: a request.
        without: numbers whose paths have one of these in them are left alone; weights move only together.
        relative: to the sum of the parts' sizes.
        steps: of differences, relative.
    """
    found, whole = gradient(body), PredictionRequest.model_validate(body)
    generator = np.random.default_rng(zlib.crc32(repr(body).encode()))
    direction: dict[str, float] = {}
    for path, slope in found.items():
        value = value_at(whole, path)
        # Boundaries are tested from one side elsewhere.
        if value == 0.0 or any(name in path for name in without):
            continue
        assert slope is not None, path
        if (mirrored := mirror(path)) in direction:
            direction[path] = direction[mirrored]
            continue
        direction[path] = value * generator.uniform(0.3, 1.0) * generator.choice([-1.0, 1.0])
    expected = sum(found[path] * change for path, change in direction.items())  # type: ignore[operator]
    size = sum(abs(found[path] * change) for path, change in direction.items())  # type: ignore[operator]
    gaps = []
    for step in steps:
        sides = [
            error(moved(whole, {path: sign * k * step * change for path, change in direction.items()}))
            for k, sign in itertools.product((1, 2, 3, 4), (1, -1))
        ]
        difference = float(CENTRAL @ (np.array(sides[::2]) - np.array(sides[1::2]))) / step
        gaps.append(abs(difference - expected))
    assert min(gaps) <= relative * max(size, 1e-3 * error(whole)), (min(gaps), expected, size)


def one_sided(body: dict[str, Any], path: str, step: float) -> float:
    """Return the derivative from above at a boundary, by a polynomial through six points."""
    whole, nodes = PredictionRequest.model_validate(body), np.arange(7.0)
    values = [error(moved(whole, {path: k * step})) for k in nodes]
    return float(np.linalg.solve(np.vander(nodes, increasing=True), values)[1]) / step
