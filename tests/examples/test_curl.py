"""Every query of examples/curl.sh is answered by a real service, and the answers are what its comments say."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningService

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "curl.sh"


def run(url: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FORETELL_URL": url}
    return subprocess.run(
        [str(script)], check=False, capture_output=True, text=True, timeout=120, env=environment, cwd=ROOT
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[str, str]]]:
    """Path and answer of each query, in order."""
    with RunningService(tmp_path_factory.mktemp("curl"), embedded_worker="on") as service:
        finished = run(service.url)
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr
    assert finished.stderr == ""
    parts = finished.stdout.split("# /")[1:]
    return [("/" + part.split("\n", 1)[0], part.split("\n", 1)[1].strip()) for part in parts]


def answer(answers: list[tuple[str, str]], path: str, position: int = 0) -> str:
    return [text for asked, text in answers if asked == path][position]


def test_every_resource_is_asked(answers: list[tuple[str, str]]) -> None:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    resources = {path for path in paths if path.startswith("/v1/") and "{" not in path}
    assert resources <= {path.split("?")[0] for path, _ in answers}


def test_predictions_alone_with_their_gradient_and_in_lines(answers: list[tuple[str, str]]) -> None:
    plain, derived = (json.loads(answer(answers, "/v1/predictions", i)) for i in (0, 1))
    assert plain["status"] == "converged"
    assert derived["test_error"] == pytest.approx(plain["test_error"], rel=1e-12)
    assert derived["gradient"]["regime.n_samples"] < 0.0
    first, second = map(json.loads, answer(answers, "/v1/predictions/batch").splitlines())
    assert first["prediction"]["test_error"] == pytest.approx(plain["test_error"], rel=1e-12)
    assert second["prediction"]["status"] == "converged"


def test_the_table_peaks_between_and_the_best_penalty_is_the_closed_form(answers: list[tuple[str, str]]) -> None:
    rows = [line.split(",") for line in answer(answers, "/v1/sweeps").splitlines()]
    errors = [float(row[rows[0].index("test_error")]) for row in rows[1:]]
    assert errors.index(max(errors)) in {2, 3}  # 300 and 500 samples are the nearest to the threshold, 400
    required = json.loads(answer(answers, "/v1/requirements"))
    assert required["reachable"]
    assert required["prediction"]["test_error"] <= 0.3
    best = json.loads(answer(answers, "/v1/optima"))["optimum"]["values"]["model.learner.penalty"]
    assert best == pytest.approx(0.25 * 400 / 800, rel=1e-6)  # noise_variance * n_features / n_samples


def test_laws_spectra_validation_and_jobs_are_answered(answers: list[tuple[str, str]]) -> None:
    # e = 2 alpha min(r, 1), without noise
    assert json.loads(answer(answers, "/v1/scaling-laws"))["exponents"]["samples"] == pytest.approx(-0.9)
    edge = 2**-0.5  # the square root of n_features / n_samples: Marchenko and Pastur
    [support] = json.loads(answer(answers, "/v1/spectra"))["support"]
    assert support == pytest.approx([(1 - edge) ** 2, (1 + edge) ** 2], rel=1e-9)
    job = json.loads(answer(answers, "/v1/validations"))
    [listed] = json.loads(answer(answers, "/v1/jobs?limit=3"))["jobs"]
    assert listed["id"] == job["id"]
    assert job["status"] == "succeeded"
    assert job["result"]["replicates"] == 20


def test_a_refusal_ends_the_script_with_its_problem(service: RunningService, tmp_path: Path) -> None:
    script = tmp_path / "curl.sh"
    script.write_text(SCRIPT.read_text().replace('"penalty": 0.1', '"penalty": -1'))
    script.chmod(0o755)
    refused = run(service.url, script)
    assert refused.returncode == 22  # curl's, for a status of 400 or above
    problem = json.loads(refused.stdout.rpartition("# /v1/predictions\n")[2])
    assert problem["errors"][0]["pointer"].startswith("/model/learner")
