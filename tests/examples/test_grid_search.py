"""The grid that a sweep chooses is shorter, and as good."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import RunningService

pytest.importorskip("sklearn", reason="the example trains scikit-learn, a development dependency")
SCRIPT = Path(__file__).parents[2] / "examples" / "grid_search.py"


def test_the_short_grid_trains_less_and_errs_no_more(service: RunningService) -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--url", service.url, "--seeds", "4"],
        check=True,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert run.stderr == ""
    whole, short = (int(count) for count in re.findall(r"(\d+) models", run.stdout))
    assert whole == 41 * 5
    assert 0 < short < whole
    mean = float(re.search(r"less 1: ([+-][\d.]+)%", run.stdout).group(1))  # type: ignore[union-attr]
    assert mean < 1.0
