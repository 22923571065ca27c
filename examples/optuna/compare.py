"""Measure what foretell's predictions are worth to Optuna: regret after 1, 5 and 25 trained models, against plain TPE.

Start the service with ``make serve``; then, from the root of the repository:

    .venv/bin/python examples/optuna/compare.py [--url URL] [--seeds 20] [--trained 25]

Each seed draws rows, random features and the sampler's numbers anew, the same for each way. Regret is the least
validation error so far over the least on a fine grid, less 1; a little below 0 is possible, between points of the grid.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import accumulate

import httpx
import numpy as np
import optuna
from digits import GRID, NAMES, WIDTH, Task
from foretell_optuna import PredictionPruner, PriorSampler, ask, distributions, enqueue, suggest
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState

WAYS = ("plain TPE", "(a) enqueue", "(b) prior", "(c) pruning", "(a) + (c)")
AFTER = (1, 5, 25)
# One standard deviation of the prior costs this much of the error, about what predictions are off on real rows where
# penalties are moderate (docs/real-data.md). Chosen before anything was measured.
TOLERANCE = 0.05
# As many as TPE draws at random before it begins to model.
N_PRIOR = 10
# A pruned trial costs a prediction instead of a training; this many trials end a study in any case.
MOST_TRIALS = 100


def regrets(service: httpx.Client, task: Task, way: str, n_trained: int, optima: dict) -> tuple[list[float], list[int]]:
    """Run one study.

    Returns:
        The regret after each trained model, and how many trials were trained, were pruned, and were pruned wrongly: what
        training them gives, outside the study, would have been the best so far.
    """
    space: dict[str, BaseDistribution] = distributions(task.over, integers=["width"])
    sampler: optuna.samplers.BaseSampler = TPESampler(seed=task.seed)
    if way == "(b) prior":
        sampler = PriorSampler(optima["prior"], space, then=sampler, n_trials=N_PRIOR, seed=task.seed)
    pruning = "(c)" in way
    pruner = PredictionPruner() if pruning else optuna.pruners.NopPruner()
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    if "(a)" in way:
        enqueue(study, space, optima)

    def objective(trial: optuna.Trial) -> float:
        values = suggest(trial, space)
        if pruning:
            predicted = ask(service, "/v1/predictions", task.request(**values))["test_error"]
            if predicted is None:  # the theory has no finite error there
                raise optuna.TrialPruned
            trial.report(predicted, 0)
            if trial.should_prune():
                raise optuna.TrialPruned
        return task.train(**values)

    def stop(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) == n_trained:
            study.stop()

    study.optimize(objective, n_trials=MOST_TRIALS, callbacks=[stop])
    errors: list[float] = []
    n_wrong = 0
    for trial in study.trials:
        if trial.state == TrialState.COMPLETE:
            errors.append(trial.values[0])
        elif errors and task.train(**trial.params) < min(errors):
            n_wrong += 1
    least = list(accumulate(errors, min))
    least += least[-1:] * (n_trained - len(least))
    counts = [len(errors), len(study.trials) - len(errors), n_wrong]
    return [float(error / task.grid.min() - 1.0) for error in least], counts


def measure(service: httpx.Client, name: str, n_seeds: int, n_trained: int) -> Iterator[str]:
    """Yield the lines of a task's table."""
    curves: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    counts: dict[str, list[list[int]]] = {way: [] for way in WAYS}
    ratios, seconds = [], []
    for seed in range(n_seeds):
        task = Task(name, seed)
        started = time.perf_counter()
        body = {"request": task.request(penalty=1e-3), "over": task.over, "tolerance": TOLERANCE}
        optima = ask(service, "/v1/optima", body)
        seconds.append(time.perf_counter() - started)
        predicted = optima["optimum"]["prediction"]["test_error"]
        ratios.append(task.grid.min() / predicted)
        for way in WAYS:
            curve, counted = regrets(service, task, way, n_trained, optima)
            curves[way].append(curve)
            counts[way].append(counted)
    after = [count for count in AFTER if count <= n_trained]
    size = f"{GRID[name][0]} penalties" + (
        f" x {GRID[name][1]} widths up to {WIDTH['upper']}" if name != "kernel" else ""
    )
    yield f"{name}: {n_seeds} seeds, regret against the best of {size}; mean ± standard error (median)"
    yield f"least trained / least predicted error: {np.mean(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f};"
    yield f"the answer of /v1/optima took {np.median(seconds):.2f} s (median, its estimate of the spectrum included)"
    yield f"{'':12s}" + "".join(f" | {f'after {count}':>27s}" for count in after) + " | trained, pruned, wrongly"
    for way in WAYS:
        table = np.array(curves[way])[:, np.array(after) - 1]
        spread = table.std(0, ddof=1) / np.sqrt(n_seeds) if n_seeds > 1 else np.full(len(after), np.nan)
        cells = zip(table.mean(0), spread, np.median(table, 0), strict=True)
        text = "".join(f" | {f'{mean:.2%} ± {error:.2%} ({median:.2%})':>27s}" for mean, error, median in cells)
        trained, pruned, wrongly = np.mean(counts[way], axis=0)
        yield f"{way:12s}{text} | {trained:.1f}, {pruned:.1f}, {wrongly:.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the service is")
    parser.add_argument("--seeds", type=int, default=20, help="studies of each kind")
    parser.add_argument("--trained", type=int, default=max(AFTER), help="models that a study may train")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with httpx.Client(base_url=given.url, timeout=120.0) as service:
        for name in NAMES:
            print("\n".join(measure(service, name, given.seeds, given.trained)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
