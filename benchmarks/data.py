"""Predicted against trained on real data: relative errors, coverage of the intervals, and what either of the two costs."""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_rows import LARGEST, PENALTIES, SETS, SMALLEST, WIDTHS, Rows, kernels, random_relu, train
from benchmarks.report import Report
from theory.pools import Pool, pool_of_kernel, pool_of_rows, predict_pool

Array = NDArray[np.float64]
TRAININGS = 2
"""Training sets for each split and size: their difference says how lucky one of them is."""
NORMAL = 1.6448536269514722


@dataclass
class Table:
    """Of one set and model; arrays are (splits, sizes, penalties)."""

    predicted: list[Array] = field(default_factory=list)
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    rate: list[Array] = field(default_factory=list)
    rate_low: list[Array] = field(default_factory=list)
    rate_high: list[Array] = field(default_factory=list)
    trained: list[Array] = field(default_factory=list)
    trained_rate: list[Array] = field(default_factory=list)
    testing_luck: list[Array] = field(default_factory=list)
    training_luck: list[Array] = field(default_factory=list)
    testing_rate_luck: list[Array] = field(default_factory=list)
    training_rate_luck: list[Array] = field(default_factory=list)

    def errors(self) -> Array:
        """Relative error of the mean over splits, by size and penalty."""
        return np.asarray(np.mean(self.predicted, axis=0) / np.mean(self.trained, axis=0) - 1.0)

    def rate_errors(self) -> Array:
        """The same of the rate of misclassification."""
        return np.asarray(np.mean(self.rate, axis=0) / np.mean(self.trained_rate, axis=0) - 1.0)

    def covered(self) -> Array:
        """Whether a split's interval, widened by the luck of its testing rows and training sets, holds what was trained."""
        luck = np.array(self.testing_luck) ** 2 + np.mean(np.square(self.training_luck), axis=0)
        return _covered(self.predicted, self.low, self.high, self.trained, luck)

    def rate_covered(self) -> Array:
        """The same of the rate of misclassification."""
        luck = np.array(self.testing_rate_luck) ** 2 + np.mean(np.square(self.training_rate_luck), axis=0)
        return _covered(self.rate, self.rate_low, self.rate_high, self.trained_rate, luck)

    def significant(self) -> Array:
        """The error of the mean over splits, in standard errors from how it differs between partitions."""
        offsets = np.log(np.array(self.predicted) / np.array(self.trained))
        pairs = 0.5 * (offsets[0::2] + offsets[1::2])
        return np.asarray(pairs.mean(axis=0) / (pairs.std(axis=0, ddof=1) / np.sqrt(pairs.shape[0])))


def _covered(predicted: list[Array], low: list[Array], high: list[Array], trained: list[Array], luck: Array) -> Array:
    middle, found = np.array(predicted), np.array(trained)
    tiny = 1e-300
    below, above = (
        np.hypot(np.log(np.maximum(end, tiny) / np.maximum(middle, tiny)), NORMAL * np.sqrt(luck))
        for end in (np.array(low), np.array(high))
    )
    offset = np.log(np.maximum(found, tiny) / np.maximum(middle, tiny))
    return np.asarray((offset >= -below) & (offset <= above))


@dataclass
class Measured:
    """Tables by model, and seconds spent."""

    tables: dict[str, Table]
    estimating: float = 0.0
    predicting: float = 0.0
    training: float = 0.0


def measure(data: Rows, *, n_splits: int, n_sizes: int, widths: tuple[int, ...] = WIDTHS, seed: int = 0) -> Measured:
    """Compare predictions from a random half of the rows with models trained on parts of it and tested on the other half."""
    every = kernels(data.rows)
    if not widths:
        del every["relu"]
    models = ["ridge", "rbf", "laplace", *(f"relu {width}" for width in widths)]
    found = Measured(tables={model: Table() for model in models})
    half = data.rows.shape[0] // 2
    sizes = np.unique(np.geomspace(SMALLEST, LARGEST * half, n_sizes).round().astype(int))
    scales = {name: float(np.diag(kernel).mean()) for name, kernel in every.items()}
    scales["ridge"] = float(data.rows.var(axis=0).sum())
    for split in range(n_splits):
        # Two splits are the halves of one partition in both roles: a lucky half then counts for and against the prediction.
        order = np.random.default_rng([seed, split // 2]).permutation(data.rows.shape[0])
        inside, outside = order[:half], order[half:]
        if split % 2:
            inside, outside = outside, inside
        rng = np.random.default_rng([seed, split, 1])
        labels = None if data.labels is None else data.labels[inside]
        pools: dict[str, Pool] = {}
        started = perf_counter()
        for name, kernel in every.items():
            if name == "ridge":
                pools[name] = pool_of_rows(data.rows[inside], data.targets[inside], fit_intercept=True, labels=labels)
            else:
                block = kernel[np.ix_(inside, inside)]
                pools[name] = pool_of_kernel(
                    block, data.targets[inside], fit_intercept=True, labels=labels, overwrite=True
                )
        found.estimating += perf_counter() - started
        for model, table in found.tables.items():
            name, _, width = model.partition(" ")
            penalties = scales[name] * np.array(PENALTIES)
            started = perf_counter()
            grid = predict_pool(pools[name], sizes[:, None], penalties, width=float(width) if width else np.inf)
            found.predicting += perf_counter() - started
            shape = (sizes.size, penalties.size)
            _keep_prediction(table, grid, shape)
            started = perf_counter()
            _train_all(data, every[name], int(width) if width else None, inside, outside, sizes, penalties, rng, table)
            found.training += perf_counter() - started
    return found


def _keep_prediction(table: Table, grid: object, shape: tuple[int, int]) -> None:
    for target, source in (
        (table.predicted, "squared_error"),
        (table.low, "squared_low"),
        (table.high, "squared_high"),
        (table.rate, "test_error"),
        (table.rate_low, "low"),
        (table.rate_high, "high"),
    ):
        target.append(np.reshape(getattr(grid, source), shape))


def _train_all(
    data: Rows,
    kernel: Array,
    width: int | None,
    inside: NDArray[np.int64],
    outside: NDArray[np.int64],
    sizes: NDArray[np.int64],
    penalties: Array,
    rng: np.random.Generator,
    table: Table,
) -> None:
    shape = (sizes.size, penalties.size)
    trained, rates, testing, spread, rate_spread = (np.empty(shape) for _ in range(5))
    for place, size in enumerate(sizes):
        results = []
        for _ in range(TRAININGS):
            training = rng.choice(inside, size, replace=False)
            if width is None:
                blocks = kernel[np.ix_(training, training)], kernel[np.ix_(outside, training)]
            else:
                features = random_relu(data.rows, width, rng)
                blocks = features[training] @ features[training].T, features[outside] @ features[training].T
            results.append(train(data, *blocks, training, outside, penalties))
        squared, rate, error = np.array(results).transpose(1, 0, 2)
        trained[place], rates[place] = squared.mean(axis=0), rate.mean(axis=0)
        testing[place] = error.mean(axis=0) / trained[place]
        spread[place] = np.log(squared).std(axis=0, ddof=1) / np.sqrt(TRAININGS)
        rate_spread[place] = (
            rate.std(axis=0, ddof=1) / np.sqrt(TRAININGS) / np.maximum(rates[place], 1.0 / outside.size)
        )
    table.trained.append(trained)
    table.trained_rate.append(rates)
    table.testing_luck.append(testing)
    table.training_luck.append(spread)
    table.testing_rate_luck.append(np.sqrt((1.0 - rates) / np.maximum(rates * outside.size, 1.0)))
    table.training_rate_luck.append(rate_spread)


def run(report: Report, *, quick: bool) -> None:
    """Measure every set and add its rows."""
    n_splits, n_sizes = (2, 4) if quick else (10, 8)
    every: list[Array] = []
    every_covered: list[Array] = []
    for name, load in SETS.items():
        data = load()
        found = measure(data, n_splits=n_splits, n_sizes=n_sizes)
        for model, table in found.tables.items():
            errors, covered = np.abs(table.errors()).ravel(), table.covered().ravel()
            every.append(errors)
            every_covered.append(covered)
            _row(report, f"{name}, {model}: squared error", errors, covered)
            if data.labels is not None:
                rate_errors = np.abs(table.rate_errors()).ravel()
                _row(report, f"{name}, {model}: misclassification", rate_errors, table.rate_covered().ravel())
        cells = sum(table.errors().size for table in found.tables.values()) * n_splits
        spent = found.estimating + found.predicting
        report.add(
            f"{name}: {cells} predictions against {cells * TRAININGS} trainings",
            f"{found.estimating:.1f} s estimating, {found.predicting:.2f} s predicting",
            baseline=f"{found.training:.1f} s training",
            result=f"{found.training / spent:.2f} x",
        )
    errors, covered = np.concatenate(every), np.concatenate(every_covered)
    middle, most, share = float(np.median(errors)), float(np.quantile(errors, 0.9)), float(covered.mean())
    report.add("all, squared error: median relative error", f"{middle:.1%}", goal="at most 3 %", met=middle <= 0.03)
    report.add("all, squared error: 90th percentile", f"{most:.1%}", goal="at most 10 %", met=most <= 0.10)
    report.add("all, squared error: 90 % intervals cover", f"{share:.1%}", goal="85 to 97 %", met=0.85 <= share <= 0.97)


def _row(report: Report, what: str, errors: Array, covered: Array) -> None:
    report.add(
        what,
        f"median {np.median(errors):.1%}, 90th percentile {np.quantile(errors, 0.9):.1%}, largest {errors.max():.1%}",
        baseline="trained on splits",
        result=f"intervals cover {covered.mean():.1%}",
    )
