"""Gradients of every combination, against differences of high order of the prediction itself."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest

from api_schemas.prediction import PredictionRequest
from tests.datasets import DIABETES
from tests.workers.differences import CENTRAL, STEPS, check, error, gradient, moved, one_sided
from workers.directions import directions_of
from workers.paths import place_of
from workers.registry import COMBINATIONS

LAYERS = [
    {"activation": {"kind": "leaky_relu", "negative_slope": 0.2}, "width": 70.0, "bias_variance": 0.1},
    {"activation": "erf", "width": 90.0, "weight_variance": 1.2, "bias_variance": 0.2},
]
FEATURES: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear"},
    "random_projection": {"kind": "random_projection", "width": 55.0},
    "random_features": {"kind": "random_features", "layers": LAYERS[:1]},
    "random_fourier": {"kind": "random_fourier", "frequencies": 45.0, "length_scale": 1.3},
    "kernel": {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 1.2}},
    "two_layer": {"kind": "two_layer", "hidden_units": 2, "readout": [1.0, 0.9], "readout_step_size": 0.2},
}
LEARNERS: dict[str, dict[str, Any]] = {
    "ridge": {"kind": "ridge", "penalty": 0.1},
    "gradient_flow": {"kind": "gradient_flow", "time": 3.0, "penalty": 0.05},
    "gradient_descent": {"kind": "gradient_descent", "step_size": 0.1, "steps": 30, "penalty": 0.05},
    "sgd": {"kind": "sgd", "step_size": 0.01},
    "logistic": {"kind": "logistic", "penalty": 0.02},
    "hinge": {"kind": "hinge", "penalty": 0.02},
    "lda": {"kind": "lda", "penalty": 0.1},
}
CONTOURS = ("sgd", "gradient_flow", "gradient_descent")
"""Learners whose predictions on layers with biases take tenths of a second."""
SIZES = {"n_samples": 100.0, "n_features": 40.0}
REGIMES: dict[str, dict[str, Any]] = {
    "regression": {
        "kind": "regression",
        **SIZES,
        "covariance": {"kind": "spiked", "bulk_variance": 0.9, "spikes": [4.0, 3.0]},
        "target": {"signal_variance": 0.8, "nonlinear_variance": 0.1, "mean": 0.3},
        "noise_variance": 0.25,
    },
    "eigenspectrum": {
        "kind": "eigenspectrum",
        "n_samples": 50.0,
        "eigenvalues": [1.0, 0.1, 0.05],
        "multiplicities": [10.0, 90.0, 20.0],
        "energies": [0.8, 0.2, 0.1],
        "tail_trace": 0.3,
        "noise_variance": 0.1,
    },
    "sphere": {
        "kind": "sphere",
        "n_samples": 300.0,
        "n_features": 24.0,
        "degree_energies": [0.1, 0.5, 0.5],
        "noise_variance": 0.1,
    },
    "mixture": {"kind": "mixture", **SIZES, "mean_norm": 1.4, "positive_fraction": 0.4},
    "teacher_classification": {"kind": "teacher_classification", **SIZES, "link": "sign", "noise_variance": 0.2},
    "teacher_network": {"kind": "teacher_network", **SIZES, "hidden_units": 2, "noise_variance": 0.1},
    "dataset": {"kind": "dataset", "dataset_id": DIABETES, "n_samples": 150.0},
}


def request_of(features: Any, learner: Any, regime: Any, *, fit_intercept: bool = False) -> dict[str, Any]:
    """Return a request."""
    return {
        "model": {"features": features, "learner": learner, "fit_intercept": fit_intercept},
        "regime": regime,
    }


DIFFERENTIABLE = [one for one in COMBINATIONS if one["regime"] != "dataset" or one["learner"] == "ridge"]
"""All but losses on a data set, which are averaged over clusters of its rows."""


@pytest.mark.parametrize(
    "combination", DIFFERENTIABLE, ids=lambda one: f"{one['features']}-{one['learner']}-{one['regime']}"
)
@pytest.mark.usefixtures("stored")
def test_every_combination_agrees_with_differences(combination: dict[str, str]) -> None:
    intercept = combination["regime"] == "mixture" and combination["learner"] in ("logistic", "hinge")
    features = FEATURES[combination["features"]]
    by_contour = combination["learner"] in CONTOURS or combination["regime"] == "mixture"
    if combination["features"] == "random_features" and by_contour:
        features = {"kind": "random_features", "layers": [{"activation": "relu", "width": 70.0}]}
    learner = LEARNERS[combination["learner"]]
    if combination["features"] == "two_layer":
        learner = {**learner, "step_size": 0.7}  # of order 1 for networks
    body = request_of(features, learner, REGIMES[combination["regime"]], fit_intercept=intercept)
    check(body, steps=(*STEPS, 3e-2) if combination["features"] == "two_layer" else STEPS)


@pytest.mark.parametrize("regime", ["mixture", "teacher_classification"])
@pytest.mark.parametrize(
    ("features", "learner"),
    [("kernel", "ridge"), ("random_features", "logistic"), ("random_fourier", "hinge"), ("kernel", "gradient_flow")],
)
def test_an_intercept_takes_the_place_of_the_mean_of_features(features: str, learner: str, regime: str) -> None:
    check(request_of(FEATURES[features], LEARNERS[learner], REGIMES[regime], fit_intercept=True))


def test_paths_of_gradients_are_paths_of_sweeps() -> None:
    for combination in DIFFERENTIABLE:
        body = request_of(
            FEATURES[combination["features"]], LEARNERS[combination["learner"]], REGIMES[combination["regime"]]
        )
        request = PredictionRequest.model_validate(body)
        for path in directions_of(request, n_unknowns=0).paths:
            assert np.isfinite(place_of(request, path, pointer="").value)


COVARIANCES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "isotropic", "variance": 1.3}, {}),
    ({"kind": "discrete", "eigenvalues": [1.0, 5.0], "weights": [0.4, 0.6]}, {}),
    ({"kind": "power_law", "exponent": 1.4, "scale": 1.2}, {"kind": "source", "exponent": 0.4}),
    ({"kind": "spiked", "spikes": [30.0, 10.0]}, {"kind": "energies", "values": [1.0, 2.0, 3.0]}),
    ({"kind": "ar1", "correlation": 0.5}, {}),
    ({"kind": "ar1", "correlation": -0.8}, {}),
    ({"kind": "explicit", "eigenvalues": [float(k) for k in range(1, 41)]}, {}),
]


@pytest.mark.parametrize(("covariance", "alignment"), COVARIANCES, ids=lambda value: value.get("kind", ""))
def test_covariances_and_alignments(covariance: dict[str, Any], alignment: dict[str, Any]) -> None:
    regime = copy.deepcopy(REGIMES["regression"])
    regime["covariance"] = covariance
    if alignment:
        regime["target"]["alignment"] = alignment
    for fit_intercept in (False, True):
        check(request_of(FEATURES["linear"], LEARNERS["ridge"], regime, fit_intercept=fit_intercept))


def test_weights_are_shares() -> None:
    regime = {
        **REGIMES["regression"],
        "covariance": {"kind": "discrete", "eigenvalues": [1.0, 5.0], "weights": [0.4, 0.6]},
    }
    body = request_of(FEATURES["linear"], LEARNERS["ridge"], regime)
    whole = PredictionRequest.model_validate(body)
    first, second = (gradient(body)[f"regime.covariance.weights.{place}"] for place in (0, 1))
    assert first is not None
    assert second is not None
    # What is scaled alike changes nothing.
    assert 0.4 * first + 0.6 * second == pytest.approx(0.0, abs=1e-12)
    values = []
    for k in (1, 2, 3, 4):
        first_path, second_path = (f"regime.covariance.weights.{place}" for place in (0, 1))
        sides = [error(moved(whole, {first_path: k * step, second_path: -k * step})) for step in (2e-3, -2e-3)]
        values.append(sides[0] - sides[1])
    assert first - second == pytest.approx(float(CENTRAL @ np.array(values)) / 2e-3, rel=1e-8)


def test_a_large_family_and_many_entries() -> None:
    regime = {**REGIMES["regression"], "n_features": 1_000_000, "covariance": {"kind": "power_law", "exponent": 1.5}}
    check(request_of(FEATURES["linear"], LEARNERS["ridge"], regime))
    regime = {
        **REGIMES["regression"],
        "n_features": 150.0,
        "covariance": {"kind": "explicit", "eigenvalues": np.linspace(1.0, 2.0, 150).tolist()},
    }
    body = request_of(FEATURES["linear"], LEARNERS["ridge"], regime)
    assert not [path for path in gradient(body) if path.startswith("regime.covariance.eigenvalues")]
    check(body)


KERNELS: list[dict[str, Any]] = [
    {"kind": "polynomial", "degree": 3, "offset": 0.7},
    {"kind": "laplace", "length_scale": 1.2},
    {"kind": "exponential", "rate": 0.8},
    {"kind": "ck", "layers": [{"activation": "gelu", "bias_variance": 0.1}, {"activation": "erf"}]},
    {"kind": "ck", "layers": [{"activation": {"kind": "ternary", "low": -0.5, "high": 0.7}, "bias_variance": 0.1}]},
    {"kind": "ntk", "layers": [{"activation": "relu"}, {"activation": {"kind": "leaky_relu", "negative_slope": 0.3}}]},
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel["kind"])
@pytest.mark.parametrize("regime", ["regression", "sphere"])
def test_kernels(kernel: dict[str, Any], regime: str) -> None:
    if regime == "sphere" and "ternary" in str(kernel):
        kernel = {
            **kernel,
            "layers": [{"activation": "abs", "bias_variance": 0.1}],
        }  # that one takes seconds there: below
    check(request_of({"kind": "kernel", "kernel": kernel}, LEARNERS["ridge"], REGIMES[regime]))


def on_sphere(kind: str, activation: Any, *, bias_variance: float = 0.15) -> dict[str, Any]:
    """Return a request of a network of infinite width on the sphere."""
    layers = [
        {"activation": activation, "weight_variance": 1.3, "bias_variance": bias_variance},
        {"activation": "gelu", "bias_variance": 0.1},
    ]
    kernel = {"kind": "kernel", "kernel": {"kind": kind, "layers": layers}}
    return request_of(kernel, LEARNERS["ridge"], REGIMES["sphere"])


CLOSED = ["relu", "leaky_relu", "erf", "gelu", "sin", "cos", "abs", "quadratic", "linear"]


@pytest.mark.parametrize("kind", ["ck", "ntk"])
@pytest.mark.parametrize("activation", CLOSED)
def test_networks_of_infinite_width_on_the_sphere(kind: str, activation: str) -> None:
    check(on_sphere(kind, activation))


@pytest.mark.parametrize("dimension", [3.0, 200.0])
def test_intercepts_and_dimensions_of_networks_on_the_sphere(dimension: float) -> None:
    for kind, fit_intercept in itertools.product(("ck", "ntk"), (False, True)):
        body = on_sphere(kind, "relu")
        body["model"]["fit_intercept"] = fit_intercept
        body["regime"] = {**body["regime"], "n_features": dimension}
        check(body)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "activation"),
    [
        *itertools.product(("ck", "ntk"), ("tanh", "sigmoid", "softplus")),
        *(("ck", one) for one in ("sign", "ternary", {"kind": "ternary", "low": -0.4, "high": 0.7})),
    ],
    ids=str,
)
def test_networks_on_the_sphere_whose_duals_are_quadratures(kind: str, activation: Any) -> None:
    check(on_sphere(kind, activation))


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(
    "activations",
    [("erf", "relu"), ("sin", "sigmoid"), ("softplus", "sign", "quadratic"), ("abs", "cos"), ("tanh", "gelu")],
    ids="-".join,
)
def test_layers(activations: tuple[str, ...], fit_intercept: bool) -> None:
    layers = [
        {"activation": name, "width": 60.0 + 20.0 * place, "weight_variance": 1.2, "bias_variance": 0.1 * (place % 2)}
        for place, name in enumerate(activations)
    ]
    features = {"kind": "random_features", "layers": layers}
    check(request_of(features, LEARNERS["ridge"], REGIMES["regression"], fit_intercept=fit_intercept))


def test_an_activation_by_its_name_has_its_parameters() -> None:
    named = request_of(
        {"kind": "random_features", "layers": [{"activation": "leaky_relu", "width": 50}]},
        LEARNERS["ridge"],
        REGIMES["regression"],
    )
    path = "model.features.layers.0.activation.negative_slope"
    sides = [error(moved(PredictionRequest.model_validate(named), {path: change})) for change in (1e-3, -1e-3)]
    assert gradient(named)[path] == pytest.approx((sides[0] - sides[1]) / 2e-3, rel=1e-4)


UNBIASED = {"kind": "random_features", "layers": [{"activation": "relu", "width": 60}]}
NO_TAIL = {**REGIMES["eigenspectrum"], "tail_trace": 0.0}
BOUNDARIES: list[tuple[dict[str, Any], str, float]] = [
    (
        request_of(FEATURES["linear"], {"kind": "ridge", "penalty": 0.0}, REGIMES["regression"]),
        "model.learner.penalty",
        1e-3,
    ),
    (
        request_of(FEATURES["linear"], {"kind": "ridge", "penalty": 0.0}, {**REGIMES["regression"], "n_samples": 20.0}),
        "model.learner.penalty",
        1e-2,
    ),
    (
        request_of(FEATURES["random_projection"], {"kind": "gradient_flow", "time": 0.0}, REGIMES["regression"]),
        "model.learner.time",
        2e-3,
    ),
    (
        request_of(
            {
                "kind": "random_features",
                "layers": [{"activation": "relu", "width": 60}, {"activation": "relu", "width": 80}],
            },
            LEARNERS["ridge"],
            REGIMES["regression"],
        ),
        "model.features.layers.0.bias_variance",
        2e-2,
    ),
    (
        request_of(
            {"kind": "random_features", "layers": [{"activation": "tanh", "width": 60}]},
            LEARNERS["ridge"],
            REGIMES["regression"],
            fit_intercept=True,
        ),
        "model.features.layers.0.bias_variance",
        2e-2,
    ),
    (
        request_of(
            {"kind": "kernel", "kernel": {"kind": "polynomial", "degree": 2, "offset": 0.0}},
            LEARNERS["ridge"],
            REGIMES["sphere"],
        ),
        "model.features.kernel.offset",
        5e-3,
    ),
    (on_sphere("ck", "erf", bias_variance=0.0), "model.features.kernel.layers.0.bias_variance", 3e-3),
    *(
        (
            request_of(UNBIASED, LEARNERS["ridge"], REGIMES[regime], fit_intercept=True),
            "model.features.layers.0.bias_variance",
            5e-3,
        )
        for regime in ("mixture", "teacher_classification")
    ),
    (request_of(FEATURES["linear"], LEARNERS["ridge"], NO_TAIL), "regime.tail_trace", 1e-2),
    # With more samples than modes and no penalty the ridge is 0, and begins with the tail.
    (
        request_of(
            FEATURES["linear"], {"kind": "ridge", "penalty": 0.0}, {**NO_TAIL, "n_samples": 200.0}, fit_intercept=True
        ),
        "regime.tail_trace",
        1e-3,
    ),
    (request_of(FEATURES["random_projection"], LEARNERS["ridge"], NO_TAIL), "regime.tail_trace", 1e-2),
    (request_of(FEATURES["linear"], LEARNERS["gradient_flow"], NO_TAIL), "regime.tail_trace", 1e-2),
]


@pytest.mark.parametrize(
    ("body", "path", "step"), BOUNDARIES, ids=[f"{k}-{one[1].split('.')[-1]}" for k, one in enumerate(BOUNDARIES)]
)
def test_derivatives_at_a_boundary_are_those_from_inside(body: dict[str, Any], path: str, step: float) -> None:
    assert gradient(body)[path] == pytest.approx(one_sided(body, path, step), rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "regime", "learner"),
    [
        ("abs", "regression", "ridge"),
        ("relu", "mixture", "ridge"),
        ("tanh", "mixture", "gradient_flow"),
        ("relu", "teacher_classification", "logistic"),
    ],
)
def test_where_the_error_jumps_there_is_no_derivative(activation: str, regime: str, learner: str) -> None:
    layers = {"kind": "random_features", "layers": [{"activation": activation, "width": 60}]}
    found = gradient(request_of(layers, LEARNERS[learner], REGIMES[regime]))
    assert found["model.features.layers.0.bias_variance"] is None
    assert None not in [value for path, value in found.items() if "bias" not in path]


def test_a_first_tail_that_interpolates_through_finitely_many_features_makes_the_error_jump() -> None:
    features = {"kind": "random_projection", "width": 300.0}
    body = request_of(features, {"kind": "ridge", "penalty": 0.0}, {**NO_TAIL, "n_samples": 200.0})
    found, whole = gradient(body), PredictionRequest.model_validate(body)
    assert found["regime.tail_trace"] is None
    assert found["regime.noise_variance"] is not None
    assert error(moved(whole, {"regime.tail_trace": 1e-12})) > 1.01 * error(whole)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_where_the_rank_of_layers_turns_from_width_to_inputs_there_is_a_kink(edge: float) -> None:
    # Up to as many linear neurons as inputs their mean takes the place of a direction, and from one more on it has its own.
    width = "model.features.layers.0.width"
    layers = [{"activation": "linear", "width": SIZES["n_features"] + edge, "bias_variance": 0.1}]
    body = request_of({"kind": "random_features", "layers": layers}, LEARNERS["ridge"], REGIMES["regression"])
    found, whole = gradient(body), PredictionRequest.model_validate(body)
    assert {path for path, value in found.items() if value is None} == {width, "regime.n_features"}
    middle = error(whole)
    below, above = ((error(moved(whole, {width: step})) - middle) / step for step in (-1e-3, 1e-3))
    assert abs(above - below) > 0.3 * max(abs(above), abs(below))


@pytest.mark.parametrize(("learner", "regime"), [("ridge", "regression"), ("logistic", "teacher_classification")])
def test_without_a_penalty_the_smallest_layer_decides(learner: str, regime: str) -> None:
    layers = [{"activation": "linear", "width": SIZES["n_features"], "bias_variance": 0.1}]
    features = {"kind": "random_features", "layers": layers}
    learners = {"kind": learner, "penalty": 0.0}
    sizes = {"n_samples": 400.0, "covariance": {"kind": "isotropic"}}
    body = request_of(features, learners, {**REGIMES[regime], **sizes}, fit_intercept=True)
    found, whole = gradient(body), PredictionRequest.model_validate(body)
    # A kink in both; of what is left here most has lost its digits to the ridge of 0, and the rest holds.
    assert found["model.features.layers.0.width"] is None
    assert found["regime.n_features"] is None
    sides = [error(moved(whole, {"regime.n_samples": change})) for change in (0.1, -0.1)]
    assert found["regime.n_samples"] in (None, pytest.approx((sides[0] - sides[1]) / 0.2, rel=1e-5))


def test_where_the_error_diverges_there_is_no_derivative() -> None:
    regime = {**REGIMES["regression"], "n_samples": 40.0}
    found = gradient(request_of(FEATURES["linear"], {"kind": "ridge", "penalty": 0.0}, regime))
    assert found
    assert set(found.values()) == {None}


def test_on_top_of_a_narrow_peak_sizes_have_a_derivative_while_it_has_digits() -> None:
    # At n = d the error is noise / (2 sqrt(penalty)) to leading order, and its slope by n is -noise / (8 n sqrt(penalty)).
    regime = {"kind": "regression", "n_samples": 200.0, "n_features": 200.0, "noise_variance": 0.25}
    for penalty in (1e-12, 1e-16, 1e-22, 1e-30, 1e-60):
        found = gradient(request_of(FEATURES["linear"], {"kind": "ridge", "penalty": penalty}, regime))
        assert found["regime.noise_variance"] == pytest.approx(0.5 / np.sqrt(penalty), rel=1e-5)
        slope = found["regime.n_samples"]
        if penalty < 1e-20:
            assert slope is None
        else:
            # The next order is by its root smaller.
            relative = 20.0 * np.sqrt(penalty) + 1e-6
            assert slope == pytest.approx(-0.25 / (8.0 * 200.0 * np.sqrt(penalty)), rel=relative)


def test_where_no_digits_are_left_there_is_no_derivative() -> None:
    # So strong a penalty, for so many frequencies, leaves of the scores less than contours resolve.
    body = request_of(
        {"kind": "random_fourier", "frequencies": 5e10},
        {"kind": "gradient_flow", "time": 2e5, "penalty": 1e6},
        {"kind": "teacher_classification", "n_samples": 2e11, "n_features": 5000.0, "link": "logistic"},
    )
    found = gradient(body)
    assert found
    assert set(found.values()) == {None}


MORE_CLASSES: list[dict[str, Any]] = [
    request_of(FEATURES["linear"], {"kind": "hinge", "penalty": 500.0}, REGIMES["mixture"]),
    request_of(FEATURES["kernel"], {"kind": "ridge", "penalty": 1e6}, REGIMES["teacher_classification"]),
    request_of(FEATURES["linear"], {"kind": "hinge", "penalty": 0.0}, {**REGIMES["mixture"], "n_samples": 30.0}),
    request_of(
        FEATURES["linear"], LEARNERS["logistic"], {"kind": "teacher_classification", **SIZES, "link": "logistic"}
    ),
    request_of(FEATURES["random_fourier"], LEARNERS["ridge"], REGIMES["mixture"], fit_intercept=True),
    request_of(FEATURES["random_projection"], LEARNERS["gradient_flow"], REGIMES["mixture"], fit_intercept=True),
    request_of(FEATURES["linear"], {"kind": "gradient_flow", "time": 1e6, "penalty": 0.1}, REGIMES["regression"]),
    request_of(
        FEATURES["linear"], {"kind": "gradient_descent", "step_size": 0.1, "steps": 3000}, REGIMES["regression"]
    ),
]


@pytest.mark.parametrize("body", MORE_CLASSES)
def test_other_regions(body: dict[str, Any]) -> None:
    check(body)


def test_at_first_signs_do_not_depend_on_the_time() -> None:
    early, later = (
        gradient(request_of(FEATURES["linear"], {"kind": "gradient_flow", "time": time}, REGIMES["mixture"]))
        for time in (1e-9, 1e-6)
    )
    for path in ("regime.n_samples", "regime.n_features", "regime.mean_norm", "regime.covariance.variance"):
        # Of first order in the time, in units of the inverse eigenvalue.
        assert early[path] == pytest.approx(later[path], rel=1e-5), path
    assert early["model.learner.time"] == 0.0


def test_equal_classes_are_alike() -> None:
    regime = {**REGIMES["mixture"], "positive_fraction": 0.5}
    found = gradient(request_of(FEATURES["linear"], LEARNERS["logistic"], regime, fit_intercept=True))
    assert found["regime.positive_fraction"] == pytest.approx(0.0, abs=1e-12)


def test_units_do_not_matter() -> None:
    # Euler's relation of what is invariant: inputs and penalty in other units, sizes in proportion.
    found = gradient(
        request_of(
            FEATURES["linear"], LEARNERS["ridge"], {**REGIMES["regression"], "covariance": {"kind": "isotropic"}}
        )
    )
    numbers = {path: value for path, value in found.items() if value is not None}
    assert 1.0 * numbers["regime.covariance.variance"] + 0.1 * numbers["model.learner.penalty"] == pytest.approx(
        0.0, abs=1e-12
    )
    assert 100.0 * numbers["regime.n_samples"] + 40.0 * numbers["regime.n_features"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_layers_with_biases_along_a_contour() -> None:
    features = {"kind": "random_features", "layers": LAYERS}
    check(request_of(features, LEARNERS["gradient_flow"], REGIMES["regression"]))
