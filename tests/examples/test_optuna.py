"""The Optuna example: its training is its grid, its prior and its pruner do what they say, and one short comparison runs."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
from scipy import stats

from tests.running import RunningService

optuna = pytest.importorskip("optuna", reason="the example needs the extra 'examples'")
FOLDER = Path(__file__).parents[2] / "examples" / "optuna"


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def ways(path: None) -> ModuleType:
    return importlib.import_module("foretell_optuna")


@pytest.fixture(scope="module")
def digits(path: None) -> ModuleType:
    return importlib.import_module("digits")


def test_scikit_learn_trains_what_the_grid_works_out(digits: ModuleType) -> None:
    kernel, features = digits.Task("kernel", 1), digits.Task("features", 1)
    for penalty in (1e-5, 1e-2):
        [expected] = kernel.errors(kernel.kernel, np.array([penalty]))
        assert kernel.train(penalty) == pytest.approx(expected, rel=1e-8)
        block = features.features[:, :200]
        [expected] = features.errors(block @ block[:300].T / 200, np.array([penalty]))
        assert features.train(penalty, 200) == pytest.approx(expected, rel=1e-8)


def test_wide_features_are_the_kernel(digits: ModuleType) -> None:
    task = digits.Task("features", 2)
    gap = task.features @ task.features.T / 1024 - task.kernel
    assert np.sqrt(np.mean(gap**2)) < 1024**-0.5  # an average of 1024 products, each of variance below 1
    known = task.regime
    targets = task.rows[1]
    assert known["tail_trace"] + sum(known["eigenvalues"]) == pytest.approx(
        (np.trace(task.kernel) - task.kernel.sum() / 900) / 899
    )
    # What is left below 0 counts as 0, which adds a little.
    total = targets.var(0, ddof=1).sum()
    assert 1.0 <= (sum(known["energies"]) + known["noise_variance"]) / total < 1.1


def test_an_unknown_task_is_refused(digits: ModuleType) -> None:
    with pytest.raises(ValueError, match="kernel, features, got 'kernels'"):
        digits.Task("kernels", 0)


def test_first_draws_are_the_truncated_prior_and_later_ones_are_not(ways: ModuleType) -> None:
    over = [
        {"path": "model.learner.penalty", "lower": 1e-3, "upper": 1e3, "scale": "log"},
        {"path": "model.features.width", "lower": 1, "upper": 100},
    ]
    space = ways.distributions(over, integers=["width"])
    prior = {"scales": ["log", "linear"], "mean": [np.log(1e3), 50.0], "covariance": [[1.0, 0.0], [0.0, 25.0]]}
    then = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=ways.PriorSampler(prior, space, then=then, n_trials=300, seed=0))
    study.optimize(lambda trial: ways.suggest(trial, space)["penalty"], n_trials=400)
    penalties, widths = (np.array([trial.params[name] for trial in study.trials]) for name in ("penalty", "width"))
    # The mean lies at the end of the range: half a normal distribution remains.
    assert stats.kstest(np.log(1e3 / penalties[:300]), stats.halfnorm.cdf).pvalue > 1e-3
    assert (
        stats.kstest(widths[:300] + np.random.default_rng(0).uniform(-0.5, 0.5, 300), stats.norm(50, 5).cdf).pvalue
        > 1e-3
    )
    assert penalties[300:].min() < 1.0 < penalties[:300].min()
    assert np.ptp(widths[300:]) > 80


def test_only_what_the_luckiest_ratio_leaves_behind_is_pruned(ways: ModuleType) -> None:
    # Trained to predicted: 1, 1.5, 0.8, 2; the best error is 0.8.
    history = [(1.0, 1.0), (1.0, 1.5), (1.0, 0.8), (2.0, 4.0)]
    study = optuna.create_study(pruner=ways.PredictionPruner())

    def pruned(predicted: float) -> bool:
        trial = study.ask()
        trial.report(predicted, 0)
        skipped = trial.should_prune()
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return bool(skipped)

    for predicted, trained in history:
        assert not pruned(1e6)  # too few are measured
        trial = study.ask()
        trial.report(predicted, 0)
        study.tell(trial, trained)
    assert not pruned(0.999)
    assert pruned(1.001)
    assert not study.ask().should_prune()  # without a prediction


def test_a_refusal_is_raised_with_its_pointer(service: RunningService, ways: ModuleType, digits: ModuleType) -> None:
    with httpx.Client(base_url=service.url) as client, pytest.raises(RuntimeError, match="/model/learner"):
        ways.ask(client, "/v1/predictions", digits.Task("kernel", 0).request(penalty=-1.0))


def test_a_short_comparison_starts_where_it_is_predicted_to_be_good(service: RunningService) -> None:
    command = [sys.executable, str(FOLDER / "compare.py"), "--url", service.url, "--seeds", "1", "--trained", "5"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert run.stderr == ""
    for task in ("kernel", "features"):
        table = run.stdout.partition(f"{task}: ")[2].partition("\n\n")[0]
        rows = {line.split(" | ")[0].strip(): line.split(" | ")[1:] for line in table.splitlines() if " | " in line}
        assert {"plain TPE", "(a) enqueue", "(b) prior", "(c) pruning", "(a) + (c)"} <= rows.keys()
        first = {way: float(cells[0].split("%")[0]) for way, cells in rows.items() if way}
        # One standard deviation of the prior is meant to cost 5 %; the enqueued optimum is better than that.
        assert -0.1 < first["(a) enqueue"] < 5.0
        assert first["(a) + (c)"] == first["(a) enqueue"]
        assert first["(c) pruning"] == first["plain TPE"]
