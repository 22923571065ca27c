"""``foretell sweep``: curves in the terminal, pictures, CSV and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api_schemas.sweep import EXAMPLE_SWEEP, Sweep
from service.cli import app
from service.sweep_command import axis_of, curves_of
from tests.running import EXAMPLE

RIDGE = json.dumps(EXAMPLE)
SAMPLES = ("--axis", "regime.n_samples=200:800:4")
PENALTIES = ("--axis", "model.learner.penalty=0,1e-3,1")


def run(*arguments: str, stdin: Any = RIDGE) -> Any:
    return CliRunner().invoke(app, ["sweep", "-", *arguments], input=stdin)


def test_a_curve_in_the_terminal() -> None:
    done = run("--axis", "regime.n_samples=10:10000:100:log", *PENALTIES)
    assert done.exit_code == 0, done.output
    assert "penalty = 0.001" in done.output
    assert "diverges at regime.n_samples = 400\n" in done.output
    assert "(n_samples)" in done.output


def test_a_request_file_with_axes_of_its_own() -> None:
    done = run("--json", stdin=json.dumps(EXAMPLE_SWEEP))
    assert done.exit_code == 0
    found = Sweep.model_validate_json(done.output)
    assert [item.at for item in found.divergences] == [400.0]
    again = run(
        "--json", "--axis", "regime.n_samples=500,600", "--column", "train_error", stdin=json.dumps(EXAMPLE_SWEEP)
    )
    assert Sweep.model_validate_json(again.output).axes[0].values == [500.0, 600.0]
    assert list(Sweep.model_validate_json(again.output).columns) == ["train_error"]


def test_csv() -> None:
    done = run(*SAMPLES, "--csv", "--column", "test_error", "--column", "effective.df1")
    lines = done.output.splitlines()
    assert lines[0] == "regime.n_samples,test_error,effective.df1,status"
    assert len(lines) == 5


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_picture(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"curve.{suffix}"
    done = run(*SAMPLES, *PENALTIES, "--plot", str(file))
    assert done.exit_code == 0, done.output
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG") if suffix == "png" else b"<svg" in content


def test_an_axis_of_numbers_that_are_not_finite() -> None:
    done = run("--axis", "regime.n_samples=10,nan")
    assert done.exit_code == 2
    assert "--axis regime.n_samples=10,nan" in done.output


@pytest.mark.parametrize("command", [("sweep",), ("data", "curve")])
def test_help_names_the_extra_that_pictures_need(command: tuple[str, ...]) -> None:
    assert "foretell[plot]" in "".join(CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output)


def test_many_curves_are_thinned_out() -> None:
    done = run(*SAMPLES, "--axis", "model.learner.penalty=0.1:1:20")
    assert "20 curves, of which 8 are drawn" in done.output
    assert done.output.count("penalty = ") == 8


def test_nothing_finite() -> None:
    done = run("--axis", "model.learner.penalty=0", stdin=RIDGE.replace("800", "400"))
    assert done.exit_code == 1
    assert "no finite number" in done.output
    assert "diverges at model.learner.penalty = 0" in done.output


def test_curves_of_three_axes_name_the_values_of_the_others() -> None:
    axes = [{"path": path, "values": [1.0, 2.0]} for path in ("a", "b.c", "d")]
    curves = list(curves_of({"axes": axes, "columns": {"e": [[[1, 2], [3, 4]], [[5, 6], [7, None]]]}}))
    assert [(curve.label, curve.y) for curve in curves] == [
        ("e, c = 1, d = 1", [1, 5]),
        ("e, c = 1, d = 2", [2, 6]),
        ("e, c = 2, d = 1", [3, 7]),
        ("e, c = 2, d = 2", [4, None]),
    ]


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("a.b=1:2:3", {"path": "a.b", "start": 1.0, "stop": 2.0, "num": 3, "scale": "linear"}),
        ("a=1e-3:2:3:log", {"path": "a", "start": 0.001, "stop": 2.0, "num": 3, "scale": "log"}),
        ("a=1,2.5", {"path": "a", "values": [1.0, 2.5]}),
    ],
)
def test_axes_on_the_command_line(text: str, axis: Any) -> None:
    assert axis_of(text) == axis


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--axis", "regime.n_samples"), "write it as path=start:stop:num"),
        (("--axis", "regime.n_samples=1:2"), "write it as path=start:stop:num"),
        (("--axis", "regime.n_samples=1:2:3:ln"), "write it as path=start:stop:num"),
        (("--axis", "regime.n_samples=1:x:3"), "write it as path=start:stop:num"),
        (("--axis", "regime.samples=1:2:3"), "/axes/0/path: regime has no field 'samples'"),
        ((*SAMPLES, "--column", "key"), "/columns/0"),
        ((*SAMPLES, "--plot", "curve.gif"), "--plot takes a file that ends in .svg, .png, .pdf"),
        ((*SAMPLES, "--plot", "/nowhere/curve.png"), "cannot write"),
        ((), "give --axis"),
    ],
)
def test_what_is_not_admissible_exits_with_2(arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert says in done.output


def test_a_file_that_is_no_json() -> None:
    done = run(*SAMPLES, stdin="{")
    assert done.exit_code == 2
    assert "not JSON" in done.output
