"""A client generated from the OpenAPI document, used as its user would: requests built and answers read as objects."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.app import api
from tests.running import EXAMPLE, RunningService
from tests.service.wire import EIGENSPECTRUM, changed, regression

PACKAGE = "generated_foretell_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The generated package, importable."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(api().openapi()))
    (folder / "config.yml").write_text("post_hooks: []\n")
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--path", "openapi.json"]
    options = ["--meta", "none", "--output-path", PACKAGE, "--config", "config.yml", "--fail-on-warning"]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def module(name: str) -> Any:
    """Import a module of the client."""
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture
def client(generated: Path, service: RunningService) -> Iterator[Any]:
    """A client of the service."""
    with module("client").Client(base_url=service.url, raise_on_unexpected_status=True) as client:
        yield client


@pytest.fixture
def models(generated: Path) -> Any:
    """The client's classes."""
    return module("models")


def test_a_prediction_makes_the_round_trip(client: Any, models: Any, service: RunningService) -> None:
    create_prediction = module("api.predictions.create_prediction")
    request = models.PredictionRequest(
        model=models.Model(learner=models.RidgeLearner(penalty=0.1)),
        regime=models.RegressionRegime(
            kind="regression",
            n_samples=800,
            n_features=400,
            covariance=models.PowerLawCovariance(kind="power_law", exponent=1.5),
            target=models.Target(alignment=models.SourceAlignment(kind="source", exponent=0.4)),
            noise_variance=0.25,
        ),
    )
    prediction = create_prediction.sync(client=client, body=request)
    assert isinstance(prediction, models.Prediction)
    assert prediction.status == "converged"
    expected = regression(
        {"kind": "power_law", "exponent": 1.5}, target={"alignment": {"kind": "source", "exponent": 0.4}}
    )
    assert prediction.to_dict() == service.predict(expected).json()


@pytest.mark.parametrize(
    "request_",
    [
        EXAMPLE,
        EIGENSPECTRUM,
        regression({"kind": "discrete", "eigenvalues": [1.0, 5.0], "weights": [0.5, 0.5]}),
        regression(
            {"kind": "spiked", "spikes": [30.0]}, target={"alignment": {"kind": "energies", "values": [1.0, 2.0]}}
        ),
        regression({"kind": "ar1", "correlation": 0.5}),
        regression({"kind": "explicit", "eigenvalues": [3.0, 1.0]}, n_features=2),
    ],
    ids=["isotropic", "eigenspectrum", "discrete", "spiked", "ar1", "explicit"],
)
def test_requests_of_every_kind_are_read_and_written_unchanged(client: Any, models: Any, request_: Any) -> None:
    request = models.PredictionRequest.from_dict(request_)
    assert request.to_dict() == request_
    prediction = module("api.predictions.create_prediction").sync(client=client, body=request)
    assert isinstance(prediction, models.Prediction)
    assert prediction.test_error > 0


def test_a_divergence_has_nulls(client: Any, models: Any) -> None:
    request = changed("/model/learner/penalty", 0.0, request=changed("/regime/n_samples", 400))
    body = models.PredictionRequest.from_dict(request)
    prediction = module("api.predictions.create_prediction").sync(client=client, body=body)
    assert prediction.status == "divergent"
    assert prediction.test_error is None
    assert prediction.warnings[0].code == "interpolation_threshold"


def test_a_refusal_is_a_problem_with_pointers(client: Any, models: Any) -> None:
    body = models.PredictionRequest.from_dict(changed("/regime/noise_variance", -1.0))
    answer = module("api.predictions.create_prediction").sync_detailed(client=client, body=body)
    assert answer.status_code == 422
    assert isinstance(answer.parsed, models.Problem)
    assert answer.parsed.code == "validation_error"
    assert answer.parsed.errors[0].pointer == "/regime/noise_variance"


def test_an_answer_that_is_known_is_not_sent_again(client: Any, models: Any) -> None:
    create_prediction = module("api.predictions.create_prediction")
    body = models.PredictionRequest.from_dict(EXAMPLE)
    first = create_prediction.sync_detailed(client=client, body=body)
    again = create_prediction.sync_detailed(client=client, body=body, if_none_match=first.headers["etag"])
    assert again.status_code == 304
    assert again.parsed is None


def test_a_prediction_can_be_queued(client: Any, models: Any) -> None:
    body = models.PredictionRequest.from_dict(changed("/model/learner/penalty", 0.123))
    job = module("api.predictions.create_prediction").sync(client=client, body=body, prefer="respond-async")
    assert isinstance(job, models.Job)
    again = module("api.jobs.read_job").sync(client=client, id=job.id)
    assert isinstance(again, models.Job)
    assert again.id == job.id


def test_the_catalogue_and_health_are_read(client: Any, models: Any, service: RunningService) -> None:
    catalogue = module("api.catalogue.read_catalogue").sync(client=client)
    assert isinstance(catalogue, models.Catalogue)
    with service.client() as raw:
        assert catalogue.to_dict() == raw.get("/v1/catalogue").json()
    assert module("api.operations.read_health").sync(client=client).status == "ok"
    assert module("api.operations.read_readiness").sync(client=client).redis == "up"
