"""Gradients of trained networks: against differences, an integration in complex numbers, and what is invariant."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from api_schemas.prediction import PredictionRequest
from api_schemas.validation import ValidationRequest
from tests.workers.differences import check, error, gradient, one_sided
from workers.predictions import predict
from workers.refusals import Refused
from workers.validations import chunks_of, run_chunk

STEPS = (2e-2, 1e-2, 5e-3)
"""Of differences: trajectories carry an error of 1e-9 or so each."""
LEAKY = {"kind": "leaky_relu", "negative_slope": 0.2}
TERNARY = {"kind": "ternary", "low": -0.4, "high": 0.6}
UNEVEN = [0.0, 0.0, *(0.02 * k for k in range(1, 99))]


def network(
    units: tuple[int, int] = (2, 2),
    activations: tuple[Any, Any] = ("erf", "erf"),
    *,
    n_samples: float = 300.0,
    step_size: float = 0.5,
    covariance: Any = None,
    regime: Any = None,
    **features: Any,
) -> dict[str, Any]:
    """Return a request of a student and a teacher of so many hidden units, in 100 dimensions."""
    data = {
        "kind": "teacher_network",
        "n_samples": n_samples,
        "n_features": 100.0,
        "hidden_units": units[1],
        "activation": activations[1],
        "noise_variance": 0.1,
        **({} if covariance is None else {"covariance": covariance}),
        **(regime or {}),
    }
    student = {"kind": "two_layer", "hidden_units": units[0], "activation": activations[0], **features}
    return {"model": {"features": student, "learner": {"kind": "sgd", "step_size": step_size}}, "regime": data}


OVERLAPS = {"initial_overlaps": [[0.1, 0.02], [-0.03, 0.07]], "initial_self_overlaps": [[0.3, 0.1], [0.1, 0.4]]}
CASES: dict[str, dict[str, Any]] = {
    "more students, read-outs": network(
        (3, 2), readout=[1.0, 0.8, 0.6], readout_step_size=0.3, regime={"readout": [1.0, 0.7]}
    ),
    "overlaps": network(**OVERLAPS, regime={"overlaps": [[1.2, 0.3], [0.3, 0.8]]}),
    "spikes": network(covariance={"kind": "spiked", "spikes": [3.0, 2.0]}),
    "two levels": network((2, 1), covariance={"kind": "discrete", "eigenvalues": [0.3, 1.7], "weights": [0.5, 0.5]}),
    "many modes": network(covariance={"kind": "power_law", "exponent": 1.2}),
    "ar1": network(covariance={"kind": "ar1", "correlation": 0.5}),
    "explicit": network(covariance={"kind": "explicit", "eigenvalues": UNEVEN}),
    "no noise": network(n_samples=1000.0, regime={"noise_variance": 0.0}),
    "relu": network((1, 1), ("relu", "relu")),
    "parameters": network((1, 1), (LEAKY, TERNARY)),
    "parameters of a teacher": network((1, 1), ("erf", LEAKY)),
    "names": network((1, 1), ("leaky_relu", "ternary")),
    "tanh": network((1, 1), ("tanh", "tanh")),
    "sign": network((1, 1), ("gelu", "sign"), covariance={"kind": "spiked", "spikes": [6.0]}),
    "overlap": network(
        (1, 1),
        ("softplus", "quadratic"),
        step_size=0.05,
        initial_overlaps=[[0.2]],
        initial_self_overlaps=[[0.5]],
        regime={"overlaps": [[0.8]]},
    ),
    "waves": network((1, 1), ("sin", "cos"), step_size=0.05, covariance={"kind": "ar1", "correlation": 0.5}),
    "many modes, one unit": network((1, 1), ("abs", "sigmoid"), covariance={"kind": "power_law", "exponent": 1.2}),
    "explicit, one unit": network((1, 1), ("tanh", "relu"), covariance={"kind": "explicit", "eigenvalues": UNEVEN}),
}
SHORT = ("overlaps", "explicit", "parameters", "explicit, one unit")


@pytest.mark.parametrize("name", SHORT)
def test_networks_agree_with_differences(name: str) -> None:
    check(CASES[name], steps=STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in SHORT])
def test_more_networks_agree_with_differences(name: str) -> None:
    check(CASES[name], steps=STEPS)


def complex_error(numbers: dict[str, complex]) -> complex:
    """Return the test error of one erf unit on another's labels, in numbers that may be complex.

    The equations of Biehl and Schwarze (1995) in Q and R at T = 1, by another integrator than ours.
    """
    eta, noise, alpha = numbers["step"], numbers["noise"], numbers["alpha"]

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        q, r = state
        root = np.sqrt(2.0 * (1.0 + q) - r * r)
        dr = 2.0 * eta / np.pi / (1.0 + q) * ((1.0 + q - r * r) / root - r / np.sqrt(1.0 + 2.0 * q))
        dq = 4.0 * eta / np.pi / (1.0 + q) * (r / root - q / np.sqrt(1.0 + 2.0 * q))
        wide = 1.0 + 2.0 * q
        inner = wide + 2.0 * (q - r * r) + 1.0
        angles = np.arcsin(q / (1.0 + 3.0 * q)) + np.arcsin((wide - 2.0 * r * r) / inner)
        angles -= 2.0 * np.arcsin(r / np.sqrt(1.0 + 3.0 * q) / np.sqrt(inner))
        dq += 4.0 * eta**2 / np.pi**2 / np.sqrt(wide) * angles + eta**2 * noise * 2.0 / np.pi / np.sqrt(wide)
        return alpha * np.array([dq, dr])

    start = np.array([numbers["square"], numbers["overlap"]], complex)
    q, r = solve_ivp(slope, (0.0, 1.0), start, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    angles = np.arcsin(q / (1.0 + q)) + np.arcsin(0.5) - 2.0 * np.arcsin(r / np.sqrt(2.0 * (1.0 + q)))
    return complex(noise + 2.0 / np.pi * angles)


def test_one_unit_agrees_with_complex_steps() -> None:
    body = network((1, 1), initial_overlaps=[[0.1]], initial_self_overlaps=[[0.5]], step_size=0.9)
    numbers = {"step": 0.9, "noise": 0.1, "alpha": 3.0, "square": 0.5, "overlap": 0.1}
    assert error(PredictionRequest.model_validate(body)) == pytest.approx(complex_error(dict(numbers)).real, rel=1e-8)
    found = gradient(body)
    for name, path, unit in (
        ("step", "model.learner.step_size", 1.0),
        ("noise", "regime.noise_variance", 1.0),
        ("alpha", "regime.n_samples", 100.0),
        ("square", "model.features.initial_self_overlaps.0.0", 1.0),
        ("overlap", "model.features.initial_overlaps.0.0", 1.0),
    ):
        expected = complex_error({**numbers, name: numbers[name] + 1e-30j}).imag / 1e-30
        slope = found[path]
        assert slope is not None
        assert slope * unit == pytest.approx(expected, rel=1e-7), name


@pytest.mark.parametrize(
    "body",
    [CASES["overlaps"], network((1, 1), ("tanh", LEAKY), initial_overlaps=[[0.1]])],
    ids=["committee", "one unit"],
)
def test_units_and_sizes_do_not_matter(body: dict[str, Any]) -> None:
    # Euler's relations of what is invariant: inputs in other units, and all sizes in proportion.
    found = {path: value for path, value in gradient(body).items() if value is not None}
    whole = PredictionRequest.model_validate(body)
    features, regime = whole.model.features, whole.regime
    stretched = found["regime.covariance.variance"]
    stretched -= features.weight_variance * found["model.features.weight_variance"]  # type: ignore[union-attr]
    stretched -= regime.weight_variance * found["regime.weight_variance"]  # type: ignore[union-attr]
    assert stretched == pytest.approx(0.0, abs=1e-8)
    sizes = regime.n_samples * found["regime.n_samples"] + 100.0 * found["regime.n_features"]
    assert sizes == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("units", [(2, 2), (1, 1)])
@pytest.mark.parametrize("many", [False, True])
def test_an_eigenvalue_may_be_about_to_appear(units: tuple[int, int], many: bool) -> None:
    covariance: dict[str, Any] = {"kind": "discrete", "eigenvalues": [0.0, 1.0], "weights": [0.3, 0.7]}
    if many:
        covariance = {"kind": "explicit", "eigenvalues": UNEVEN}
    activation = "erf" if units == (2, 2) else "relu"
    body = network(units, (activation, activation), covariance=covariance)
    path = "regime.covariance.eigenvalues.0"
    assert gradient(body)[path] == pytest.approx(one_sided(body, path, 1e-2), rel=1e-5)


def test_a_start_at_zero() -> None:
    body = network((1, 1), ("gelu", "tanh"), initial_self_overlaps=[[0.0]], initial_overlaps=[[0.0]])
    path = "model.features.initial_self_overlaps.0.0"
    assert gradient(body)[path] == pytest.approx(one_sided(body, path, 1e-2), rel=1e-5)


def test_a_neurons_readout_and_what_stands_in_for_its_variance_have_no_derivative() -> None:
    plain, given = network((1, 1), ("relu", "relu")), network((2, 2), **OVERLAPS)
    assert not [path for path in gradient(plain) if "readout" in path]
    assert "model.features.readout_step_size" in gradient(given)
    assert "model.features.initial_variance" in gradient(plain)
    assert "model.features.initial_variance" not in gradient(given)


def test_where_weights_grow_without_bound_there_is_no_derivative() -> None:
    body = network((1, 1), ("relu", "relu"), step_size=40.0)
    answer = predict(PredictionRequest.model_validate({**body, "include": ["gradient"]}))
    assert answer.status == "divergent"
    assert answer.gradient
    assert set(answer.gradient.values()) == {None}


def test_overlaps_of_a_single_teacher_are_those_of_its_weights() -> None:
    # Weights twice as long, or pre-activations of twice the variance: the same teacher.
    tanh: dict[str, Any] = {"activations": ("tanh", "tanh"), "initial_self_overlaps": [[0.4]]}
    longer = network((1, 1), **tanh, initial_overlaps=[[0.2]], regime={"overlaps": [[4.0]]})
    steeper = network((1, 1), **tanh, initial_overlaps=[[0.1]], regime={"weight_variance": 2.0})
    found = [predict(PredictionRequest.model_validate(body)).test_error for body in (longer, steeper)]
    assert found[0] == pytest.approx(found[1], rel=1e-10)
    with pytest.raises(Refused) as refusal:
        predict(PredictionRequest.model_validate(network((1, 1), **tanh, regime={"overlaps": [[0.0]]})))
    assert refusal.value.pointer == "/regime/overlaps"


def test_inputs_that_hardly_vary_are_like_those_that_do_not() -> None:
    for activation in ("tanh", "erf"):
        found = []
        for least in (0.0, 1e-9):
            covariance = {"kind": "discrete", "eigenvalues": [least, 1.0], "weights": [0.3, 0.7]}
            answer = predict(
                PredictionRequest.model_validate(network((1, 1), (activation, activation), covariance=covariance))
            )
            found.append([answer.test_error, answer.estimator_norm_squared or 0.0])
        np.testing.assert_allclose(found[0], found[1], rtol=1e-7)


@pytest.mark.parametrize(
    "body",
    [
        network(
            (1, 1),
            ("tanh", "tanh"),
            initial_self_overlaps=[[0.4]],
            initial_overlaps=[[0.2]],
            regime={"overlaps": [[4.0]]},
        ),
        network(
            (1, 1),
            ("tanh", "tanh"),
            initial_variance=1.0,
            covariance={"kind": "discrete", "eigenvalues": [0.0, 1.0], "weights": [0.5, 0.5]},
        ),
    ],
    ids=["overlaps", "still"],
)
def test_starts_and_teachers_are_those_of_the_simulation(body: dict[str, Any]) -> None:
    validation = ValidationRequest.model_validate({"request": body, "replicates": 60, "seed": 0})
    drawn = [
        value
        for chunk in chunks_of(validation)
        for value in run_chunk(validation, chunk)["test_error"]
        if value is not None
    ]
    predicted = error(PredictionRequest.model_validate(body))
    standard_error = float(np.std(drawn, ddof=1)) / len(drawn) ** 0.5
    # Corrections are O(1 / d), of some per cent of the excess in 100 dimensions.
    assert abs(float(np.mean(drawn)) - predicted) < 4.0 * standard_error + 2.0 / 100.0 * (predicted - 0.1)
