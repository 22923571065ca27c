"""Grids: each point is what a single prediction is, whatever is solved together; a refusal names the axis at fault."""

from typing import Any

import numpy as np
import pytest

from tests.workers.grids import DEEP, LINEAR, MIXTURE, POWER_LAW, SHALLOW, changed, grid_of
from workers.grids import FIELDS, PHASES, STATUSES, table
from workers.predictions import predict
from workers.refusals import Refused, UnstableStep

SAMPLES = [50.0, 399.5, 400.0, 800.25, 5000.0]
PENALTIES = [0.0, 1e-6, 0.1, 3.0]
FEW = 40
ENDS = ("interval_low", "interval_high")

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "linear": (LINEAR, {"regime.n_samples": SAMPLES, "model.learner.penalty": PENALTIES}),
    "linear, three axes": (
        changed(LINEAR, model__fit_intercept=True),
        {"regime.noise_variance": [0, 1], "regime.n_samples": [0.5, 400, 401, 900], "model.learner.penalty": [0, 1]},
    ),
    "several mode tables": (
        changed(LINEAR, regime__covariance={"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.3, 0.7]}),
        {"regime.n_samples": SAMPLES, "regime.target.signal_variance": [0, 1, 2], "regime.noise_variance": [0, 0.5]},
    ),
    "what is built is the inner axis": (
        changed(LINEAR, regime__covariance=POWER_LAW, regime__target__alignment={"kind": "source", "exponent": 0.4}),
        {"regime.n_samples": SAMPLES, "regime.covariance.exponent": [0.6, 1.5]},
    ),
    "tables of different lengths": (
        changed(LINEAR, regime__covariance=POWER_LAW),
        {"regime.n_features": [10, 200, 800], "regime.n_samples": [100, 200]},
    ),
    "projection": (
        changed(LINEAR, model__features={"kind": "random_projection", "width": 300}),
        {
            "model.features.width": [100, 300, 400, 900],
            "regime.n_samples": [100, 300, 800],
            "model.learner.penalty": [0, 0.1],
        },
    ),
    "shallow": (
        changed(LINEAR, model__features=SHALLOW, regime__target__mean=0.5),
        {
            "model.features.layers.0.width": [100, 800, 3000],
            "regime.n_samples": [50, 800],
            "model.learner.penalty": [0, 0.1],
        },
    ),
    "shallow, until neurons have biases": (
        changed(LINEAR, model__features=SHALLOW),
        {"model.features.layers.0.width": [100, 900], "model.features.layers.0.bias_variance": [0, 0.5]},
    ),
    "even activation": (
        changed(LINEAR, model__features=SHALLOW, model__features__layers__0__activation="abs"),
        {"model.features.layers.0.width": [100, 900], "regime.n_samples": [50, 800]},
    ),
    "deep": (
        changed(LINEAR, model__features=DEEP),
        {
            "model.features.layers.0.width": [100, 800],
            "regime.n_samples": [100, 300, 600],
            "model.learner.penalty": [0, 0.1],
        },
    ),
    "fourier": (
        changed(LINEAR, model__features={"kind": "random_fourier", "frequencies": 200}),
        {"model.features.frequencies": [100, 250], "regime.n_samples": [200, 500]},
    ),
    "kernel": (
        changed(LINEAR, model__features={"kind": "kernel", "kernel": {"kind": "rbf"}}),
        {
            "model.features.kernel.length_scale": [0.5, 2],
            "regime.n_samples": [200, 500],
            "model.learner.penalty": [0, 0.1],
        },
    ),
    "kernel on the sphere": (
        {
            "model": {
                "features": {"kind": "kernel", "kernel": {"kind": "polynomial", "degree": 3}},
                "learner": {"penalty": 1e-3},
            },
            "regime": {"kind": "sphere", "n_samples": 300, "n_features": 24, "degree_energies": [0, 0.5, 0.5]},
        },
        {
            "regime.n_samples": [10, 300, 5000],
            "model.learner.penalty": [0, 0.1],
            "model.features.kernel.degree": [2, 3],
        },
    ),
    "eigenspectrum": (
        {
            "model": {"learner": {"penalty": 0.01}},
            "regime": {
                "kind": "eigenspectrum",
                "n_samples": 60,
                "eigenvalues": [1.0, 0.1],
                "multiplicities": [10, 90],
                "energies": [0.8, 0.2],
                "tail_trace": 0.5,
            },
        },
        {"regime.tail_trace": [0, 1], "regime.eigenvalues.1": [0, 0.3], "regime.n_samples": [20, 100, 200]},
    ),
    "gradient flow": (
        changed(
            LINEAR,
            model__learner={"kind": "gradient_flow", "time": 1},
            regime__covariance={"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.3, 0.7]},
        ),
        {
            "model.learner.time": [0, 1e-9, 0.1, 10],
            "regime.n_samples": [100, 900],
            "model.learner.penalty": [0, 0.1],
        },
    ),
    "gradient descent": (
        changed(LINEAR, model__learner={"kind": "gradient_descent", "step_size": 0.1, "steps": 10}),
        {"model.learner.steps": [0, 1, 30], "model.learner.step_size": [0.1, 0.5, 1.5]},
    ),
    "sgd": (
        changed(LINEAR, model__learner={"kind": "sgd", "step_size": 1e-3}),
        {"model.learner.step_size": [1e-4, 4e-3, 0.1], "regime.n_samples": [10, 900]},
    ),
    "logistic": (MIXTURE, {"regime.n_samples": [100, 3000], "model.learner.penalty": [0, 0.1]}),
    "ridge of classes": (
        changed(MIXTURE, model__learner={"kind": "ridge", "penalty": 0.1}),
        {"regime.n_samples": [100, 300], "regime.mean_norm": [0.5, 2]},
    ),
    "flow on classes": (
        changed(MIXTURE, model__learner={"kind": "gradient_flow", "time": 1}),
        {"model.learner.time": [0.1, 10], "regime.positive_fraction": [0.3, 0.5]},
    ),
    "trained networks": (
        {
            "model": {
                "features": {"kind": "two_layer", "hidden_units": 1, "activation": "erf"},
                "learner": {"kind": "sgd", "step_size": 0.5},
            },
            "regime": {
                "kind": "teacher_network",
                "n_samples": 2000,
                "n_features": 100,
                "hidden_units": 1,
                "activation": "erf",
            },
        },
        {"regime.n_samples": [0.5, 3000], "regime.noise_variance": [0, 0.1]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_point_is_what_a_single_prediction_is(case: str) -> None:
    grid = grid_of(*CASES[case])
    found = table(grid, list(FIELDS))
    points = np.arange(grid.size)
    if grid.size > FEW:
        points = np.random.default_rng(0).choice(points, FEW, replace=False)
    for point in points.tolist():
        status = STATUSES[found.status.flat[point]]
        try:
            single = predict(grid.request_at(point))
        except UnstableStep:
            assert status == "divergent"
            assert all(np.isnan(values.flat[point]) for values in found.columns.values())
            continue
        assert (status, PHASES[found.phase.flat[point]]) == (single.status, single.phase)
        for name, values in found.columns.items():
            # The interval, a list, has a name for each of its ends.
            expected: Any = single if name not in ENDS else (single.interval or (None, None))[ENDS.index(name)]
            for part in name.split(".") if name not in ENDS else ():
                expected = getattr(expected, part) if expected is not None else None
            if name == "numerics.residual":
                assert abs(values.flat[point] - expected) <= 1e-9
                continue
            # Along the times of a gradient method contours are followed together, to 1e-12 of the labels' variance.
            followed = "gradient" in case or "flow" in case
            tolerance = {"rtol": 1e-11, "atol": 1e-12} if followed else {"rtol": 1e-13}
            np.testing.assert_allclose(
                values.flat[point], np.nan if expected is None else expected, err_msg=name, **tolerance
            )


def test_a_curve_of_ordinary_least_squares_is_the_closed_form() -> None:
    n_samples = np.array([450.0, 600.0, 1000.0])
    found = table(grid_of(changed(LINEAR, model__learner__penalty=0), {"regime.n_samples": n_samples}), ["excess_risk"])
    np.testing.assert_allclose(found.columns["excess_risk"], 0.25 * 400.0 / (n_samples - 400.0), rtol=1e-13)


def test_progress_ends_at_the_number_of_points() -> None:
    seen: list[int] = []
    grid = grid_of(changed(LINEAR, model__features=DEEP), {"regime.n_samples": np.linspace(10, 900, 130)})
    table(grid, ["test_error"], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 130


@pytest.mark.parametrize(
    ("base", "axes", "pointer", "says"),
    [
        (
            changed(LINEAR, regime__covariance=POWER_LAW),
            {"model.learner.penalty": [0, 1], "regime.n_features": [10, 10.5]},
            "/axes/1/values/1",
            "at model.learner.penalty = 0, regime.n_features = 10.5: power_law: the covariance needs a whole number",
        ),
        (
            changed(LINEAR, regime__covariance={"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.3, 0.7]}),
            {"regime.covariance.weights.0": [0.3, 0.4]},
            "/axes/0/values/1",
            "weights must sum to 1",
        ),
        (
            changed(LINEAR, regime__covariance={"kind": "spiked", "spikes": [3, 4]}),
            {"regime.n_features": [100, 1]},
            "/axes/0/values/1",
            "at most n_features spikes fit",
        ),
        (
            changed(LINEAR, regime__covariance={"kind": "ar1", "correlation": 0.5}, regime__n_features=10.5),
            {"regime.n_samples": [10, 20]},
            "/request/regime/n_features",
            "whole number",
        ),
    ],
)
def test_a_refused_point_refuses_the_grid_and_names_the_axis(base: Any, axes: Any, pointer: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        table(grid_of(base, axes), ["test_error"])
    assert refused.value.pointer == pointer
    assert says in refused.value.detail
