"""Grids for tests: a base request, and the axes along which it varies."""

import copy
from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from workers.grids import Axis, Grid
from workers.paths import place_of

LINEAR: dict[str, Any] = {
    "model": {"learner": {"kind": "ridge", "penalty": 0.1}},
    "regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25},
}
POWER_LAW = {"kind": "power_law", "exponent": 1.5}
SHALLOW = {"kind": "random_features", "layers": [{"activation": "relu", "width": 600}]}
DEEP = {
    "kind": "random_features",
    "layers": [{"activation": "relu", "width": 600}, {"activation": "erf", "width": 300}],
}
MIXTURE: dict[str, Any] = {
    "model": {"learner": {"kind": "logistic", "penalty": 0.01}},
    "regime": {"kind": "mixture", "n_samples": 400, "n_features": 200},
}


def changed(base: Any, **values: Any) -> Any:
    """Return a request with other values; paths are written with ``__``."""
    whole = copy.deepcopy(base)
    for path, value in values.items():
        here = whole
        *steps, last = path.split("__")
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        here[last] = value
    return whole


def grid_of(base: Any, axes: dict[str, Any]) -> Grid:
    """Return a grid."""
    request = PredictionRequest.model_validate(base)
    return Grid(
        request=request,
        axes=tuple(
            Axis(
                place=place_of(request, path, pointer=""),
                values=np.array(values, float),
                pointer_of=lambda index, place=place: f"/axes/{place}/values/{index}",  # type: ignore[misc]
            )
            for place, (path, values) in enumerate(axes.items())
        ),
    )
