"""Optima against brute force, closed forms and themselves; budgets, bounds, negative penalties, whole numbers."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import theory
from api_schemas.optima import EXAMPLE_REQUEST, Optima, OptimumRequest
from api_schemas.prediction import PredictionRequest
from api_schemas.scaling import ScalingLawsRequest
from workers.optima import optima
from workers.predictions import predict
from workers.refusals import Refused
from workers.scaling import scaling_laws_of

PENALTY = {"path": "model.learner.penalty", "lower": 1e-8, "upper": 10.0, "scale": "log"}
ISOTROPIC = {
    "model": {"learner": {"kind": "ridge", "penalty": 0.1}},
    "regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25},
}
ALIGNED = {
    "model": {"learner": {"kind": "ridge", "penalty": 0.1}},
    "regime": {
        "kind": "eigenspectrum",
        "n_samples": 150,
        "eigenvalues": [1, 100],
        "multiplicities": [240, 60],
        "energies": [0.02, 98],
        "noise_variance": 0.01,
    },
}


def ask(request: Any, over: Any, **more: Any) -> Optima:
    """Answer an optima request."""
    return optima(OptimumRequest.model_validate({"request": request, "over": over, **more}))


def with_learner(**learner: Any) -> Any:
    return {**ISOTROPIC, "model": {"learner": learner}}


class Problem(NamedTuple):
    """A random problem: a request, what is searched, and the same as a mode table."""

    request: dict[str, Any]
    over: list[dict[str, Any]]
    budget: dict[str, Any] | None
    modes: theory.Modes
    n_points: int


NAMES = {"penalty": "model.learner.penalty", "n_samples": "regime.n_samples", "width": "model.features.width"}


def random_problem(seed: int) -> Problem:
    """Draw a spectrum, a target, sizes, one to three paths, and for some a budget."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    eigenvalues = 10.0 ** rng.uniform(-3, 2, count)
    multiplicities = rng.integers(5, 200, count).astype(float)
    energies = 10.0 ** rng.uniform(-2, 1, count)
    noise = float(rng.choice([0.0, 10.0 ** rng.uniform(-3, 1)]))
    names = ["n_samples"] if rng.random() < 0.3 else []
    names += list(rng.choice(["penalty", "width"], size=int(rng.integers(1, 3)), replace=False))
    if seed % 5 == 0:
        names = ["penalty"]
    modes = theory.Modes(
        eigenvalues=eigenvalues, multiplicities=multiplicities, energies=energies, noise_variance=noise
    )
    rank = float(multiplicities.sum())
    over = []
    for name in names:
        lower, upper = (1e-7, 1e3) if name == "penalty" else (max(0.05 * rank, 1.0), 20.0 * rank)
        over.append({"path": NAMES[name], "lower": lower, "upper": upper, "scale": "log"})
    budget = None
    if "n_samples" in names and "width" in names:
        budget = {"expression": "n_samples * width", "at_most": float(rank**2 * 10.0 ** rng.uniform(-1, 1))}
    elif "n_samples" in names:
        budget = {"expression": "n_samples + 3", "at_most": float(rng.uniform(0.5, 5.0) * rank)}
    features = {"kind": "random_projection", "width": float(rng.uniform(0.3, 3.0) * rank)} if "width" in names else {}
    request = {
        "model": {
            "features": features or {"kind": "linear"},
            "learner": {"kind": "ridge", "penalty": float(rng.choice([0.0, 10.0 ** rng.uniform(-4, 1)]))},
        },
        "regime": {
            "kind": "eigenspectrum",
            "n_samples": float(rng.uniform(0.3, 3.0) * rank),
            "eigenvalues": eigenvalues.tolist(),
            "multiplicities": multiplicities.tolist(),
            "energies": energies.tolist(),
            "noise_variance": noise,
        },
    }
    return Problem(request, over, budget, modes, {1: 10_000, 2: 100, 3: 22}[len(names)])


def brute_force(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Work out the test error on a grid of 10^4 points by the theory alone: logarithms of the points, and errors."""
    axes = [np.linspace(np.log(one["lower"]), np.log(one["upper"]), problem.n_points) for one in problem.over]
    mesh = np.exp(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)).reshape(-1, len(axes))
    values = {one["path"]: mesh[:, i] for i, one in enumerate(problem.over)}
    fixed = {
        NAMES["penalty"]: problem.request["model"]["learner"]["penalty"],
        NAMES["n_samples"]: problem.request["regime"]["n_samples"],
        NAMES["width"]: problem.request["model"]["features"].get("width", np.inf),
    }
    penalty, n_samples, width = (
        np.broadcast_to(values.get(NAMES[name], fixed[NAMES[name]]), len(mesh))
        for name in ("penalty", "n_samples", "width")
    )
    errors = theory.predict_ridge(problem.modes, n_samples, penalty, width=width).test_error
    affordable = np.ones(len(mesh), bool)
    if problem.budget is not None:
        spent = n_samples * width if "width" in problem.budget["expression"] else n_samples + 3.0
        affordable = spent <= problem.budget["at_most"]
    return np.log(mesh), np.where(np.isfinite(errors) & affordable, errors, np.inf)


def agrees_with_brute_force(problem: Problem) -> None:
    found = ask(problem.request, problem.over, budget=problem.budget)
    places, errors = brute_force(problem)
    best = int(np.argmin(errors))
    error = found.optimum.prediction.test_error
    assert error is not None
    assert error <= errors[best] * (1.0 + 1e-9) + 1e-13
    # To the grid's resolution: the best point is next to the optimum, or the points next to the optimum are as good as it is.
    optimum = np.log([max(found.optimum.values[one["path"]], 1e-300) for one in problem.over])
    cells = np.array([np.log(one["upper"] / one["lower"]) / (problem.n_points - 1) for one in problem.over])
    apart = np.abs(places - optimum) / cells
    near = errors[np.max(apart, axis=1) <= 1.0 + 1e-6]
    beside = np.max(apart[best]) <= 1.0 + 1e-6
    # On a curved edge of the budget the affordable points of the grid lie up to a cell within it.
    close = near.min() <= errors[best] * (1.0 + 1e-6) + 1e-13 if near.size else False
    assert beside or close or problem.budget is not None
    if problem.budget is not None:
        assert found.optimum.cost is not None
        assert found.optimum.cost <= problem.budget["at_most"]
    # What the search calls local minima are no deeper than the optimum.
    others = [one.prediction.test_error for one in found.local_optima]
    assert all(other is not None and other >= error for other in others)


@pytest.mark.parametrize("seed", range(50))
def test_brute_force_finds_nothing_better(seed: int) -> None:
    agrees_with_brute_force(random_problem(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1400))
def test_brute_force_finds_nothing_better_in_many_more_problems(seed: int) -> None:
    agrees_with_brute_force(random_problem(seed))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("n_times", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_flow_time_by_brute_force(n_times: int) -> None:
    over = [{"path": "model.learner.time", "lower": 1e-2, "upper": 1e4, "scale": "log"}]
    found = ask(with_learner(kind="gradient_flow", time=1.0), over)
    spectrum = theory.covariance.isotropic(400)
    modes = theory.linear_modes(spectrum, theory.target.isotropic(spectrum, signal_variance=1.0), noise_variance=0.25)
    times = np.geomspace(1e-2, 1e4, n_times)
    errors = theory.predict_gradient_flow(modes, 800.0, times).test_error
    best = int(np.argmin(errors))
    cell = times[1] / times[0]
    least, [[curvature]] = found.optimum.prediction.test_error, found.curvature
    assert least is not None
    # The best of the grid is half a cell away at most, where the error has risen by so much; to the next order a tenth more.
    risen = curvature * (0.5 * np.log(cell)) ** 2 / 2.0
    assert least <= errors[best] <= least + 1.1 * risen
    assert times[best] / cell < found.optimum.values["model.learner.time"] < times[best] * cell
    # Late times are a plateau, not minima.
    assert found.local_optima == []
    assert found.certificate == "grid"


def test_every_number_of_steps_is_tried_where_they_are_few() -> None:
    over = [{"path": "model.learner.steps", "lower": 1, "upper": 90}]
    request = with_learner(kind="gradient_descent", step_size=0.2, steps=3)
    found = ask(request, over)
    errors = []
    for steps in range(1, 91):
        single = with_learner(kind="gradient_descent", step_size=0.2, steps=steps)
        errors.append(predict(PredictionRequest.model_validate(single)).test_error)
    assert found.certificate == "exhaustive"
    assert found.optimum.values["model.learner.steps"] == 1 + int(np.argmin(np.array(errors, float)))
    assert found.optimum.prediction.test_error == min(error for error in errors if error is not None)


def test_steps_beyond_the_critical_size_count_as_infinite() -> None:
    over = [{"path": "model.learner.step_size", "lower": 1e-3, "upper": 1e3, "scale": "log"}]
    found = ask(with_learner(kind="gradient_descent", step_size=0.1, steps=12), over)
    critical = found.optimum.prediction.critical_step_size
    assert critical is not None
    assert 0.1 < found.optimum.values["model.learner.step_size"] < critical
    assert [warning.code for warning in found.warnings] == []


class TestThePenalty:
    def test_an_isotropic_target_has_the_penalty_of_its_prior(self) -> None:
        found = ask(ISOTROPIC, [PENALTY])
        # noise d / (n signal).
        assert found.optimum.values["model.learner.penalty"] == pytest.approx(0.125, rel=1e-12)
        assert (found.certificate, found.status, found.local_optima) == ("stationary", "converged", [])
        assert found.unconstrained_penalty == pytest.approx(0.125, rel=1e-12)
        own, least = predict(PredictionRequest.model_validate(ISOTROPIC)), found.optimum.prediction
        assert own.test_error is not None
        assert least.test_error is not None
        assert found.regret_of_request == pytest.approx(own.test_error / least.test_error - 1.0, rel=1e-12)
        again = {**ISOTROPIC, "model": {"learner": {"kind": "ridge", "penalty": 0.125}}}
        assert ask(again, [PENALTY]).regret_of_request == pytest.approx(0.0, abs=1e-14)

    def test_stationarity_and_search_agree(self) -> None:
        # A budget that binds nothing turns the condition of stationarity off.
        found = ask(ISOTROPIC, [PENALTY])
        searched = ask(ISOTROPIC, [PENALTY], budget={"expression": "n_samples", "at_most": 800})
        assert searched.certificate == "grid"
        assert searched.optimum.values["model.learner.penalty"] == pytest.approx(0.125, rel=1e-6)
        np.testing.assert_allclose(searched.curvature, found.curvature, rtol=1e-3)
        np.testing.assert_allclose(searched.prior.covariance, found.prior.covariance, rtol=1e-3)
        assert searched.unconstrained_penalty is None

    def test_a_negative_penalty_is_reported(self) -> None:
        found = ask(ALIGNED, [PENALTY])
        assert found.optimum.at_bounds == {"model.learner.penalty": "lower"}
        assert found.unconstrained_penalty == pytest.approx(-0.1186859183562228, rel=1e-9)
        assert found.unconstrained_test_error == pytest.approx(0.1057010309077641, rel=1e-9)
        assert [warning.code for warning in found.warnings] == ["at_bound", "negative_penalty"]

    def test_a_negative_penalty_is_found_where_it_is_admitted(self) -> None:
        found = ask(ALIGNED, [{**PENALTY, "lower": -1.0, "scale": "linear"}])
        assert found.optimum.values["model.learner.penalty"] == pytest.approx(-0.1186859183562228, rel=1e-9)
        prediction = found.optimum.prediction
        assert prediction.test_error == pytest.approx(0.1057010309077641, rel=1e-9)
        assert prediction.status == "converged"
        assert prediction.effective.ridge == pytest.approx(1.2967089179, rel=1e-9)
        assert found.warnings == []
        [[curvature]] = found.curvature
        assert curvature > 0.0
        np.testing.assert_allclose(found.gradient, 0.0, atol=1e-3 * np.sqrt(curvature))

    def test_the_ridge_of_a_tail_is_not_taken_away_without_a_word(self) -> None:
        kernel = {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 1.0}}
        request = {
            "model": {"features": kernel, "learner": {"kind": "ridge", "penalty": 0.1}},
            "regime": {"kind": "regression", "n_samples": 300, "n_features": 100, "noise_variance": 0.3},
        }
        found = ask(request, [PENALTY])
        assert found.unconstrained_penalty is not None
        # The tail of this kernel at unit variance is 1 - 2 / e.
        assert -(1.0 - 2.0 / np.e) / 300.0 < found.unconstrained_penalty < 0.0
        assert "implicit_ridge" in [warning.code for warning in found.warnings]

    def test_two_best_penalties(self) -> None:
        request = {
            "model": {"learner": {"kind": "ridge", "penalty": 1.0}},
            "regime": {
                "kind": "eigenspectrum",
                "n_samples": 150,
                "eigenvalues": [1.0, 1e-6],
                "multiplicities": [50, 200],
                "energies": [0.2, 1.0],
                "noise_variance": 1e-4,
            },
        }
        found = ask(request, [{**PENALTY, "lower": 1e-12}])
        assert len(found.local_optima) >= 1
        errors = [found.optimum.prediction.test_error, *(one.prediction.test_error for one in found.local_optima)]
        assert errors == sorted(error for error in errors if error is not None)


class TestThePrior:
    def test_one_standard_deviation_costs_the_tolerance(self) -> None:
        for tolerance in (1e-4, 1e-3):
            found = ask(ISOTROPIC, [PENALTY], tolerance=tolerance)
            [mean], [[variance]] = found.prior.mean, found.prior.covariance
            assert mean == pytest.approx(np.log(0.125), rel=1e-9)
            least = found.optimum.prediction.test_error
            assert least is not None
            for sign in (-1.0, 1.0):
                moved = float(np.exp(mean + sign * np.sqrt(variance)))
                there = predict(
                    PredictionRequest.model_validate(
                        {**ISOTROPIC, "model": {"learner": {"kind": "ridge", "penalty": moved}}}
                    )
                )
                assert there.test_error is not None
                # To the next order in the deviation, and with the box's own precision.
                assert there.test_error / least - 1.0 == pytest.approx(tolerance, rel=0.2)

    def test_covariances_of_several_paths_are_symmetric_and_positive(self) -> None:
        found = optima(OptimumRequest.model_validate(EXAMPLE_REQUEST))
        covariance = np.array(found.prior.covariance)
        np.testing.assert_array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance)[0] > 0.0
        assert found.prior.paths == [one["path"] for one in EXAMPLE_REQUEST["over"]]
        assert found.prior.scales == ["log"] * 3
        expected = np.log([found.optimum.values[path] for path in found.prior.paths])
        np.testing.assert_allclose(found.prior.mean, expected)


class TestBudgets:
    def test_the_example(self) -> None:
        found = optima(OptimumRequest.model_validate(EXAMPLE_REQUEST))
        values = found.optimum.values
        assert found.optimum.cost == pytest.approx(1e6, rel=1e-9)
        assert found.optimum.cost <= 1e6
        assert values["regime.n_samples"] * values["model.features.layers.0.width"] == pytest.approx(1e6)
        # Along the budget the two slopes cancel.
        _, width, samples = found.gradient
        assert width < 0.0
        assert width == pytest.approx(samples, rel=1e-3)

    def test_allocations_of_scaling_laws_are_optima(self) -> None:
        over = [
            {"path": "model.features.width", "lower": 10, "upper": 1e5, "scale": "log"},
            {"path": "regime.n_samples", "lower": 10, "upper": 1e5, "scale": "log"},
            {"path": "model.learner.penalty", "lower": 1e-9, "upper": 1, "scale": "log"},
        ]
        request = {
            "model": {
                "features": {"kind": "random_projection", "width": 100},
                "learner": {"kind": "ridge", "penalty": 0.001},
            },
            "regime": {
                "kind": "regression",
                "n_samples": 100,
                "n_features": 10**12,
                "covariance": {"kind": "power_law", "exponent": 1.5},
                "target": {"alignment": {"kind": "source", "exponent": 0.3}},
            },
        }
        found = ask(request, over, budget={"expression": "n_samples * width", "at_most": 1e6})
        spectrum = {"kind": "power_law", "exponent": 1.5, "source_exponent": 0.3}
        laws = ScalingLawsRequest.model_validate({"spectrum": spectrum, "budgets": [1e6]})
        [allocation] = scaling_laws_of(laws).allocations
        assert found.optimum.prediction.test_error == pytest.approx(allocation.test_error, rel=1e-5)
        assert found.optimum.values["regime.n_samples"] == pytest.approx(allocation.n_samples, rel=1e-2)
        assert found.optimum.values["model.learner.penalty"] == pytest.approx(allocation.penalty, rel=1e-2)

    def test_layers_are_told_apart(self) -> None:
        layers = [{"activation": "tanh", "width": 300}, {"activation": "tanh", "width": 200}]
        request = {
            **ISOTROPIC,
            "model": {"features": {"kind": "random_features", "layers": layers}, "learner": {"penalty": 0.1}},
        }
        over = [
            {"path": f"model.features.layers.{i}.width", "lower": 50, "upper": 1000, "scale": "log"} for i in (0, 1)
        ]
        found = ask(request, over, budget={"expression": "n_features * width_0 + width_0 * width_1", "at_most": 4e5})
        assert found.optimum.cost == pytest.approx(4e5, rel=1e-9)
        with pytest.raises(Refused, match="width_0, width_1") as refusal:
            ask(request, over, budget={"expression": "width * 2", "at_most": 1})
        assert refusal.value.pointer == "/budget/expression"

    def test_a_budget_that_nothing_meets(self) -> None:
        over = [{"path": "regime.n_samples", "lower": 100, "upper": 1000}]
        with pytest.raises(Refused, match="the least is 300") as refusal:
            ask(ISOTROPIC, over, budget={"expression": "3 * n_samples", "at_most": 200})
        assert refusal.value.pointer == "/budget/at_most"

    def test_more_samples_are_better_until_the_budget_ends(self) -> None:
        over = [{"path": "regime.n_samples", "lower": 500, "upper": 1e6, "scale": "log"}]
        found = ask(ISOTROPIC, over, budget={"expression": "n_samples * n_features", "at_most": 8e6})
        assert found.optimum.values["regime.n_samples"] == pytest.approx(20_000, rel=1e-9)
        assert found.optimum.at_bounds == {}


def test_double_descent_has_two_basins() -> None:
    over = [{"path": "regime.n_samples", "lower": 10, "upper": 450}]
    ridgeless = {**ISOTROPIC, "model": {"learner": {"kind": "ridge", "penalty": 0}}}
    found = ask(ridgeless, over)
    # Below the threshold the error of d = 400, signal 1, noise 1/4 is (1 - g) + 0.25 / (1 - g), g = n / d: least at g = 1/2.
    assert found.optimum.values["regime.n_samples"] == pytest.approx(200.0, rel=1e-6)
    assert found.optimum.prediction.test_error == pytest.approx(1.0, rel=1e-12)
    [other] = found.local_optima
    assert other.at_bounds == {"regime.n_samples": "upper"}


def test_the_order_of_paths_makes_no_difference() -> None:
    other = {"path": "regime.n_samples", "lower": 100, "upper": 1e4, "scale": "log"}
    budget = {"expression": "n_samples * (1 + penalty)", "at_most": 2000}
    one, two = (ask(ISOTROPIC, over, budget=budget) for over in ([PENALTY, other], [other, PENALTY]))
    for path in ("model.learner.penalty", "regime.n_samples"):
        assert one.optimum.values[path] == pytest.approx(two.optimum.values[path], rel=1e-4)
    assert one.optimum.prediction.test_error == pytest.approx(two.optimum.prediction.test_error, rel=1e-9)


@pytest.mark.parametrize(
    ("over", "pointer"),
    [
        ([{**PENALTY, "path": "model.learner.time"}], "/over/0/path"),
        ([{**PENALTY, "path": "model.learner.kind"}], "/over/0/path"),
        ([PENALTY, PENALTY], "/over/1/path"),
        ([{**PENALTY, "lower": 10.0}], "/over/0/upper"),
        ([{**PENALTY, "lower": 0.0}], "/over/0/lower"),
        ([PENALTY, {"path": "regime.n_samples", "lower": 0.0, "upper": 10.0}], "/over/1/lower"),
        ([PENALTY, {"path": "regime.n_samples", "lower": 1.0, "upper": 1e13}], "/over/1/upper"),
        ([{"path": "regime.n_samples", "lower": -5.0, "upper": 10.0}], "/over/0/lower"),
        (
            [
                {"path": "model.learner.penalty", "lower": -1.0, "upper": 1.0},
                {"path": "regime.n_samples", "lower": 5.0, "upper": 10.0},
            ],
            "/over/0/lower",
        ),
    ],
)
def test_what_cannot_be_searched(over: Any, pointer: str) -> None:
    with pytest.raises(Refused) as refusal:
        ask(ISOTROPIC, over)
    assert refusal.value.pointer == pointer


def test_what_has_no_theory_is_said_where_it_stands() -> None:
    request = {**ISOTROPIC, "regime": {**ISOTROPIC["regime"], "covariance": {"kind": "power_law", "exponent": 1.5}}}
    with pytest.raises(Refused, match="whole number") as refusal:
        ask(request, [{"path": "regime.n_features", "lower": 10.5, "upper": 10.6}])
    assert refusal.value.pointer == "/over/0/path"
    unknown = {"learner": {"kind": "logistic", "penalty": 0.1}}
    with pytest.raises(Refused) as refusal:
        ask({**ISOTROPIC, "model": unknown}, [PENALTY])
    assert refusal.value.pointer.startswith("/request/model/")


@pytest.mark.parametrize("kind", ["logistic", "hinge", "ridge", "lda"])
def test_classifiers_too(kind: str) -> None:
    request = {
        "model": {"learner": {"kind": kind, "penalty": 0.1}},
        "regime": {"kind": "mixture", "n_samples": 300, "n_features": 150, "mean_norm": 1.5},
    }
    found = ask(request, [{**PENALTY, "lower": 1e-4}])
    least = found.optimum.prediction.test_error
    assert least is not None
    assert found.optimum.prediction.metric == "misclassification"
    assert found.regret_of_request is not None
    assert found.regret_of_request >= -1e-12
    for penalty in (1e-4, 1e-2, 1.0, 10.0):
        other = predict(
            PredictionRequest.model_validate({**request, "model": {"learner": {"kind": kind, "penalty": penalty}}})
        )
        assert other.test_error is not None
        assert other.test_error >= least - 1e-12
