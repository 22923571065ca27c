"""The real-data example: its requests are up to date, and its predictions agree and fail where it says they do."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the example trains scikit-learn, a development dependency")

SCRIPT = Path(__file__).parents[2] / "examples" / "real_data.py"
N_REPLICATES = 20
NAMES = ("digits", "diabetes")
# Bounds on the median relative difference between prediction and sklearn's Ridge, as found, rounded up: at the largest
# penalty (0.3 % in the script's full run, 0.7 % in this shorter one) and over all three (2.7 % and 3.1 %).
REGULARISED, OVERALL = 0.01, 0.04


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(example: ModuleType) -> list[dict[str, np.ndarray]]:
    return [example.compare(name, N_REPLICATES) for name in NAMES]


def gaps(example: ModuleType, results: list[dict[str, np.ndarray]], column: str) -> tuple[np.ndarray, np.ndarray]:
    """Relative difference and difference in standard errors, a row a sample size, a column a penalty."""
    parts = zip(*(example.differences(result, column) for result in results), strict=True)
    relative, score = (np.concatenate(part).reshape(-1, 3) for part in parts)
    return relative, score


@pytest.mark.parametrize("name", NAMES)
def test_written_requests_are_what_the_script_writes(example: ModuleType, name: str) -> None:
    written = json.loads(SCRIPT.with_name(f"{name}_ridge.json").read_text())
    fresh = example.request(name, *example.problem(name).example)
    assert written["model"] == fresh["model"]
    assert written["regime"].keys() == fresh["regime"].keys()
    assert written["regime"]["kind"] == fresh["regime"]["kind"]
    for field in fresh["regime"].keys() - {"kind"}:
        np.testing.assert_allclose(
            written["regime"][field], fresh["regime"][field], rtol=1e-9, atol=1e-9, err_msg=field
        )


@pytest.mark.parametrize("name", NAMES)
def test_energies_and_noise_add_up_to_the_variance_of_the_target(example: ModuleType, name: str) -> None:
    known = example.population(name)
    total = example.problem(name).targets.var(0, ddof=1).sum()
    assert known.energies.min() >= 0.0
    np.testing.assert_allclose(known.energies.sum() + known.noise_variance, total, rtol=1e-12)


def test_pooling_keeps_the_sum_and_leaves_admissible_energies_alone(example: ModuleType) -> None:
    np.testing.assert_array_equal(example.pooled(np.array([3.0, 0.0, 1.0])), [3.0, 0.0, 1.0])
    np.testing.assert_allclose(
        example.pooled(np.array([-1.0, 4.0, 2.0, -1.0, -0.5, 1.0])), [1.5, 1.5, 1 / 6, 1 / 6, 1 / 6, 1]
    )


def test_gaussian_rows_agree_within_standard_errors(example: ModuleType, results: list[dict[str, np.ndarray]]) -> None:
    _, score = gaps(example, results, "gaussian")
    assert np.mean(np.abs(score) < 2.0) >= 0.8
    # The three penalties share their draws, so that this is 16 independent scores at most.
    assert np.abs(score).max() < 4.0


def test_ridge_with_a_penalty_is_predicted_on_real_rows(
    example: ModuleType, results: list[dict[str, np.ndarray]]
) -> None:
    relative, score = gaps(example, results, "ridge")
    assert np.median(np.abs(relative[:, 2])) < REGULARISED
    assert np.mean(np.abs(score[:, 2]) < 2.0) >= 0.75
    assert np.median(np.abs(relative)) < OVERALL


def test_near_interpolation_the_prediction_is_too_low_and_leverage_is_much_of_why(
    example: ModuleType, results: list[dict[str, np.ndarray]]
) -> None:
    relative, score = gaps(example, results, "ridge")
    assert np.mean(relative[:, 0] < 0.0) == 1.0
    assert np.median(score[:, 0]) < -2.0
    leverage, _ = gaps(example, results, "leverage")
    assert np.median(leverage[:, 0]) < 0.5 * np.median(relative[:, 0])


def test_the_last_line_sums_up_every_point(example: ModuleType, results: list[dict[str, np.ndarray]]) -> None:
    text = "\n".join([*(example.table(*pair) for pair in zip(NAMES, results, strict=True)), example.summary(results)])
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[-1].startswith("Ridge, all (48): ")
