"""`foretell data`: on the folder of this machine, and on a running service."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from tests.running import RunningService, wait_until
from tests.workers.files import CLASSES, csv_of
from tests.workers.test_worker import running_worker, workers_started


def foretell(*words: str) -> Result:
    return CliRunner().invoke(app, ["data", *words])


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("working")) as running, running_worker(running):
        wait_until(lambda: workers_started(running), what="the worker's start")
        yield running


@pytest.mark.parametrize("where", ["here", "service"])
def test_from_adding_to_deleting(where: str, working: RunningService, tmp_path: Path) -> None:
    file = tmp_path / "pool of mine.csv"
    file.write_text(csv_of(labels=CLASSES))
    at = ["--url", working.url] if where == "service" else ["--data-dir", str(tmp_path)]
    options = ["--target", "y", "--task", "classification", "--standardize", "scale"]
    added = foretell("add", str(file), *options, "--json", *at)
    assert added.exit_code == 0, added.stderr
    found = json.loads(added.stdout)
    assert (found["name"], found["rows"], found["standardize"]) == ("pool of mine.csv", 30, "scale")
    assert found["estimate"]["noise_variance"] >= 0.0
    assert len(found["estimates"]) == 2
    dataset_id = found["dataset_id"]
    again = foretell("add", str(file), *options, *at)
    assert dataset_id in again.stdout
    assert "few_rows" in again.stdout
    assert foretell("list", *at).stdout.split()[:2] == [dataset_id, "classification"]
    shown = foretell("show", dataset_id[:8], "--json", *at)
    assert json.loads(shown.stdout) == found
    deleted = foretell("delete", dataset_id[:8], *at)
    assert (deleted.exit_code, deleted.stdout) == (0, f"deleted {dataset_id}\n")
    assert foretell("list", *at).stdout == ""
    gone = foretell("show", dataset_id, *at)
    assert gone.exit_code == 2
    assert "no data set has an id that begins with" in gone.stderr


@pytest.mark.parametrize("where", ["here", "service"])
def test_what_is_refused_is_said(where: str, working: RunningService, tmp_path: Path) -> None:
    file = tmp_path / "pool.csv"
    file.write_text(csv_of())
    at = ["--url", working.url] if where == "service" else ["--data-dir", str(tmp_path)]
    unknown = foretell("add", str(file), "--target", "z", *at)
    assert unknown.exit_code == 2
    assert "/target: 'z' names no column; there are 'a', 'b', 'c', 'y'" in unknown.stderr
    wild = foretell("add", str(file), "--target", "y", "--standardize", "wild", *at)
    assert wild.exit_code == 2
    assert "must be 'none', 'center' or 'scale'" in wild.stderr
    assert foretell("add", str(tmp_path / "nothing.csv"), *at).exit_code == 2
    assert foretell("list", *at).stdout == ""


def test_a_running_service_on_the_folder_is_told(working: RunningService, tmp_path: Path) -> None:
    file = tmp_path / "pool.csv"
    file.write_text(csv_of() + "1,2,3,4\n")
    added = foretell("add", str(file), "--target", "y", "--json", "--url", working.url)
    dataset_id = json.loads(added.stdout)["dataset_id"]
    assert foretell("delete", dataset_id, "--data-dir", str(working.data_dir)).exit_code == 0
    with working.client() as client:
        assert client.get(f"/v1/datasets/{dataset_id}").status_code == 404
        assert client.get(f"/v1/jobs/dataset-{dataset_id}").status_code == 404


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    done = foretell("list", "--url", "http://127.0.0.1:1")
    assert done.exit_code == 2
    assert "refused" in done.stderr
