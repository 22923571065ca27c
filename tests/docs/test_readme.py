"""What the README tells people to type works; `make demo` and `make test` themselves are run by .ci/run."""

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import theory
from tests.running import RunningService

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def test_the_curl_command_prints_the_answer_that_is_shown(service: RunningService) -> None:
    [command] = [block for block in blocks("sh") if "curl" in block]
    assert "http://127.0.0.1:8000" in command
    local = command.replace("http://127.0.0.1:8000", service.url)
    answer = json.loads(subprocess.run(local, shell=True, check=True, capture_output=True, timeout=60).stdout)
    [shown] = blocks("jsonc")
    for name in ("test_error", "excess_risk", "train_error", "bias", "variance", "estimator_norm_squared"):
        stated = float(re.search(rf'"{name}": ([\d.]+)', shown).group(1))  # type: ignore[union-attr]
        assert abs(answer[name] / stated - 1) < 1e-12
    assert shown.split('"key": "')[1].startswith(answer["key"][:8])


def test_the_notebook_example_runs() -> None:
    [code] = blocks("python")
    namespace: dict[str, object] = {}
    exec(code, namespace)
    assert namespace["theory"] is theory


def test_the_command_line_example_runs() -> None:
    [arguments] = re.findall(r"`\.venv/bin/foretell (predict examples/\S+)`", README)
    command = [sys.executable, "-m", "service", *arguments.split()]
    output = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=60).stdout.decode()
    assert re.search(r"test error +0\.42678373", output)


def test_make_has_the_targets_that_are_named() -> None:
    listed = subprocess.run(["make", "help"], check=True, capture_output=True, cwd=ROOT, timeout=60).stdout.decode()
    pages = README + (ROOT / "CONTRIBUTING.md").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z-]+)", pages, re.M)):
        assert f"make {target} " in listed, target


def test_the_public_face_of_the_theory_is_a_working_example() -> None:
    result = doctest.testmod(theory)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_validation_example_agrees() -> None:
    [arguments] = re.findall(r"^\.venv/bin/foretell (validate examples/\S+)$", README, re.M)
    command = [sys.executable, "-m", "service", *arguments.split(), "--replicates", "40"]
    run = subprocess.run(command, check=False, capture_output=True, cwd=ROOT, timeout=120, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "test error" in run.stdout
