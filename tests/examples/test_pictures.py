"""The examples that print pictures run as they are, and show what they say."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(name: str) -> str:
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], check=True, capture_output=True, timeout=120, text=True
    )
    assert run.stderr == ""
    return run.stdout


def test_the_error_descends_twice_and_longer_passes_want_shorter_steps() -> None:
    flow, _, sgd = printed("dynamics.py").partition("One-pass SGD")
    tests = [float(line.split()[2]) for line in flow.splitlines() if line.rstrip().endswith("#")]
    falls = [after < before for before, after in pairwise(tests)]
    turns = [position for position in range(1, len(falls)) if falls[position] != falls[position - 1]]
    assert falls[0]
    assert len(turns) >= 2
    assert sgd.count("*") == 5  # one in each column, and the legend


def test_losses_agree_at_their_best_and_differ_without_a_penalty() -> None:
    rows = re.findall(r"^ +(\d+) (.*?)(yes|no)$", printed("losses.py"), re.M)
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
    for _, cells, separable in rows:
        square, best_square, logistic, best_logistic, _, best_hinge = cells.split()
        assert (logistic == "-") == (separable == "yes")
        assert square != logistic or square == "-"
        assert abs(float(best_square) - float(best_logistic)) < 2e-4
        assert abs(float(best_square) - float(best_hinge)) < 2e-4
