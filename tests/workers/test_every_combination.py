"""Everything that has a theory, validated through the API by real workers: theory and simulation agree, or the answer warns.

Among hundreds of comparisons a few are three standard errors off by chance. What disagrees is asked again with other draws
and four times as many: chance does not strike there twice, a wrong theory does.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.datasets import BINARY, DIABETES, keep_all
from tests.running import RunningService, wait_until
from tests.service.test_validations import submit
from tests.simulation.finite_size import case, infinite, kernel, layer, network
from tests.workers.test_worker import ended, running_worker, workers_started
from workers.registry import COMBINATIONS

Body = dict[str, Any]

SIZES = {"n_samples": 160, "n_features": 120}
KERNELS = {
    "rbf": kernel("rbf"),
    "laplace": kernel("laplace"),
    "polynomial": kernel("polynomial", degree=2),
    "exponential": kernel("exponential"),
    "ck": kernel("ck", layers=[infinite("relu"), infinite("erf")]),
    "ntk": kernel("ntk", layers=[infinite("relu")]),
}
FEATURES: dict[str, Body] = {
    "linear": {"kind": "linear"},
    "random_features": network(layer("relu", 200), layer("erf", 150, bias_variance=0.1)),
    "random_fourier": {"kind": "random_fourier", "frequencies": 100},
    "random_projection": {"kind": "random_projection", "width": 80},
    "two_layer": {"kind": "two_layer", "hidden_units": 2, "initial_self_overlaps": [[0.5, 0.0], [0.0, 0.5]]},
    **KERNELS,
}
LEARNERS: dict[str, Body] = {
    "ridge": {"kind": "ridge", "penalty": 0.05},
    "gradient_flow": {"kind": "gradient_flow", "time": 5.0},
    "gradient_descent": {"kind": "gradient_descent", "step_size": 0.1, "steps": 50, "penalty": 0.01},
    "logistic": {"kind": "logistic", "penalty": 0.05},
    "hinge": {"kind": "hinge", "penalty": 0.1},
    "lda": {"kind": "lda", "penalty": 0.1},
    "sgd": {"kind": "sgd", "step_size": 0.002},
}
REGIMES: dict[str, Body] = {
    "regression": {"kind": "regression", **SIZES, "noise_variance": 0.2},
    "eigenspectrum": {
        "kind": "eigenspectrum",
        "n_samples": 160,
        "eigenvalues": [2.0, 0.5],
        "multiplicities": [60, 60],
        "energies": [0.5, 0.5],
        "noise_variance": 0.2,
    },
    "sphere": {"kind": "sphere", "n_samples": 160, "n_features": 60, "degree_energies": [0.0, 0.7, 0.3]},
    "mixture": {"kind": "mixture", **SIZES, "mean_norm": 2.0},
    "teacher_classification": {"kind": "teacher_classification", **SIZES, "link": "sign", "noise_variance": 0.2},
    "teacher_network": {"kind": "teacher_network", "n_samples": 2000, "n_features": 200, "hidden_units": 2},
    "dataset": {"kind": "dataset", "dataset_id": DIABETES, "n_samples": 160},
}
REPLICATES = 40


def requests() -> dict[str, Body]:
    """A request for every combination, each kernel a feature map of its own."""
    found = {}
    for kinds in COMBINATIONS:
        names = list(KERNELS) if kinds["features"] == "kernel" else [kinds["features"]]
        for name in names:
            label = f"{name}-{kinds['learner']}-{kinds['regime']}"
            features, regime = FEATURES[name], REGIMES[kinds["regime"]]
            if kinds["regime"] == "dataset":
                features = network(layer("relu", 200)) if name == "random_features" else features
                classes = kinds["learner"] in ("logistic", "hinge")
                regime = {**regime, "dataset_id": BINARY} if classes else regime
            found[label] = case(features, regime, LEARNERS[kinds["learner"]])
    return found


REQUESTS = requests()
SHORT = sorted(REQUESTS, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:14]
"""A sample that does not follow the order of the table."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with (
        RunningService(tmp_path_factory.mktemp("combinations"), queue_limit="1000") as running,
        running_worker(running, "--concurrency", "2"),
    ):
        keep_all(running.data_dir / "datasets")
        wait_until(lambda: workers_started(running), what="the workers' start")
        yield running


def validated(service: RunningService, bodies: dict[str, Body]) -> dict[str, Body]:
    """The results of validations, by their names."""
    places = {}
    for name, body in bodies.items():
        answer = submit(service, body)
        assert answer.status_code == 202, f"{name}: {answer.text}"
        places[name] = answer.headers["location"]
    results = {}
    for name, place in places.items():
        job = wait_until(lambda at=place: ended(service, at), seconds=600, what=name)
        assert job["status"] == "succeeded", f"{name}: {job['problem']}"
        results[name] = job["result"]
    return results


@pytest.mark.parametrize(
    "names", [pytest.param(SHORT, id="some"), pytest.param(list(REQUESTS), id="all", marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1800)
def test_theory_and_simulation_agree(service: RunningService, names: list[str]) -> None:
    asked = {name: {"request": REQUESTS[name], "replicates": REPLICATES, "seed": 0} for name in names}
    off = [name for name, result in validated(service, asked).items() if not result["agrees"]]
    again = {name: {**asked[name], "replicates": 4 * REPLICATES, "seed": 1} for name in off}
    wrong = {
        name: (result["warnings"], {key: row for key, row in result["quantities"].items() if not row["agrees"]})
        for name, result in validated(service, again).items()
        if not result["agrees"] and not result["warnings"]
    }
    assert not wrong
