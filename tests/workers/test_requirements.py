"""Requirements: the inverse of sweeps, with every interval that double descent makes."""

from typing import Any

import numpy as np
import pytest

from api_schemas.requirement import Requirement, RequirementRequest
from tests.workers.grids import DEEP, LINEAR, MIXTURE, POWER_LAW, changed, grid_of
from workers.grids import table
from workers.refusals import Refused
from workers.requirements import requirement

RIDGELESS = changed(LINEAR, model__learner__penalty=0)
FLOW = changed(LINEAR, model__learner={"kind": "gradient_flow", "time": 1})
DESCENT = changed(LINEAR, model__learner={"kind": "gradient_descent", "step_size": 0.1, "steps": 10})


def asked(base: Any, path: str, ends: tuple[float, float], reach: dict[str, float], scale: str = "log") -> Requirement:
    body = {"request": base, "path": path, "lower": ends[0], "upper": ends[1], "scale": scale, "reach": reach}
    return requirement(RequirementRequest.model_validate(body))


def least_squares(n_samples: float, d: float = 400.0, noise: float = 0.25) -> float:
    """The closed form on both sides of the threshold, for a target of variance 1 (Hastie et al., Theorem 1)."""
    if n_samples > d:
        return noise * n_samples / (n_samples - d)
    return (1.0 - n_samples / d) + noise * d / (d - n_samples)


class TestDoubleDescent:
    @pytest.mark.parametrize("penalty", [0.0, 1e-12])
    def test_both_descents_are_intervals(self, penalty: float) -> None:
        base = changed(LINEAR, model__learner__penalty=penalty)
        found = asked(base, "regime.n_samples", (10, 1e7), {"test_error": 1.21})
        assert found.reachable
        [[low, high], [again, end]] = found.intervals
        for edge in (low, high, again):
            np.testing.assert_allclose(least_squares(edge), 1.21, rtol=1e-6 if penalty else 1e-12)
        np.testing.assert_allclose(again, 400.0 * 1.21 / 0.96, rtol=1e-6 if penalty else 1e-12)
        assert (found.value, end) == (low, 1e7)
        assert found.floor_at == 1e7

    def test_a_peak_between_two_points_is_not_stepped_over(self) -> None:
        # The error exceeds the target within 1e-3 of the threshold alone, where no point of the scan lies.
        found = asked(RIDGELESS, "regime.n_samples", (10, 10_000), {"test_error": 1e5}, "linear")
        [[_, high], [low, _]] = found.intervals
        assert 399.99 < high < 400.0 < low < 400.01

    def test_a_dip_between_two_points_is_found(self) -> None:
        floor = asked(LINEAR, "model.learner.penalty", (1e-8, 1e3), {"test_error": 0.1}).floor
        assert floor is not None
        found = asked(LINEAR, "model.learner.penalty", (1e-8, 1e3), {"test_error": floor * (1.0 + 1e-9)})
        [[low, high]] = found.intervals
        assert found.value == low
        # Of isotropic inputs the best penalty is noise d / (n signal).
        np.testing.assert_allclose([low, high], 0.125, rtol=1e-3)
        assert low < 0.125 < high


CASES = [
    (LINEAR, "regime.n_samples", (10.0, 1e6), {"test_error": 0.4}),
    (LINEAR, "regime.n_samples", (10.0, 1e6), {"effective.df1": 200.0}),
    (LINEAR, "regime.noise_variance", (1e-3, 10.0), {"test_error": 0.5}),
    (LINEAR, "regime.n_features", (10.0, 1e4), {"test_error": 0.4}),
    (
        changed(LINEAR, model__features=DEEP, model__learner__penalty=1e-5),
        "regime.n_samples",
        (10.0, 1e5),
        {"test_error": 1.2},
    ),
    (FLOW, "model.learner.time", (1e-2, 1e4), {"test_error": 0.44}),
    (MIXTURE, "regime.n_samples", (10.0, 1e5), {"test_error": 0.1}),
    (MIXTURE, "regime.mean_norm", (0.1, 5.0), {"test_error": 0.1}),
]


@pytest.mark.parametrize(("base", "path", "ends", "reach"), CASES)
def test_what_is_found_inverts_a_sweep(
    base: Any, path: str, ends: tuple[float, float], reach: dict[str, float]
) -> None:
    found = asked(base, path, ends, reach)
    [(name, target)] = reach.items()
    assert found.reachable
    edges = [edge for interval in found.intervals for edge in interval if edge not in ends]
    assert edges
    at_edges = table(grid_of(base, {path: edges}), [name]).columns[name]
    assert np.all(at_edges <= target), "ends belong to their intervals"
    np.testing.assert_allclose(at_edges, target, rtol=1e-9)
    points = np.geomspace(*ends, 60)
    values = table(grid_of(base, {path: points}), [name]).columns[name]
    inside = np.any([(points >= low) & (points <= high) for low, high in found.intervals], axis=0)
    np.testing.assert_array_equal(values <= target, inside)
    assert found.floor is not None
    assert found.floor <= values.min() * (1.0 + 1e-12)


def test_whole_numbers_are_answered_by_whole_numbers() -> None:
    found = asked(DESCENT, "model.learner.steps", (0, 300), {"test_error": 0.44}, "linear")
    steps = np.arange(0.0, 301.0)
    errors = table(grid_of(DESCENT, {"model.learner.steps": steps}), ["test_error"]).columns["test_error"]
    met = steps[errors <= 0.44]
    assert found.intervals == [[met[0], met[-1]]]
    assert found.floor_at == steps[np.argmin(errors)]


def test_features_that_must_be_whole() -> None:
    base = changed(LINEAR, regime__covariance=POWER_LAW, regime__target__alignment={"kind": "source", "exponent": 0.2})
    found = asked(base, "regime.n_features", (10.5, 60), {"test_error": 0.31}, "linear")
    counts = np.arange(11.0, 61.0)
    errors = table(grid_of(base, {"regime.n_features": counts}), ["test_error"]).columns["test_error"]
    assert found.floor == errors.min()
    assert [edge % 1.0 for interval in found.intervals for edge in interval] == [0.0] * 2 * len(found.intervals)


def test_steps_that_are_too_long_are_out_of_reach() -> None:
    found = asked(DESCENT, "model.learner.step_size", (1e-3, 10), {"train_error": 1e3})
    [[_, high]] = found.intervals
    np.testing.assert_allclose(high, 2.0 / (1.0 + 0.5**0.5) ** 2, rtol=1e-6)


def test_a_target_out_of_reach_is_an_answer() -> None:
    found = asked(LINEAR, "regime.n_samples", (10, 1e7), {"test_error": 0.2})
    assert (found.reachable, found.value, found.intervals, found.prediction) == (False, None, [], None)
    # With so many samples the bias of the penalty alone is left.
    np.testing.assert_allclose(found.floor, 0.25 + (0.1 / 1.1) ** 2, rtol=1e-4)
    assert found.floor_at is not None
    assert found.floor_at > 1e6


def test_the_prediction_is_that_at_the_value() -> None:
    found = asked(LINEAR, "regime.n_samples", (10, 1e6), {"test_error": 0.4})
    assert found.prediction is not None
    assert found.prediction.test_error is not None
    assert found.prediction.test_error <= 0.4


def test_everywhere_divergent() -> None:
    base = changed(RIDGELESS, regime__n_samples=400)
    found = asked(base, "regime.noise_variance", (0.1, 1), {"test_error": 1e9})
    assert (found.reachable, found.floor, found.floor_at) == (False, None, None)


@pytest.mark.parametrize(
    ("path", "ends", "reach", "scale", "pointer"),
    [
        ("regime.samples", (1.0, 2.0), {"test_error": 1.0}, "linear", "/path"),
        ("regime.n_samples", (0.0, 2.0), {"test_error": 1.0}, "log", "/lower"),
        ("regime.n_samples", (0.0, 2.0), {"test_error": 1.0}, "linear", "/lower"),
        ("regime.n_samples", (2.0, 2.0), {"test_error": 1.0}, "linear", "/upper"),
        ("regime.n_samples", (2.0, 1e13), {"test_error": 1.0}, "linear", "/upper"),
        ("regime.n_samples", (2.0, 3.0), {"train_loss": 1.0}, "linear", "/reach/train_loss"),
    ],
)
def test_refusals(path: str, ends: tuple[float, float], reach: Any, scale: str, pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(LINEAR, path, ends, reach, scale)
    assert refused.value.pointer == pointer
