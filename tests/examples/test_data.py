"""examples/data.sh: rows go in, predictions come out, what is trained agrees, and nothing is left in the end."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_curl import answer, run
from tests.running import RunningService

SCRIPT = Path(__file__).parents[2] / "examples" / "data.sh"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("data"), embedded_worker="on") as running:
        yield running


def test_every_answer_is_what_the_comments_say(service: RunningService) -> None:
    finished = run(service.url, SCRIPT)
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr
    parts = finished.stdout.split("# /")[1:]
    answers = [("/" + part.split("\n", 1)[0], part.split("\n", 1)[1].strip()) for part in parts]
    job = json.loads(answer(answers, "/v1/datasets"))
    assert job["status"] == "succeeded"
    linear, rbf, relu = (json.loads(answer(answers, "/v1/predictions", i)) for i in range(3))
    # Half of the label is curved.
    assert rbf["test_error"] < linear["test_error"]
    assert relu["test_error"] < linear["test_error"]
    assert all(low < high for low, high in (found["interval"] for found in (linear, rbf, relu)))
    header, *rows = [line.split(",") for line in answer(answers, "/v1/sweeps").splitlines()]
    errors = [float(row[header.index("test_error")]) for row in rows]
    assert errors == sorted(errors, reverse=True)
    best = json.loads(answer(answers, "/v1/optima"))["optimum"]["prediction"]
    assert best["test_error"] <= rbf["test_error"]
    assert json.loads(answer(answers, "/v1/validations"))["result"]["agrees"]
    assert answers[-1] == (f"/v1/datasets/{job['dataset_id']}", "HTTP 204")
    assert not list((service.data_dir / "datasets").glob("[0-9a-f]*"))
