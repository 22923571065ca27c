"""``foretell data curve``: predicted curves in the terminal, beside trained ones, pictures and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.curve_command import REPLICATES
from tests.datasets import DIABETES, DIGITS, MISSING
from workers.data_store import DataStore, open_store


@pytest.fixture
def folder(stored: DataStore, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FORETELL_DATASETS_DIR", str(stored.folder))
    yield stored.folder
    open_store(stored.folder)


def run(*arguments: str, dataset: str = DIABETES) -> Any:
    return CliRunner().invoke(app, ["data", "curve", dataset, *arguments])


def points(*arguments: str, **options: str) -> Any:
    done = run(*arguments, "--json", **options)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.usefixtures("folder")
class TestCurves:
    def test_in_the_terminal(self) -> None:
        done = run("--model", "linear,penalty=0.01", "--model", "rbf,length_scale=2,penalty=1e-3")
        assert done.exit_code == 0, done.output
        assert "linear,penalty=0.01: squared error" in done.output
        assert "(n_samples)" in done.output
        assert "90 % interval" in done.output
        assert " 442 " in done.output

    def test_beside_trained_models(self) -> None:
        [found] = points("--model", "relu,width=40,penalty=0.05,intercept", "--train", "--sizes", "60,120,440")
        assert found["metric"] == "squared_error"
        small, middle, large = found["points"]
        assert large["trained"] is None  # nothing would be left to test on
        for point in (small, middle):
            low, high = point["interval"]
            reach = 4.0 * point["trained"]["standard_error"] + 0.5 * (high - low)
            assert abs(point["trained"]["mean"] - point["test_error"]) < reach
        assert REPLICATES == 10

    def test_sizes_that_cannot_be_trained_are_named(self) -> None:
        done = run("--model", "linear", "--train", "--sizes", "40,60.5,397,398,442", "--json")
        assert done.exit_code == 0, done.output
        assert "not trained with 60.5, 398, 442 samples: of 442 rows up to 397" in done.stderr
        [found] = json.loads(done.stdout)
        assert [point["trained"] is None for point in found["points"]] == [False, True, False, True, True]

    def test_classes(self) -> None:
        [found] = points("--model", "laplace,penalty=0.01", "--sizes", "50:500:3:log", dataset=DIGITS)
        assert found["metric"] == "misclassification"
        assert [point["n_samples"] for point in found["points"]] == [50, 158, 500]

    def test_models_from_files_and_json(self, tmp_path: Path) -> None:
        model = {"features": {"kind": "linear"}, "learner": {"kind": "ridge", "penalty": 0.01}}
        (tmp_path / "model.json").write_text(json.dumps(model))
        request = {"model": model, "regime": {"kind": "regression", "n_samples": 1, "n_features": 1}}
        (tmp_path / "request.json").write_text(json.dumps(request))
        texts = [json.dumps(model), str(tmp_path / "model.json"), str(tmp_path / "request.json"), "linear"]
        found = points(*(word for text in texts for word in ("--model", text)), "--sizes", "100")
        assert len({point["test_error"] for curve in found for point in curve["points"]}) == 1

    @pytest.mark.parametrize("suffix", ["svg", "png"])
    def test_a_picture(self, tmp_path: Path, suffix: str) -> None:
        file = tmp_path / f"curve.{suffix}"
        done = run("--model", "linear", "--model", "laplace", "--train", "--sizes", "50,200", "--plot", str(file))
        assert done.exit_code == 0, done.output
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG") if suffix == "png" else b"<svg" in content


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "cubic"], "the short form begins with"),
        (["--model", "rbf,length_scale=wide"], "name=number"),
        (["--model", "rbf,width=3"], "width"),
        (["--model", "linear", "--sizes", "many"], "--sizes many"),
        (["--model", "linear", "--sizes", "10,-5"], "positive"),
        (["--model", "linear", "--sizes", "0:10:3:log"], "--sizes 0:10:3:log"),
        (["--model", "linear,penalty=-1"], "penalty"),
        (["--model", "nowhere.json"], "cannot read nowhere.json"),
        (["--model", "{"], "not JSON"),
        (["--model", "[].json"], "cannot read"),
        (["--model", "linear", "--plot", "curve.gif"], ".svg"),
        (["--model", "linear"] * 9, "up to 8"),
        (["--model", "relu,width=40.5", "--train", "--sizes", "50"], "whole number"),
    ],
)
def test_slips_are_told(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.output


@pytest.mark.usefixtures("folder")
def test_a_data_set_that_is_not_there() -> None:
    done = run("--model", "linear", dataset=MISSING)
    assert done.exit_code == 2
    assert "no data set has an id" in done.output


@pytest.mark.usefixtures("folder")
def test_the_beginning_of_an_id_is_enough_if_it_is_that_of_one() -> None:
    assert points("--model", "linear", "--sizes", "50", dataset=DIABETES[:2])
    done = run("--model", "linear", dataset="d")
    assert done.exit_code == 2
    assert "3 data sets have" in done.output
