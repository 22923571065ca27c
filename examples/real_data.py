"""Predict ridge regression on two real data sets, then train scikit-learn's Ridge and compare.

* digits: 1797 images, the 61 of 64 pixels (0 to 1) that ever vary; the target is the one-hot digit, ten columns.
  Errors, noise and energies are summed over the columns, which is exact: one penalty serves all of them.
* diabetes: 442 patients, 10 measurements with their squares and products, 65 features of rank 64 (the square of a
  binary one is redundant). All are standardised once, by all rows, the target too: errors are shares of its variance.

What is compared. The N rows count as independent draws from a population. A random n of them train, all others test:
rows are exchangeable, so the average over splits is an unbiased estimate of the test error at n, however close to N,
and no correction for a finite population is due. Its standard error covers the splits, not which rows were collected.
The penalty spares the intercept, in Ridge and in the request (one unpenalised mode): no mean is taken from test rows.

What the theory is told. Second moments of all rows: the covariance; as noise the unbiased residual variance of least
squares; as energy of a mode the squared projection of the target less the noise that falls on it, noise / (N - 1). What
least squares leaves of the target depends on the features, in one-hot labels above all; it counts as independent noise.

Two surrogates tell why a prediction fails, with that covariance, target and independent noise. "gaussian" rows are what
the theory assumes; "leverage" rows are Gaussian in direction but have the lengths of the real ones (Mahalanobis).

Usage: python examples/real_data.py [--write]
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures, scale

import theory

Array = npt.NDArray[np.float64]
Simulator = Callable[[str, int, int], list[float]]

N_REPLICATES = 100
RANK_TOLERANCE = 1e-10
NAMES = ("digits", "diabetes")
COLUMNS = ("ridge", "gaussian", "leverage")


class Population(NamedTuple):
    """Estimated moments: what a request holds, and each row's squared Mahalanobis length relative to the mean one."""

    eigenvalues: Array
    energies: Array
    noise_variance: float
    leverages: Array


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A data set: ``rows`` (N, p), ``targets`` (N, columns), the grid to compare on and the request to write."""

    title: str
    rows: Array
    targets: Array
    n_samples: tuple[int, ...]
    penalties: tuple[float, ...]
    example: tuple[int, float]


@cache
def problem(name: str) -> Problem:
    """Load one of ``NAMES``; the penalties are about 1e-4, 1e-2 and 1 times the mean eigenvalue."""
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    if name == "digits":
        data = load_digits()
        pixels = data.data / 16.0
        return Problem(
            title="digits, one-hot target, 61 pixels",
            rows=pixels[:, pixels.std(0) > 0],
            targets=np.eye(10)[data.target],
            n_samples=(20, 40, 62, 80, 120, 250, 600, 1500),
            penalties=(1e-5, 1e-3, 1e-1),
            example=(250, 1e-3),
        )
    data = load_diabetes()
    return Problem(
        title="diabetes, degree-2 features of rank 64",
        rows=scale(PolynomialFeatures(2, include_bias=False).fit_transform(scale(data.data))),
        targets=scale(data.target)[:, None],
        n_samples=(20, 40, 65, 90, 130, 200, 300, 400),
        penalties=(1e-4, 1e-2, 1.0),
        example=(200, 1.0),
    )


@cache
def population(name: str) -> Population:
    """Estimate covariance spectrum, target energies and noise of all rows, largest eigenvalue first."""
    rows, targets = problem(name).rows, problem(name).targets
    freedom = len(rows) - 1
    scores, singular, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    kept = singular > RANK_TOLERANCE * singular[0]
    scores, singular = scores[:, kept], singular[kept]
    centred = targets - targets.mean(0)
    explained = ((scores.T @ centred) ** 2).sum(1)
    noise = float(((centred**2).sum() - explained.sum()) / (freedom - len(singular)))
    lengths = (scores**2).sum(1)
    return Population(singular**2 / freedom, pooled((explained - noise) / freedom), noise, lengths / lengths.mean())


def pooled(energies: Array) -> Array:
    """Share each negative estimate with its neighbours until none is negative, which leaves their sum as it is."""
    blocks: list[list[float]] = []
    for energy in energies.tolist():
        blocks.append([energy])
        while len(blocks) > 1 and min(sum(blocks[-1]), sum(blocks[-2])) < 0.0:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return np.array([max(sum(block), 0.0) / len(block) for block in blocks for _ in block])


def request(name: str, n_samples: int, penalty: float) -> dict[str, Any]:
    """Return the prediction request, as ``POST /v1/predictions`` takes it; alpha of Ridge is n_samples * penalty."""
    known = population(name)
    learner = {"kind": "ridge", "penalty": penalty}
    return {
        "model": {"features": {"kind": "linear"}, "fit_intercept": True, "learner": learner},
        "regime": {
            "kind": "eigenspectrum",
            "n_samples": n_samples,
            "eigenvalues": known.eigenvalues.tolist(),
            "multiplicities": [1.0] * len(known.eigenvalues),
            "energies": known.energies.tolist(),
            "tail_trace": 0.0,
            "noise_variance": known.noise_variance,
        },
    }


def predict(requests: Sequence[dict[str, Any]]) -> Array:
    """Return the test errors of requests with equally many modes, in one call of the theory."""
    fields = ("eigenvalues", "multiplicities", "energies", "tail_trace", "noise_variance", "n_samples")
    regime = {field: np.array([one["regime"][field] for one in requests], float) for field in fields}
    n_samples = regime.pop("n_samples")
    penalties = np.array([one["model"]["learner"]["penalty"] for one in requests])
    modes = theory.Modes(**regime, n_unpenalised=1)
    return np.asarray(theory.predict_ridge(modes, n_samples, penalties).test_error)


def train(rows: Array, targets: Array, penalty: float) -> Ridge:
    """Train scikit-learn's Ridge at the wire's penalty."""
    return Ridge(alpha=len(rows) * penalty, solver="cholesky").fit(rows, targets)


def held_out_errors(name: str, n_samples: int, seed: int) -> list[float]:
    """Train on a random ``n_samples`` of the rows, test on all others; one error a penalty."""
    rows, targets = problem(name).rows, problem(name).targets
    order = np.random.default_rng([seed, n_samples]).permutation(len(rows))
    seen, held_out = order[:n_samples], order[n_samples:]
    errors = []
    for penalty in problem(name).penalties:
        predicted = train(rows[seen], targets[seen], penalty).predict(rows[held_out])
        errors.append(float(((targets[held_out] - predicted.reshape(len(held_out), -1)) ** 2).sum(1).mean()))
    return errors


def surrogate_errors(name: str, n_samples: int, seed: int, *, leverage: bool) -> list[float]:
    """Train on surrogate rows; the test error needs no test rows, it follows from the known covariance."""
    known = population(name)
    deviation, noise = np.sqrt(known.eigenvalues), known.noise_variance
    weights = np.sqrt(known.energies) / deviation
    random = np.random.default_rng([seed, n_samples, 1])
    rows = random.standard_normal((n_samples, len(weights))) * deviation
    if leverage:
        rows *= np.sqrt(random.choice(known.leverages, n_samples, replace=False))[:, None]
    targets = rows @ weights + np.sqrt(noise) * random.standard_normal(n_samples)
    fits = [train(rows, targets, penalty) for penalty in problem(name).penalties]
    return [noise + fit.intercept_**2 + float(known.eigenvalues @ (fit.coef_ - weights) ** 2) for fit in fits]


def compare(name: str, n_replicates: int = N_REPLICATES) -> dict[str, Array]:
    """Return n_samples, penalty, predicted, and for each of ``COLUMNS`` mean and standard error, ``(2, points)``."""
    grid = [(n, penalty) for n in problem(name).n_samples for penalty in problem(name).penalties]
    result = {"n_samples": np.array([n for n, _ in grid]), "penalty": np.array([penalty for _, penalty in grid])}
    result["predicted"] = predict([request(name, n, penalty) for n, penalty in grid])
    surrogates = [partial(surrogate_errors, leverage=flag) for flag in (False, True)]
    simulators: list[Simulator] = [held_out_errors, *surrogates]
    for column, simulate in zip(COLUMNS, simulators, strict=True):
        runs = [[simulate(name, n, seed) for seed in range(n_replicates)] for n in problem(name).n_samples]
        errors = np.concatenate(np.swapaxes(runs, 1, 2))  # (points, replicates)
        result[column] = np.stack([errors.mean(1), errors.std(1, ddof=1) / np.sqrt(n_replicates)])
    return result


def differences(result: dict[str, Array], column: str) -> tuple[Array, Array]:
    """Return (predicted - measured) / measured, and the same difference in standard errors."""
    mean, standard_error = result[column]
    gap = result["predicted"] - mean
    return gap / mean, gap / standard_error


def table(name: str, result: dict[str, Array]) -> str:
    """Set the comparison as text, each difference in percent and in standard errors."""
    data = problem(name)
    lines = [
        f"{data.title}: {len(data.rows)} rows, noise variance {population(name).noise_variance:.4f}\n",
        "    n penalty predicted |  sklearn Ridge     diff  s.e. |  gaussian rows     diff |  leverage rows",
    ]
    for i, n in enumerate(result["n_samples"]):
        real, gaussian, leverage = (f"{mean:8.4f} ±{error:.4f}" for mean, error in (result[c][:, i] for c in COLUMNS))
        (relative, z), (relative_gaussian, _) = ([part[i] for part in differences(result, c)] for c in COLUMNS[:2])
        left = f"{n:5d} {result['penalty'][i]:7g} {result['predicted'][i]:9.4f}"
        lines.append(f"{left} |{real}  {relative:+6.1%} {z:+5.1f} |{gaussian}  {relative_gaussian:+6.1%} |{leverage}")
    return "\n".join(lines)


def summary(results: Sequence[dict[str, Array]]) -> str:
    """Sum up all tables: by penalty, for the rows that the theory assumes, and in one last line."""

    def sentence(label: str, column: str, penalties: slice = slice(None)) -> str:
        parts = zip(*(differences(result, column) for result in results), strict=True)
        gap, score = (np.abs(np.concatenate(part)).reshape(-1, 3)[:, penalties] for part in parts)
        within = f"{np.mean(score < 2.0):.0%} within 2 s.e."
        return f"{label} ({gap.size}): difference median {np.median(gap):.1%}, maximum {gap.max():.1%}, {within}"

    sizes = enumerate(("least", "middle", "largest"))
    lines = [sentence(f"Ridge, {size} penalty", "ridge", slice(i, i + 1)) for i, size in sizes]
    lines += [sentence("Gaussian rows, all", "gaussian"), sentence("Ridge, all", "ridge")]
    columns = ([result["predicted"] for result in results], [result["ridge"][0] for result in results])
    predicted, measured = (np.concatenate(column).reshape(-1, 3).argmin(1) for column in columns)
    return "\n".join(lines) + f"; best penalty {np.sum(predicted == measured)}/{measured.size}"


def main() -> None:
    """Print the tables, or with ``--write`` regenerate the requests beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write digits_ridge.json and diabetes_ridge.json instead")
    if parser.parse_args().write:
        for name in NAMES:
            text = json.dumps(request(name, *problem(name).example), indent=2)
            Path(__file__).with_name(f"{name}_ridge.json").write_text(text + "\n")
        return
    results = [compare(name) for name in NAMES]
    for name, result in zip(NAMES, results, strict=True):
        print(table(name, result), end="\n\n")
    print(summary(results))


if __name__ == "__main__":
    main()
