"""Let a sweep choose the grid of scikit-learn's GridSearchCV: only penalties that are predicted to be good are trained.

250 digits train, all others test, on 20 splits; what the service is told of them is that of real_data.py. The
whole grid has 41 penalties; the short one those whose predicted error is at most 1 + MARGIN times the least. MARGIN is
about what predictions are off on these rows (docs/real-data.md). Cross-validation in five folds chooses from either.

Start the service with ``make serve``, then: ``.venv/bin/python examples/grid_search.py [--url URL] [--seeds 20]``
"""

import argparse

import httpx
import numpy as np
from real_data import problem, request
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold

N_TRAIN, N_FOLDS = 250, 5
N_FITTED = N_TRAIN - N_TRAIN // N_FOLDS
PENALTIES = np.geomspace(1e-6, 10.0, 41)
MARGIN = 0.05


def short_grid(service: httpx.Client) -> np.ndarray:
    """Return the penalties that one sweep predicts to be good, at the size of a fold."""
    axis = {"path": "model.learner.penalty", "values": PENALTIES.tolist()}
    body = {"request": request("digits", N_FITTED, 1e-3), "axes": [axis], "columns": ["test_error"]}
    answer = service.post("/v1/sweeps", json=body)
    answer.raise_for_status()
    errors = np.array(answer.json()["columns"]["test_error"], dtype=float)  # null becomes nan, which is never good
    return PENALTIES[errors <= (1.0 + MARGIN) * np.nanmin(errors)]


def held_out_error(penalties: np.ndarray, seed: int) -> float:
    """Choose one of the penalties by cross-validation; return its squared error on all other rows."""
    rows, targets = problem("digits").rows, problem("digits").targets
    order = np.random.default_rng(seed).permutation(len(rows))
    seen, held_out = order[:N_TRAIN], order[N_TRAIN:]
    folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
    grid = {"alpha": (N_FITTED * penalties).tolist()}  # alpha = n * penalty
    search = GridSearchCV(Ridge(), grid, cv=folds, scoring="neg_mean_squared_error")
    search.fit(rows[seen], targets[seen])
    return float(((targets[held_out] - search.predict(rows[held_out])) ** 2).sum(1).mean())


def main() -> None:
    """Print how many models either grid trains, and the errors that come of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the service is")
    parser.add_argument("--seeds", type=int, default=20, help="splits, two at least")
    given = parser.parse_args()
    with httpx.Client(base_url=given.url, timeout=30.0) as service:
        short = short_grid(service)
    whole_errors, short_errors = (
        np.array([held_out_error(grid, seed) for seed in range(given.seeds)]) for grid in (PENALTIES, short)
    )
    for name, grid, errors in (("whole", PENALTIES, whole_errors), ("short", short, short_errors)):
        print(f"{name} grid: {len(grid) * N_FOLDS:3d} models trained, held-out error {errors.mean():.4f}")
    ratio = short_errors / whole_errors - 1.0
    mean, error = ratio.mean(), ratio.std(ddof=1) / given.seeds**0.5
    print(f"short over whole, less 1: {mean:+.2%} ± {error:.2%}, at most {ratio.max():+.2%}")


if __name__ == "__main__":
    main()
