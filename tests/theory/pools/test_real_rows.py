"""Predictions on digits and diabetes against models trained on them: the short form of ``make bench-data``."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.data import NORMAL, measure
from benchmarks.real_rows import SETS
from tests.datasets import codes, digits
from theory.pools import pool_of_rows, predict_pool


def _some(name, n_rows):
    data = SETS[name]()
    chosen = np.random.default_rng(0).permutation(data.rows.shape[0])[:n_rows]
    labels = None if data.labels is None else data.labels[chosen]
    return replace(data, rows=data.rows[chosen], targets=data.targets[chosen], labels=labels)


@pytest.mark.parametrize(
    ("name", "n_rows", "widths"),
    [("diabetes", 442, (50, 400)), ("digits", 400, ()), pytest.param("digits", 1797, (400,), marks=pytest.mark.slow)],
)
def test_predicted_is_what_training_finds(name, n_rows, widths):
    data = _some(name, n_rows)
    found = measure(data, n_splits=2, n_sizes=3, widths=widths)
    for model, table in found.tables.items():
        predicted, trained = np.array(table.predicted), np.array(table.trained)
        # Two splits are one partition's halves in both roles; left is the luck of training sets and of the pools' rows.
        luck = np.mean(np.square(table.training_luck), axis=0) + np.mean(np.square(table.testing_luck), axis=0)
        claimed = np.log(np.array(table.high) / np.array(table.low)) / (2.0 * NORMAL)
        offset = np.log(predicted / trained).mean(axis=0)
        allowed = 3.0 * np.sqrt((claimed**2).mean(axis=0) + luck)
        assert (np.abs(offset) <= allowed).all(), (model, offset, allowed)
        assert table.covered().mean() >= 0.7, model
        assert np.median(np.abs(table.errors())) <= 0.1, model
        if data.labels is not None:
            rate, seen = np.mean(table.rate, axis=0), np.mean(table.trained_rate, axis=0)
            # Close to the size of the pool they are leave-one-out's own, binomial on either side.
            binomial = np.sqrt(2.0 * seen[-1] / data.rows.shape[0])
            assert (np.abs(rate - seen)[-1] <= 4.0 * binomial).all(), model
            assert (rate[0] > rate[-1]).all(), model


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_rows_alone_in_a_direction_do_not_decide(fit_intercept):
    # Some pixels are dark in all digits but one, whose leverage is 1 where there is no penalty.
    rows, labels = digits()
    targets = codes(labels)
    predicted = predict_pool(
        pool_of_rows(rows, targets, fit_intercept=fit_intercept), 300.0, np.array([0.0, 1e-12, 1e-8])
    )
    np.testing.assert_allclose(predicted.test_error, predicted.test_error[0], rtol=1e-3)
    assert (predicted.df1 <= np.linalg.matrix_rank(rows) + 1).all()
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(40):
        order = rng.permutation(len(rows))
        seen, held_out = order[:300], order[300:]
        means = (rows[seen].mean(0), targets[seen].mean(0)) if fit_intercept else (0.0, 0.0)
        weights = np.linalg.lstsq(rows[seen] - means[0], targets[seen] - means[1], rcond=1e-9)[0]
        left = targets[held_out] - means[1] - (rows[held_out] - means[0]) @ weights
        errors.append(np.square(left).sum(1).mean())
    luck = 3.0 * np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert predicted.low[0] - luck <= np.mean(errors) <= predicted.high[0] + luck
