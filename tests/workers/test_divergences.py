"""Divergences: found where closed forms put them, at points of a grid or between them, and nowhere else."""

from typing import Any

import numpy as np
import pytest

from tests.workers.grids import DEEP, LINEAR, MIXTURE, POWER_LAW, SHALLOW, changed, grid_of
from theory.classification.separability import separability
from workers.building import build
from workers.divergences import divergences
from workers.grids import table

RIDGELESS = changed(LINEAR, model__learner__penalty=0)
CURVE = np.geomspace(10, 10_000, 200)


def found(base: Any, axes: dict[str, Any]) -> list[tuple[str, float]]:
    grid = grid_of(base, axes)
    answer = divergences(grid, table(grid, ["test_error"]))
    assert answer.omitted == 0
    return [(item.path, item.at) for item in answer.found]


@pytest.mark.parametrize(
    ("base", "path", "values", "at"),
    [
        (RIDGELESS, "regime.n_samples", CURVE, [400.0]),
        (RIDGELESS, "regime.n_samples", CURVE[::-1], [400.0]),
        (RIDGELESS, "regime.n_samples", [200, 400, 800], [400.0]),
        (RIDGELESS, "regime.n_samples", [400], [400.0]),
        (RIDGELESS, "regime.n_samples", [401, 800], []),
        (changed(RIDGELESS, model__fit_intercept=True), "regime.n_samples", [200, 800], [401.0]),
        (changed(RIDGELESS, regime__noise_variance=0), "regime.n_samples", [200, 400, 800], []),
        (changed(RIDGELESS, regime__noise_variance=0), "regime.n_samples", [200, 800], []),
        (LINEAR, "regime.n_samples", CURVE, []),
        (RIDGELESS, "regime.n_features", [10, 3000], [800.0]),
        (changed(RIDGELESS, regime__n_samples=400), "model.learner.penalty", [1, 0.1, 0], [0.0]),
        (changed(RIDGELESS, regime__n_samples=400), "regime.noise_variance", [0.1, 0.2], []),
        (changed(RIDGELESS, regime__n_samples=400), "regime.noise_variance", [0.3, 0, 0.1], [0.0]),
        (changed(RIDGELESS, regime__covariance=POWER_LAW), "regime.n_features", [10, 500, 1000], [800.0]),
        (
            changed(RIDGELESS, regime__covariance=POWER_LAW, regime__n_samples=800.5),
            "regime.n_features",
            [10, 500, 1000],
            [],
        ),
        (changed(RIDGELESS, model__features=SHALLOW), "model.features.layers.0.width", [10, 3000], [800.0]),
        (changed(RIDGELESS, model__features=SHALLOW), "regime.n_samples", CURVE, [600.0]),
        (changed(RIDGELESS, model__features=DEEP), "regime.n_samples", [10, 250, 900], [300.0]),
        (changed(RIDGELESS, model__features=DEEP), "model.features.layers.1.width", [10, 900], [800.0]),
        (
            changed(RIDGELESS, model__features={"kind": "random_fourier", "frequencies": 200}),
            "regime.n_samples",
            [100, 900],
            [400.0],
        ),
        (
            changed(RIDGELESS, model__features={"kind": "kernel", "kernel": {"kind": "rbf"}}),
            "regime.n_samples",
            CURVE,
            [],
        ),
        (
            changed(LINEAR, model__learner={"kind": "gradient_flow", "time": 10}),
            "regime.n_samples",
            CURVE[::20],
            [],
        ),
        # 2 / trace, whatever the samples.
        (
            changed(LINEAR, model__learner={"kind": "sgd", "step_size": 1e-3}),
            "model.learner.step_size",
            [1e-4, 1],
            [0.005],
        ),
        (changed(LINEAR, model__learner={"kind": "sgd", "step_size": 1e-3}), "regime.n_features", [10, 5000], [2000.0]),
        (changed(MIXTURE, regime__n_samples=200), "model.learner.penalty", [0, 0.1, 1], [0.0]),
    ],
)
def test_along_one_axis(base: Any, path: str, values: Any, at: list[float]) -> None:
    assert found(base, {path: values}) == [(path, value) for value in at]


def test_gradient_descent_diverges_from_two_over_the_largest_eigenvalue() -> None:
    base = changed(LINEAR, model__learner={"kind": "gradient_descent", "step_size": 0.1, "steps": 10})
    edge = (1.0 + (400.0 / 800.0) ** 0.5) ** 2
    [(_, at)] = found(base, {"model.learner.step_size": [0.1, 0.2, 5.0]})
    np.testing.assert_allclose(at, 2.0 / edge, rtol=1e-9)
    [(_, at)] = found(changed(base, model__learner__step_size=1.0), {"regime.n_samples": [10, 100_000]})
    np.testing.assert_allclose(at, 400.0 / (2.0**0.5 - 1.0) ** 2, rtol=1e-9)


def test_classes_are_separable_up_to_the_ratio_of_separability() -> None:
    base = changed(MIXTURE, model__learner__penalty=0)
    [(_, at)] = found(base, {"regime.n_samples": CURVE[::20]})
    grid = grid_of(base, {"regime.n_samples": [at]})
    classes = build(grid.request).classes
    assert classes is not None
    distance = separability(classes.population, classes.labels, n_samples=at).distance
    np.testing.assert_allclose(distance, 0.0, atol=1e-10)


def test_along_two_axes_each_line_has_its_own() -> None:
    axes = {"model.features.width": [100.5, 250], "regime.n_samples": [50, 170, 900]}
    base = changed(RIDGELESS, model__features={"kind": "random_projection", "width": 300})
    assert found(base, axes) == [
        ("model.features.width", 170.0),
        ("regime.n_samples", 100.5),
        ("regime.n_samples", 250.0),
    ]


def test_only_lines_without_a_penalty_count() -> None:
    axes = {"regime.n_samples": CURVE, "model.learner.penalty": [0, 1e-3, 1]}
    assert found(LINEAR, axes) == [("regime.n_samples", 400.0)]
    assert found(LINEAR, {**axes, "model.learner.penalty": [1e-3, 1]}) == []


def test_lines_without_noise_do_not_hide_those_with_it() -> None:
    axes = {"regime.noise_variance": [0, 0, 0.5], "regime.n_samples": [100, 900]}
    assert found(RIDGELESS, axes) == [("regime.n_samples", 400.0)]
